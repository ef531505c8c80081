"""The stationary bootstrap: resampling a series in blocks of random length, so that its dependence survives.

Politis and Romano (1994): a resample is a chain of blocks of the series taken as a circle, each begun anywhere and of
geometric length. The mean length is chosen by Politis and White (2004) as corrected by Patton, Politis and White
(2009). Intervals are **percentile** intervals: the quantiles of a measure over the resamples, without correction for
bias (no BCa: its acceleration is defined for independent observations). Seeded: the same input and seed, the same bits.

Not here: the measures (``resampled.py`` reckons them on all resamples at once).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.errors import DataQualityError

Float = NDArray[np.float64]
Int = NDArray[np.int64]

#: Fewer observations have no dependence that could be measured.
MIN_OBSERVATIONS = 10
#: Below this variance a series counts as constant.
_CONSTANT = 1e-24


@dataclass(frozen=True)
class Interval:
    """Where a measure's confidence interval begins and ends; NaN for both where there is none."""

    lower: float
    upper: float


@dataclass(frozen=True)
class BootstrapParams:
    """How intervals are made.

    Parameters
    ----------
    resamples
        How many times the series is resampled.
    confidence
        Share of the resamples inside the interval, as much left out below as above.
    seed
        Of the random numbers.
    block_length
        Mean length of a block in observations, 1 or more; None: automatic (``shared_block_length``).
    """

    resamples: int = 2000
    confidence: float = 0.95
    seed: int = 0
    block_length: float | None = None


def optimal_block_length(series: Float) -> float:
    """Return the mean block length in observations that is best for the variance of the mean of ``series``.

    ``b = (2 G² / D)^(1/3) * n^(1/3)`` with ``G = Σ λ(k/M) |k| R(k)``, ``D = 2 (Σ λ(k/M) R(k))²`` over all lags,
    negative ones too, ``R`` the autocovariances and ``λ`` the flat-top window (1 up to 1/2, then falling to 0 at 1).
    ``M`` is twice the first lag that begins a row of ``max(5, log10(n))`` autocorrelations below
    ``2 sqrt(log10(n) / n)``, as in Patton's own program. At least 1 (independent draws), at most
    ``min(3 sqrt(n), n / 3)`` rounded up. A constant series or one below 10 observations gives 1.

    Raises
    ------
    DataQualityError
        When the series holds a NaN or an infinity.
    """
    values = np.asarray(series, dtype=np.float64)
    n = len(values)
    if not np.isfinite(values).all():
        raise DataQualityError(
            f"the series has no finite value at position {int((~np.isfinite(values)).argmax())} of {n}",
            "pass a series without gaps: a resample cannot mend them",
        )
    if n < MIN_OBSERVATIONS or float(values.var()) < _CONSTANT:
        return 1.0
    centred = values - values.mean()
    row = max(5, int(math.log10(n)))
    most = min(math.ceil(math.sqrt(n)) + row, n - 1)
    covariance = np.array([centred[lag:] @ centred[: n - lag] for lag in range(most + 1)]) / n
    quiet = np.abs(covariance / covariance[0]) < 2 * math.sqrt(math.log10(n) / n)
    starts = (lag for lag in range(1, most - row + 1) if quiet[lag : lag + row].all())
    window = min(2 * next(starts, most), most)
    lags = np.arange(1, window + 1)
    weighted = 2 * np.minimum(1.0, 2 * (1 - lags / window)) * covariance[1 : window + 1]
    spectrum = covariance[0] + float(weighted.sum())
    if spectrum**2 < _CONSTANT * covariance[0] ** 2:
        return 1.0
    length = math.cbrt((float(lags @ weighted) / spectrum) ** 2 * n)
    return min(max(length, 1.0), math.ceil(min(3 * math.sqrt(n), n / 3)))


def shared_block_length(series: Float) -> float:
    """Return the longer of the block lengths of the returns and of their squares.

    The first serves measures of the mean, the second those of spread and tails: volatility clusters where returns
    themselves look independent. Errors as ``optimal_block_length``.
    """
    values = np.asarray(series, dtype=np.float64)
    return max(optimal_block_length(values), optimal_block_length(values**2))


def stationary_indices(n: int, block_length: float, *, resamples: int, seed: int) -> Int:
    """Return positions to draw, int64 of shape ``(resamples, n)``: each row a resample of ``n`` observations.

    Within a block one follows the other (after the last the first); a block ends with probability ``1 / block_length``
    after each observation.

    Raises
    ------
    DataQualityError
        For a block shorter than one, no observation or no resample.
    """
    if not block_length >= 1 or n < 1 or resamples < 1:
        raise DataQualityError(
            f"{resamples} resamples of {n} observations in blocks of {block_length} cannot be drawn",
            "ask for one or more of each",
        )
    rng = np.random.default_rng(seed)
    total = resamples * n
    # one long chain cut into rows: a block that a cut divides begins anew, and geometric lengths have no memory
    begins = np.zeros(total, dtype=np.bool_)
    begins[::n] = True
    at = 0
    while at < total:
        ends = at + np.cumsum(rng.geometric(1 / block_length, int(total / block_length) + 100))
        begins[ends[ends < total]] = True
        at = int(ends[-1])
    starts = np.flatnonzero(begins)
    offset = rng.integers(0, n, len(starts)) - starts
    drawn = np.arange(total) + np.repeat(offset, np.diff(starts, append=total))
    return np.remainder(drawn, n, out=drawn).reshape(resamples, n)


def percentile_interval(resampled: Float, confidence: float) -> Interval:
    """Return the interval between the two quantiles that leave out ``(1 - confidence) / 2`` of the resamples each.

    NaN policy: resamples without the measure (no drawdown, no loss) are left out; where they are more than half there
    is no interval. Infinite values count as such.
    """
    known = np.asarray(resampled)[~np.isnan(resampled)]
    if 2 * len(known) <= len(resampled):
        return Interval(math.nan, math.nan)
    out = (1 - confidence) / 2
    lower, upper = np.quantile(known, [out, 1 - out], method="inverted_cdf")
    return Interval(float(lower), float(upper))
