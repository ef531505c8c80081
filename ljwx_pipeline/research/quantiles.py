"""A factor's quantiles: who is in which, what they returned, how fast they change, how much money they hold.

Agrees with alphalens-reloaded 0.5.1 (mean return by quantile, by session and overall; quantile turnover) wherever both
define the same thing; what differs:

- alphalens leaves out names without a forward return *before* it makes the quantiles, so who is in one depends on the
  future. Here every name with a value is in a quantile, and one without a return is left out of the mean alone.
- Where two edges coincide (many equal values) alphalens drops the session or refuses; here equal values share the
  lowest of the quantiles their edges bound, and a quantile may be empty on that session.
- The spread is the highest quantile's return minus the lowest's; alphalens 0.5.1 halves it (gross leverage of 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.coefficients import BySession
from ljwx_pipeline.compiled import kernel

Float = NDArray[np.float64]
Buckets = NDArray[np.int8]

#: Quantiles unless told otherwise.
QUANTILES = 5
#: In no quantile.
NONE = -1


@dataclass(frozen=True)
class QuantileReturns:
    """Equal-weighted returns by session and quantile, lowest factor values first.

    Parameters
    ----------
    mean
        Shape ``(n_sessions, quantiles)``, fractions over the horizon; NaN for an empty quantile.
    universe
        Shape ``(n_sessions,)``: the mean over all names that are in a quantile and have a return.
    """

    mean: Float
    universe: Float

    @property
    def excess(self) -> Float:
        """Return each quantile's return minus the universe's, as alphalens' ``demeaned``."""
        return self.mean - self.universe[:, None]

    @property
    def spread(self) -> Float:
        """Return the highest quantile minus the lowest, shape ``(n_sessions,)``; NaN where either is empty."""
        spread: Float = self.mean[:, -1] - self.mean[:, 0]
        return spread

    @property
    def mean_excess(self) -> Float:
        """Return the mean over sessions of the excess, each session the same weight; NaN for one never filled."""
        return session_means(self.excess)


def session_means(values: Float) -> Float:
    """Return the mean over the first axis of what is known, NaN where nothing is."""
    known = np.isfinite(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    means: Float = np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)
    return means


def quantile_buckets(factor: BySession, *, quantiles: int = QUANTILES) -> Buckets:
    """Return each name's quantile by session, 0 the lowest, ``NONE`` without a value.

    The edges are those of ``pandas.qcut``: linear interpolation between the session's values, each quantile closed on
    the right. Equal values are never parted. A session with fewer names than quantiles has none.

    Returns
    -------
    int8, shape ``(n_sessions, n_symbols)``.
    """
    # numpy, and so pandas, takes quantiles as percentages and divides again: the same detour gives the same edges
    levels = np.true_divide(np.linspace(0, 1, quantiles + 1) * 100, 100)
    out = np.full(factor.values.shape, NONE, dtype=np.int8)
    _buckets(factor.values, factor.order, levels, out)
    return out


def quantile_returns(buckets: Buckets, returns: Float, *, quantiles: int = QUANTILES) -> QuantileReturns:
    """Return the mean return of each quantile; ``returns`` of shape ``(n_sessions, n_symbols)``, NaN left out."""
    sessions = len(buckets)
    mean, universe = np.full((sessions, quantiles), np.nan), np.full(sessions, np.nan)
    _bucket_means(buckets, returns, mean, universe)
    return QuantileReturns(mean, universe)


def quantile_turnover(buckets: Buckets, quantile: int, *, lag: int = 1) -> Float:
    """Return the share of a quantile's names that were not in it ``lag`` sessions earlier, shape ``(n_sessions,)``.

    NaN where the quantile is empty on either session, and for the first ``lag`` sessions.
    """
    inside = buckets == quantile
    now, before = inside[lag:], inside[:-lag]
    size, fresh = now.sum(axis=1), (now & ~before).sum(axis=1)
    out = np.full(len(buckets), np.nan)
    np.divide(fresh, size, out=out[lag:], where=(size > 0) & before.any(axis=1))
    return out


def cumulative_growth(session_returns: Float) -> Float:
    """Return growth of 1 by session, shape as given; a session without a return changes nothing.

    Of one-session returns: rebalanced every session, equal weights, before any cost.
    """
    return np.asarray(np.cumprod(1 + np.nan_to_num(session_returns), axis=0), dtype=np.float64)


def capacity_cny(buckets: Buckets, mean_amount_cny: Float, quantile: int, *, participation_frac: float) -> Float:
    """Return what a portfolio long one quantile could hold, CNY by session.

    ``participation_frac * sum over the quantile's names of their mean amount a session``: no position is larger than
    that share of what the name trades, so each can be entered or left in one session at that participation. Names
    then weigh by what they trade; equal weights hold less.

    Parameters
    ----------
    mean_amount_cny
        Shape ``(n_sessions, n_symbols)``: mean of the last 20 sessions traded, this one included; NaN counts nothing.

    Returns
    -------
    Shape ``(n_sessions,)``, NaN where the quantile is empty.
    """
    inside = buckets == quantile
    held: Float = participation_frac * np.where(inside, np.nan_to_num(mean_amount_cny), 0.0).sum(axis=1)
    held[~inside.any(axis=1)] = np.nan
    return held


@kernel
def _buckets(values: Float, order: NDArray[np.int64], levels: Float, out: Buckets) -> None:
    sessions, names = values.shape
    quantiles = len(levels) - 1
    edges = np.empty(quantiles + 1)
    for session in range(sessions):
        row, by_value = values[session], order[session]
        known = 0
        while known < names and not np.isnan(row[by_value[known]]):
            known += 1
        if known < quantiles:
            continue
        for level in range(quantiles + 1):
            virtual = levels[level] * (known - 1)
            below = int(np.floor(virtual))
            above = min(below + 1, known - 1)
            share = virtual - below
            low, high = row[by_value[below]], row[by_value[above]]
            # numpy's interpolation, from the nearer end
            edges[level] = high - (high - low) * (1 - share) if share >= 0.5 else low + (high - low) * share
        bucket = 0
        for place in range(known):
            value = row[by_value[place]]
            while bucket < quantiles - 1 and value > edges[bucket + 1]:
                bucket += 1
            out[session, by_value[place]] = bucket


@kernel
def _bucket_means(buckets: Buckets, returns: Float, mean: Float, universe: Float) -> None:
    sessions, names = buckets.shape
    quantiles = mean.shape[1]
    total, count = np.empty(quantiles), np.empty(quantiles)
    for session in range(sessions):
        total[:] = 0.0
        count[:] = 0.0
        whole, known = 0.0, 0
        for name in range(names):
            bucket, value = buckets[session, name], returns[session, name]
            if bucket >= 0 and not np.isnan(value):
                total[bucket] += value
                count[bucket] += 1
                whole += value
                known += 1
        if known:
            universe[session] = whole / known
        for bucket in range(quantiles):
            if count[bucket]:
                mean[session, bucket] = total[bucket] / count[bucket]
