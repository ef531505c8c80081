"""The probability of backtest overfitting equals a plain reckoning by slices, and tells noise from a real edge."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import rankdata

from ljwx_pipeline.errors import PromotionError
from ljwx_pipeline.promotion.overfitting import NotAssessable, Overfitting, backtest_overfitting


def noise(sessions: int, configurations: int, seed: int = 0) -> np.ndarray:
    return 0.01 * np.random.default_rng(seed).standard_normal((sessions, configurations))


def assessed(returns: np.ndarray, *, blocks: int = 16) -> Overfitting:
    found = backtest_overfitting(returns, blocks=blocks)
    assert isinstance(found, Overfitting)
    return found


def plain_sharpe(returns: np.ndarray) -> np.ndarray:
    return np.array([0.0 if np.ptp(one) == 0 else one.mean() / one.std(ddof=1) for one in returns.T])


def plain_splits(returns: np.ndarray, blocks: int) -> list[tuple[float, float, float]]:
    """Logit, Sharpe ratio inside and outside of each split's winner, by slicing: step by step."""
    parts = np.split(returns[len(returns) % blocks :], blocks)
    out = []
    for chosen in itertools.combinations(range(blocks), blocks // 2):
        sample = np.concatenate([parts[block] for block in chosen])
        rest = np.concatenate([parts[block] for block in range(blocks) if block not in chosen])
        inside, outside = plain_sharpe(sample), plain_sharpe(rest)
        winner = int(inside.argmax())
        relative = rankdata(outside)[winner] / (len(outside) + 1)
        out.append((math.log(relative / (1 - relative)), inside[winner], outside[winner]))
    return out


@pytest.mark.parametrize(("configurations", "blocks", "seed"), [(10, 4, 1), (13, 6, 2), (40, 8, 3), (10, 14, 4)])
def test_it_equals_the_plain_reckoning_by_slices(configurations: int, blocks: int, seed: int) -> None:
    returns = noise(173, configurations, seed) + np.linspace(-0.001, 0.001, configurations)
    returns[:90, 4] = 0.0002  # traded in one half of its life alone
    found = assessed(returns, blocks=blocks)
    logits, inside, outside = (np.array(column) for column in zip(*plain_splits(returns, blocks), strict=True))
    assert found.probability == float((logits <= 0).mean())
    assert found.loss_frac == float((outside < 0).mean())
    np.testing.assert_allclose(found.logits, logits, rtol=0, atol=1e-14)
    np.testing.assert_allclose(found.in_sample, inside, rtol=1e-9)
    np.testing.assert_allclose(found.out_of_sample, outside, rtol=1e-9, atol=1e-12)
    assert [found.slope, found.intercept] == pytest.approx(np.polyfit(inside, outside, 1).tolist())
    assert (found.configurations, found.sessions) == (configurations, 173 // blocks * blocks)


def test_sixteen_blocks_make_12870_splits_and_each_has_its_mirror() -> None:
    found = assessed(noise(165, 10))
    assert found.sessions == 160
    assert len(found.logits) == len(found.in_sample) == len(found.out_of_sample) == math.comb(16, 8) == 12_870
    backwards = assessed(noise(165, 10)[5:][::-1])
    # reversed in time a split takes the mirrored blocks: the same splits in another order
    np.testing.assert_allclose(np.sort(backwards.out_of_sample), np.sort(found.out_of_sample))
    assert backwards.probability == found.probability


def test_noise_is_overfitted_half_of_the_time() -> None:
    found = np.array([assessed(noise(200, 20, seed), blocks=8).probability for seed in range(1000)])
    # the winner's rank outside is uniform in each split, and the splits of one history are not independent
    assert found.mean() == pytest.approx(0.5, abs=3 * 0.2 / math.sqrt(1000))
    assert 0.15 < found.std() < 0.25
    assert 0.05 < (found < 0.2).mean() < 0.12
    assert (found < 0.05).mean() < 0.02


def test_one_real_edge_among_noise_is_found_in_every_half() -> None:
    returns = noise(1000, 50, 5)
    returns[:, 17] += 0.0035
    found = assessed(returns)
    assert found.probability < 0.005
    assert found.loss_frac == 0.0
    assert float(np.median(found.logits)) == pytest.approx(math.log(50), abs=1e-12), "the first of 50"


def test_an_edge_that_all_share_leaves_the_choice_among_them_to_chance() -> None:
    returns = noise(1000, 50, 12) + 0.002
    found = assessed(returns)
    assert 0.2 < found.probability < 0.8, "no configuration is better than the others"
    assert found.loss_frac == 0.0, "and each of them earns"


def test_an_edge_that_every_half_takes_back_is_overfitted_always() -> None:
    returns = noise(320, 30, 6)
    returns -= returns.mean(axis=0)  # what is gained in one half is lost in the other
    found = assessed(returns)
    assert found.loss_frac == 1.0
    assert found.probability > 0.95
    assert found.slope == pytest.approx(-1, abs=0.15)


def test_leverage_the_order_of_configurations_and_of_blocks_change_nothing() -> None:
    returns = noise(320, 20, 7)
    plain = assessed(returns, blocks=8)
    order = np.random.default_rng(0).permutation(20)
    assert assessed(returns[:, order] * np.linspace(0.1, 4, 20), blocks=8).probability == plain.probability
    shuffled = returns.reshape(8, 40, 20)[[3, 1, 7, 0, 2, 6, 5, 4]].reshape(320, 20)
    assert assessed(shuffled, blocks=8).probability == plain.probability


def test_copies_and_pruned_configurations_are_left_out_and_counted() -> None:
    returns = noise(320, 15, 8)
    pruned = np.where(np.arange(320)[:, None] < 200, noise(320, 3, 9), np.nan)
    more = np.column_stack([returns, returns[:, :4] * 2, pruned, np.zeros(320)])
    plain, found = assessed(returns, blocks=8), assessed(more, blocks=8)
    assert (found.configurations, found.duplicates, found.left_out) == (15, 4, 4)
    np.testing.assert_array_equal(found.logits, plain.logits)


def test_a_missing_session_is_missing_for_all() -> None:
    returns = noise(325, 12, 10)
    holed = returns.copy()
    holed[[5, 60, 200], [0, 3, 3]] = np.nan
    np.testing.assert_array_equal(assessed(holed).logits, assessed(np.delete(returns, [5, 60, 200], axis=0)).logits)


def test_fewer_than_ten_distinct_configurations_get_no_number() -> None:
    nine = noise(320, 9)
    assert backtest_overfitting(nine) == NotAssessable(configurations=9, needed=10, duplicates=0, left_out=0)
    leveraged = np.column_stack([nine * factor for factor in (1, 2, 3)])
    assert backtest_overfitting(leveraged) == NotAssessable(configurations=9, needed=10, duplicates=18, left_out=0)
    pruned = np.column_stack([nine, np.where(np.arange(320)[:, None] < 100, noise(320, 9, 1), np.nan)])
    assert backtest_overfitting(pruned) == NotAssessable(configurations=9, needed=10, duplicates=0, left_out=9)
    assert backtest_overfitting(np.full((320, 12), np.nan)) == NotAssessable(0, 10, duplicates=0, left_out=12)
    assert isinstance(backtest_overfitting(np.column_stack([nine, noise(320, 1, 1)])), Overfitting)


@pytest.mark.parametrize(("sessions", "blocks", "needed"), [(159, 16, 160), (79, 8, 80), (59, 4, 60)])
def test_too_few_sessions_are_refused_with_the_number_needed(sessions: int, blocks: int, needed: int) -> None:
    with pytest.raises(PromotionError, match=f"{sessions} sessions .* at least {needed} sessions"):
        backtest_overfitting(noise(sessions, 12), blocks=blocks)
    assert assessed(noise(needed, 12), blocks=blocks).sessions == needed


def test_configurations_that_share_no_session_are_told_so() -> None:
    returns = noise(400, 12)
    for trial in range(12):
        returns[trial * 33 : trial * 33 + 36, trial] = np.nan
    with pytest.raises(PromotionError, match=r"\d sessions shared by 12 configurations are too few for 16 blocks"):
        backtest_overfitting(returns)


@pytest.mark.parametrize("blocks", [0, 2, 7, 22])
def test_blocks_that_make_no_symmetric_splits_are_refused(blocks: int) -> None:
    with pytest.raises(PromotionError, match="take an even number from 4 to 20"):
        backtest_overfitting(noise(400, 12), blocks=blocks)


def test_unknown_trials_are_not_zero_trials() -> None:
    with pytest.raises(PromotionError, match="returns of the trials are unknown"):
        backtest_overfitting(np.zeros((400, 0)))
