"""One session's cross-section of factors in numbers: what drift is judged by, a few hundred bytes a factor.

Not here: what training looked like and what is too far from it (``drift.py``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.compiled import kernel
from ljwx_pipeline.errors import DataQualityError

Float = NDArray[np.float64]

DECILES = 10
#: Deciles, then one bucket for the unknown.
BUCKETS = DECILES + 1
#: Fewer known values tell nothing of a scale, a constant or a repetition.
MIN_ROWS = 20


@dataclass(frozen=True)
class Profile:
    """One session's cross-section in numbers, all a later judgement needs.

    Parameters
    ----------
    rows
        Symbols with a row.
    counts
        Rows by factor and bucket, int64 of shape ``(n_factors, 11)``.
    log_scale
        ``ln`` of the median ``|value|`` of those that are not 0, shape ``(n_factors,)``; NaN below ``MIN_ROWS`` such.
        A factor times 100 has it larger by ``ln 100``.
    constant
        Whether all known values, at least ``MIN_ROWS``, are one.
    agreement
        Cohen's (1960) kappa of the values now and the session before, over symbols known on both: the share that is the
        same bits, less what chance makes equal, over what chance leaves. 1 where all are the same, about 0 for new
        values, however many symbols share one; NaN below ``MIN_ROWS`` symbols or where all share one.
    missing_frac
        Share of the session before's symbols without a row now; NaN without a session before.
    """

    rows: int
    counts: NDArray[np.int64]
    log_scale: Float
    constant: NDArray[np.bool_]
    agreement: Float
    missing_frac: float


def decile_edges(values: NDArray[np.floating]) -> Float:
    """Return the inner decile edges of each factor over training's rows, shape ``(n_factors, 9)``.

    Parameters
    ----------
    values
        Shape ``(n_rows, n_factors)``; what is not finite is unknown.

    Raises
    ------
    DataQualityError
        When a factor has fewer than ``MIN_ROWS`` known values.
    """
    edges = np.empty((values.shape[1], DECILES - 1))
    for factor in range(values.shape[1]):
        column = values[:, factor]
        known = column[np.isfinite(column)].astype(np.float64)
        if len(known) < MIN_ROWS:
            raise DataQualityError(
                f"factor number {factor} has {len(known)} known values in training", "drop it, or train on more rows"
            )
        edges[factor] = np.quantile(known, np.arange(1, DECILES) / DECILES, method="inverted_cdf")
    return edges


def profile_of(
    edges: Float,
    symbols: NDArray[Any],
    values: NDArray[np.floating],
    before: tuple[NDArray[Any], NDArray[np.floating]] | None,
) -> Profile:
    """Return one session's cross-section in numbers.

    Parameters
    ----------
    edges
        From ``decile_edges``.
    symbols, values
        Of the session: shape ``(n_rows,)``, unique, and ``(n_rows, n_factors)``; what is not finite is unknown.
    before
        The same of the session before; None when there is none.

    Raises
    ------
    DataQualityError
        For another number of factors than the edges', or a symbol given twice.
    """
    for told, rows in ((symbols, values), *((before,) if before is not None else ())):
        if rows.shape != (len(told), len(edges)):
            raise DataQualityError(
                f"values of shape {rows.shape} are not those of {len(told)} symbols and {len(edges)} factors",
                "pass the model's own factors in its order",
            )
        if not (index := pd.Index(told)).is_unique:
            raise DataQualityError(
                f"the symbol {index[index.duplicated()][0]} has two rows in one session", "keep one row a symbol"
            )
    n_factors, missing = len(edges), math.nan
    if before is not None:
        found = pd.Index(before[0]).get_indexer(pd.Index(symbols))
        at, at_before = np.flatnonzero(found >= 0), found[found >= 0]
        missing = 1 - len(at) / len(before[0]) if len(before[0]) else math.nan
    counts = np.zeros((n_factors, BUCKETS), dtype=np.int64)
    log_scale, agreement = np.full(n_factors, np.nan), np.full(n_factors, np.nan)
    constant = np.zeros(n_factors, dtype=np.bool_)
    now = _known(values.T)
    sized = np.sort(np.where(now == 0, np.nan, np.abs(now)), axis=1)
    _profile(edges, now, sized, counts, log_scale, constant)
    if before is not None:
        mine, earlier = now[:, at], _known(before[1].T)[:, at_before]
        both = ~(np.isnan(mine) | np.isnan(earlier))
        mine, earlier = np.where(both, mine, np.nan), np.where(both, earlier, np.nan)
        _agreement((mine == earlier).sum(axis=1), np.sort(mine, axis=1), np.sort(earlier, axis=1), agreement)
    return Profile(len(symbols), counts, log_scale, constant, agreement, missing)


def _known(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return a copy, its rows in one piece each, in which what is not finite is NaN, which sorting puts last."""
    out = np.array(values, order="C")
    out[~np.isfinite(out)] = np.nan
    return out


@kernel
def _profile(
    edges: Float,
    now: NDArray[np.floating],
    sized: NDArray[np.floating],
    counts: NDArray[np.int64],
    log_scale: Float,
    constant: NDArray[np.bool_],
) -> None:
    """Fill the last three; ``sized`` are the sizes of ``now`` that are not 0, ascending, both of factors by rows."""
    for factor in range(now.shape[0]):
        known, least, most = 0, np.inf, -np.inf
        for row in range(now.shape[1]):
            value = now[factor, row]
            if np.isnan(value):
                continue
            # a value on an edge belongs to the bucket below it, as quantiles of training put it there
            bucket = 0
            for edge in range(DECILES - 1):
                bucket += edges[factor, edge] < value
            counts[factor, bucket] += 1
            known += 1
            least, most = min(least, value), max(most, value)
        counts[factor, DECILES] = now.shape[1] - known
        constant[factor] = known >= MIN_ROWS and least == most
        non_zero = np.searchsorted(np.isnan(sized[factor]), True)
        if non_zero >= MIN_ROWS:
            middle = np.float64(sized[factor, non_zero // 2]) + np.float64(sized[factor, (non_zero - 1) // 2])
            log_scale[factor] = math.log(middle / 2)


@kernel
def _agreement(
    same: NDArray[np.int64], now: NDArray[np.floating], then: NDArray[np.floating], agreement: Float
) -> None:
    """Fill ``agreement``; ``now`` and ``then`` are ascending, of factors by pairs, NaN last in both alike."""
    for factor in range(now.shape[0]):
        pairs = np.searchsorted(np.isnan(now[factor]), True)
        if pairs < MIN_ROWS:
            continue
        low, high, alike = 0, 0, 0
        for at in range(pairs):
            value = now[factor, at]
            while low < pairs and then[factor, low] < value:
                low += 1
            while high < pairs and then[factor, high] <= value:
                high += 1
            alike += high - low
        chance = alike / pairs**2
        if chance < 1:
            agreement[factor] = (same[factor] / pairs - chance) / (1 - chance)
