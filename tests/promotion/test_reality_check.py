"""White's reality check and Hansen's test: arch's p-values, a plain reckoning, and error rates on simulated trials."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ljwx_pipeline.errors import PromotionError
from ljwx_pipeline.evaluation.bootstrap import stationary_indices
from ljwx_pipeline.promotion.reality_check import RealityCheck, bootstrap_variance, reality_check

#: ``arch.bootstrap.SPA`` of arch 8.0.0, ``block_size=7``, on ``stated_trials`` as negative losses, its ``bootstrap``
#: replaced by one that yields ``stationary_indices(n, 7, resamples=1000, seed=5)``. White's p-value is its "upper"; its
#: maximum is not studentised, so Hansen's three are those it gives for returns divided by the root of its variances.
ARCH = {
    "few": (0.054, 0.047, 0.068, 0.116),
    "many": (0.292, 0.265, 0.351, 0.470),
}
#: Its variances of the first and the last of these trials.
ARCH_VARIANCE = {
    "few": (8.614486561697576e-05, 0.00031877478497006906),
    "many": (5.2283385427253834e-05, 0.0003709413805654505),
}


def stated_trials(name: str) -> np.ndarray:
    rng = np.random.default_rng(31)
    n, k = {"few": (400, 12), "many": (300, 60)}[name]
    common, own = rng.normal(size=(n, 1)), rng.normal(size=(n, k))
    for i in range(1, n):
        own[i] += 0.2 * own[i - 1]
    return 0.01 * (0.6 * common + own * np.linspace(0.5, 1.5, k) + np.linspace(-0.5, 0.12, k))


def correlated_noise(rng: np.random.Generator, sessions: int = 250, trials: int = 10) -> np.ndarray:
    return 0.01 * (0.5 * rng.standard_normal((sessions, 1)) + rng.standard_normal((sessions, trials)))


def plain_check(returns: np.ndarray, *, seed: int, resamples: int, block_length: float) -> tuple[float, ...]:
    """White's and Hansen's lower, consistent and upper p-values, a resample and a trial at a time."""
    n, trials = returns.shape
    mean = [float(np.mean(returns[:, k])) for k in range(trials)]
    stay, spread = 1 - 1 / block_length, []
    for k in range(trials):
        centred = returns[:, k] - mean[k]
        variance = float(centred @ centred) / n
        for lag in range(1, n):
            weight = (n - lag) / n * stay**lag + lag / n * stay ** (n - lag)
            variance += 2 * weight * float(centred[lag:] @ centred[:-lag]) / n
        spread.append(math.sqrt(variance))
    best = max(0.0, *(math.sqrt(n) * mean[k] / spread[k] for k in range(trials)))
    bound = -math.sqrt(2 * math.log(math.log(n)))
    counts = [0, 0, 0, 0]
    for drawn in stationary_indices(n, block_length, resamples=resamples, seed=seed):
        again = [float(np.mean(returns[drawn, k])) for k in range(trials)]
        counts[0] += max(again[k] - mean[k] for k in range(trials)) >= max(mean)
        for at, centre in enumerate(
            (
                [max(m, 0.0) for m in mean],
                [m if math.sqrt(n) * m / s >= bound else 0.0 for m, s in zip(mean, spread, strict=True)],
                mean,
            ),
            start=1,
        ):
            reached = max(0.0, *(math.sqrt(n) * (again[k] - centre[k]) / spread[k] for k in range(trials)))
            counts[at] += reached >= best
    return tuple((1 + count) / (1 + resamples) for count in counts)


def p_values(found: RealityCheck) -> tuple[float, ...]:
    return found.white, found.spa_lower, found.spa_consistent, found.spa_upper


@pytest.mark.parametrize("name", ARCH)
def test_the_p_values_are_archs(name: str) -> None:
    found = reality_check(stated_trials(name), seed=5, resamples=1000, block_length=7)
    # arch leaves out the sample itself, which counts as one resample here
    assert [(p * 1001 - 1) / 1000 for p in p_values(found)] == pytest.approx(ARCH[name], abs=1e-12)
    assert bootstrap_variance(stated_trials(name), 7)[[0, -1]].tolist() == pytest.approx(ARCH_VARIANCE[name], rel=1e-9)


@pytest.mark.parametrize(("seed", "shift"), [(1, 0.0), (2, 0.001), (3, -0.004)])
def test_the_p_values_are_those_of_a_plain_reckoning(seed: int, shift: float) -> None:
    rng = np.random.default_rng(seed)
    returns = correlated_noise(rng, 120, 6) * rng.uniform(0.5, 2, 6) + shift * np.arange(-1, 5)
    found = reality_check(returns, seed=seed, resamples=150, block_length=3.5)
    assert p_values(found) == plain_check(returns, seed=seed, resamples=150, block_length=3.5)


def test_the_variance_is_that_of_the_resampled_mean() -> None:
    values = np.random.default_rng(3).standard_normal((200, 1)).cumsum(axis=0)
    means = values[stationary_indices(200, 9, resamples=20_000, seed=0), 0].mean(axis=1)
    assert bootstrap_variance(values, 9)[0] == pytest.approx(200 * means.var(), rel=0.03)


def test_the_best_of_noise_passes_about_as_rarely_as_promised() -> None:
    rng = np.random.default_rng(7)
    found = np.array([p_values(reality_check(correlated_noise(rng), seed=0, resamples=200)) for _ in range(400)])
    passed = (found <= 0.05).mean(axis=0)
    assert passed.max() < 0.085  # 0.05 and three standard errors of 400 trials
    assert passed[2] > 0.02, "and not never"


def test_a_real_edge_among_noise_passes() -> None:
    rng = np.random.default_rng(8)
    found = []
    for _ in range(50):
        returns = correlated_noise(rng, 500, 20)
        returns[:, 3] += 0.0025
        found.append(reality_check(returns, seed=0, resamples=200))
    assert np.mean([one.spa_consistent <= 0.05 for one in found]) > 0.85
    assert np.mean([one.best == 3 for one in found]) > 0.95


def test_bad_wild_trials_hide_an_edge_from_white_and_not_from_hansen() -> None:
    rng = np.random.default_rng(9)
    returns = 0.01 * rng.standard_normal((500, 30))
    returns[:, 0] += 0.0018
    returns[:, 1:] = 5 * (returns[:, 1:] - 0.004)
    found = reality_check(returns, seed=0)
    assert found.spa_consistent < 0.01
    assert found.spa_consistent < found.spa_upper < found.white
    assert found.white > 0.5


def test_the_three_of_hansen_are_ordered_and_losers_never_pass() -> None:
    rng = np.random.default_rng(10)
    for shift in (-0.003, 0.0, 0.001):
        found = reality_check(correlated_noise(rng) + shift * np.arange(10) / 5, seed=1, resamples=200)
        assert found.spa_lower <= found.spa_consistent <= found.spa_upper
    lost = reality_check(correlated_noise(rng) - 0.005, seed=1, resamples=200)
    assert (lost.statistic, lost.spa_lower, lost.spa_consistent, lost.spa_upper) == (0.0, 1.0, 1.0, 1.0)
    assert lost.white > 0.99


def test_the_same_seed_gives_the_same_values_and_a_p_value_is_never_zero() -> None:
    returns = correlated_noise(np.random.default_rng(11)) + 0.01
    assert reality_check(returns, seed=4, resamples=100) == reality_check(returns, seed=4, resamples=100)
    assert p_values(reality_check(returns, seed=4, resamples=100)) == (1 / 101,) * 4


def test_pruned_trials_are_left_out_and_the_best_keeps_its_number() -> None:
    returns = correlated_noise(np.random.default_rng(12))
    returns[:, 6] += 0.005
    returns[100:, 2] = np.nan
    returns[:, 4] = 0.0
    returns[17, 8] = np.nan
    found = reality_check(returns, seed=0, resamples=100)
    assert (found.trials, found.left_out, found.sessions, found.best) == (8, 2, 249, 6)
    rest = np.delete(np.delete(returns, [2, 4], axis=1), 17, axis=0)
    assert p_values(found) == p_values(reality_check(rest, seed=0, resamples=100))


def test_dependence_asks_for_longer_blocks() -> None:
    rng = np.random.default_rng(13)
    free = rng.standard_normal((600, 5))
    chained = free.copy()
    for i in range(1, 600):
        chained[i] += 0.7 * chained[i - 1]
    lengths = [reality_check(one, seed=0, resamples=100).block_length for one in (free, chained)]
    assert lengths[0] < 4 < 8 < lengths[1]


@pytest.mark.parametrize(
    ("returns", "changed", "told"),
    [
        (np.zeros((200, 3)), {}, "none of 3 trials has returns that vary"),
        (np.zeros((200, 0)), {}, "returns of the trials are unknown"),
        (np.arange(118.0).reshape(59, 2), {}, "59 sessions shared by 2 trials are too few .* at least 60"),
        (np.arange(400.0).reshape(200, 2), {"resamples": 99}, "99 resamples .* at least 100 resamples"),
        (np.arange(400.0).reshape(200, 2), {"block_length": 0.5}, "blocks of 0.5 sessions"),
        (np.arange(400.0).reshape(200, 2), {"block_length": math.nan}, "blocks of nan sessions"),
    ],
)
def test_what_says_nothing_is_refused(returns: np.ndarray, changed: dict[str, float], told: str) -> None:
    with pytest.raises(PromotionError, match=told):
        reality_check(returns, seed=0, **changed)
