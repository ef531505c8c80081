"""Rank IC is Spearman's correlation session by session, whatever the order of rows, ties and holes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from ljwx_pipeline.models.rank_ic import mean_rank_ic, rank_ic


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), levels=st.integers(2, 40), rows=st.integers(1, 300))
def test_each_session_has_scipy_s_spearman_correlation(seed: int, levels: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    session = rng.integers(0, 8, rows).astype(np.int32)
    scores = rng.integers(0, levels, rows).astype(float)
    returns = rng.integers(0, levels, rows).astype(float)
    scores[rng.uniform(size=rows) < 0.1] = np.nan
    returns[rng.uniform(size=rows) < 0.1] = np.nan
    expected = {}
    for day in np.unique(session):
        both = (session == day) & np.isfinite(scores) & np.isfinite(returns)
        a, b = scores[both], returns[both]
        if len(a) >= 5 and np.ptp(a) > 0 and np.ptp(b) > 0:
            expected[int(day)] = spearmanr(a, b).statistic
    days, values = rank_ic(scores, returns, session)
    assert days.tolist() == sorted(expected)
    assert values == pytest.approx([expected[day] for day in days.tolist()], abs=1e-12)


def test_a_perfect_and_a_reversed_ranking() -> None:
    scores = np.tile(np.arange(6.0), 2)
    returns = np.r_[np.arange(6.0), -np.arange(6.0)]
    days, values = rank_ic(scores, returns, np.repeat(np.array([4, 9], dtype=np.int32), 6))
    assert days.tolist() == [4, 9]
    assert values.tolist() == [1.0, -1.0]


def test_without_a_usable_session_the_mean_is_unknown() -> None:
    nothing = np.full(10, np.nan)
    assert math.isnan(mean_rank_ic(nothing, nothing, np.zeros(10, dtype=np.int32)))
    assert math.isnan(mean_rank_ic(np.zeros(10), np.arange(10.0), np.zeros(10, dtype=np.int32)))
