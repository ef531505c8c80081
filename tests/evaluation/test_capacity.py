"""Capacity by hand: orders of known fractions in names of known turnover."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.evaluation.capacity import Capacity, capacity
from ljwx_pipeline.trading.market_arrays import MarketArrays
from tests.fakes.backtests import a_result, fill, flat_market


@pytest.fixture
def market() -> MarketArrays:
    """Three names at 10 CNY that turn over 10, 20 and 40 million CNY a session and swing by one per cent."""
    flat = flat_market(symbols=3, sessions=30)
    flat.volume_shares[1] *= 2
    flat.volume_shares[2] *= 4
    flat.close_e4[:, 1::2] = flat.pre_close_e4[:, 2::2] = 101_000
    flat.close_e4[:, 0::2] = flat.pre_close_e4[:, 1::2] = 100_000
    return flat


def judged(market: MarketArrays, *fills: dict[str, object], excess: float = 0.1, limit: float = 0.05) -> Capacity:
    return capacity(a_result(market, fills), market, max_participation_frac=limit, excess_annual_return=excess)


def test_the_median_order_and_the_ninth_in_ten_reach_the_limit(market: MarketArrays) -> None:
    # each order is 10,000 of 100,000 CNY: a tenth; at the limit of 5 % the names carry 0.5, 1 and 2 million
    orders = [fill(market, 24, 1000, 10_000_00, row=row) for row in range(3)]
    found = judged(market, *orders)
    assert found.median_capital_cny == pytest.approx(10e6)
    assert found.capital_90_cny == pytest.approx(np.quantile([5e6, 10e6, 20e6], 0.1))
    assert found.orders == 3
    assert judged(market, *orders, limit=0.1).median_capital_cny == pytest.approx(20e6)


def test_what_was_wanted_counts_not_what_filled(market: MarketArrays) -> None:
    order = fill(market, 24, 1000, 10_000_00) | {"fill_shares": 0, "value_fen": 0, "price_e4": 0}
    assert judged(market, order).median_capital_cny == pytest.approx(5e6)
    assert judged(market, order | {"order_shares": -1000}).median_capital_cny == pytest.approx(5e6)


def test_impact_eats_the_excess_at_the_break_even(market: MarketArrays) -> None:
    found = judged(market, fill(market, 24, 1000, 10_000_00))
    moves = np.where(np.arange(20) % 2, 100_000 / 101_000, 1.01) - 1
    volatility, years = moves.std(ddof=1), 29 / 252
    at = found.break_even_capital_cny
    impact = volatility * math.sqrt(0.1 * at / 10e6)
    assert 0.1 * impact / years == pytest.approx(0.1, rel=1e-3)  # the engine's volatility is in whole millionths
    assert judged(market, fill(market, 24, 1000, 10_000_00), excess=0.2).break_even_capital_cny == pytest.approx(4 * at)


def test_no_excess_carries_nothing_and_an_unknown_one_says_so(market: MarketArrays) -> None:
    order = fill(market, 24, 1000, 10_000_00)
    assert judged(market, order, excess=-0.1).break_even_capital_cny == 0.0
    assert math.isnan(judged(market, order, excess=math.nan).break_even_capital_cny)


def test_a_name_that_did_not_trade_is_counted_apart(market: MarketArrays) -> None:
    market.close_e4[1, 24] = market.volume_shares[1, 24] = 0
    found = judged(market, *(fill(market, 24, 1000, 10_000_00, row=row) for row in range(2)))
    assert (found.orders, found.orders_without_turnover) == (1, 1)
    assert found.median_capital_cny == pytest.approx(5e6)
    none = judged(market)
    assert math.isnan(none.median_capital_cny)
    assert (none.orders, none.orders_without_turnover) == (0, 0)


def test_orders_of_another_market_are_refused(market: MarketArrays) -> None:
    stranger = fill(market, 24, 1000, 10_000_00) | {"symbol": "X.SIM"}
    with pytest.raises(DataQualityError, match="the market lacks"):
        judged(market, stranger)
