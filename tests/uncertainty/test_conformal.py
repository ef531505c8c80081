"""Intervals of a session and what a matured session teaches: small cases by hand, refusals, properties."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.uncertainty.conformal import LEAST_SCALES, Intervals, intervals, quantiles, updated
from ljwx_pipeline.uncertainty.state import BINS, EDGES, MOST_SCALES, GroupState, IntervalParams, IntervalState

PARAMS = IntervalParams(
    coverage=0.8,
    reach_sessions=2,
    half_life_sessions=1.0,
    least_sessions=1,
    step=0.5,
    group_step=0.4,
    group_prior_rows=2.0,
)
SCALE = np.array([0.01, 0.02, 0.01, 0.02])


def normal_state(params: IntervalParams = PARAMS, **changes: object) -> IntervalState:
    """A state of uniform residuals between -2 and 2 scales."""
    counts = np.clip(np.minimum(EDGES[1:], 2.0) - np.maximum(EDGES[:-1], -2.0), 0.0, None)
    state = IntervalState(params, {}, session=0, sessions=10, counts=counts)
    return replace(state, **changes)  # type: ignore[arg-type]


def say(state: IntervalState, session: int = 5, **changes: object) -> Intervals:
    given = {"scores": np.array([4.0, 1.0, 2.0, 3.0]), "scales": SCALE, "groups": {}} | changes
    return intervals(state, session, given["scores"], given["scales"], given["groups"])  # type: ignore[arg-type]


def test_the_formula_by_hand():
    state = normal_state(rank_outcome=0.4, rank_rank=1.0, offsets=np.array([0.0, math.log(2.0)]))
    said = say(state)
    # ranks of 4 scores: -3/8, -1/8, 1/8, 3/8; the 10 % quantile of a uniform on [-2, 2] is -1.6
    np.testing.assert_allclose(said.rank, [0.375, -0.375, -0.125, 0.125])
    np.testing.assert_allclose(said.centre, SCALE * 0.4 * said.rank)
    np.testing.assert_allclose(said.lower, SCALE * (0.4 * said.rank - 1.6), rtol=1e-9)
    np.testing.assert_allclose(said.upper, SCALE * (0.4 * said.rank + 2 * 1.6), rtol=1e-9)


def test_equal_scores_share_their_mean_rank():
    said = say(normal_state(), scores=np.array([1.0, 1.0, 2.0, 0.0]))
    np.testing.assert_allclose(said.rank, [0.0, 0.0, 0.375, -0.375])


def test_a_session_by_hand():
    first = IntervalState.begin(PARAMS, ("industry",))
    codes = {"industry": np.array([7, 7, 7, 3])}
    said = intervals(first, 0, np.array([4.0, 1.0, 2.0, 3.0]), SCALE, codes)
    assert np.isnan(said.lower).all()
    np.testing.assert_array_equal(said.centre, 0.0)
    outcome = np.array([0.01, -0.04, np.nan, 0.01])
    state = updated(first, said, outcome, now=2)
    assert (state.session, state.sessions) == (0, 1)
    # 1 x 0.375, -2 x -0.375, 0.5 x 0.125 over the three squared ranks
    assert state.rank_outcome == pytest.approx(0.375 + 0.75 + 0.0625)
    assert state.rank_rank == pytest.approx(0.375**2 * 2 + 0.125**2)
    filled = np.flatnonzero(state.counts)
    assert [(EDGES[at] <= value < EDGES[at + 1]) for at, value in zip(filled, (-2.0, 0.5, 1.0), strict=True)] == [
        True,
        True,
        True,
    ]
    np.testing.assert_array_equal(state.offsets, 0.0)  # nothing was promised, nothing was missed
    np.testing.assert_array_equal(state.groups["industry"].codes, [3, 7])
    np.testing.assert_array_equal(state.groups["industry"].sessions, [1, 1])
    # the next session: weights of the first are halved
    later = updated(state, intervals(state, 2, np.arange(4.0), SCALE, codes), np.full(4, np.nan), now=4)
    np.testing.assert_allclose(later.counts, state.counts / 2)
    assert later.slope == pytest.approx(state.slope)


def test_misses_move_the_ends_by_the_steps_by_hand():
    groups = GroupState(np.array([3, 7]), np.zeros((2, 2)), np.array([5, 5]))
    state = normal_state(groups={"industry": groups})
    said = say(state, groups={"industry": np.array([7, 7, 3, 3])})
    np.testing.assert_allclose(said.lower, -1.6 * SCALE, rtol=1e-9)
    # rows 0 and 1 fall below, row 2 rises above, row 3 has no outcome
    after = updated(state, said, np.array([-0.05, -0.05, 0.05, np.nan]), now=7)
    np.testing.assert_allclose(after.offsets, [0.5 * (2 / 3 - 0.1), 0.5 * (1 / 3 - 0.1)])
    # v += 0.4 n / (n + 2) (m_g - m): group 3 has one judged row, group 7 two
    np.testing.assert_allclose(
        after.groups["industry"].offsets,
        [
            [0.4 / 3 * (0 - 2 / 3), 0.4 / 3 * (1 - 1 / 3)],
            [0.4 / 2 * (1 - 2 / 3), 0.4 / 2 * (0 - 1 / 3)],
        ],
    )
    wider = say(after, session=8, groups={"industry": np.array([7, 7, 3, 3])})
    assert (wider.lower[:2] < said.lower[:2]).all()


def test_an_outcome_on_an_end_is_within():
    said = say(normal_state())
    after = updated(normal_state(), said, said.lower, now=7)
    np.testing.assert_allclose(after.offsets, [0.5 * (0 - 0.1)] * 2)


def test_quantiles_are_linear_within_a_bin_and_stay_in_range():
    counts = np.zeros(BINS)
    counts[200], counts[201] = 1.0, 3.0
    low, mid, high = EDGES[200], EDGES[201], EDGES[202]
    np.testing.assert_allclose(
        quantiles(counts, np.array([0.0, 0.125, 0.25, 0.625, 1.0])),
        [EDGES[0], (low + mid) / 2, mid, (mid + high) / 2, high],
    )
    with pytest.raises(ModelError, match="no residual"):
        quantiles(np.zeros(BINS), np.array([0.5]))


def test_quantiles_of_many_residuals_are_numpys_to_a_bin():
    residuals = np.random.default_rng(2).standard_t(3, 200_000)
    counts = np.histogram(residuals, EDGES)[0].astype(float)
    levels = np.array([0.01, 0.05, 0.5, 0.95, 0.99])
    np.testing.assert_allclose(quantiles(counts, levels), np.quantile(residuals, levels), atol=0.02, rtol=0.01)


def test_residuals_beyond_the_edges_count_in_the_last_bins():
    state = normal_state(counts=np.zeros(BINS), sessions=0)
    said = say(state)
    after = updated(state, said, np.array([9.0, -9.0, 0.01 * MOST_SCALES, 0.0]), now=7)
    assert after.counts[0] == 1
    assert after.counts[-1] == 2
    assert math.isfinite(after.slope)


def test_one_sided_residuals_still_leave_the_centre_within():
    counts = np.zeros(BINS)
    counts[np.searchsorted(EDGES, 3.0)] = 5.0
    said = say(normal_state(counts=counts))
    np.testing.assert_allclose(said.lower, -LEAST_SCALES * SCALE)
    assert (said.upper > 2 * SCALE).all()


@pytest.mark.parametrize(
    ("scores", "scales", "code"),
    [
        (np.nan, 0.01, 1),
        (np.inf, 0.01, 1),
        (1.0, np.nan, 1),
        (1.0, np.inf, 1),
        (1.0, 0.0, 1),
        (1.0, -0.01, 1),
        (1.0, 0.01, -1),
        (1.0, 0.01, 2),
        (1.0, 0.01, 99),
    ],
    ids=lambda value: str(value),
)
def test_what_is_unknown_has_no_interval_and_does_not_touch_the_others(scores: float, scales: float, code: int):
    # group 2 has matured too seldom, group 99 never
    group = GroupState(np.array([1, 2]), np.zeros((2, 2)), np.array([9, 2]))
    state = normal_state(replace(PARAMS, least_sessions=3), groups={"industry": group})
    said = intervals(
        state, 5, np.array([0.0, scores, 2.0]), np.array([0.01, scales, 0.01]), {"industry": np.array([1, code, 1])}
    )
    assert np.isnan(said.lower[1])
    assert np.isnan(said.upper[1])
    np.testing.assert_allclose(said.lower[[0, 2]], -0.016, rtol=1e-9)
    after = updated(state, said, np.array([0.0, 5.0, 0.0]), now=7)
    np.testing.assert_allclose(after.offsets, 0.5 * -0.1)  # its outcome is no miss: nothing was promised


def test_too_few_matured_sessions_give_no_interval():
    state = normal_state(replace(PARAMS, least_sessions=11))
    assert np.isnan(say(state).lower).all()
    assert np.isfinite(say(replace(state, sessions=11)).lower).all()


def test_learning_from_an_unmatured_session_is_refused():
    state = normal_state()
    said = say(state, session=5)
    with pytest.raises(ModelError, match="known at session 7, and the newest closed one is 6"):
        updated(state, said, np.zeros(4), now=6)


def test_learning_twice_or_backwards_is_refused():
    state = normal_state()
    after = updated(state, say(state, session=5), np.zeros(4), now=7)
    for session in (5, 4):
        with pytest.raises(ModelError, match="session 5, which the intervals have learned from"):
            updated(after, say(state, session=session), np.zeros(4), now=9)


def test_a_state_that_has_seen_the_future_is_refused():
    state = normal_state(session=5)
    with pytest.raises(ModelError, match="did not know"):
        say(state, session=6)
    assert np.isfinite(say(state, session=7).lower).all()


def test_shapes_and_groupings_that_do_not_fit_are_refused():
    state = normal_state(groups={"industry": GroupState()})
    with pytest.raises(ModelError, match="groups by nothing"):
        say(state)
    with pytest.raises(ModelError, match="shapes"):
        say(state, groups={"industry": np.zeros(3, dtype=np.int64)})
    with pytest.raises(ModelError, match="shapes"):
        say(normal_state(), scores=np.zeros(3))
    said = say(normal_state())
    with pytest.raises(ModelError, match="outcomes for"):
        updated(normal_state(), said, np.zeros(3), now=9)
    with pytest.raises(ModelError, match="groups by nothing"):
        updated(state, said, np.zeros(4), now=9)


def test_a_session_without_rows_teaches_nothing_and_breaks_nothing():
    state = normal_state()
    empty = np.empty(0)
    said = intervals(state, 5, empty, empty, {})
    after = updated(state, said, empty, now=7)
    np.testing.assert_allclose(after.counts, state.counts / 2)
    np.testing.assert_array_equal(after.offsets, state.offsets)
    assert (after.session, after.sessions) == (5, state.sessions)


Rows = st.lists(
    st.tuples(st.floats(-3, 3), st.floats(0.001, 0.2), st.integers(0, 2), st.floats(-0.5, 0.5)), min_size=1, max_size=30
)


def state_with_groups() -> IntervalState:
    group = GroupState(np.arange(3), np.array([[0.1, -0.2], [0.0, 0.3], [-0.4, 0.0]]), np.array([9, 9, 9]))
    return normal_state(groups={"industry": group}, rank_outcome=0.3, rank_rank=1.0)


@given(Rows, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows: list[tuple[float, float, int, float]], random: object):
    state = state_with_groups()
    order = list(range(len(rows)))
    random.shuffle(order)  # type: ignore[attr-defined]
    scores, scales, codes, outcomes = (np.array(column) for column in zip(*rows, strict=True))
    said = intervals(state, 5, scores, scales, {"industry": codes})
    mixed = intervals(state, 5, scores[order], scales[order], {"industry": codes[order]})
    np.testing.assert_array_equal(mixed.lower, said.lower[order])
    np.testing.assert_array_equal(mixed.upper, said.upper[order])
    one, other = updated(state, said, outcomes, now=7), updated(state, mixed, outcomes[order], now=7)
    np.testing.assert_array_equal(one.counts, other.counts)
    np.testing.assert_allclose(one.offsets, other.offsets, atol=1e-12)
    np.testing.assert_allclose(one.groups["industry"].offsets, other.groups["industry"].offsets, atol=1e-12)
    assert one.slope == pytest.approx(other.slope, abs=1e-12)


@given(Rows, st.floats(0.05, 0.95), st.floats(0.05, 0.95))
def test_intervals_of_one_state_are_nested_in_their_level(
    rows: list[tuple[float, float, int, float]], one: float, other: float
):
    scores, scales, codes, _ = (np.array(column) for column in zip(*rows, strict=True))
    narrow, wide = (
        intervals(
            replace(state_with_groups(), params=replace(PARAMS, coverage=level)),
            5,
            scores,
            scales,
            {"industry": codes},
        )
        for level in sorted((one, other))
    )
    assert (wide.lower <= narrow.lower).all()
    assert (wide.upper >= narrow.upper).all()
    assert (narrow.lower < narrow.centre).all()
    assert (narrow.centre < narrow.upper).all()


@given(Rows, st.floats(0.1, 10.0))
def test_intervals_scale_with_the_unit_and_ignore_a_monotone_change_of_the_score(
    rows: list[tuple[float, float, int, float]], unit: float
):
    scores, scales, codes, _ = (np.array(column) for column in zip(*rows, strict=True))
    said = intervals(state_with_groups(), 5, scores, scales, {"industry": codes})
    other = intervals(state_with_groups(), 5, 3 * scores + 1, unit * scales, {"industry": codes})
    if len(np.unique(scores)) == len(np.unique(3 * scores + 1)):
        np.testing.assert_allclose(other.lower, unit * said.lower, rtol=1e-9)
