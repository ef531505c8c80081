"""All sleeves' wishes become one order a symbol, in lots, the same however they are given."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.orders import Leg, OrderIntent
from ljwx_pipeline.live.sleeves.netting import Lot, Netted, SleeveIntent, net
from ljwx_pipeline.trading.exchange_wire import Side

DAY = date(2025, 11, 3)
LOTS = {"A": Lot(100, 100), "B": Lot(200, 1), "C": Lot(100, 100)}
HELD = {"A": 5_000, "B": 731, "C": 350}


def wants(sleeve: str, symbol: str, signed_shares: int, *, rank: int = 0, denial: str = "") -> SleeveIntent:
    side = Side.BUY if signed_shares > 0 else Side.SELL
    intent = OrderIntent(f"{sleeve}|1|{symbol}|{DAY}|{side}", DAY, symbol, side, abs(signed_shares), rank, 100_000)
    return SleeveIntent(sleeve, intent, Leg.DECIDE, f"bundle of {sleeve}", denial)


def netted(*wanted: SleeveIntent) -> Netted:
    return net(DAY, wanted, lots=LOTS, held_shares=HELD)


def test_one_sleeve_alone_sends_what_it_decided() -> None:
    alone = [wants("a", "C", -350, rank=0), wants("a", "A", 700, rank=1)]
    found = netted(*alone)
    assert [order.intent for order in found.orders] == [one.intent for one in alone]
    assert {(order.strategy, order.bundle_hash) for order in found.orders} == {("a", "bundle of a")}
    assert [want.crossed_shares for want in found.wants] == [0, 0]


def test_two_that_buy_the_same_share_one_order() -> None:
    found = netted(wants("b", "A", 300, rank=4), wants("a", "A", 200, rank=7))
    (order,) = found.orders
    assert (order.intent.shares, order.intent.side) == (500, Side.BUY)
    assert (order.strategy, order.bundle_hash) == ("account", None)
    assert order.intent.client_order_id == f"account|net|A|{DAY}|buy"
    assert {want.client_order_id for want in found.wants} == {order.intent.client_order_id}


def test_what_one_sells_and_another_buys_is_crossed_and_only_the_rest_is_sent() -> None:
    found = netted(wants("a", "A", -500), wants("b", "A", 300))
    (order,) = found.orders
    assert (order.intent.shares, order.intent.side, order.strategy) == (200, Side.SELL, "a")
    assert [(want.sleeve, want.crossed_shares, want.client_order_id) for want in found.wants] == [
        ("a", 300, order.intent.client_order_id),
        ("b", 300, ""),
    ]


def test_equal_wishes_meet_without_an_order() -> None:
    found = netted(wants("a", "A", -300), wants("b", "A", 300))
    assert found.orders == ()
    assert [want.crossed_shares for want in found.wants] == [300, 300]


def test_an_odd_rest_is_sold_only_with_all_that_the_account_holds() -> None:
    (whole,) = netted(wants("a", "C", -250), wants("b", "C", -100)).orders
    assert whole.intent.shares == 350
    (part,) = netted(wants("a", "C", -150), wants("b", "C", -100)).orders
    assert part.intent.shares == 200
    assert netted(wants("a", "C", -350), wants("b", "C", 300)).orders == ()
    (alone,) = netted(wants("a", "C", -250)).orders
    assert alone.intent.shares == 250, "the exchange cuts it, as it does for a strategy without others beside it"


def test_a_denied_wish_is_written_down_and_not_netted() -> None:
    found = netted(wants("a", "A", 300, denial="STALE_BUNDLE"), wants("b", "A", -300))
    (order,) = found.orders
    assert (order.strategy, order.intent.side) == ("b", Side.SELL)
    assert [(want.sleeve, want.denial) for want in found.wants] == [("a", "STALE_BUNDLE"), ("b", "")]
    assert [want.crossed_shares for want in found.wants] == [0, 0]


def test_a_strategy_that_wants_two_things_of_one_symbol_is_refused() -> None:
    with pytest.raises(LiveError, match="a wants two things of A"):
        netted(wants("a", "A", 300), wants("a", "A", -300))


@st.composite
def wishes(draw: st.DrawFn) -> list[SleeveIntent]:
    found = []
    for symbol, lot in LOTS.items():
        left = HELD[symbol]
        for rank, sleeve in enumerate(draw(st.lists(st.sampled_from("abcd"), unique=True, max_size=4))):
            if draw(st.booleans()):
                found.append(wants(sleeve, symbol, lot.floor(draw(st.integers(200, 900))), rank=rank))
            elif left:
                sold = draw(st.integers(1, left))
                left -= sold
                found.append(wants(sleeve, symbol, -sold, rank=rank))
    return found


@given(wishes(), st.randoms())
def test_there_is_one_order_a_symbol_within_the_rules_and_the_order_of_sleeves_changes_nothing(
    wanted: list[SleeveIntent], random: object
) -> None:
    found = netted(*wanted)
    symbols = [order.intent.symbol for order in found.orders]
    assert len(set(symbols)) == len(symbols)
    assert [order.intent.rank for order in found.orders] == list(range(len(symbols)))
    sides = [order.intent.side for order in found.orders]
    assert sides == sorted(sides, key=lambda side: side is Side.BUY)
    for order in found.orders:
        lot, shares = LOTS[order.intent.symbol], order.intent.shares
        alone = sum(one.intent.symbol == order.intent.symbol for one in wanted) == 1
        if order.intent.side is Side.SELL:
            assert shares <= HELD[order.intent.symbol]
            assert alone or lot.floor(shares) == shares or shares == HELD[order.intent.symbol]
        else:
            assert lot.floor(shares) == shares
        behind = [want for want in found.wants if want.client_order_id == order.intent.client_order_id]
        assert {want.side for want in behind} == {order.intent.side}
        rest = sum(want.shares - want.crossed_shares for want in behind)
        assert shares <= rest
    for symbol in LOTS:
        of_symbol = [want for want in found.wants if want.symbol == symbol]
        given_away = sum(want.crossed_shares for want in of_symbol if want.side is Side.SELL)
        assert given_away == sum(want.crossed_shares for want in of_symbol if want.side is Side.BUY)
        assert all(0 <= want.crossed_shares <= want.shares for want in of_symbol)
    shuffled = list(wanted)
    random.shuffle(shuffled)
    assert netted(*shuffled) == found
