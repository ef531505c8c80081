"""Rank IC of row scores, session by session: the one yardstick of training, tuning and the walk forward.

Not here: its intervals (``promotion/statistics.py``) and its tables by year and subset (``evaluation/``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: A session with fewer pairs has no rank correlation worth averaging.
MIN_PAIRS = 5


def rank_ic(
    scores: NDArray[np.float64], returns: NDArray[np.float64], session_index: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Return (sessions, Spearman correlation of scores and returns on each), ties at their mean rank.

    Parameters
    ----------
    scores, returns, session_index
        Shape ``(rows,)``; rows in any order. Pairs with a NaN on either side are left out, and so are sessions with
        fewer than five pairs or where one side is constant.

    Returns
    -------
    sessions
        Ascending session numbers that have a rank IC.
    values
        In [-1, 1], same length.
    """
    known = np.isfinite(scores) & np.isfinite(returns)
    sessions, group = np.unique(session_index[known], return_inverse=True)
    if len(sessions) == 0:
        return np.empty(0, dtype=np.int32), np.empty(0)
    count = np.bincount(group)
    left = _centred_ranks(scores[known], group, count)
    right = _centred_ranks(returns[known], group, count)
    product = np.bincount(group, left * right)
    power = np.bincount(group, left * left) * np.bincount(group, right * right)
    usable = (count >= MIN_PAIRS) & (power > 0)
    values = product[usable] / np.sqrt(power[usable])
    return sessions[usable].astype(np.int32), values


def mean_rank_ic(scores: NDArray[np.float64], returns: NDArray[np.float64], session_index: NDArray[np.int32]) -> float:
    """Return the mean over sessions of ``rank_ic``, NaN when no session has one."""
    _, values = rank_ic(scores, returns, session_index)
    return float(values.mean()) if len(values) else float("nan")


def _centred_ranks(
    values: NDArray[np.float64], group: NDArray[np.intp], count: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return ranks within each group less their mean, ties sharing theirs."""
    order = np.lexsort((values, group))
    ordered, groups = values[order], group[order]
    fresh = np.ones(len(order), dtype=bool)
    fresh[1:] = (ordered[1:] != ordered[:-1]) | (groups[1:] != groups[:-1])
    run = np.cumsum(fresh) - 1
    first = np.flatnonzero(fresh)
    last = np.append(first[1:], len(order)) - 1
    start = np.concatenate([[0], np.cumsum(count)[:-1]])
    out = np.empty(len(order))
    out[order] = ((first + last) / 2)[run] - start[groups] - (count[groups] - 1) / 2
    return out
