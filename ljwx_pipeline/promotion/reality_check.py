"""Whether the best of many trials is better than nothing: White's reality check and Hansen's test of superior ability.

White (2000), "A reality check for data snooping"; Hansen (2005), "A test for superior predictive ability". Under the
null hypothesis no trial has a mean net excess return above 0; the distribution of the best one is had by resampling all
trials together (``evaluation/bootstrap.py``). Not here: thresholds and the decision (``gate.py``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.errors import PromotionError
from ljwx_pipeline.evaluation.bootstrap import optimal_block_length, stationary_indices
from ljwx_pipeline.promotion.statistics import MIN_RETURNS
from ljwx_pipeline.promotion.trial_returns import shared_returns

Float = NDArray[np.float64]
Int = NDArray[np.int64]

MIN_RESAMPLES = 100
#: Resamples counted at a time.
_CHUNK_RESAMPLES = 250


@dataclass(frozen=True)
class RealityCheck:
    """P-values that the best trial is no better than nothing, given how many were tried.

    Parameters
    ----------
    white
        White's: means as they are, every trial taken to be just as good as nothing.
    spa_lower, spa_consistent, spa_upper
        Hansen's, of studentised means: every trial behind 0 is taken to be truly behind; those far behind are; none
        is. Ascending in this order. ``spa_consistent`` is the test, the others say how much hangs on bad trials.
    best
        Position, in the matrix given, of the trial with the largest studentised mean.
    statistic
        That mean, 0 where it is below 0.
    trials, left_out
        Trials tested, and those left out (``shared_returns``).
    sessions
        Sessions all of them share.
    block_length, resamples
        Of the bootstrap.
    """

    white: float
    spa_lower: float
    spa_consistent: float
    spa_upper: float
    best: int
    statistic: float
    trials: int
    left_out: int
    sessions: int
    block_length: float
    resamples: int


def reality_check(
    returns: Float, *, seed: int, resamples: int = 2000, block_length: float | None = None
) -> RealityCheck:
    """Return White's and Hansen's p-values over every trial.

    A p-value is ``(1 + resamples that are as good or better) / (1 + resamples)``: never 0. The same input and seed give
    the same values.

    NaN policy: that of ``shared_returns``: pruned trials and those that never vary are left out and counted, then the
    sessions that one of the rest misses.

    Parameters
    ----------
    returns
        Net excess returns, shape ``(sessions, trials)``; see ``trial_returns.py``.
    seed
        Of the resamples.
    resamples
        100 or more.
    block_length
        Mean length of a block in sessions, 1 or more; None: the median over trials of what is best for their means
        (``optimal_block_length``).

    Raises
    ------
    PromotionError
        For no trial that can be tested, fewer than 60 shared sessions, an infinite return, or too few resamples.
    """
    if resamples < MIN_RESAMPLES or (block_length is not None and not block_length >= 1):
        raise PromotionError(
            f"{resamples} resamples in blocks of {block_length} sessions have no quantile worth a decision",
            f"ask for at least {MIN_RESAMPLES} resamples in blocks of 1 or more",
        )
    shared = shared_returns(returns)
    values = shared.values
    if not shared.trials:
        raise PromotionError(
            f"none of {shared.left_out} trials has returns that vary on most sessions", "pass those of complete trials"
        )
    sessions = len(values)
    if sessions < MIN_RETURNS:
        raise PromotionError(
            f"{sessions} sessions shared by {len(shared.trials)} trials are too few for a reality check",
            f"test on at least {MIN_RETURNS}",
        )
    length = block_length or float(np.median([optimal_block_length(column) for column in values.T]))
    mean = values.mean(axis=0)
    resampled = resampled_means(values, stationary_indices(sessions, length, resamples=resamples, seed=seed))
    root = math.sqrt(sessions)
    spread = np.sqrt(bootstrap_variance(values, length))
    studentised = root * mean / spread
    statistic = max(float(studentised.max()), 0.0)
    far_behind = studentised < -math.sqrt(2 * math.log(math.log(sessions)))
    lower, consistent, upper = (
        _p_value(np.maximum((root * (resampled - centre) / spread).max(axis=1), 0.0), statistic)
        for centre in (np.maximum(mean, 0.0), np.where(far_behind, 0.0, mean), mean)
    )
    return RealityCheck(
        white=_p_value((resampled - mean).max(axis=1), float(mean.max())),
        spa_lower=lower,
        spa_consistent=consistent,
        spa_upper=upper,
        best=shared.trials[int(studentised.argmax())],
        statistic=statistic,
        trials=len(shared.trials),
        left_out=shared.left_out,
        sessions=sessions,
        block_length=length,
        resamples=resamples,
    )


def resampled_means(values: Float, drawn: Int) -> Float:
    """Return the mean of each column over each resample, shape ``(resamples, trials)``.

    Parameters
    ----------
    values
        Shape ``(sessions, trials)``.
    drawn
        Positions, shape ``(resamples, sessions)``; every trial is resampled by the same ones.
    """
    sessions = len(values)
    out = np.empty((len(drawn), values.shape[1]))
    for start in range(0, len(drawn), _CHUNK_RESAMPLES):
        some = drawn[start : start + _CHUNK_RESAMPLES]
        cells = (some + np.arange(len(some))[:, None] * sessions).ravel()
        times = np.bincount(cells, minlength=some.size).reshape(some.shape)
        out[start : start + len(some)] = times.astype(np.float64) @ values / sessions
    return out


def bootstrap_variance(values: Float, block_length: float) -> Float:
    """Return the variance of ``sqrt(n)`` times the mean of a resample of each column, shape ``(trials,)``.

    Of the stationary bootstrap itself, without drawing: ``R(0) + 2 sum k(i) R(i)`` over lags 1 to ``n - 1`` with
    ``k(i) = (n - i) / n (1 - q)^i + i / n (1 - q)^(n - i)``, ``q = 1 / block_length`` and ``R`` the autocovariances
    (Politis and Romano 1994; Hansen 2005, equation 8). Above 0 for every column that varies.
    """
    n = len(values)
    size = 1 << (2 * n - 1).bit_length()
    power = np.abs(np.fft.rfft(values - values.mean(axis=0), size, axis=0)) ** 2
    covariance = np.fft.irfft(power, size, axis=0)[:n] / n
    lags, stay = np.arange(1, n), 1 - 1 / block_length
    kernel = (n - lags) / n * stay**lags + lags / n * stay ** (n - lags)
    variance: Float = covariance[0] + 2 * kernel @ covariance[1:]
    return variance


def _p_value(resampled: Float, statistic: float) -> float:
    return float(1 + (resampled >= statistic).sum()) / (1 + len(resampled))
