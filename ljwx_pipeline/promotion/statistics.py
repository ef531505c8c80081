"""The statistics a promotion rests on: how sure a mean rank IC is, how lucky a Sharpe ratio may be.

All Sharpe ratios here are per session, not annualised. Not here: thresholds and the decision (``gate.py``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

from ljwx_pipeline.coefficients import newey_west_error, newey_west_lag
from ljwx_pipeline.errors import PromotionError

#: Independent stretches the Newey-West kernel must find in a series before its error is worth anything.
MIN_BLOCKS = 6
MIN_RETURNS = 60


@dataclass(frozen=True)
class MeanInterval:
    """A mean with its one-sided lower bound.

    Parameters
    ----------
    mean, standard_error, lower
        In the unit of the series.
    lag
        Sessions over which the Bartlett kernel reached.
    degrees
        Degrees of freedom of the Student quantile used.
    sessions
        Length of the series.
    """

    mean: float
    standard_error: float
    lower: float
    lag: int
    degrees: int
    sessions: int


@dataclass(frozen=True)
class DeflatedSharpe:
    """How probable it is that a Sharpe ratio is more than the best of so many lucky trials.

    Parameters
    ----------
    probability
        P(true Sharpe > ``hurdle``); compare with a level such as 0.95.
    sharpe, hurdle
        Measured Sharpe and the expected maximum of ``trials`` skill-less trials, per session.
    trials
        Number of trials counted.
    skewness, kurtosis
        Of the returns; kurtosis is 3 for a normal distribution.
    """

    probability: float
    sharpe: float
    hurdle: float
    trials: int
    skewness: float
    kurtosis: float


def mean_interval(values: NDArray[np.float64], *, purge_sessions: int, confidence: float) -> MeanInterval:
    """Return the mean of a daily series with a lower bound that knows its labels overlap.

    The error is Newey and West's (``newey_west_error``). The quantile is Student's with ``floor(T / (L+1)) - 1``
    degrees of freedom: as many independent stretches as the kernel finds, which for short series agrees with Kiefer
    and Vogelsang's (2005) fixed-b values.

    Parameters
    ----------
    values
        Shape ``(sessions,)``, in session order, no NaN.
    purge_sessions
        Sessions from a score to the last price its label reads.
    confidence
        One-sided level, for instance 0.99.

    Raises
    ------
    PromotionError
        For a non-finite value, or a series too short for the bandwidth.
    """
    series = finite(values, "rank IC")
    sessions = len(series)
    lag = newey_west_lag(sessions, purge_sessions)
    degrees = sessions // (lag + 1) - 1
    if degrees < MIN_BLOCKS - 1:
        raise PromotionError(
            f"{sessions} sessions of rank IC are too few for an interval over lag {lag}",
            f"test on at least {MIN_BLOCKS * (lag + 1)} sessions",
        )
    mean = float(series.mean())
    error = newey_west_error(series, lag)
    lower = mean - float(stdtrit(degrees, confidence)) * error
    return MeanInterval(mean, error, lower, lag, degrees, sessions)


def expected_maximum_sharpe(trial_variance: float, trials: int) -> float:
    """Return the Sharpe ratio that the best of ``trials`` skill-less trials is expected to show.

    ``sqrt(V) ((1 - g) Z^-1(1 - 1/N) + g Z^-1(1 - 1/(N e)))`` with Euler's constant ``g`` (Bailey and Lopez de Prado
    2014, equation 1). One trial has no maximum to be lucky with: 0.

    Parameters
    ----------
    trial_variance
        Variance of the trials' Sharpe ratios, same period as the result.
    trials
        Independent trials; counting correlated ones fully errs on the careful side.
    """
    if trials < 1 or not math.isfinite(trial_variance) or trial_variance < 0:
        raise PromotionError(
            f"{trials} trials with Sharpe variance {trial_variance} cannot be deflated",
            "count every trial of the study",
        )
    if trials == 1:
        return 0.0
    first = float(ndtri(1 - 1 / trials))
    second = float(ndtri(1 - 1 / (trials * math.e)))
    return math.sqrt(trial_variance) * ((1 - np.euler_gamma) * first + np.euler_gamma * second)


def probabilistic_sharpe(sharpe: float, *, hurdle: float, observations: int, skewness: float, kurtosis: float) -> float:
    """Return P(true Sharpe > ``hurdle``) given a measured one, allowing for skewed and fat-tailed returns.

    ``Z((SR - SR*) sqrt(T - 1) / sqrt(1 - s SR + (k - 1) / 4 SR^2))`` (Bailey and Lopez de Prado 2012); ``kurtosis``
    is 3 for a normal distribution. All ratios per observation.
    """
    spread = 1 - skewness * sharpe + (kurtosis - 1) / 4 * sharpe**2
    if observations < 2 or not math.isfinite(spread) or spread <= 0:
        raise PromotionError(
            f"a Sharpe ratio of {sharpe} over {observations} returns (skewness {skewness}, kurtosis {kurtosis}) "
            "has no sampling error",
            "measure it on a longer series",
        )
    return float(ndtr((sharpe - hurdle) * math.sqrt(observations - 1) / math.sqrt(spread)))


def minimum_track_record(sharpe: float, *, hurdle: float, skewness: float, kurtosis: float, confidence: float) -> float:
    """Return how many observations it takes for P(true Sharpe > ``hurdle``) to reach ``confidence``.

    ``1 + (1 - s SR + (k - 1) / 4 SR^2) (Z(confidence) / (SR - SR*))^2`` (Bailey and Lopez de Prado 2012, "The Sharpe
    ratio efficient frontier", minimum track record length); infinite for a ratio that is not above the hurdle. All
    ratios per observation; ``kurtosis`` is 3 for a normal distribution.
    """
    if sharpe <= hurdle:
        return math.inf
    spread = 1 - skewness * sharpe + (kurtosis - 1) / 4 * sharpe**2
    return 1 + spread * (float(ndtri(confidence)) / (sharpe - hurdle)) ** 2


def deflated_sharpe(
    returns: NDArray[np.float64], trial_sharpes: Sequence[float], *, luck: float | None = None
) -> DeflatedSharpe:
    """Return the deflated Sharpe ratio of ``returns`` over every trial that was made to find them.

    Bailey and Lopez de Prado (2014), "The deflated Sharpe ratio": the probabilistic Sharpe ratio with the expected
    maximum of the trials as its hurdle.

    Parameters
    ----------
    returns
        Net excess returns per session, shape ``(sessions,)``, no NaN.
    trial_sharpes
        Per-session Sharpe ratio of each trial, bad ones too.
    luck
        Variance of the trials' luck in squared standard errors of a Sharpe ratio (``CountedTrials.variance``); over
        ``T`` returns the ratio of luck then varies by ``luck / T``, however long the trials were. None: the variance
        among ``trial_sharpes``, as published, for trials that are as long as ``returns``.

    Raises
    ------
    PromotionError
        For a non-finite value, no trial, fewer than 60 returns, or returns that never vary.
    """
    series = finite(returns, "net excess return")
    sharpes = finite(np.asarray(trial_sharpes, dtype=np.float64), "trial Sharpe ratio")
    if len(sharpes) == 0:
        raise PromotionError("the number of trials is unknown", "pass the Sharpe ratio of every trial of the study")
    if len(series) < MIN_RETURNS:
        raise PromotionError(
            f"{len(series)} net excess returns are too few for a Sharpe ratio", f"test on at least {MIN_RETURNS}"
        )
    deviation = series - series.mean()
    spread = float(series.std(ddof=1))
    if spread <= 1e-12:
        raise PromotionError("the net excess returns never vary", "check that the strategy traded")
    scaled = deviation / float(series.std())
    skewness, kurtosis = float((scaled**3).mean()), float((scaled**4).mean())
    sharpe = float(series.mean()) / spread
    among = float(sharpes.var(ddof=1)) if len(sharpes) > 1 else 0.0
    hurdle = expected_maximum_sharpe(among if luck is None else luck / len(series), len(sharpes))
    probability = probabilistic_sharpe(
        sharpe, hurdle=hurdle, observations=len(series), skewness=skewness, kurtosis=kurtosis
    )
    return DeflatedSharpe(probability, sharpe, hurdle, len(sharpes), skewness, kurtosis)


def deflated_track_record(found: DeflatedSharpe, *, luck: float | None, confidence: float) -> float:
    """Return how many sessions it takes at the measured ratio for the deflated probability to reach ``confidence``.

    With ``luck`` the hurdle is ``c / sqrt(T)`` and falls as sessions come: ``T = ((Z sqrt(v) + c) / SR)^2 + 1`` with
    ``v = 1 - s SR + (k - 1) / 4 SR^2``, up to ``T`` for ``T - 1`` in one place. Without it the hurdle stands, and it is
    ``minimum_track_record``. Infinite for a ratio that is not above 0, or not above a hurdle that stands.
    """
    if luck is None:
        return minimum_track_record(
            found.sharpe,
            hurdle=found.hurdle,
            skewness=found.skewness,
            kurtosis=found.kurtosis,
            confidence=confidence,
        )
    if found.sharpe <= 0:
        return math.inf
    spread = 1 - found.skewness * found.sharpe + (found.kurtosis - 1) / 4 * found.sharpe**2
    hurdle = expected_maximum_sharpe(luck, found.trials)
    return ((float(ndtri(confidence)) * math.sqrt(spread) + hurdle) / found.sharpe) ** 2 + 1


def finite(values: NDArray[np.float64], what: str) -> NDArray[np.float64]:
    """Return ``values`` as a flat float64 array, refusing NaN and infinities by position."""
    series = np.asarray(values, dtype=np.float64).ravel()
    bad = np.flatnonzero(~np.isfinite(series))
    if len(bad):
        raise PromotionError(
            f"{what} number {bad[0]} of {len(series)} is {series[bad[0]]}", "measure every value before asking the gate"
        )
    return series
