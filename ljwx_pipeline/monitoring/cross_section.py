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
    at, at_before = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    if before is not None:
        found = pd.Index(before[0]).get_indexer(pd.Index(symbols))
        at, at_before = np.flatnonzero(found >= 0), found[found >= 0].astype(np.int64)
        missing = 1 - len(at) / len(before[0]) if len(before[0]) else math.nan
    counts = np.zeros((n_factors, BUCKETS), dtype=np.int64)
    log_scale, agreement = np.full(n_factors, np.nan), np.full(n_factors, np.nan)
    constant = np.zeros(n_factors, dtype=np.bool_)
    now = np.asarray(values.T, dtype=np.float64, order="C")
    then = np.asarray(before[1].T, dtype=np.float64, order="C") if before is not None else np.zeros((n_factors, 0))
    _profile(edges, now, then, at, at_before, counts, log_scale, constant, agreement)
    return Profile(len(symbols), counts, log_scale, constant, agreement, missing)


@kernel
def _agreement(now: Float, then: Float) -> float:
    pairs, same, alike = len(now), 0, 0
    for row in range(pairs):
        same += now[row] == then[row]
    ascending, earlier = np.sort(now), np.sort(then)
    low, high = 0, 0
    for value in ascending:
        while low < pairs and earlier[low] < value:
            low += 1
        while high < pairs and earlier[high] <= value:
            high += 1
        alike += high - low
    chance = alike / pairs**2
    return (same / pairs - chance) / (1 - chance) if chance < 1 else math.nan


@kernel
def _profile(
    edges: Float,
    now: Float,
    then: Float,
    at: NDArray[np.int64],
    at_before: NDArray[np.int64],
    counts: NDArray[np.int64],
    log_scale: Float,
    constant: NDArray[np.bool_],
    agreement: Float,
) -> None:
    """Fill the last four for each factor; ``now`` and ``then`` are of factors by rows."""
    sized, mine, earlier = np.empty(now.shape[1]), np.empty(len(at)), np.empty(len(at))
    for factor in range(now.shape[0]):
        known, non_zero, least, most = 0, 0, np.inf, -np.inf
        for row in range(now.shape[1]):
            value = now[factor, row]
            if not np.isfinite(value):
                continue
            # a value on an edge belongs to the bucket below it, as quantiles of training put it there
            bucket = 0
            while bucket < DECILES - 1 and edges[factor, bucket] < value:
                bucket += 1
            counts[factor, bucket] += 1
            known += 1
            least, most = min(least, value), max(most, value)
            if value != 0:
                sized[non_zero] = abs(value)
                non_zero += 1
        counts[factor, DECILES] = now.shape[1] - known
        if non_zero >= MIN_ROWS:
            log_scale[factor] = math.log(np.median(sized[:non_zero]))
        constant[factor] = known >= MIN_ROWS and least == most
        pairs = 0
        for row in range(len(at)):
            value, before = now[factor, at[row]], then[factor, at_before[row]]
            if np.isfinite(value) and np.isfinite(before):
                mine[pairs], earlier[pairs] = value, before
                pairs += 1
        if pairs >= MIN_ROWS:
            agreement[factor] = _agreement(mine[:pairs], earlier[:pairs])
