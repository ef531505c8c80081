"""The bootstrap: its draws, its block length against arch's, its coverage, its measures against the plain ones."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.evaluation import benchmarks, metrics, tails
from ljwx_pipeline.evaluation.bootstrap import (
    BootstrapParams,
    Interval,
    optimal_block_length,
    percentile_interval,
    shared_block_length,
    stationary_indices,
)
from ljwx_pipeline.evaluation.resampled import OWN, RELATIVE, bootstrap_intervals, resampled_measures

ROOT = Path(__file__).resolve().parents[2]
#: ``arch.bootstrap.optimal_block_length(series)["stationary"]`` of arch 8.0.0 on ``dependent_series()``.
ARCH = {
    "white": 0.1574010602580115,
    "ar1 0.3": 8.344813575152218,
    "ar1 0.8": 30.88280096259405,
    "ar1 -0.4": 8.722102376318622,
    "short": 3.162223759409165,
    "garch squared": 53.62883295035347,
}


def ar1(rng: np.random.Generator, phi: float, n: int) -> np.ndarray:
    drawn = rng.normal(size=n)
    for i in range(1, n):
        drawn[i] += phi * drawn[i - 1]
    return drawn


def dependent_series() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(20)
    kinds = (("white", 0.0, 800), ("ar1 0.3", 0.3, 1700), ("ar1 0.8", 0.8, 1700), ("ar1 -0.4", -0.4, 600))
    out = {name: ar1(rng, phi, n) for name, phi, n in (*kinds, ("short", 0.5, 60))}
    variance, drawn = 1.0, np.empty(1700)
    for i in range(1700):
        drawn[i] = rng.normal() * np.sqrt(variance)
        variance = 0.05 + 0.1 * drawn[i] ** 2 + 0.85 * variance
    return out | {"garch squared": drawn**2}


@pytest.mark.parametrize("name", [name for name in ARCH if name not in ("white", "ar1 0.8")])
def test_the_block_length_is_archs(name: str) -> None:
    assert optimal_block_length(dependent_series()[name]) == pytest.approx(ARCH[name], rel=1e-9)


def test_where_the_window_ends_a_lag_later_the_block_length_is_close_to_archs() -> None:
    # arch divides a lag's autocovariance by a slightly other variance when it looks for the last lag that counts
    assert optimal_block_length(dependent_series()["ar1 0.8"]) == pytest.approx(ARCH["ar1 0.8"], rel=0.01)


def test_a_block_is_one_observation_or_more() -> None:
    assert ARCH["white"] < 1
    assert optimal_block_length(dependent_series()["white"]) == 1.0
    assert optimal_block_length(np.full(500, 0.01)) == 1.0
    assert optimal_block_length(np.array([0.1, -0.2])) == 1.0
    assert optimal_block_length(np.array([])) == 1.0


def test_clustered_volatility_asks_for_longer_blocks_than_the_returns_alone() -> None:
    rng = np.random.default_rng(3)
    returns = rng.normal(size=1700) * np.repeat(rng.choice([0.5, 2.0], 34), 50)
    assert shared_block_length(returns) == optimal_block_length(returns**2) > 5 * optimal_block_length(returns)


@pytest.mark.parametrize("block", [1.0, 7.0, 400.0])
def test_blocks_are_of_the_length_asked_for_and_every_observation_is_as_likely(block: float) -> None:
    n, resamples = 300, 400
    drawn = stationary_indices(n, block, resamples=resamples, seed=5)
    assert drawn.shape == (resamples, n)
    assert (drawn.min(), drawn.max()) == (0, n - 1)
    follows = (np.diff(drawn, axis=1) - 1) % n == 0
    expected = 1 - (1 / block) * (1 - 1 / n)
    assert follows.mean() == pytest.approx(expected, abs=0.01)
    share = np.bincount(drawn.ravel(), minlength=n) / drawn.size
    assert np.abs(share * n - 1).max() < 0.5 + 5 * math.sqrt(block / resamples / n)
    starts = drawn[:, 0]
    assert abs(starts.mean() / ((n - 1) / 2) - 1) < 0.12


def test_the_same_seed_draws_the_same_and_another_does_not() -> None:
    one, two, other = (stationary_indices(100, 5.0, resamples=20, seed=seed) for seed in (1, 1, 2))
    assert one.tobytes() == two.tobytes() != other.tobytes()


def test_a_resample_that_is_the_series_itself_has_the_plain_figures() -> None:
    rng = np.random.default_rng(9)
    for n in (2, 19, 21, 500):
        sessions = pd.bdate_range("2020-01-01", periods=n)
        market = pd.Series(rng.normal(0.0003, 0.011, n), index=sessions)
        own = 0.7 * market + pd.Series(rng.standard_t(4, n) * 0.006 + 0.0004, index=sessions)
        found = resampled_measures(own.to_numpy(), {"m": market.to_numpy()}, np.arange(n)[None, :])
        plain = {
            "annual_return": metrics.annual_return(own),
            "annual_volatility": metrics.annual_volatility(own),
            "sharpe": metrics.sharpe(own),
            "sortino": metrics.sortino(own),
            "calmar": metrics.calmar(own),
            "max_drawdown": metrics.max_drawdown(own),
            "win_rate": metrics.win_rate(own),
            "profit_factor": metrics.profit_factor(own),
            "tail_ratio": tails.tail_ratio(own),
            "value_at_risk": tails.value_at_risk(own),
            "expected_shortfall": tails.expected_shortfall(own),
            "skewness": tails.skewness(own),
            "excess_kurtosis": tails.excess_kurtosis(own),
            "excess_annual_return:m": metrics.annual_return(own) - metrics.annual_return(market),
            "information_ratio:m": benchmarks.information_ratio(own, market),
            "tracking_error:m": benchmarks.tracking_error(own, market),
            "beta:m": benchmarks.beta(own, market),
            "alpha:m": benchmarks.alpha(own, market),
        }
        assert list(found) == list(plain) == [*OWN, *(f"{name}:m" for name in RELATIVE)]
        for name, value in plain.items():
            assert found[name][0] == pytest.approx(value, rel=1e-9, abs=1e-12, nan_ok=True), (n, name)


def test_each_resample_has_the_plain_figures_of_what_was_drawn() -> None:
    rng = np.random.default_rng(10)
    returns, market = rng.normal(0.0005, 0.012, (2, 120))
    drawn = stationary_indices(120, 4.0, resamples=30, seed=1)
    found = resampled_measures(returns, {"m": market}, drawn)
    for row, at in enumerate(drawn):
        own, other = pd.Series(returns[at]), pd.Series(market[at])
        assert found["sharpe"][row] == pytest.approx(metrics.sharpe(own), rel=1e-9)
        assert found["calmar"][row] == pytest.approx(metrics.calmar(own), rel=1e-9)
        assert found["tail_ratio"][row] == pytest.approx(tails.tail_ratio(own), rel=1e-9)
        assert found["expected_shortfall"][row] == pytest.approx(tails.expected_shortfall(own), rel=1e-9)
        assert found["excess_kurtosis"][row] == pytest.approx(tails.excess_kurtosis(own), rel=1e-8)
        assert found["alpha:m"][row] == pytest.approx(benchmarks.alpha(own, other), rel=1e-8)


def test_a_total_loss_is_a_figure_like_any_other() -> None:
    returns = np.array([0.1, -1.0, 0.1, 0.2, -0.1])
    found = resampled_measures(returns, {}, np.arange(5)[None, :])
    assert found["annual_return"][0] == pytest.approx(-1.0)
    assert found["max_drawdown"][0] == pytest.approx(1.0)


def sharpe_interval(series: np.ndarray, block: float, seed: int) -> Interval:
    """As ``bootstrap_intervals`` makes it, of this one measure."""
    drawn = series[stationary_indices(len(series), block, resamples=300, seed=seed)]
    return percentile_interval(drawn.mean(axis=1) / drawn.std(axis=1, ddof=1), 0.95)


@pytest.mark.parametrize("phi", [-0.2, 0.0, 0.3])
def test_the_interval_of_the_sharpe_ratio_covers_the_true_one(phi: float) -> None:
    """Of 200 seeded AR(1) histories of two years, nearly as often as it says; counting them as independent does not."""
    rng = np.random.default_rng(11)
    trials, n, mean = 200, 500, 0.1
    truth = mean * math.sqrt(1 - phi**2)
    covered = independent = 0
    for trial in range(trials):
        series = mean + ar1(rng, phi, n + 50)[50:]
        found = sharpe_interval(series, shared_block_length(series), trial)
        covered += found.lower <= truth <= found.upper
        alone = sharpe_interval(series, 1.0, trial)
        independent += alone.lower <= truth <= alone.upper
    assert 0.90 <= covered / trials <= 0.98
    if phi == 0.3:
        assert independent / trials < 0.88
    if phi < 0:
        assert independent / trials > 0.97


def test_the_interval_of_a_mean_is_as_wide_as_theory_says() -> None:
    """For independent returns: 2 x 1.96 standard errors of the mean, within the noise of 2,000 resamples."""
    returns = np.random.default_rng(12).normal(0, 0.01, 1700)
    found = bootstrap_intervals(returns, params=BootstrapParams(block_length=1))["sharpe"]
    assert found.upper - found.lower == pytest.approx(2 * 1.96 * math.sqrt(252 / 1700), rel=0.06)


def test_strategy_and_benchmark_stay_together() -> None:
    market = np.random.default_rng(13).normal(0, 0.01, 400)
    found = bootstrap_intervals(1.5 * market, {"m": market}, params=BootstrapParams(resamples=100))
    assert found["beta:m"].lower == pytest.approx(1.5)
    assert found["beta:m"].upper == pytest.approx(1.5)


def test_what_most_resamples_lack_has_no_interval() -> None:
    assert math.isnan(percentile_interval(np.array([np.nan, np.nan, 1.0, 2.0]), 0.9).lower)
    assert percentile_interval(np.array([np.nan, 1.0, 2.0]), 0.9) == Interval(1.0, 2.0)
    rising = bootstrap_intervals(np.full(50, 0.01))
    assert math.isnan(rising["calmar"].lower)
    assert math.isnan(rising["sharpe"].upper)
    assert rising["max_drawdown"] == Interval(0.0, 0.0)
    assert rising["profit_factor"] == Interval(math.inf, math.inf)
    assert math.isnan(bootstrap_intervals(np.array([0.1]))["sharpe"].lower)


def test_percentile_intervals_leave_out_as_much_on_both_sides() -> None:
    values = np.random.default_rng(1).permutation(np.arange(1.0, 1001.0))
    assert percentile_interval(values, 0.9) == Interval(50.0, 950.0)


def test_gaps_and_impossible_draws_are_refused() -> None:
    returns = np.array([0.01, np.nan, 0.02] * 5)
    with pytest.raises(DataQualityError, match="no finite value at position 1 of 15"):
        optimal_block_length(returns)
    with pytest.raises(DataQualityError, match="the strategy has 10 finite returns where 15 are needed"):
        bootstrap_intervals(returns)
    with pytest.raises(DataQualityError, match="m has 3 finite returns where 15"):
        bootstrap_intervals(np.zeros(15), {"m": np.zeros(3)})
    for n, block, resamples in ((0, 2.0, 5), (9, 0.5, 5), (9, math.nan, 5), (9, 2.0, 0)):
        with pytest.raises(DataQualityError, match="cannot be drawn"):
            stationary_indices(n, block, resamples=resamples, seed=0)


def test_two_thousand_resamples_of_1700_sessions_take_less_than_a_second() -> None:
    """Of every measure, against six benchmarks; processor time, the best of three."""
    rng = np.random.default_rng(0)
    returns = rng.normal(0.0005, 0.012, 1700)
    others = {f"b{i}": 0.5 * returns + rng.normal(0.0003, 0.01, 1700) for i in range(6)}
    taken = []
    for _ in range(3):
        began = time.process_time()
        found = bootstrap_intervals(returns, others)
        taken.append(time.process_time() - began)
    assert len(found) == len(OWN) + 6 * len(RELATIVE)
    assert min(taken) < 1.0


def test_the_same_seed_gives_the_same_bits_on_any_number_of_threads() -> None:
    program = (
        "import hashlib, numpy as np\n"
        "from ljwx_pipeline.evaluation.bootstrap import stationary_indices\n"
        "from ljwx_pipeline.evaluation.resampled import resampled_measures\n"
        "drawn = np.random.default_rng(14).normal(0.0004, 0.012, (4, 1700))\n"
        "others = {str(i): each for i, each in enumerate(drawn[1:])}\n"
        "found = resampled_measures(drawn[0], others, stationary_indices(1700, 10, resamples=500, seed=0))\n"
        "print(hashlib.sha256(b''.join(values.tobytes() for values in found.values())).hexdigest())\n"
    )
    seen = set()
    for threads in ("1", "2"):
        environment = os.environ | {"OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
        )
        seen.add(done.stdout)
    assert len(seen) == 1
