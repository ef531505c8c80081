"""Trials as a matrix: which can be compared, how they correlate where some were pruned, which are one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.errors import PromotionError
from ljwx_pipeline.promotion.trial_returns import distinct_trials, shared_returns, trial_correlation


def noise(sessions: int = 200, trials: int = 6, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 0.01 * (0.5 * rng.standard_normal((sessions, 1)) + rng.standard_normal((sessions, trials)))


def test_pruned_and_constant_trials_are_left_out_and_the_rest_keep_their_sessions() -> None:
    returns = noise()
    returns[100:, 1] = np.nan
    returns[:, 3] = -0.0002
    shared = shared_returns(returns)
    assert shared.trials == (0, 2, 4, 5)
    assert (shared.left_out, shared.sessions_left_out) == (2, 0)
    np.testing.assert_array_equal(shared.values, returns[:, [0, 2, 4, 5]])


def test_a_session_that_one_complete_trial_misses_is_left_out_for_all() -> None:
    returns = noise()
    returns[[3, 50], [2, 4]] = np.nan
    shared = shared_returns(returns)
    assert shared.trials == (0, 1, 2, 3, 4, 5)
    assert shared.sessions_left_out == 2
    np.testing.assert_array_equal(shared.values, np.delete(returns, [3, 50], axis=0))


def test_a_session_without_any_return_is_none() -> None:
    returns = np.vstack([np.full((60, 6), np.nan), noise(100)])
    shared = shared_returns(returns)
    assert (len(shared.values), shared.left_out, shared.sessions_left_out) == (100, 0, 0)


@pytest.mark.parametrize("filled", [np.nan, 0.001])
def test_nothing_to_compare_is_an_empty_matrix(filled: float) -> None:
    shared = shared_returns(np.full((80, 3), filled))
    assert (shared.trials, shared.left_out) == ((), 3)


def test_the_correlation_of_pruned_trials_is_over_the_sessions_both_ran() -> None:
    returns = noise(300, 8)
    returns[150:, 2] = np.nan
    returns[:220, 5] = np.nan
    returns[::7, 6] = np.nan
    expected = pd.DataFrame(returns).corr(min_periods=60).to_numpy()
    assert np.isnan(expected[2, 5])
    np.testing.assert_allclose(trial_correlation(returns), expected, rtol=0, atol=1e-12)


def test_large_means_and_tiny_returns_change_no_correlation() -> None:
    returns = noise()
    expected = np.corrcoef(returns.T)
    np.testing.assert_allclose(trial_correlation(returns * 1e-9 + 1e-7), expected, atol=1e-8)


def test_trials_that_never_vary_are_one_and_unlike_the_rest() -> None:
    returns = noise()
    returns[:, 1], returns[:, 4] = 0.0, -0.001
    returns[30:, 5] = np.nan
    returns[:30, 5] = 0.0
    correlation = trial_correlation(returns)
    assert correlation[1, 4] == 1.0
    assert correlation[1, 0] == 0.0
    assert np.isnan(correlation[1, 5]), "thirty sessions say nothing about a trial"
    assert distinct_trials(correlation).tolist() == [0, 1, 2, 3, 5]


def test_trials_without_any_return_are_not_taken_for_each_other() -> None:
    returns = noise()
    returns[:, 1:3] = np.nan
    assert distinct_trials(trial_correlation(returns)).tolist() == [0, 1, 2, 3, 4, 5]


def test_copies_at_any_leverage_are_one_and_reversed_ones_are_not() -> None:
    returns = noise(trials=3)
    copies = np.column_stack([returns, returns * [1.0, 2.0, 0.5], -returns[:, 0]])
    assert distinct_trials(trial_correlation(copies)).tolist() == [0, 1, 2, 6]


def test_a_pruned_copy_is_one_with_what_it_copies() -> None:
    returns = noise(trials=3)
    pruned = returns[:, 1].copy()
    pruned[90:] = np.nan
    assert distinct_trials(trial_correlation(np.column_stack([returns, pruned]))).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("returns", "told"),
    [
        (np.zeros(50), r"shape \(50,\), not sessions x trials"),
        (np.zeros((50, 0)), "returns of the trials are unknown: pass the daily returns of every trial"),
        (np.where(np.arange(100).reshape(50, 2) == 13, -np.inf, 0.0), "return of trial 1 on session 6 of 50 is -inf"),
    ],
)
def test_what_is_no_matrix_of_returns_is_refused(returns: np.ndarray, told: str) -> None:
    for measure in (shared_returns, trial_correlation):
        with pytest.raises(PromotionError, match=told):
            measure(returns)
