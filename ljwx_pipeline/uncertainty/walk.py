"""The one loop over sessions: intervals are issued, mature after the reach, and teach; whole histories by it.

``carried.walked_on`` goes on by the same loop where a process ended. Not here: one session (``conformal.py``), how the
result is judged (``coverage.py``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.uncertainty.conformal import Intervals, intervals, updated
from ljwx_pipeline.uncertainty.state import Float, IntervalParams, IntervalState


@dataclass(frozen=True, eq=False)
class WalkedIntervals:
    """Intervals of a panel, float64 arrays of shape ``(n_symbols, n_sessions)``.

    Parameters
    ----------
    lower, upper
        NaN where there is no interval.
    centre
        Return expected of the score.
    state
        After the last session that has matured by the last close.
    pending
        Intervals issued since, oldest first: the next ones to mature.
    """

    lower: Float
    upper: Float
    centre: Float
    state: IntervalState
    pending: tuple[Intervals, ...]


@dataclass(frozen=True, eq=False)
class SessionInputs:
    """What a session's intervals are made of: scores and scales of shape ``(n_symbols,)``, and codes by grouping."""

    scores: Float
    scales: Float
    groups: Mapping[str, NDArray[np.integer]]


@dataclass(frozen=True, eq=False)
class Step:
    """After a session: its intervals, the state they were issued with, and those that have not matured."""

    issued: Intervals
    state: IntervalState
    pending: tuple[Intervals, ...]


def steps(
    state: IntervalState,
    pending: Iterable[Intervals],
    number: int,
    sessions: Iterable[SessionInputs],
    outcomes: Callable[[int], Float],
) -> Iterator[Step]:
    """Go over ``sessions``: before each is issued, what has matured by its close is learned.

    Parameters
    ----------
    state, pending, number
        After the session before them: of its state, its intervals that have not matured (oldest first), its number.
    outcomes
        The outcomes of a session's number, shape ``(n_symbols,)``; asked when they have matured, and never before.
    """
    waiting = deque(pending)
    for at, given in enumerate(sessions, start=number + 1):
        while waiting and at - waiting[0].session >= state.params.reach_sessions:
            matured = waiting.popleft()
            state = updated(state, matured, outcomes(matured.session), now=at)
        issued = intervals(state, at, given.scores, given.scales, given.groups)
        waiting.append(issued)
        yield Step(issued, state, tuple(waiting))


def walk(
    params: IntervalParams,
    scores: Float,
    scales: Float,
    outcomes: Float,
    groups: Mapping[str, NDArray[np.integer]] | None = None,
) -> WalkedIntervals:
    """Return the intervals that each session would have been given, by what had matured at its close.

    Parameters
    ----------
    params
        ``reach_sessions`` must be that of the outcomes: those of session t are taken as known at t + reach.
    scores, scales, outcomes
        Shape ``(n_symbols, n_sessions)``; NaN is unknown.
    groups
        Codes of that shape, by grouping; negative is unknown.

    Raises
    ------
    ModelError
        For arrays of several shapes.
    """
    groups = {} if groups is None else groups
    shapes = {array.shape for array in (scores, scales, outcomes, *groups.values())}
    if len(shapes) > 1 or scores.ndim != 2:
        raise ModelError(
            f"scores, scales, outcomes and groups have shapes {sorted(shapes)}", "pass them on the same axes"
        )
    by_session = [np.ascontiguousarray(array.T) for array in (scores, scales, outcomes)]
    codes = {name: np.ascontiguousarray(array.T) for name, array in groups.items()}
    out = np.full((3, *by_session[0].shape), np.nan)
    sessions = (
        SessionInputs(by_session[0][at], by_session[1][at], {name: array[at] for name, array in codes.items()})
        for at in range(scores.shape[1])
    )
    state, pending = IntervalState.begin(params, tuple(groups)), tuple[Intervals, ...]()
    for at, step in enumerate(steps(state, pending, -1, sessions, lambda number: by_session[2][number])):
        out[:, at] = step.issued.lower, step.issued.upper, step.issued.centre
        state, pending = step.state, step.pending
    return WalkedIntervals(out[0].T, out[1].T, out[2].T, state, pending)
