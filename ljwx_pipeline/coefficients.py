"""Information coefficients and how sure their mean is: the one implementation, for rows and for dense panels.

Pearson's coefficient (IC) and Spearman's with ties at their mean rank (rank IC), session by session, in compiled
kernels that training, evaluation and tear sheets share; the Newey-West error of a mean beside them. Not here: tables
and summaries for people (``evaluation/ic.py``, ``research/ic.py``) and what a promotion asks (``promotion/``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.compiled import kernel

Float = NDArray[np.float64]
Order = NDArray[np.int64]

#: A session with fewer pairs has no correlation worth averaging.
MIN_PAIRS = 5


@dataclass(frozen=True)
class BySession:
    """Values of a panel laid out for work across names: sessions are rows. Build with ``by_session``.

    Parameters
    ----------
    values
        float64, shape ``(n_sessions, n_symbols)``; NaN where there is none, never infinite.
    order
        Positions of each row ascending by value, NaN last; ties in any order.
    """

    values: Float
    order: Order

    def sessions(self, start: int, stop: int) -> BySession:
        """Return the sessions ``[start, stop)`` as a view."""
        return BySession(self.values[start:stop], self.order[start:stop])


@dataclass(frozen=True)
class Coefficients:
    """Coefficients by session, all of shape ``(n_sessions,)``; ``pairs`` counts the pairs they rest on."""

    ic: Float
    rank_ic: Float
    pairs: NDArray[np.int64]


def by_session(panel_values: NDArray[np.floating]) -> BySession:
    """Return an array of shape ``(n_symbols, n_sessions)`` laid out and sorted by session; infinite is unknown."""
    values = np.array(panel_values.T, dtype=np.float64, order="C")
    values[~np.isfinite(values)] = np.nan
    return BySession(values, np.argsort(values, axis=1))


def session_ranks(panel: BySession) -> Float:
    """Return each session's ranks from 0, ties at their mean, shape ``(n_sessions, n_symbols)``; NaN where unknown."""
    ranks = np.full(panel.values.shape, np.nan)
    _session_ranks(panel.values, panel.order, ranks)
    return ranks


def panel_coefficients(left: BySession, right: BySession, *, min_pairs: int = MIN_PAIRS) -> Coefficients:
    """Return the coefficients of two panels, session by session.

    Parameters
    ----------
    left, right
        Of one shape. A name counts on a session where both are known (pairwise).
    min_pairs
        Sessions with fewer pairs have none.

    Returns
    -------
    Coefficients
        NaN for a session with too few pairs or where either side is constant over its pairs.
    """
    shape = left.values.shape
    starts = np.arange(shape[0] + 1) * shape[1]
    out = _empty(shape[0])
    _segments(
        left.values.reshape(-1), left.order.reshape(-1), right.values.reshape(-1), right.order.reshape(-1),
        starts, min_pairs, True, out.ic, out.rank_ic, out.pairs,
    )  # fmt: skip
    return out


def panel_rank_ic(left: BySession, right: BySession, *, min_pairs: int = MIN_PAIRS) -> Float:
    """Return the rank IC alone of ``panel_coefficients``, for a third less work."""
    shape = left.values.shape
    starts = np.arange(shape[0] + 1) * shape[1]
    out = _empty(shape[0])
    _segments(
        left.values.reshape(-1), left.order.reshape(-1), right.values.reshape(-1), right.order.reshape(-1),
        starts, min_pairs, False, out.ic, out.rank_ic, out.pairs,
    )  # fmt: skip
    return out.rank_ic


def ranks_correlation(left: Float, right: Float, *, min_pairs: int = MIN_PAIRS) -> Float:
    """Return the correlation of two arrays of ranks, session by session, over the names known in both.

    Parameters
    ----------
    left, right
        From ``session_ranks``, shape ``(n_sessions, n_symbols)``: sums of ranks are exact, so a constant side shows.
    min_pairs
        Sessions with fewer pairs have none.

    Returns
    -------
    Shape ``(n_sessions,)``; NaN with too few pairs or where either side is constant.
    """
    out = np.full(len(left), np.nan)
    _row_pearson(left, right, min_pairs, out)
    return out


def row_coefficients(
    scores: Float, returns: Float, session_index: NDArray[np.integer], *, min_pairs: int = MIN_PAIRS
) -> tuple[NDArray[np.int64], Coefficients]:
    """Return (sessions, their coefficients) of rows in any order.

    Parameters
    ----------
    scores, returns, session_index
        Shape ``(n_rows,)``. Rows with a value that is not finite on either side are left out.
    min_pairs
        As in ``panel_coefficients``.

    Returns
    -------
    sessions
        Every session number that has a pair, ascending.
    coefficients
        Of these sessions.
    """
    known = np.isfinite(scores) & np.isfinite(returns)
    sessions, group = np.unique(np.asarray(session_index)[known], return_inverse=True)
    left, right = np.asarray(scores, dtype=np.float64)[known], np.asarray(returns, dtype=np.float64)[known]
    gathered = np.argsort(group, kind="stable")
    group, left, right = group[gathered], left[gathered], right[gathered]
    starts = np.searchsorted(group, np.arange(len(sessions) + 1))
    out = _empty(len(sessions))
    _segments(
        left, np.lexsort((left, group)) - starts[group], right, np.lexsort((right, group)) - starts[group],
        starts, min_pairs, True, out.ic, out.rank_ic, out.pairs,
    )  # fmt: skip
    return sessions.astype(np.int64), out


def mean_rank_ic(scores: Float, returns: Float, session_index: NDArray[np.integer]) -> float:
    """Return the mean over sessions of the rank IC of rows, NaN when no session has one."""
    values = row_coefficients(scores, returns, session_index)[1].rank_ic
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else math.nan


def newey_west_lag(sessions: int, purge_sessions: int) -> int:
    """Return the Bartlett bandwidth for a daily series whose labels reach ``purge_sessions`` ahead.

    Rank ICs of overlapping labels are autocorrelated up to lag ``purge_sessions - 1``. The Bartlett weights
    ``1 - l / (L + 1)`` shrink exactly those terms, so a bandwidth of just that lag misses a quarter of the variance;
    four times the purge misses a twentieth (simulated with five-session labels over 1,200 sessions: a level of 0.95
    is exceeded by 5.7 % of noise series, 0.99 by 1.3 %, 0.999 by 0.2 %). Never less than Newey and West's (1994)
    rule ``4 (T / 100)^(2/9)``.
    """
    return max(4 * purge_sessions, math.floor(4 * math.pow(sessions / 100, 2 / 9)))


def newey_west_error(series: Float, lag: int) -> float:
    """Return the standard error of the mean of a series, shape ``(sessions,)`` without NaN.

    The square root of ``(g_0 + 2 sum_{l=1..L} (1 - l/(L+1)) g_l) / T`` with autocovariances ``g_l`` (Newey and West
    1987); lags beyond the series count nothing. NaN for an empty series.
    """
    sessions = len(series)
    if sessions == 0:
        return math.nan
    deviation = series - float(series.mean())
    variance = float(deviation @ deviation) / sessions
    for step in range(1, min(lag, sessions - 1) + 1):
        variance += 2 * (1 - step / (lag + 1)) * float(deviation[step:] @ deviation[:-step]) / sessions
    # Bartlett weights keep the estimate non-negative; rounding may leave a tiny negative for a constant series.
    return math.sqrt(max(variance, 0.0) / sessions)


def _empty(sessions: int) -> Coefficients:
    return Coefficients(np.full(sessions, np.nan), np.full(sessions, np.nan), np.zeros(sessions, dtype=np.int64))


@kernel
def _segments(
    left: Float,
    left_order: Order,
    right: Float,
    right_order: Order,
    starts: Order,
    min_pairs: int,
    with_pearson: bool,
    ic: Float,
    rank_ic: Float,
    pairs: Order,
) -> None:
    widest = 0
    for segment in range(len(starts) - 1):
        widest = max(widest, starts[segment + 1] - starts[segment])
    left_rank, right_rank = np.empty(widest), np.empty(widest)
    for segment in range(len(starts) - 1):
        first, last = starts[segment], starts[segment + 1]
        x, y = left[first:last], right[first:last]
        count = _mid_ranks(x, left_order[first:last], y, left_rank)
        pairs[segment] = count
        if count < min_pairs:
            continue
        _mid_ranks(y, right_order[first:last], x, right_rank)
        centre = (count - 1) / 2
        # multiples of a quarter: these sums are exact, so neither order of rows nor of ties changes a bit
        xy, xx, yy = 0.0, 0.0, 0.0
        for at in range(last - first):
            if not (np.isnan(x[at]) or np.isnan(y[at])):
                a, b = left_rank[at] - centre, right_rank[at] - centre
                xy += a * b
                xx += a * a
                yy += b * b
        if xx > 0 and yy > 0:
            rank_ic[segment] = xy / np.sqrt(xx * yy)
            if with_pearson:
                ic[segment] = _pearson(x, y, count)


@kernel
def _session_ranks(values: Float, order: Order, ranks: Float) -> None:
    for session in range(len(values)):
        _mid_ranks(values[session], order[session], values[session], ranks[session])


@kernel
def _mid_ranks(values: Float, order: Order, other: Float, ranks: Float) -> int:
    """Write each pair's rank from 0, ties at their mean, and return the number of pairs."""
    count, at = 0, 0
    while at < len(order) and not np.isnan(values[order[at]]):
        value, first, end = values[order[at]], count, at
        while end < len(order) and values[order[end]] == value:
            if not np.isnan(other[order[end]]):
                count += 1
            end += 1
        middle = (first + count - 1) / 2
        for place in range(at, end):
            ranks[order[place]] = middle
        at = end
    return count


@kernel
def _row_pearson(left: Float, right: Float, min_pairs: int, out: Float) -> None:
    for session in range(len(out)):
        count = 0
        for name in range(left.shape[1]):
            if not (np.isnan(left[session, name]) or np.isnan(right[session, name])):
                count += 1
        if count >= min_pairs:
            out[session] = _pearson(left[session], right[session], count)


@kernel
def _pearson(x: Float, y: Float, count: int) -> float:
    """Return Pearson's correlation over the pairs, in two passes; neither side may be constant, but for ranks."""
    mean_x, mean_y = 0.0, 0.0
    for at in range(len(x)):
        if not (np.isnan(x[at]) or np.isnan(y[at])):
            mean_x += x[at]
            mean_y += y[at]
    mean_x /= count
    mean_y /= count
    xy, xx, yy = 0.0, 0.0, 0.0
    for at in range(len(x)):
        if not (np.isnan(x[at]) or np.isnan(y[at])):
            a, b = x[at] - mean_x, y[at] - mean_y
            xy += a * b
            xx += a * a
            yy += b * b
    spread = np.sqrt(xx) * np.sqrt(yy)
    return xy / spread if spread > 0 else np.nan
