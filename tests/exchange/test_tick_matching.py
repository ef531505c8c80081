"""A limit order gets what a tick has for it and no more: within its limit, the lots, the volume, the cash, T+1."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ljwx_pipeline.exchange.entries import Entry
from ljwx_pipeline.exchange.quotes import Quote
from ljwx_pipeline.exchange.tick_matching import Means, reserved_fen, trade_on
from ljwx_pipeline.trading.costs import CostRates, fees_fen
from ljwx_pipeline.trading.exchange_wire import OrderStatus, Reason
from tests.fakes.exchange_world import limit_order

RATES = CostRates(
    commission_e8=25_000,
    commission_min_fen=500,
    slippage_e8=20_000,
    max_participation_e8=5_000_000,
    stamp_buy_e8=0,
    stamp_sell_e8=50_000,
    transfer_e8=1_000,
)
PLENTY = Means(
    cash_fen=10**12,
    sellable_shares=10**9,
    traded_shares=0,
    shown_shares=0,
    lot_min=100,
    lot_step=100,
    rates=RATES.as_array(),
)
QUOTE = Quote(last_e4=100_000, volume_shares=10**7, bid_e4=99_900, ask_e4=100_000, bid_shares=5_000, ask_shares=5_000)


def entry(signed_shares: int, limit_e4: int = 100_000) -> Entry:
    return Entry(1, limit_order(date(2024, 1, 3), "A", signed_shares, limit_e4), OrderStatus.ACCEPTED)


@pytest.mark.parametrize(
    ("signed_shares", "limit_e4", "quote", "means", "shares", "price_e4", "reason"),
    [
        (2_000, 100_000, {}, {}, 2_000, 100_000, Reason.NONE),
        (2_000, 101_000, {}, {}, 2_000, 100_000, Reason.NONE),
        (-2_000, 99_000, {}, {}, 2_000, 99_900, Reason.NONE),
        (2_000, 99_900, {}, {}, 0, 0, Reason.LIMIT_PRICE),
        (-2_000, 100_000, {}, {}, 0, 0, Reason.LIMIT_PRICE),
        (2_000, 101_000, {"ask_e4": 0, "ask_shares": 0}, {}, 0, 0, Reason.LIMIT_UP),
        (-2_000, 99_000, {"bid_e4": 0, "bid_shares": 0}, {}, 0, 0, Reason.LIMIT_DOWN),
        (9_000, 100_000, {}, {}, 5_000, 100_000, Reason.PARTICIPATION),
        (9_000, 100_000, {}, {"shown_shares": 4_850}, 100, 100_000, Reason.PARTICIPATION),
        (9_000, 100_000, {"volume_shares": 30_000}, {"traded_shares": 1_000}, 500, 100_000, Reason.PARTICIPATION),
        (9_000, 100_000, {"volume_shares": 30_000}, {"traded_shares": 1_450}, 0, 0, Reason.PARTICIPATION),
        (2_000, 100_000, {}, {"cash_fen": 1_000_500}, 900, 100_000, Reason.CASH),
        (2_000, 100_000, {}, {"cash_fen": 500}, 0, 0, Reason.CASH),
        (-2_030, 99_000, {}, {"sellable_shares": 2_030}, 2_030, 99_900, Reason.NONE),
        (-2_030, 99_000, {"bid_shares": 1_990}, {}, 1_900, 99_900, Reason.PARTICIPATION),
    ],
)
def test_what_a_tick_gives(
    signed_shares: int,
    limit_e4: int,
    quote: dict[str, int],
    means: dict[str, int],
    shares: int,
    price_e4: int,
    reason: Reason,
) -> None:
    trade, said = trade_on(
        entry(signed_shares, limit_e4), replace(QUOTE, **quote), replace(PLENTY, **means), auction=False
    )
    assert ((0, 0) if trade is None else (trade.shares, trade.price_e4)) == (shares, price_e4)
    assert said is reason


def test_an_auction_trades_at_its_one_price_whatever_is_shown() -> None:
    trade, _ = trade_on(entry(9_000, 105_000), QUOTE, PLENTY, auction=True)
    assert trade is not None
    assert (trade.shares, trade.price_e4, trade.slippage_fen) == (9_000, 100_000, 0)


@st.composite
def ticks(draw: st.DrawFn) -> Quote:
    last = draw(st.integers(900, 1_100)) * 100
    sealed = draw(st.sampled_from(["", "", "", "up", "down"]))
    return Quote(
        last_e4=last,
        volume_shares=draw(st.integers(0, 2_000_000)),
        bid_e4=0 if sealed == "down" else last - 100,
        ask_e4=0 if sealed == "up" else last,
        bid_shares=draw(st.integers(0, 5_000)),
        ask_shares=draw(st.integers(0, 5_000)),
    )


@given(
    st.integers(1, 20_000),
    st.booleans(),
    st.integers(900, 1_100),
    st.lists(st.tuples(ticks(), st.booleans()), max_size=30),
    st.integers(0, 30_000_000),
    st.sampled_from([(100, 100), (200, 1)]),
)
def test_over_any_ticks_no_more_is_traded_than_asked_shown_afforded_and_the_fees_are_those_of_one_order(
    shares: int,
    buying: bool,
    limit_ticks: int,
    market: list[tuple[Quote, bool]],
    cash_fen: int,
    lot: tuple[int, int],
) -> None:
    order = entry(shares if buying else -shares, limit_ticks * 100)
    held, cash, traded = shares, cash_fen, 0
    most = 0
    for quote, auction in market:
        if not order.is_open:
            break
        most = max(most, quote.volume_shares)
        means = Means(cash, held, traded, 0, lot[0], lot[1], RATES.as_array())
        trade, _ = trade_on(order, quote, means, auction=auction)
        if trade is None:
            continue
        assert 0 < trade.shares <= order.left_shares
        assert (quote.ask_e4 if buying else quote.bid_e4) > 0, "a sealed side trades nothing"
        assert trade.price_e4 <= limit_ticks * 100 if buying else trade.price_e4 >= limit_ticks * 100
        assert auction or trade.shares <= (quote.ask_shares if buying else quote.bid_shares)
        assert trade.shares == order.left_shares or trade.shares % lot[1] == 0
        assert min(trade.commission_fen, trade.stamp_duty_fen, trade.transfer_fee_fen) >= 0
        order = order.with_trade(trade)
        traded += trade.shares
        cash += (-trade.value_fen if buying else trade.value_fen) - trade.fees_fen
        held -= 0 if buying else trade.shares
        assert cash >= 0
        assert held >= 0
        assert traded * 20 <= quote.volume_shares
    assert traded == order.filled_shares <= shares
    assert order.state is (
        OrderStatus.FILLED if traded == shares else OrderStatus.PARTLY_FILLED if traded else OrderStatus.ACCEPTED
    )
    whole = fees_fen(order.value_fen, buying=buying, rates=RATES)
    assert (order.commission_fen, order.stamp_duty_fen, order.transfer_fee_fen) == whole


@given(st.integers(1, 100), st.integers(0, 100), st.integers(900, 1_000))
def test_a_buy_order_reserves_what_it_can_still_cost(lots: int, filled_lots: int, paid_ticks: int) -> None:
    order = entry(lots * 100, 100_000)
    assert reserved_fen(entry(-100), RATES.as_array()) == 0
    value = lots * 100 * 1_000
    assert reserved_fen(order, RATES.as_array()) == value + sum(fees_fen(value, buying=True, rates=RATES))
    if filled_lots < lots:
        quote = replace(QUOTE, last_e4=paid_ticks * 100, ask_e4=paid_ticks * 100, ask_shares=filled_lots * 100)
        trade, _ = trade_on(order, quote, PLENTY, auction=False)
        if trade is not None:
            left = order.with_trade(trade)
            rest, _ = trade_on(left, replace(QUOTE, ask_shares=10**6), PLENTY, auction=False)
            assert rest is not None
            assert rest.value_fen + rest.fees_fen <= reserved_fen(left, RATES.as_array())
    assert np.all(RATES.as_array() >= 0)
