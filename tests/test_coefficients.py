"""Coefficients are scipy's, session by session, whatever the order of rows, ties and holes; rows and panels agree."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr

from ljwx_pipeline.coefficients import (
    MIN_PAIRS,
    by_session,
    mean_rank_ic,
    newey_west_error,
    newey_west_lag,
    panel_coefficients,
    panel_rank_ic,
    row_coefficients,
)


def holed(rng: np.random.Generator, shape: tuple[int, ...], levels: int) -> np.ndarray:
    values = rng.integers(0, levels, shape).astype(float)
    values[rng.uniform(size=shape) < 0.1] = np.nan
    values[rng.uniform(size=shape) < 0.02] = np.inf
    return values


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), levels=st.integers(2, 40), rows=st.integers(1, 300))
def test_each_session_of_rows_has_scipy_s_correlations(seed: int, levels: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    session = rng.integers(0, 8, rows).astype(np.int32)
    scores, returns = holed(rng, (rows,), levels), holed(rng, (rows,), levels)
    found_sessions, found = row_coefficients(scores, returns, session)
    both = np.isfinite(scores) & np.isfinite(returns)
    assert found_sessions.tolist() == sorted(set(session[both].tolist()))
    for at, day in enumerate(found_sessions):
        a, b = scores[both & (session == day)], returns[both & (session == day)]
        assert found.pairs[at] == len(a)
        if len(a) >= MIN_PAIRS and np.ptp(a) > 0 and np.ptp(b) > 0:
            assert found.rank_ic[at] == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)
            assert found.ic[at] == pytest.approx(pearsonr(a, b).statistic, abs=1e-12)
        else:
            assert math.isnan(found.rank_ic[at])
            assert math.isnan(found.ic[at])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), levels=st.integers(2, 40), symbols=st.integers(1, 40))
def test_a_panel_has_the_bits_of_its_rows(seed: int, levels: int, symbols: int) -> None:
    rng = np.random.default_rng(seed)
    left, right = holed(rng, (symbols, 9), levels), holed(rng, (symbols, 9), levels)
    panel = panel_coefficients(by_session(left), by_session(right), min_pairs=3)
    sessions, rows = row_coefficients(left.ravel(), right.ravel(), np.tile(np.arange(9), symbols), min_pairs=3)
    assert panel.rank_ic[sessions].tobytes() == rows.rank_ic.tobytes()
    assert panel.ic[sessions].tobytes() == rows.ic.tobytes()
    assert panel.pairs[sessions].tolist() == rows.pairs.tolist()
    assert panel_rank_ic(by_session(left), by_session(right), min_pairs=3).tobytes() == panel.rank_ic.tobytes()


def test_a_permutation_of_names_changes_no_bit_of_the_rank_ic() -> None:
    rng = np.random.default_rng(3)
    left, right = holed(rng, (60, 30), 7), rng.normal(size=(60, 30))
    shuffled = rng.permutation(60)
    before = panel_rank_ic(by_session(left), by_session(right))
    assert panel_rank_ic(by_session(left[shuffled]), by_session(right[shuffled])).tobytes() == before.tobytes()


def test_a_perfect_and_a_reversed_ranking() -> None:
    scores = np.tile(np.arange(6.0), 2)
    returns = np.r_[np.arange(6.0), -np.arange(6.0)]
    days, found = row_coefficients(scores, returns, np.repeat(np.array([4, 9], dtype=np.int32), 6))
    assert days.tolist() == [4, 9]
    assert found.rank_ic.tolist() == [1.0, -1.0]


def test_tiny_values_have_a_coefficient_and_constant_ones_none() -> None:
    steps = np.arange(10.0)
    assert row_coefficients(1e-12 * steps, 1e-12 * steps, np.zeros(10, dtype=int))[1].ic[0] == pytest.approx(1.0)
    assert math.isnan(row_coefficients(np.full(10, 0.1), steps, np.zeros(10, dtype=int))[1].ic[0])


def test_without_a_usable_session_the_mean_is_unknown() -> None:
    nothing = np.full(10, np.nan)
    assert math.isnan(mean_rank_ic(nothing, nothing, np.zeros(10, dtype=np.int32)))
    assert math.isnan(mean_rank_ic(np.zeros(10), np.arange(10.0), np.zeros(10, dtype=np.int32)))


def test_the_newey_west_error_is_the_sum_written_out() -> None:
    series = np.array([0.1, 0.3, -0.2, 0.4, 0.0, 0.2])
    deviation = series - series.mean()
    gamma = [float((deviation[lag:] * deviation[: 6 - lag]).sum()) / 6 for lag in range(3)]
    expected = math.sqrt((gamma[0] + 2 * (2 / 3 * gamma[1] + 1 / 3 * gamma[2])) / 6)
    assert newey_west_error(series, 2) == pytest.approx(expected, rel=1e-14)
    assert newey_west_error(np.full(6, 0.1), 2) == pytest.approx(0.0, abs=1e-15)
    assert newey_west_error(series, 50) >= 0
    assert math.isnan(newey_west_error(np.array([]), 2))
    assert newey_west_lag(1200, 6) == 24
