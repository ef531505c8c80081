"""No order that breaks a limit leaves, whatever is asked; what reduces a position is not held back by exposure."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ljwx_pipeline.config import RiskSettings
from ljwx_pipeline.live.orders import OrderIntent
from ljwx_pipeline.live.risk_gate import Denial, Quote, RiskView, gate_orders
from ljwx_pipeline.trading.exchange_wire import Side

LIMITS = RiskSettings(
    max_order_cny=100_000,
    max_orders_per_session=3,
    max_orders_per_minute=100,
    max_weight_per_name_frac=0.10,
    max_weight_per_industry_frac=0.5,
    max_gross_exposure_frac=0.5,
    max_price_deviation_frac=0.11,
    max_day_loss_frac=0.05,
)
VIEW = RiskView(
    equity_fen=100_000_000,
    previous_equity_fen=100_000_000,
    shares={"A": 1_000, "B": 500},
    position_values_fen={"A": 1_000_000, "B": 500_000},
    bundle_age_days=5,
    max_bundle_age_days=400,
)
QUOTE = Quote(100_000, 100_000)
QUOTES = dict.fromkeys("ABCDEFGH", QUOTE)


def order(symbol: str = "C", side: Side = Side.BUY, shares: int = 100, price_e4: int = 100_000) -> OrderIntent:
    return OrderIntent(f"{symbol}{side}", date(2025, 1, 2), symbol, side, shares, 0, price_e4)


def denial(one: OrderIntent, view: RiskView = VIEW, quotes: dict[str, Quote] = QUOTES) -> str:
    return gate_orders([one], quotes, view, LIMITS)[0].denial


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
@pytest.mark.parametrize("quote", [None, Quote(0, 100_000), Quote(100_000, 0), Quote(-1, 100_000)])
def test_without_a_usable_price_nothing_leaves(side: Side, quote: Quote | None) -> None:
    quotes = {} if quote is None else {"A": quote}
    assert denial(order("A", side), quotes=quotes) == Denial.MISSING_PRICE


@pytest.mark.parametrize(
    ("reference", "expected"),
    [(111_000, ""), (111_001, Denial.PRICE_DEVIATION), (89_000, ""), (88_999, Denial.PRICE_DEVIATION)],
)
def test_a_price_far_from_the_previous_close_is_doubted(reference: int, expected: str) -> None:
    assert denial(order(price_e4=reference)) == expected


def test_an_order_too_large_is_a_fat_finger() -> None:
    assert denial(order(shares=10_000)) == ""
    assert denial(order(shares=10_100)) == Denial.FAT_FINGER


def test_orders_beyond_the_count_are_denied_and_denied_ones_do_not_count() -> None:
    wanted = [order("A", Side.SELL), order("C", shares=50_000), order("D"), order("E"), order("F")]
    found = [judged.denial for judged in gate_orders(wanted, QUOTES, VIEW, LIMITS)]
    assert found == ["", Denial.FAT_FINGER, "", "", Denial.ORDER_COUNT]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"bundle_age_days": 401}, Denial.STALE_BUNDLE),
        ({"bundle_age_days": -1}, Denial.STALE_BUNDLE),
        ({"equity_fen": 94_999_999}, Denial.DAY_LOSS),
        ({"previous_equity_fen": 0}, Denial.DAY_LOSS),
    ],
)
def test_after_a_loss_or_with_a_stale_model_positions_are_only_closed(change: dict[str, int], code: Denial) -> None:
    view = replace(VIEW, **change)
    assert denial(order(), view) == code
    assert denial(order("A", Side.SELL), view) == ""


def test_a_day_loss_at_the_limit_still_opens() -> None:
    assert denial(order(), replace(VIEW, equity_fen=95_000_000)) == ""


def test_a_position_never_exceeds_its_weight() -> None:
    near = replace(VIEW, position_values_fen={"C": 9_900_000})
    assert denial(order("C", shares=100), near) == ""
    assert denial(order("C", shares=101), near) == Denial.MAX_WEIGHT


def test_selling_makes_room_for_buying_but_not_the_other_way() -> None:
    full = replace(VIEW, shares={"A": 9_000}, position_values_fen={"A": 9_000_000, "B": 41_000_000})
    sell, buy = order("A", Side.SELL, 9_000), order("C", shares=9_000)
    assert [judged.denial for judged in gate_orders([sell, buy], QUOTES, full, LIMITS)] == ["", ""]
    assert [judged.denial for judged in gate_orders([buy, sell], QUOTES, full, LIMITS)] == [Denial.GROSS_EXPOSURE, ""]


def test_nobody_sells_more_than_he_holds() -> None:
    assert denial(order("A", Side.SELL, 1_001)) == Denial.OVERSELL
    assert denial(order("C", Side.SELL, 1)) == Denial.OVERSELL


def test_an_order_for_more_than_is_left_after_the_one_before_is_an_oversale() -> None:
    twice = [order("A", Side.SELL, 600), order("A", Side.SELL, 600)]
    assert [judged.denial for judged in gate_orders(twice, QUOTES, VIEW, LIMITS)] == ["", Denial.OVERSELL]


def test_what_is_bought_now_is_not_sold_in_the_same_breath() -> None:
    both = [order("C", Side.BUY, 100), order("C", Side.SELL, 100)]
    assert [judged.denial for judged in gate_orders(both, QUOTES, VIEW, LIMITS)] == ["", Denial.OVERSELL]


def test_several_purchases_of_one_name_are_held_to_its_weight_together() -> None:
    halves = [order("C", shares=6_000), order("C", shares=6_000)]
    assert [judged.denial for judged in gate_orders(halves, QUOTES, VIEW, LIMITS)] == ["", Denial.MAX_WEIGHT]


def test_an_open_purchase_counts_as_held() -> None:
    pending = replace(VIEW, open_buys_fen={"C": 6_000_000})
    assert denial(order("C", shares=6_000), pending) == Denial.MAX_WEIGHT
    assert denial(order("D", shares=6_000), pending) == ""
    full = replace(VIEW, open_buys_fen={"C": 48_000_000})
    assert denial(order("D", shares=6_000), full) == Denial.GROSS_EXPOSURE


def test_an_industry_is_held_to_its_weight_and_names_without_one_to_one_between_them() -> None:
    limits = LIMITS.model_copy(update={"max_weight_per_industry_frac": 0.12})
    banks = replace(VIEW, position_values_fen={"A": 9_000_000}, industries={"A": "bank", "C": "bank", "D": "steel"})
    found = {
        symbol: gate_orders([order(symbol, shares=4_000)], QUOTES, banks, limits)[0].denial for symbol in ("C", "D")
    }
    assert found == {"C": Denial.MAX_INDUSTRY, "D": ""}
    strangers = [order("E", shares=8_000), order("F", shares=8_000)]
    assert [judged.denial for judged in gate_orders(strangers, QUOTES, banks, limits)] == ["", Denial.MAX_INDUSTRY]


def test_a_symbol_whose_price_is_in_quarantine_is_neither_bought_nor_sold() -> None:
    doubted = replace(VIEW, suspects={"A"})
    assert denial(order("A"), doubted) == denial(order("A", Side.SELL), doubted) == Denial.SUSPECT_PRICE
    assert denial(order("C"), doubted) == ""


def test_more_orders_within_a_minute_than_allowed_are_denied_on_either_side() -> None:
    limits = LIMITS.model_copy(update={"max_orders_per_minute": 2})
    now = 600_000_000_000
    view = replace(VIEW, now_ns=now, sent_at_ns=(now - 60_000_000_000, now - 59_999_999_999))
    three = [order("A", Side.SELL), order("B", Side.SELL)]
    assert [judged.denial for judged in gate_orders(three, QUOTES, view, limits)] == ["", Denial.ORDER_RATE]
    jumped_back = replace(view, now_ns=0)
    assert gate_orders(three, QUOTES, jumped_back, limits)[0].denial == Denial.ORDER_RATE


def test_orders_of_the_session_before_these_count() -> None:
    assert denial(order(), replace(VIEW, orders_in_session=2)) == ""
    assert denial(order(), replace(VIEW, orders_in_session=3)) == Denial.ORDER_COUNT


def test_what_a_breaker_forbids_is_denied_by_its_own_code() -> None:
    reducing = replace(VIEW, opening_denied="DRAWDOWN")
    assert denial(order(), reducing) == "DRAWDOWN"
    assert denial(order("A", Side.SELL), reducing) == ""
    stopped = replace(VIEW, opening_denied="STALE_FEED", reducing_denied="STALE_FEED")
    assert denial(order(), stopped) == denial(order("A", Side.SELL), stopped) == "STALE_FEED"


symbols = st.sampled_from("ABCDEFGH")
intents = st.builds(
    order,
    symbol=symbols,
    side=st.sampled_from(Side),
    shares=st.integers(1, 20_000),
    price_e4=st.integers(-10, 150_000),
)
quotes = st.dictionaries(symbols, st.builds(Quote, st.integers(0, 150_000), st.integers(0, 150_000)))
views = st.builds(
    RiskView,
    equity_fen=st.integers(-10, 200_000_000),
    previous_equity_fen=st.integers(-10, 200_000_000),
    shares=st.dictionaries(symbols, st.integers(1, 5_000)),
    position_values_fen=st.dictionaries(symbols, st.integers(1, 50_000_000)),
    bundle_age_days=st.integers(-5, 800),
    max_bundle_age_days=st.just(400),
)


@given(st.lists(intents, max_size=8, unique_by=lambda one: one.symbol), quotes, views)
def test_whatever_is_asked_the_limits_hold(asked: list[OrderIntent], known: dict[str, Quote], view: RiskView) -> None:
    judged = gate_orders(asked, known, view, LIMITS)
    assert [one.intent for one in judged] == asked
    passed = [one.intent for one in judged if not one.denial]
    bought = [one for one in passed if one.side is Side.BUY]
    assert len(passed) <= LIMITS.max_orders_per_session
    for one in passed:
        quote = known[one.symbol]
        assert quote.close_e4 > 0
        assert abs(one.reference_price_e4 / quote.pre_close_e4 - 1) <= LIMITS.max_price_deviation_frac + 1e-12
        assert one.value_fen <= LIMITS.max_order_cny * 100
        assert one.side is Side.BUY or one.shares <= view.shares[one.symbol]
    if bought:
        assert 0 <= view.bundle_age_days <= 400
        assert view.equity_fen >= 0.95 * view.previous_equity_fen > 0
        gross = sum(view.position_values_fen.values())
        for one in passed:  # holds at each buy, in the order judged
            signed = one.value_fen if one.side is Side.BUY else -one.value_fen
            gross += signed
            if one.side is Side.BUY:
                assert gross <= LIMITS.max_gross_exposure_frac * view.equity_fen + len(passed)


@given(st.lists(intents, max_size=8), quotes, views, st.integers(0, 8))
def test_an_order_s_verdict_does_not_depend_on_those_behind_it(
    asked: list[OrderIntent], known: dict[str, Quote], view: RiskView, cut: int
) -> None:
    assert gate_orders(asked, known, view, LIMITS)[:cut] == gate_orders(asked[:cut], known, view, LIMITS)


industries = st.dictionaries(symbols, st.sampled_from(["bank", "steel"]))


@given(st.lists(intents, max_size=12), views, industries, st.dictionaries(symbols, st.integers(1, 20_000_000)))
def test_no_series_of_purchases_goes_beyond_a_limit_that_one_of_them_would(
    asked: list[OrderIntent], view: RiskView, known: dict[str, str], pending: dict[str, int]
) -> None:
    limits = LIMITS.model_copy(update={"max_weight_per_industry_frac": 0.15, "max_orders_per_session": 100})
    held = replace(view, industries=known, open_buys_fen=pending)
    values = {symbol: view.position_values_fen.get(symbol, 0) + pending.get(symbol, 0) for symbol in "ABCDEFGH"}
    sellable = dict(view.shares)
    for one in (each.intent for each in gate_orders(asked, QUOTES, held, limits) if not each.denial):
        values[one.symbol] += one.value_fen if one.side is Side.BUY else -one.value_fen
        if one.side is Side.SELL:
            sellable[one.symbol] -= one.shares
            assert sellable[one.symbol] >= 0
            continue
        group = [symbol for symbol in values if known.get(symbol) == known.get(one.symbol)]
        assert values[one.symbol] <= 0.10 * view.equity_fen + len(asked)
        assert sum(values[symbol] for symbol in group) <= 0.15 * view.equity_fen + len(asked)
        assert sum(values.values()) <= 0.5 * view.equity_fen + len(asked)
