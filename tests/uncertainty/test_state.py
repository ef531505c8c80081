"""The state of the intervals: parameters refused, JSON that gives the same bits back, damage told."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks import coverage
from ljwx_pipeline.config import Settings
from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.uncertainty.conformal import intervals
from ljwx_pipeline.uncertainty.state import BINS, EDGES, MOST_SCALES, IntervalParams, IntervalState
from ljwx_pipeline.uncertainty.walk import walk

PARAMS = IntervalParams(
    coverage=0.8,
    reach_sessions=3,
    half_life_sessions=40.0,
    least_sessions=5,
    step=0.1,
    group_step=0.1,
    group_prior_rows=5.0,
)


def learned() -> IntervalState:
    rng = np.random.default_rng(5)
    shape = (12, 60)
    groups = {"industry": np.broadcast_to(np.arange(12)[:, None] % 3 * 1_000_000_007, shape)}
    return walk(PARAMS, rng.normal(size=shape), np.full(shape, 0.02), rng.normal(0, 0.02, shape), groups).state


@pytest.mark.parametrize(
    "change",
    [
        {"coverage": 1.0},
        {"coverage": 0.0},
        {"coverage": math.nan},
        {"reach_sessions": 0},
        {"half_life_sessions": 0.0},
        {"half_life_sessions": math.inf},
        {"least_sessions": 0},
        {"step": -0.1},
        {"step": math.nan},
        {"group_step": 1.5},
        {"group_prior_rows": -1.0},
    ],
)
def test_a_parameter_out_of_range_is_refused_by_name(change: dict[str, Any]):
    with pytest.raises(ModelError, match=next(iter(change))):
        replace(PARAMS, **change)


def test_bins_are_symmetrical_with_zero_an_edge():
    assert len(EDGES) == BINS + 1
    assert EDGES[BINS // 2] == pytest.approx(0.0, abs=1e-12)
    assert EDGES[-1] == pytest.approx(MOST_SCALES)
    np.testing.assert_allclose(EDGES, -EDGES[::-1], atol=1e-12)


def test_a_state_read_back_from_json_says_the_same_bits():
    state = learned()
    again = IntervalState.of_json(state.to_json())
    assert again.to_json() == state.to_json()
    assert again.params == state.params
    scores, scales = np.linspace(-1, 1, 6), np.full(6, 0.03)
    groups = {"industry": np.array([0, 1_000_000_007, 2_000_000_014, 0, 1_000_000_007, 5])}
    before, after = (intervals(one, 70, scores, scales, groups) for one in (state, again))
    np.testing.assert_array_equal(before.lower, after.lower)
    np.testing.assert_array_equal(before.upper, after.upper)
    assert np.isfinite(after.lower[:5]).all()


def test_the_order_of_groupings_survives_json():
    state = IntervalState.begin(PARAMS, ("volatility", "industry"))
    assert tuple(IntervalState.of_json(state.to_json()).groups) == ("volatility", "industry")


def test_a_state_of_ten_years_is_small():
    assert len(learned().to_json()) < 40_000


def damaged(**changes: Any) -> str:
    return json.dumps(json.loads(learned().to_json()) | changes)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[1]",
        "null",
        learned().to_json()[:-40],
        damaged(format=2),
        damaged(bins=7),
        damaged(counts=[[5], [-1.0]]),
        damaged(counts=[[BINS + 3], [1.0]]),
        damaged(counts=[[-1], [1.0]]),
        damaged(offsets=[0.0]),
        damaged(offsets=[0.0, None]),
        damaged(rank_rank=-1.0),
        damaged(groups=[["industry", [2, 1], [[0, 0], [0, 0]], [3, 3]]]),
        damaged(groups=[["industry", [1], [[0, 0], [0, 0]], [3]]]),
        damaged(params={}),
        damaged(params=json.loads(learned().to_json())["params"] | {"step": 9.0}),
    ],
)
def test_damaged_text_is_a_model_error_with_a_remedy(text: str):
    with pytest.raises(ModelError) as told:
        IntervalState.of_json(text)
    assert told.value.remedy


def test_the_shipped_settings_are_those_that_were_measured(settings: Settings) -> None:
    shipped = settings.uncertainty
    assert IntervalParams.of(shipped, reach_sessions=settings.purge_sessions) == coverage.PARAMS
    assert (shipped.min_daily_volatility_frac, shipped.least_returns) == (coverage.FLOOR, coverage.LEAST_RETURNS)
