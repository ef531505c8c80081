"""Decay, half-life, persistence and likeness against definitions written out plainly."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from ljwx_pipeline.coefficients import by_session
from ljwx_pipeline.research.ic import (
    clustered_order,
    delayed_rank_ic,
    half_life_sessions,
    ic_summary,
    rank_autocorrelation,
    rank_correlations,
    sampled_sessions,
)


def test_a_summary_is_mean_icir_and_a_t_that_knows_of_overlap() -> None:
    rng = np.random.default_rng(1)
    steps = rng.standard_normal(1_004)
    series = 0.02 + 0.1 * np.convolve(steps, np.ones(5), mode="valid") / math.sqrt(5)  # as five-session returns overlap
    found = ic_summary(np.r_[np.nan, series, np.nan], purge_sessions=6)
    assert found.sessions == len(series)
    assert found.mean == pytest.approx(series.mean())
    assert found.icir == pytest.approx(series.mean() / series.std(ddof=1))
    assert found.positive_frac == pytest.approx((series > 0).mean())
    naive = series.mean() / series.std(ddof=1) * math.sqrt(len(series))
    assert found.t is not None
    assert 0.3 < found.t / naive < 0.65  # the true ratio of the errors is 1 / sqrt(5)


def test_a_series_without_a_value_or_without_variation_has_no_t() -> None:
    nothing = ic_summary(np.full(5, np.nan), purge_sessions=6)
    assert (nothing.mean, nothing.icir, nothing.t, nothing.sessions) == (None, None, None, 0)
    same = ic_summary(np.ones(30), purge_sessions=2)
    assert (same.mean, same.icir, same.t) == (1.0, None, None)


def test_a_delay_pairs_the_value_with_the_return_entered_that_much_later() -> None:
    rng = np.random.default_rng(2)
    factor = rng.normal(size=(30, 50))
    returns = np.full_like(factor, np.nan)
    returns[:, 3:] = factor[:, :-3]  # what the value says comes three sessions late
    found = delayed_rank_ic(by_session(factor), by_session(returns), (0, 3, 60))
    assert found[1] == pytest.approx(1.0)
    assert found[0] is not None
    assert abs(found[0]) < 0.1
    assert found[2] is None


def test_the_half_life_lies_between_the_delays_that_bracket_the_half() -> None:
    assert half_life_sessions((0, 2, 4), (0.1, 0.08, 0.04), 5.0) == pytest.approx(2 + 0.03 / 0.04 * 2)
    assert half_life_sessions((0, 2, 4), (-0.1, -0.08, -0.04), -5.0) == pytest.approx(3.5)
    assert half_life_sessions((0, 2, 4), (0.1, 0.09, 0.08), 5.0) is None  # more than half is left
    assert half_life_sessions((0, 2, 4), (0.1, 0.02, 0.01), 1.9) is None  # not told from nothing
    assert half_life_sessions((0, 2, 4), (None, 0.02, 0.01), None) is None
    assert half_life_sessions((0, 2), (0.1, None), 5.0) is None


def test_autocorrelation_ranks_each_session_alone_and_pairs_by_name() -> None:
    rng = np.random.default_rng(3)
    values = np.round(rng.normal(size=(40, 12)).cumsum(axis=1), 1)
    values[rng.uniform(size=values.shape) < 0.2] = np.nan
    ranks = pd.DataFrame(values).rank()
    found = rank_autocorrelation(by_session(values), lag=2)
    for session in range(2, 12):
        assert found[session] == pytest.approx(ranks[session].corr(ranks[session - 2]), abs=1e-12)
    assert np.isnan(found[:2]).all()


def test_likeness_is_the_mean_of_spearman_s_over_the_sessions() -> None:
    rng = np.random.default_rng(4)
    factors = np.round(rng.normal(size=(4, 6, 30)), 1)
    factors[1] = -factors[0]
    factors[rng.uniform(size=factors.shape) < 0.1] = np.nan
    factors[3] = np.nan
    found = rank_correlations(factors)
    for first, second in ((0, 1), (0, 2), (1, 2)):
        by_day = [
            spearmanr(a, b, nan_policy="omit").statistic for a, b in zip(factors[first], factors[second], strict=True)
        ]
        assert found[first, second] == found[second, first] == pytest.approx(np.mean(by_day), abs=1e-12)
    assert (np.diag(found) == 1).all()
    assert np.isnan(found[3, :3]).all()


def test_clustering_puts_like_and_opposite_factors_beside_each_other() -> None:
    near = np.array([[1.0, 0.0, -0.9, 0.1], [0.0, 1.0, 0.1, 0.8], [-0.9, 0.1, 1.0, np.nan], [0.1, 0.8, np.nan, 1.0]])
    order = clustered_order(near)
    assert sorted(order) == [0, 1, 2, 3]
    assert abs(order.index(0) - order.index(2)) == abs(order.index(1) - order.index(3)) == 1
    assert clustered_order(np.eye(2)) == [0, 1]


def test_sampled_sessions_reach_from_the_first_to_the_last() -> None:
    assert sampled_sessions(100, 4).tolist() == [0, 33, 66, 99]
    assert sampled_sessions(3, 60).tolist() == [0, 1, 2]
