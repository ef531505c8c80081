"""The statistics agree with their published examples and keep their promised error rates on simulated series."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ljwx_pipeline.coefficients import newey_west_lag
from ljwx_pipeline.errors import PromotionError
from ljwx_pipeline.promotion.statistics import (
    deflated_sharpe,
    deflated_track_record,
    expected_maximum_sharpe,
    mean_interval,
    minimum_track_record,
    probabilistic_sharpe,
)

PURGE = 6


def overlapping_noise(rng: np.random.Generator, sessions: int, *, overlap: int = 5, spread: float = 0.12) -> np.ndarray:
    """Moving sums of independent noise: the autocorrelation that overlapping labels give a rank IC series."""
    steps = rng.standard_normal(sessions + overlap - 1)
    return spread * np.convolve(steps, np.ones(overlap), mode="valid") / math.sqrt(overlap)


def test_the_published_example_of_the_deflated_sharpe_ratio_is_reproduced() -> None:
    # Bailey and Lopez de Prado (2014): annual Sharpe 2.5 over 1,250 days of 250 a year, skewness -3, kurtosis 10,
    # variance 1/2 among the annual Sharpes of the trials. 100 trials: hurdle 0.1132 and 0.9004; 46 trials: 0.9505.
    for trials, probability in ((100, 0.9004), (46, 0.9505)):
        hurdle = expected_maximum_sharpe(0.5 / 250, trials)
        found = probabilistic_sharpe(2.5 / math.sqrt(250), hurdle=hurdle, observations=1250, skewness=-3, kurtosis=10)
        assert found == pytest.approx(probability, abs=5e-5)
    assert expected_maximum_sharpe(0.5 / 250, 100) == pytest.approx(0.1132, abs=5e-5)


def test_the_expected_maximum_is_that_of_simulated_trials() -> None:
    best = np.random.default_rng(0).standard_normal((20_000, 12)).max(axis=1).mean()
    assert expected_maximum_sharpe(1.0, 12) == pytest.approx(best, rel=0.03)


def test_a_single_trial_is_held_against_zero() -> None:
    assert expected_maximum_sharpe(0.3, 1) == 0.0


@given(st.integers(2, 5000), st.integers(1, 5000), st.floats(1e-6, 1.0))
def test_more_trials_never_lower_the_hurdle(trials: int, more: int, variance: float) -> None:
    assert expected_maximum_sharpe(variance, trials + more) > expected_maximum_sharpe(variance, trials) > 0


@pytest.mark.parametrize(("variance", "trials"), [(0.1, 0), (-0.1, 5), (math.nan, 5), (math.inf, 5)])
def test_unknown_trials_cannot_be_deflated(variance: float, trials: int) -> None:
    with pytest.raises(PromotionError, match="count every trial"):
        expected_maximum_sharpe(variance, trials)


@pytest.mark.parametrize(("sharpe", "skewness", "observations"), [(1.0, 5.0, 100), (math.nan, 0.0, 100), (0.1, 0.0, 1)])
def test_a_sharpe_without_a_sampling_error_is_refused(sharpe: float, skewness: float, observations: int) -> None:
    with pytest.raises(PromotionError, match="no sampling error"):
        probabilistic_sharpe(sharpe, hurdle=0.0, observations=observations, skewness=skewness, kurtosis=3.0)


def test_the_variance_is_the_weighted_sum_of_autocovariances() -> None:
    values = overlapping_noise(np.random.default_rng(3), 400)
    found = mean_interval(values, purge_sessions=PURGE, confidence=0.99)
    # The plain reference: every pair of sessions, weighted by how far apart they are.
    apart = np.abs(np.subtract.outer(np.arange(400), np.arange(400)))
    weights = np.clip(1 - apart / (found.lag + 1), 0, None)
    deviation = values - values.mean()
    assert found.standard_error == pytest.approx(math.sqrt(deviation @ weights @ deviation) / 400, rel=1e-12)
    assert found.mean == pytest.approx(values.mean())


def test_the_bandwidth_covers_the_overlap_and_grows_with_the_series() -> None:
    assert newey_west_lag(1200, 6) == 24
    assert newey_west_lag(1200, 1) == 6
    assert newey_west_lag(100_000, 2) == 18


def test_the_error_of_overlapping_labels_is_far_above_the_naive_one() -> None:
    values = overlapping_noise(np.random.default_rng(1), 1200)
    naive = values.std() / math.sqrt(1200)
    assert 1.7 < mean_interval(values, purge_sessions=PURGE, confidence=0.95).standard_error / naive < 2.7


@pytest.mark.parametrize(("confidence", "allowed"), [(0.95, 0.065), (0.99, 0.019)])
def test_noise_clears_zero_about_as_rarely_as_promised(confidence: float, allowed: float) -> None:
    rng = np.random.default_rng(11)
    lucky = sum(
        mean_interval(overlapping_noise(rng, 1200), purge_sessions=PURGE, confidence=confidence).lower > 0
        for _ in range(3000)
    )
    assert lucky / 3000 < allowed


def test_a_true_rank_ic_of_six_percent_clears_zero() -> None:
    values = 0.06 + overlapping_noise(np.random.default_rng(2), 1200)
    assert mean_interval(values, purge_sessions=PURGE, confidence=0.999).lower > 0.02


def test_too_short_a_series_says_how_long_it_must_be() -> None:
    with pytest.raises(PromotionError, match="at least 150 sessions"):
        mean_interval(np.zeros(100), purge_sessions=PURGE, confidence=0.95)


def test_a_hole_in_the_series_is_named_by_position() -> None:
    values = np.zeros(300)
    values[7] = np.nan
    with pytest.raises(PromotionError, match="rank IC number 7 of 300 is nan"):
        mean_interval(values, purge_sessions=PURGE, confidence=0.95)


def test_the_deflated_sharpe_counts_every_trial() -> None:
    rng = np.random.default_rng(5)
    returns = 0.001 + 0.01 * rng.standard_t(5, 1200)
    few = deflated_sharpe(returns, [0.01, 0.05])
    many = deflated_sharpe(returns, [0.01, 0.05] * 50)
    assert (few.trials, many.trials) == (2, 100)
    assert many.hurdle > few.hurdle
    assert many.probability < few.probability
    assert few.sharpe == pytest.approx(returns.mean() / returns.std(ddof=1))
    assert few.kurtosis > 3


@pytest.mark.parametrize(
    ("returns", "trials", "words"),
    [
        (np.zeros(200), [0.1], "never vary"),
        (np.arange(30.0), [0.1], "too few"),
        (np.arange(200.0), [], "number of trials is unknown"),
        (np.arange(200.0), [0.1, math.nan], "trial Sharpe ratio number 1 of 2 is nan"),
        (np.full(200, math.inf), [0.1], "net excess return number 0"),
    ],
)
def test_unsound_returns_or_trials_are_refused(returns: np.ndarray, trials: list[float], words: str) -> None:
    with pytest.raises(PromotionError, match=words):
        deflated_sharpe(returns, trials)


def test_the_minimum_track_record_is_that_at_which_the_probability_is_reached() -> None:
    """Bailey and Lopez de Prado (2012): PSR of a track of exactly MinTRL observations is the level asked for."""
    shape = {"hurdle": 0.02, "skewness": -0.7, "kurtosis": 9.0}
    needed = minimum_track_record(0.09, confidence=0.95, **shape)
    assert probabilistic_sharpe(0.09, observations=math.ceil(needed), **shape) >= 0.95
    assert probabilistic_sharpe(0.09, observations=math.floor(needed) - 1, **shape) < 0.95
    assert minimum_track_record(0.02, confidence=0.95, **shape) == math.inf


def test_the_minimum_track_record_of_the_paper() -> None:
    """Their example: an annual Sharpe ratio of 2 of daily normal returns, against 1, takes 2.73 years at 95 %."""
    daily = 2 / math.sqrt(250)
    needed = minimum_track_record(daily, hurdle=1 / math.sqrt(250), skewness=0.0, kurtosis=3.0, confidence=0.95)
    assert needed / 250 == pytest.approx(2.73, abs=0.01)


def test_the_sessions_needed_know_that_the_hurdle_of_luck_falls_with_them() -> None:
    rng = np.random.default_rng(3)
    returns = 0.045 * 0.01 + 0.01 * rng.standard_normal(1200)
    trials = tuple(rng.normal(0, 0.03, 60))
    found = deflated_sharpe(returns, trials, luck=0.5)
    needed = deflated_track_record(found, luck=0.5, confidence=0.95)
    assert math.isfinite(needed)

    def probability(sessions: float) -> float:
        return probabilistic_sharpe(
            found.sharpe,
            hurdle=expected_maximum_sharpe(0.5 / sessions, 60),
            observations=round(sessions),
            skewness=found.skewness,
            kurtosis=found.kurtosis,
        )

    assert probability(needed * 1.01) > 0.95 > probability(needed * 0.99)
    assert deflated_track_record(found, luck=None, confidence=0.95) != needed
