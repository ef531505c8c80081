"""Coverage, width and interval score by hand; the rival of constant width."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.uncertainty.coverage import (
    CoverageBounds,
    constant_width,
    coverage_bounds,
    coverage_table,
    interval_score,
)
from ljwx_pipeline.uncertainty.state import IntervalParams
from ljwx_pipeline.uncertainty.walk import walk

PARAMS = IntervalParams(
    coverage=0.9,
    reach_sessions=6,
    half_life_sessions=250.0,
    least_sessions=60,
    step=0.1,
    group_step=0.1,
    group_prior_rows=5.0,
)


def test_the_interval_score_by_hand():
    lower, upper = np.array([-1.0, -1.0, -1.0, -1.0, np.nan]), np.array([2.0, 2.0, 2.0, 2.0, 2.0])
    outcome = np.array([0.0, 2.0, 2.5, -1.2, 0.0])
    # a = 0.2: a miss of 0.5 costs 2 / 0.2 x 0.5 = 5, one of 0.2 costs 2
    np.testing.assert_allclose(
        interval_score(lower, upper, outcome, coverage=0.8), [3.0, 3.0, 8.0, 5.0, np.nan], rtol=1e-12
    )


def test_the_interval_score_is_least_at_the_true_quantiles():
    outcome = np.random.default_rng(1).normal(size=200_000)
    scores = {
        z: interval_score(np.full_like(outcome, -z), np.full_like(outcome, z), outcome, coverage=0.9).mean()
        for z in (1.2, 1.5, norm.ppf(0.95), 1.8, 2.2)
    }
    assert min(scores, key=scores.__getitem__) == norm.ppf(0.95)
    # of a standard normal: 2 z + 2 x 2 / a x (density(z) - z x tail) = 4.126 at the quantile
    assert scores[norm.ppf(0.95)] == pytest.approx(2 / 0.05 * norm.pdf(norm.ppf(0.95)), rel=0.01)


def test_the_table_by_hand():
    lower = np.array([[0.0, 0.0, np.nan], [0.0, 0.0, 0.0]])
    upper = np.array([[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]])
    outcome = np.array([[1.0, -1.0, 0.5], [3.0, 1.0, np.nan]])
    years = np.array([[2015, 2016, 2016], [2015, 2016, 2016]])
    industry = np.array([[4, 4, 4], [-1, -9, 4]])
    table = coverage_table(
        lower,
        upper,
        outcome,
        coverage=0.5,
        groups={"year": years, "industry": industry},
        names={"industry": {4: "banks"}},
    )
    assert [(row.grouping, row.group, row.rows) for row in table] == [
        ("all", "", 4),
        ("year", "2015", 2),
        ("year", "2016", 2),
        ("industry", "unknown", 2),
        ("industry", "banks", 2),
    ]
    total = table[0]
    assert (total.covered_frac, total.below_frac, total.above_frac) == (0.5, 0.25, 0.25)
    assert total.mean_width == 1.5
    assert total.mean_score == pytest.approx((1 + (1 + 4) + (2 + 4) + 2) / 4)
    assert table[1].above_frac == 0.5
    assert table[4].below_frac == 0.5
    assert [row.covered_frac for row in table[1:]] == [0.5] * 4


def test_nothing_to_judge_is_an_error_that_says_so():
    with pytest.raises(ModelError, match="no interval has a known outcome"):
        coverage_table(np.array([np.nan]), np.array([1.0]), np.array([0.0]), coverage=0.9)


def test_the_rival_is_the_same_for_all_and_the_quantiles_of_what_has_matured():
    rng = np.random.default_rng(2)
    outcomes = rng.normal(0.01, 0.03, (50, 400))
    rival = constant_width(PARAMS, outcomes, unit=0.02)
    at = 300
    assert np.ptp(rival.lower[:, at]) == 0.0
    matured = outcomes[:, : at - PARAMS.reach_sessions + 1]
    weights = 0.5 ** (np.arange(matured.shape[1])[::-1] / PARAMS.half_life_sessions)
    order = np.argsort(matured, axis=None)
    share = np.cumsum(np.broadcast_to(weights, matured.shape).ravel()[order])
    low, high = (matured.ravel()[order][np.searchsorted(share, q * share[-1])] for q in (0.05, 0.95))
    assert rival.lower[0, at] == pytest.approx(low, abs=3e-4)
    assert rival.upper[0, at] == pytest.approx(high, abs=3e-4)
    np.testing.assert_array_equal(rival.state.offsets, 0.0)
    assert (constant_width(PARAMS, outcomes, unit=0.02, adaptive=True).state.offsets != 0).all()


def test_knowing_each_stocks_volatility_beats_the_constant_width():
    rng = np.random.default_rng(3)
    scales = np.broadcast_to(np.exp(rng.normal(-4, 0.6, 60))[:, None], (60, 600))
    outcomes = scales * rng.normal(size=scales.shape)
    ours = walk(PARAMS, rng.normal(size=scales.shape), scales, outcomes)
    rival = constant_width(PARAMS, outcomes, unit=0.02)
    mine, theirs = (coverage_table(one.lower, one.upper, outcomes, coverage=0.9)[0] for one in (ours, rival))
    assert mine.rows == theirs.rows
    assert mine.mean_score < 0.9 * theirs.mean_score


@pytest.mark.parametrize(
    ("nominal", "total", "group"),
    [(0.9, (0.88, 0.92), (0.85, 0.95)), (0.8, (0.78, 0.82), (0.75, 0.85)), (0.97, (0.95, 0.99), (0.92, 1.0))],
)
def test_coverage_may_be_off_by_as_much_whatever_the_intervals_were_made_for(
    nominal: float, total: tuple[float, float], group: tuple[float, float]
):
    assert coverage_bounds(nominal) == CoverageBounds(total, group)
