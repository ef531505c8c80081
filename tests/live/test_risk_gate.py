"""No order that breaks a limit leaves, whatever is asked; what reduces a position is not held back by exposure."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ljwx_pipeline.config import RiskSettings
from ljwx_pipeline.live.orders import OrderIntent, Side
from ljwx_pipeline.live.risk_gate import Denial, Quote, RiskView, gate_orders

LIMITS = RiskSettings(
    max_order_cny=100_000,
    max_orders_per_session=3,
    max_orders_per_minute=3,
    max_weight_per_name_frac=0.10,
    max_weight_per_industry_frac=0.2,
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
