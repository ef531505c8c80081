"""The effective number of trials: its formulas by hand, duplicates once, pruned trials counted."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ljwx_pipeline.errors import PromotionError
from ljwx_pipeline.promotion.effective_trials import (
    effective_trials,
    number_by_average_correlation,
    number_by_eigenvalues,
)
from ljwx_pipeline.promotion.statistics import expected_maximum_sharpe


def factor_returns(trials: int, correlation: float, *, sessions: int = 1000, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    common = math.sqrt(correlation) * rng.standard_normal((sessions, 1))
    return 0.01 * (common + math.sqrt(1 - correlation) * rng.standard_normal((sessions, trials)))


@pytest.mark.parametrize(
    ("trials", "average", "number"), [(100, 0.0, 100), (100, 1.0, 1), (100, 0.5, 50.5), (1, 0.0, 1), (8, -0.1, 8)]
)
def test_by_average_correlation_lies_between_one_and_all(trials: int, average: float, number: float) -> None:
    assert number_by_average_correlation(trials, average) == pytest.approx(number)


@pytest.mark.parametrize(
    ("eigenvalues", "number"),
    [
        ([1.0, 1.0, 1.0, 1.0], 4),  # independent
        ([4.0, 0.0, 0.0, 0.0], 1),  # all one
        ([2.0 - 1e-12, 2.0 - 1e-12, 1e-12, 1e-12], 2),  # two, each there twice
        ([2.5, 1.0, 0.5, 0.0], 3),  # 1.5 + 1 + 0.5
        ([3.25, 1.3, 0.6, -0.15], 1.25 + 1.3 + 0.6 + 0.15),  # measured pair by pair
        ([1.0], 1),
    ],
)
def test_by_eigenvalues_is_reckoned_as_by_hand(eigenvalues: list[float], number: float) -> None:
    assert number_by_eigenvalues(np.array(eigenvalues)) == pytest.approx(number, abs=1e-6)


def test_five_clusters_of_twenty_by_hand() -> None:
    # eigenvalues of each cluster: 1 + 19 * 0.95 = 19.05 once, 0.05 nineteen times
    matrix = np.kron(np.eye(5), np.full((20, 20), 0.95)) + 0.05 * np.eye(100)
    assert number_by_eigenvalues(np.linalg.eigvalsh(matrix)) == pytest.approx(5 * 1.05 + 95 * 0.05, abs=1e-6)
    average = matrix[np.triu_indices(100, 1)].mean()
    assert number_by_average_correlation(100, average) == pytest.approx(100 - 99 * 5 * 190 * 0.95 / 4950)


def test_the_number_of_measured_returns_follows_from_their_correlation_matrix() -> None:
    returns = factor_returns(12, 0.4)
    matrix = np.corrcoef(returns.T)
    found = effective_trials(returns)
    average = (matrix.sum() - 12) / (12 * 11)
    size = np.abs(np.linalg.eigvalsh(matrix))
    assert found.average_correlation == pytest.approx(average)
    assert found.by_average_correlation == pytest.approx(average + (1 - average) * 12)
    assert found.by_eigenvalues == pytest.approx(sum((1 if x >= 1 else 0) + x - math.floor(x) for x in size))
    assert (found.trials, found.distinct, found.unknown_pairs) == (12, 12, 0)


def test_independent_trials_count_in_full_and_alike_ones_nearly_once() -> None:
    free = effective_trials(factor_returns(40, 0.0, sessions=2000))
    assert free.by_average_correlation == pytest.approx(40, abs=1)
    assert free.by_eigenvalues == pytest.approx(40, abs=0.01)
    alike = effective_trials(factor_returns(40, 0.98, sessions=2000))
    assert 1 < alike.by_average_correlation < 2.5
    assert 1 < alike.by_eigenvalues < 3


def test_a_duplicate_counts_once_in_both_and_the_raw_number_says_how_many_there_were() -> None:
    returns = factor_returns(9, 0.3)
    alone = effective_trials(returns)
    repeated = effective_trials(np.column_stack([returns, returns[:, :5], 3 * returns, returns[:, [0] * 30]]))
    assert (repeated.trials, repeated.distinct) == (53, 9)
    assert repeated.by_average_correlation == alone.by_average_correlation
    assert repeated.by_eigenvalues == pytest.approx(alone.by_eigenvalues, rel=1e-12)


def test_pruned_trials_count() -> None:
    returns = factor_returns(20, 0.3)
    pruned = returns.copy()
    pruned[400:, 10:] = np.nan
    whole, cut = effective_trials(returns), effective_trials(pruned)
    assert cut.distinct == 20
    assert cut.unknown_pairs == 0
    assert cut.by_average_correlation == pytest.approx(whole.by_average_correlation, rel=0.1)
    assert cut.by_eigenvalues == pytest.approx(whole.by_eigenvalues, rel=0.1)


def test_trials_that_share_too_few_sessions_count_as_independent() -> None:
    returns = factor_returns(2, 0.9, sessions=200)
    returns[120:, 0] = np.nan
    returns[:70, 1] = np.nan
    found = effective_trials(returns)
    assert (found.unknown_pairs, found.by_average_correlation, found.by_eigenvalues) == (1, 2.0, pytest.approx(2.0))


def test_the_measured_variance_of_alike_trials_needs_the_raw_number_beside_it() -> None:
    # the variance across trials already lacks what they share; an effective number would take it off a second time
    sharpes = factor_returns(100, 0.5, sessions=20_000, seed=2)  # each row one draw of the Sharpe ratios of 100 trials
    best, variance = sharpes.max(axis=1).mean(), sharpes.var(axis=1, ddof=1).mean()
    fewer = round(effective_trials(factor_returns(100, 0.5, seed=3)).by_average_correlation)
    assert 45 < fewer < 60
    assert expected_maximum_sharpe(variance, 100) == pytest.approx(best, rel=0.02)
    assert expected_maximum_sharpe(variance, fewer) < 0.95 * best


def test_a_single_trial_is_one() -> None:
    found = effective_trials(factor_returns(1, 0.0))
    assert (found.by_average_correlation, found.by_eigenvalues, found.average_correlation) == (1.0, 1.0, 0.0)


def test_no_trial_is_refused() -> None:
    with pytest.raises(PromotionError, match="returns of the trials are unknown"):
        effective_trials(np.zeros((100, 0)))
