"""A session's prices: limits and ex-right references as the exchanges round them, bars inside the limits."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ljwx_pipeline.sources.simulated.prices import Draws, ex_reference_ticks, limit_ticks, price_bars

TICK = Decimal("0.01")


@given(st.integers(20, 300_000), st.sampled_from([500, 1000, 2000]))
def test_limits_are_the_reference_times_the_limit_rounded_half_up(reference: int, bps: int) -> None:
    down, up = limit_ticks(np.array([reference]), np.array([bps]))
    price, part = Decimal(reference) * TICK, Decimal(bps) / 10_000
    assert int(up[0]) == int((price * (1 + part)).quantize(TICK, ROUND_HALF_UP) / TICK)
    assert int(down[0]) == int((price * (1 - part)).quantize(TICK, ROUND_HALF_UP) / TICK)


@given(st.integers(100, 300_000), st.integers(1, 90), st.integers(0, 10))
def test_the_ex_right_reference_takes_off_cash_then_divides_by_the_shares(close: int, cash: int, bonus: int) -> None:
    got = ex_reference_ticks(np.array([close]), np.array([cash]), np.array([bonus]))
    exact = (Decimal(close - cash) * TICK) / (1 + Decimal(bonus) / 10)
    assert int(got[0]) == int(exact.quantize(TICK, ROUND_HALF_UP) / TICK)


@given(st.lists(st.floats(-0.4, 0.4), min_size=1, max_size=30), st.integers(100, 50_000), st.integers(0, 2**32 - 1))
def test_bars_are_consistent_and_never_leave_the_limits(returns: list[float], reference: int, seed: int) -> None:
    rng, n = np.random.default_rng(seed), len(returns)
    draws = Draws(rng.uniform(0.005, 0.1, n), rng.standard_normal(n), 1 - rng.random(n), 1 - rng.random(n))
    base, bps = np.full(n, reference), np.full(n, 1000)
    opened, high, low, close = price_bars(base, np.array(returns), bps, draws)
    down, up = limit_ticks(base, bps)
    assert ((down <= low) & (high <= up)).all()
    assert ((low <= np.minimum(opened, close)) & (np.maximum(opened, close) <= high)).all()


def test_a_return_far_beyond_the_limit_trades_at_one_price_all_day() -> None:
    draws = Draws(np.full(2, 0.03), np.zeros(2), np.full(2, 0.5), np.full(2, 0.5))
    bars = price_bars(np.array([1000, 1000]), np.array([0.2, -0.2]), np.array([1000, 1000]), draws)
    assert [values.tolist() for values in bars] == [[1100, 900]] * 4


def test_a_price_near_its_limit_is_drawn_to_it_from_both_sides() -> None:
    draws = Draws(np.full(3, 0.03), np.zeros(3), np.full(3, 0.5), np.full(3, 0.5))
    close = price_bars(np.full(3, 10_000), np.array([0.085, -0.092, 0.07]), np.full(3, 1000), draws)[3]
    assert close.tolist() == [11_000, 9_000, 10_725]
