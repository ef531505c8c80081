"""Square-root impact and the volatility it is scaled by."""

from __future__ import annotations

import math
import statistics

import numpy as np
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ljwx_pipeline.trading.costs import CostRates, impact_e8_of
from ljwx_pipeline.trading.matching import Fills, SessionQuotes, match
from ljwx_pipeline.trading.volatility import UNKNOWN_E8, WINDOW, trailing_volatility_e8
from ljwx_pipeline.units import E8


def test_a_tenth_of_the_volume_costs_a_third_of_the_volatility() -> None:
    assert impact_e8_of(E8, 2_000_000, 100_000, 1_000_000) == math.ceil(2_000_000 * math.sqrt(0.1))
    assert impact_e8_of(E8 // 2, 2_000_000, 100_000, 1_000_000) == math.ceil(1_000_000 * math.sqrt(0.1))
    assert impact_e8_of(0, 2_000_000, 100_000, 1_000_000) == 0
    assert impact_e8_of(E8, 2_000_000, 100_000, 0) == 0


@given(
    shares=st.integers(1, 10**9),
    volume=st.integers(1, 10**10),
    volatility=st.integers(0, 10**8),
    coefficient=st.integers(1, 10 * E8),
)
@hypothesis_settings(max_examples=200, deadline=None)
def test_compiled_and_interpreted_impact_agree_to_the_bit(
    shares: int, volume: int, volatility: int, coefficient: int
) -> None:
    arguments = (coefficient, volatility, shares, volume)
    assert impact_e8_of(*arguments) == impact_e8_of.py_func(*arguments)


def traded(order: int, coefficient: float, *, cash_fen: int = 10**11) -> Fills:
    quotes = SessionQuotes(
        close_e4=np.array([100_000]),
        limit_up_e4=np.array([110_000]),
        limit_down_e4=np.array([90_000]),
        volume_shares=np.array([1_000_000]),
        lot_min=np.array([100]),
        lot_step=np.array([100]),
        volatility_e8=np.array([2_000_000]),
    )
    return match(
        order_shares=np.array([order]),
        order_rank=np.array([0]),
        quotes=quotes,
        sellable_shares=np.array([abs(order)]),
        cash_fen=cash_fen,
        rates=CostRates(0, 0, 20_000, E8, 0, 0, 0, impact_e8=round(coefficient * E8)),
    )


def test_impact_comes_on_top_of_slippage_and_is_told_apart() -> None:
    fills = traded(90_000, 1.0)
    # 2 bps of slippage, and 2 % x sqrt(0.09) = 60 bps of impact
    assert fills.price_e4[0] == 100_620
    assert fills.base_price_e4[0] == 100_000
    assert fills.slippage_fen[0] == 90_000 * 20 // 100
    assert fills.impact_fen[0] == 90_000 * 600 // 100
    assert fills.value_fen[0] == 90_000 * 100_620 // 100
    assert traded(-90_000, 1.0).price_e4[0] == 99_380


def test_no_coefficient_is_the_price_without_impact() -> None:
    assert traded(90_000, 0.0).price_e4[0] == 100_020
    assert traded(90_000, 0.0).impact_fen[0] == 0


def test_a_large_order_stops_at_the_limit_price() -> None:
    assert traded(1_000_000, 10.0).price_e4[0] == 110_000
    assert traded(-1_000_000, 10.0).price_e4[0] == 90_000


def test_the_impact_is_of_what_went_to_the_market_not_of_what_cash_left_of_it() -> None:
    assert traded(90_000, 1.0, cash_fen=10_062_000).price_e4[0] == 100_620
    assert traded(90_000, 1.0, cash_fen=10_062_000).shares[0] == 10_000


def test_the_volatility_is_that_of_the_returns_before_the_session() -> None:
    rng = np.random.default_rng(4)
    reference = np.full((60, 2), 100_000, dtype=np.int32)
    close = (reference * (1 + rng.normal(0, 0.02, reference.shape))).astype(np.int32)
    close[10:13, 1] = 0  # suspended: passed over
    got = trailing_volatility_e8(close, reference)
    assert got.dtype == np.int32
    assert (got[:2] == UNKNOWN_E8).all()
    for name in range(2):
        returns = [(c - r) / r for c, r in zip(close[:, name], reference[:, name], strict=True)]
        for s in range(2, 60):
            known = [value for value, c in zip(returns[:s], close[:s, name], strict=True) if c > 0][-WINDOW:]
            assert abs(got[s, name] / 1e8 - statistics.stdev(known)) < 2e-6
    later = close.copy()
    later[30:] = 150_000
    assert (trailing_volatility_e8(later, reference)[:31] == got[:31]).all()
