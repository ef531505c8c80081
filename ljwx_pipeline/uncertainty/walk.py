"""Intervals of a whole history, session by session, by the very functions a live session uses.

Not here: those functions (``conformal.py``), how the result is judged (``coverage.py``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
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
    state, pending = IntervalState.begin(params, tuple(groups)), deque[Intervals]()
    for session in range(scores.shape[1]):
        while pending and session - pending[0].session >= params.reach_sessions:
            issued = pending.popleft()
            state = updated(state, issued, by_session[2][issued.session], now=session)
        said = intervals(
            state,
            session,
            by_session[0][session],
            by_session[1][session],
            {name: array[session] for name, array in codes.items()},
        )
        out[0, session], out[1, session], out[2, session] = said.lower, said.upper, said.centre
        pending.append(said)
    return WalkedIntervals(out[0].T, out[1].T, out[2].T, state, tuple(pending))
