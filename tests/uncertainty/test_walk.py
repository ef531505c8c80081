"""The walk: equal to a second implementation and to live steps over JSON, blind to the future, covering."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.uncertainty.conformal import intervals, updated
from ljwx_pipeline.uncertainty.state import IntervalParams, IntervalState
from ljwx_pipeline.uncertainty.walk import SessionInputs, WalkedIntervals, steps, walk
from tests.uncertainty.reference_walk import reference_walk

PARAMS = IntervalParams(
    coverage=0.9,
    reach_sessions=6,
    half_life_sessions=250.0,
    least_sessions=60,
    step=0.1,
    group_step=0.1,
    group_prior_rows=5.0,
)
SHORT = replace(PARAMS, reach_sessions=3, half_life_sessions=10.0, least_sessions=8, coverage=0.7)


def holey_panel(symbols: int = 9, sessions: int = 45, seed: int = 3) -> dict[str, Any]:
    """Scores with ties, holes, sessions without outcomes or scales, a group that comes late, one unknown at times."""
    rng = np.random.default_rng(seed)
    shape = (symbols, sessions)
    scores = rng.integers(0, 5, shape).astype(float)
    scales = rng.uniform(0.01, 0.03, shape)
    outcomes = scales * (rng.standard_t(4, shape) + 0.2 * scores)
    for values in (scores, scales, outcomes):
        values[rng.uniform(size=shape) < 0.1] = np.nan
    outcomes[:, 4] = np.nan  # a session that teaches nothing
    scales[:, 5] = np.nan
    industry = np.broadcast_to(np.arange(symbols)[:, None] % 3 + 100, shape).copy()
    industry[0, 20:] = 500
    volatility = rng.integers(-1, 3, shape)
    return {
        "scores": scores,
        "scales": scales,
        "outcomes": outcomes,
        "groups": {"industry": industry, "volatility": volatility},
    }


@pytest.mark.parametrize("seed", range(4))
def test_the_walk_equals_the_second_implementation(seed: int):
    panel = holey_panel(seed=seed)
    ours = walk(SHORT, **panel)
    lower, upper = reference_walk(SHORT, **panel)
    assert np.isfinite(lower).sum() > 100
    np.testing.assert_allclose(ours.lower, lower, rtol=1e-9)
    np.testing.assert_allclose(ours.upper, upper, rtol=1e-9)


def test_a_live_runner_that_keeps_its_state_as_json_says_the_same_bits():
    panel = holey_panel()
    whole = walk(SHORT, **panel)
    state, issued = IntervalState.begin(SHORT, ("industry", "volatility")), {}
    for session in range(panel["scores"].shape[1]):
        if session >= SHORT.reach_sessions:
            past = session - SHORT.reach_sessions
            state = updated(
                IntervalState.of_json(state.to_json()), issued.pop(past), panel["outcomes"][:, past], now=session
            )
        groups = {name: codes[:, session] for name, codes in panel["groups"].items()}
        issued[session] = intervals(state, session, panel["scores"][:, session], panel["scales"][:, session], groups)
        np.testing.assert_array_equal(issued[session].lower, whole.lower[:, session])
        np.testing.assert_array_equal(issued[session].upper, whole.upper[:, session])
        np.testing.assert_array_equal(issued[session].centre, whole.centre[:, session])
    assert state.to_json() == whole.state.to_json()
    assert [one.session for one in whole.pending] == sorted(issued)


def ends(walked: WalkedIntervals) -> Any:
    return np.stack([walked.lower, walked.upper, walked.centre])


@pytest.mark.parametrize("changed", [12, 20, 30])
def test_an_outcome_is_felt_when_it_has_matured_and_not_a_session_earlier(changed: int):
    panel = holey_panel()
    before = ends(walk(SHORT, **panel))
    later = panel["outcomes"].copy()
    later[:, changed:] = -5 * later[:, changed:] - 0.01
    after = ends(walk(SHORT, **{**panel, "outcomes": later}))
    matures = changed + SHORT.reach_sessions
    np.testing.assert_array_equal(after[:, :, :matures], before[:, :, :matures])
    felt = (after[:, :, matures] != before[:, :, matures]) & np.isfinite(before[:, :, matures])
    assert felt.any()


def test_scores_scales_and_groups_of_later_sessions_change_no_earlier_interval():
    panel = holey_panel()
    before = ends(walk(SHORT, **panel))
    cut = 30
    other = {
        "scores": panel["scores"].copy(),
        "scales": panel["scales"].copy(),
        "outcomes": panel["outcomes"].copy(),
        "groups": {name: codes.copy() for name, codes in panel["groups"].items()},
    }
    other["scores"][:, cut:] *= -1
    other["scales"][:, cut:] *= 3
    other["groups"]["industry"][:, cut:] = 101
    np.testing.assert_array_equal(ends(walk(SHORT, **other))[:, :, :cut], before[:, :, :cut])
    # nor does a longer panel: the first sessions alone say the same
    short = {
        key: {name: codes[:, :cut] for name, codes in value.items()} if key == "groups" else value[:, :cut]
        for key, value in panel.items()
    }
    np.testing.assert_array_equal(ends(walk(SHORT, **short)), before[:, :, :cut])


def test_twice_the_same_walk_is_the_same_bits():
    first, second = (walk(SHORT, **holey_panel()) for _ in range(2))
    np.testing.assert_array_equal(ends(first), ends(second))
    assert first.state.to_json() == second.state.to_json()


def test_arrays_on_several_axes_are_refused():
    panel = holey_panel()
    with pytest.raises(ModelError, match="same axes"):
        walk(SHORT, **{**panel, "scales": panel["scales"][:, :-1]})
    with pytest.raises(ModelError, match="same axes"):
        walk(SHORT, panel["scores"][0], panel["scales"][0], panel["outcomes"][0])


def miss_shares(walked: WalkedIntervals, outcomes: Any) -> Any:
    """Share of misses of each session's judged rows, shape ``(2, n_sessions)``; NaN without a judged row."""
    judged = np.isfinite(walked.lower) & np.isfinite(outcomes)
    rows = np.where(judged.any(axis=0), judged.sum(axis=0), np.nan)
    with np.errstate(invalid="ignore"):
        return (
            np.stack(
                [(judged & (outcomes < walked.lower)).sum(axis=0), (judged & (outcomes > walked.upper)).sum(axis=0)]
            )
            / rows
        )


def test_the_excess_of_misses_is_exactly_what_the_ends_have_moved():
    """The identity behind the promise: the sum of (m - a/2) is (u_T - u_0) / step, whatever the outcomes do."""
    rng = np.random.default_rng(8)
    shape = (40, 800)
    outcomes = 0.02 * rng.standard_t(2, shape) * np.exp(np.sin(np.arange(800) / 60))
    walked = walk(PARAMS, rng.normal(size=shape), np.full(shape, 0.02), outcomes)
    matured = miss_shares(walked, outcomes)[:, : 800 - PARAMS.reach_sessions]
    excess = np.nansum(matured - PARAMS.tail, axis=1)
    np.testing.assert_allclose(excess, walked.state.offsets / PARAMS.step, atol=1e-9)
    assert np.isfinite(matured[0]).sum() > 700


def covered(walked: WalkedIntervals, outcomes: Any, where: Any = True) -> float:
    judged = np.isfinite(walked.lower) & np.isfinite(outcomes) & where
    assert judged.sum() > 2_000
    return float(((walked.lower <= outcomes) & (outcomes <= walked.upper))[judged].mean())


@pytest.mark.parametrize("degrees", [2.5, 30])
def test_heavy_tails_and_a_scale_that_is_wrong_are_covered(degrees: float):
    rng = np.random.default_rng(4)
    shape = (60, 900)
    true = np.exp(rng.normal(0, 0.5, shape[0]))[:, None]
    outcomes = 0.03 * true * rng.standard_t(degrees, shape)
    walked = walk(PARAMS, rng.normal(size=shape), np.full(shape, 0.2), outcomes)
    assert 0.88 <= covered(walked, outcomes) <= 0.92


def test_groups_whose_scale_is_wrong_each_are_covered_and_without_groups_are_not():
    rng = np.random.default_rng(6)
    shape = (60, 1_000)
    industry = np.broadcast_to(np.arange(60)[:, None] % 4, shape)
    wrong = np.array([0.5, 1.0, 1.5, 2.5])[industry]
    outcomes = 0.02 * wrong * rng.normal(size=shape)
    scores, scales = rng.normal(size=shape), np.full(shape, 0.02)
    known = walk(PARAMS, scores, scales, outcomes, {"industry": industry})
    blind = walk(PARAMS, scores, scales, outcomes)
    of_known = [covered(known, outcomes, industry == code) for code in range(4)]
    of_blind = [covered(blind, outcomes, industry == code) for code in range(4)]
    assert min(of_known) > 0.85
    assert max(of_known) < 0.95
    assert min(of_blind) < 0.75
    assert max(of_blind) > 0.97


def test_a_change_of_regime_is_followed_and_without_feedback_is_not():
    rng = np.random.default_rng(9)
    shape = (80, 1_200)
    regime = np.where(np.arange(1_200) < 600, 1.0, 2.2)
    outcomes = 0.02 * regime * rng.normal(size=shape)
    scores, scales = rng.normal(size=shape), np.full(shape, 0.02)
    after = (np.arange(1_200) >= 600) & (np.arange(1_200) < 850)
    adaptive = walk(PARAMS, scores, scales, outcomes)
    still = walk(replace(PARAMS, step=0.0), scores, scales, outcomes)
    assert covered(adaptive, outcomes, after) > 0.85
    assert covered(still, outcomes, after) < 0.85
    assert covered(adaptive, outcomes, ~after) == pytest.approx(0.9, abs=0.015)


def test_each_end_of_a_skewed_outcome_is_missed_as_often_as_promised():
    rng = np.random.default_rng(10)
    shape = (80, 800)
    outcomes = 0.02 * (rng.exponential(size=shape) - 1)
    walked = walk(PARAMS, rng.normal(size=shape), np.full(shape, 0.02), outcomes)
    below, above = np.nanmean(miss_shares(walked, outcomes), axis=1)
    assert below == pytest.approx(0.05, abs=0.01)
    assert above == pytest.approx(0.05, abs=0.01)


def test_the_centre_finds_the_skill_of_the_scores():
    rng = np.random.default_rng(12)
    shape = (200, 500)
    ranks = (np.argsort(np.argsort(rng.normal(size=shape), axis=0), axis=0) + 0.5) / 200 - 0.5
    scales = rng.uniform(0.01, 0.04, shape)
    outcomes = scales * (0.5 * ranks + rng.normal(size=shape))
    walked = walk(PARAMS, np.exp(3 * ranks), scales, outcomes)
    assert walked.state.slope == pytest.approx(0.5, abs=0.05)
    np.testing.assert_allclose(walked.centre[:, -1], walked.state.slope * scales[:, -1] * ranks[:, -1])


def test_the_one_loop_asks_for_outcomes_when_they_have_matured_and_goes_on_from_any_session():
    panel = holey_panel()
    asked: list[tuple[int, int]] = []
    now = 9

    def given() -> Iterator[SessionInputs]:
        nonlocal now
        for at in range(panel["scores"].shape[1]):
            now = 10 + at
            groups = {name: codes[:, at] for name, codes in panel["groups"].items()}
            yield SessionInputs(panel["scores"][:, at], panel["scales"][:, at], groups)

    def outcomes(number: int) -> Any:
        asked.append((number, now))
        return panel["outcomes"][:, number - 10]

    found = list(steps(IntervalState.begin(SHORT, ("industry", "volatility")), (), 9, given(), outcomes))
    reach, last = SHORT.reach_sessions, 10 + panel["scores"].shape[1] - 1
    assert asked == [(number, number + reach) for number in range(10, last - reach + 1)]
    assert [one.session for one in found[-1].pending] == list(range(last - reach + 1, last + 1))
    whole = walk(SHORT, **panel)
    np.testing.assert_array_equal(np.stack([one.issued.lower for one in found], axis=1), whole.lower)
