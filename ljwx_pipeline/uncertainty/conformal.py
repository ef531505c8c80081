"""Prediction intervals of a session, and what a matured session teaches the next ones.

The interval is of the score's own outcome, as ``label.py`` defines it: the stock's return from the entry's close to the
horizon's. All is reckoned in scales ``s``, a stock's volatility over the horizon as known at the score's close. With
``x`` the score's rank in its session, scaled to [-0.5, 0.5]::

    centre = s b x                                        return is volatility x skill x score (Grinold 1994)
    lower  = s (b x + Q(a/2)   exp(u_lower + sum of v_lower,g))     g: the stock's industry, its volatility group
    upper  = s (b x + Q(1-a/2) exp(u_upper + sum of v_upper,g))

``b`` (least squares through the origin) and ``Q`` (quantiles of ``(outcome - centre) / s``) are of matured sessions,
with weights that halve every ``half_life_sessions``: split conformal prediction on a rolling window. ``u`` and ``v``
are adaptive conformal inference (Gibbs and Candes 2021) as quantile tracking (Angelopoulos, Candes and Tibshirani
2023), for many groups at once (after Ramalingam, Kiyani and Roth 2025): with ``m`` the share of the session's outcomes
beyond the end and ``m_g`` that of a group of ``n_g`` rows::

    u   <- u   + step (m - a/2)
    v_g <- v_g + group_step n_g / (n_g + group_prior_rows) (m_g - m)

As the steps add up, the mean of ``m - a/2`` over T sessions is exactly ``(u_T - u_0) / (step T)``: coverage is wrong
only as far as the ends had to move, whatever the returns do. Both ends are held apart, so that a loss beyond the lower
one is as rare as promised. A state learns from a session only once its outcome is known.

Not here: a whole history (``walk.py``), scales (``scale.py``), who is too unsure to trade (``abstain.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.uncertainty.ranks import doubled_ranks
from ljwx_pipeline.uncertainty.state import BINS, EDGES, MOST_SCALES, Float, GroupState, Int, IntervalState

#: An end stands at least this many scales from the centre, so that it has a side to be moved to.
LEAST_SCALES = 0.05


@dataclass(frozen=True, eq=False)
class Intervals:
    """Intervals of one session's rows, and what is needed to learn from them later; arrays of shape ``(n,)``.

    Parameters
    ----------
    session
        Number of the session in the market's calendar: sessions follow each other by one.
    lower, upper
        Ends, in the outcome's unit; NaN where there is no interval.
    centre
        Return expected of the score; NaN where score or scale is unknown.
    scale
        As given.
    rank
        Of the score among the session's known ones, in [-0.5, 0.5]; NaN where score or scale is unknown.
    groups
        Codes by grouping, as given.
    """

    session: int
    lower: Float
    upper: Float
    centre: Float
    scale: Float
    rank: Float
    groups: Mapping[str, Int]


def intervals(
    state: IntervalState, session: int, scores: Float, scales: Float, groups: Mapping[str, NDArray[np.integer]]
) -> Intervals:
    """Return the intervals of a session's scores.

    Rows without an interval have NaN ends: a score or scale that is not a finite number (a scale above 0), a group that
    is unknown (negative) or has not matured in ``least_sessions`` sessions, and all while so few sessions have.

    Parameters
    ----------
    state
        Of sessions that have matured by this session's close.
    session
        Number of the session.
    scores, scales
        Shape ``(n,)``.
    groups
        Code of each row, by grouping: the state's groupings.

    Raises
    ------
    ModelError
        For other groupings than the state's, arrays of several lengths, or a session whose successor has matured.
    """
    scores, scales = np.asarray(scores, dtype=np.float64), np.asarray(scales, dtype=np.float64)
    codes = {name: np.asarray(group, dtype=np.int64) for name, group in groups.items()}
    _check_groups(state, codes)
    _check(state, session, scores, scales, codes)
    known = np.isfinite(scores) & np.isfinite(scales) & (scales > 0)
    rank = np.full(len(scores), np.nan)
    rank[known] = doubled_ranks(scores[known]) / (2.0 * max(int(known.sum()), 1)) - 0.5
    centre = scales * (state.slope * rank)
    ends = np.full((len(scores), 2), np.nan)
    if state.sessions >= state.params.least_sessions and state.counts.any():
        tail = state.params.tail
        low, high = quantiles(state.counts, np.array([tail, 1.0 - tail]))
        offsets = state.offsets + np.zeros((len(scores), 1))
        for name, group in state.groups.items():
            offsets = offsets + _group_offsets(group, codes[name], state.params.least_sessions)
        reach = np.array([min(low, -LEAST_SCALES), max(high, LEAST_SCALES)])
        ends = scales[:, None] * ((state.slope * rank)[:, None] + reach * np.exp(offsets))
    return Intervals(session, ends[:, 0], ends[:, 1], centre, scales, rank, codes)


def updated(state: IntervalState, issued: Intervals, outcome: Float, *, now: int) -> IntervalState:
    """Return the state that has learned from a session whose outcomes are known.

    Rows whose outcome is not finite (suspended at entry or exit) teach nothing.

    Parameters
    ----------
    issued
        The session's intervals as they were issued; its rows, with or without ends, fill the residuals.
    outcome
        Shape ``(n,)``, rows as in ``issued``.
    now
        Number of the newest session that has closed.

    Raises
    ------
    ModelError
        For a session that has not matured by ``now``, that is not after the newest one learned from, or outcomes of
        another length, or other groupings than the state's.
    """
    params = state.params
    if now - issued.session < params.reach_sessions:
        raise ModelError(
            f"the outcomes of session {issued.session} are known at session {issued.session + params.reach_sessions}, "
            f"and the newest closed one is {now}",
            "learn from it when it has matured",
        )
    if issued.session <= state.session:
        raise ModelError(
            f"session {issued.session} comes after session {state.session}, which the intervals have learned from",
            "hand over matured sessions once each, oldest first",
        )
    _check_groups(state, issued.groups)
    outcome = np.asarray(outcome, dtype=np.float64)
    if outcome.shape != issued.rank.shape:
        raise ModelError(
            f"{outcome.shape} outcomes for {issued.rank.shape} intervals", "pass the outcome of each issued row"
        )
    known = np.isfinite(outcome) & np.isfinite(issued.rank)
    rank = issued.rank[known]
    normal = np.clip(outcome[known] / issued.scale[known], -MOST_SCALES, MOST_SCALES)
    residual = (outcome[known] - issued.centre[known]) / issued.scale[known]
    keep = 0.5 ** (1.0 / params.half_life_sessions)
    bins = np.clip(np.searchsorted(EDGES, residual, side="right") - 1, 0, BINS - 1)
    judged = known & np.isfinite(issued.lower) & np.isfinite(issued.upper)
    missed = np.stack([outcome[judged] < issued.lower[judged], outcome[judged] > issued.upper[judged]], axis=1)
    offsets, share = state.offsets, np.zeros(2)
    if judged.any():
        share = missed.mean(axis=0)
        offsets = offsets + params.step * (share - params.tail)
    return replace(
        state,
        session=issued.session,
        sessions=state.sessions + bool(known.any()),
        counts=keep * state.counts + np.bincount(bins, minlength=BINS),
        rank_outcome=keep * state.rank_outcome + float(np.sum(rank * normal)),
        rank_rank=keep * state.rank_rank + float(np.sum(rank * rank)),
        offsets=offsets,
        groups={
            name: _group_updated(state, group, issued.groups[name], known, judged, missed - share)
            for name, group in state.groups.items()
        },
    )


def quantiles(counts: Float, levels: Float) -> Float:
    """Return quantiles of the counts by bin of ``EDGES``, linear within a bin; levels between 0 and 1.

    Raises
    ------
    ModelError
        For counts that are all zero.
    """
    total = np.cumsum(counts)
    if not len(total) or total[-1] <= 0:
        raise ModelError("no residual is known", "learn from a matured session first")
    wanted = levels * total[-1]
    at = np.minimum(np.searchsorted(total, wanted, side="left"), BINS - 1)
    below = total[at] - counts[at]
    within = np.where(counts[at] > 0, (wanted - below) / np.where(counts[at] > 0, counts[at], 1.0), 0.0)
    found: Float = EDGES[at] + np.clip(within, 0.0, 1.0) * (EDGES[at + 1] - EDGES[at])
    return found


def _check_groups(state: IntervalState, codes: Mapping[str, Int]) -> None:
    if set(codes) != set(state.groups):
        raise ModelError(
            f"groups by {sorted(codes) or 'nothing'}, the intervals have learned groups by "
            f"{sorted(state.groups) or 'nothing'}",
            "pass each row's code of exactly those",
        )


def _check(state: IntervalState, session: int, scores: Float, scales: Float, codes: Mapping[str, Int]) -> None:
    shapes = {array.shape for array in (scores, scales, *codes.values())}
    if len(shapes) > 1 or scores.ndim != 1:
        raise ModelError(f"scores, scales and groups have shapes {sorted(shapes)}", "pass one value a row of each")
    if session - state.session < state.params.reach_sessions and state.session >= 0:
        raise ModelError(
            f"the intervals have learned from session {state.session}, whose outcomes session {session} did not know",
            "take the state as it was at that session's close",
        )


def _group_offsets(group: GroupState, codes: Int, least_sessions: int) -> Float:
    """Return each row's offsets, shape ``(n, 2)``; NaN for a group that is unknown or has matured too seldom."""
    out = np.full((len(codes), 2), np.nan)
    if len(group.codes):
        at = np.minimum(np.searchsorted(group.codes, codes), len(group.codes) - 1)
        found = (group.codes[at] == codes) & (group.sessions[at] >= least_sessions)
        out[found] = group.offsets[at[found]]
    return out


def _group_updated(
    state: IntervalState,
    group: GroupState,
    codes: Int,
    known: NDArray[np.bool_],
    judged: NDArray[np.bool_],
    excess: Float,
) -> GroupState:
    """Return a grouping's state after a session; ``excess`` is each judged row's miss above the session's share."""
    params = state.params
    present = np.unique(codes[known & (codes >= 0)])
    merged = group.codes
    offsets, sessions = group.offsets, group.sessions
    if not np.isin(present, merged).all():
        merged = np.union1d(merged, present)
        at = np.searchsorted(merged, group.codes)
        offsets, sessions = np.zeros((len(merged), 2)), np.zeros(len(merged), dtype=np.int64)
        offsets[at], sessions[at] = group.offsets, group.sessions
    sessions = sessions + np.isin(merged, present)
    # a judged row's codes are known: without them it had no interval
    place = np.searchsorted(merged, codes[judged])
    rows = np.bincount(place, minlength=len(merged)).astype(np.float64)
    sums = np.stack([np.bincount(place, weights=excess[:, end], minlength=len(merged)) for end in (0, 1)], axis=1)
    # n / (n + prior) x mean of the excess = sum of the excess / (n + prior)
    moved = params.group_step * sums / np.maximum(rows + params.group_prior_rows, 1.0)[:, None]
    return GroupState(merged, offsets + moved, sessions)
