"""empyrical-reloaded as oracle: equal wherever both define the same, every difference on purpose with its reason."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import empyrical
import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.evaluation.benchmarks import alpha, beta, information_ratio, tracking_error
from ljwx_pipeline.evaluation.metrics import (
    annual_return,
    annual_volatility,
    calmar,
    drawdowns,
    max_drawdown,
    monthly_returns,
    sharpe,
    sortino,
    total_return,
    win_rate,
)
from ljwx_pipeline.evaluation.tails import expected_shortfall, tail_ratio, value_at_risk

OWN: dict[str, tuple[Callable[..., float], Callable[..., float]]] = {
    "total return": (total_return, empyrical.cum_returns_final),
    "annual return": (annual_return, empyrical.annual_return),
    "annual volatility": (annual_volatility, empyrical.annual_volatility),
    "sharpe": (sharpe, empyrical.sharpe_ratio),
    "sortino": (sortino, empyrical.sortino_ratio),
    "calmar": (calmar, empyrical.calmar_ratio),
    "max drawdown": (lambda returns: -max_drawdown(returns), empyrical.max_drawdown),
    "tail ratio": (tail_ratio, empyrical.tail_ratio),
    "value at risk": (value_at_risk, empyrical.value_at_risk),
    "expected shortfall": (expected_shortfall, empyrical.conditional_value_at_risk),
    "win rate": (win_rate, lambda returns: empyrical.batting_average(returns, returns * 0)["batting average"]),
}
AGAINST: dict[str, tuple[Callable[..., float], Callable[..., float]]] = {
    "beta": (beta, empyrical.beta),
    "alpha": (alpha, empyrical.alpha),
    "information ratio": (
        information_ratio,
        lambda returns, market: empyrical.excess_sharpe(returns, market) * math.sqrt(252),
    ),
    "tracking error": (
        tracking_error,
        lambda returns, market: empyrical.annual_volatility(returns - market),
    ),
}


def random_series() -> dict[str, np.ndarray]:
    """Fifty drawn histories: normal, heavy tails, skewed, drifting, crashing, tiny and large."""
    out: dict[str, np.ndarray] = {}
    for seed in range(10):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(2, 800))
        out[f"normal {seed}"] = rng.normal(0.0004, 0.012, n)
        out[f"heavy tails {seed}"] = np.clip(rng.standard_t(2.5, n) * 0.01, -0.9, 5)
        out[f"mostly flat {seed}"] = np.where(rng.uniform(size=n) < 0.7, 0.0, rng.normal(0, 0.02, n))
        out[f"fen by fen {seed}"] = rng.normal(0, 1e-7, n)
        out[f"wild {seed}"] = rng.uniform(-0.6, 1.2, n)
    return out


EDGES = {
    "one return": np.array([0.01]),
    "one loss": np.array([-0.01]),
    "two returns": np.array([0.01, -0.02]),
    "a loss first": np.array([-0.3, 0.1, 0.1]),
    "only gains": np.array([0.01, 0.02, 0.015]),
    "only losses": np.array([-0.01, -0.02, -0.015]),
    "ends in ruin": np.array([0.1, 0.05, -1.0]),
    "ruin, then nothing": np.array([0.1, -1.0, 0.0, 0.0]),
    "doubles and halves": np.array([1.0, -0.5] * 30),
    "twenty one": np.linspace(-0.05, 0.05, 21),
}
SERIES = random_series() | EDGES


def dated(values: np.ndarray) -> pd.Series:
    return pd.Series(values, index=pd.bdate_range("2015-01-01", periods=len(values)))


def quietly(of: Callable[..., float], *series: pd.Series) -> float:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return float(of(*series))


@pytest.mark.parametrize("measure", OWN)
def test_measures_of_one_series_are_empyricals(measure: str) -> None:
    ours, theirs = OWN[measure]
    compared = 0
    for name, values in SERIES.items():
        expected = quietly(theirs, dated(values))
        found = ours(dated(values))
        if math.isinf(expected):  # a ratio over zero: not defined here, see below
            assert math.isnan(found), name
            continue
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-13, nan_ok=True), name
        compared += math.isfinite(expected)
    assert compared > 50


@pytest.mark.parametrize("measure", AGAINST)
def test_measures_against_a_market_are_empyricals(measure: str) -> None:
    ours, theirs = AGAINST[measure]
    compared = 0
    for seed, (name, values) in enumerate(SERIES.items()):
        market = dated(np.random.default_rng(seed).normal(0.0002, 0.011, len(values)))
        own = dated(0.6 * market.to_numpy() + values)
        expected = quietly(theirs, own, market)
        assert ours(own, market) == pytest.approx(expected, rel=1e-8, abs=1e-12, nan_ok=True), name
        compared += math.isfinite(expected)
    assert compared > 50


def test_the_drawdown_curve_is_empyricals_with_the_opening_point_before_it() -> None:
    for values in SERIES.values():
        np.testing.assert_allclose(-drawdowns(values)[1:], empyrical.stats.drawdown_series(values), atol=1e-12)


def test_months_are_empyricals() -> None:
    equity = dated(np.r_[1.0, np.cumprod(1 + SERIES["normal 3"])]) * 1e6
    theirs = empyrical.aggregate_returns(equity.pct_change().iloc[1:], "monthly")
    np.testing.assert_allclose(monthly_returns(equity).to_numpy(), theirs.to_numpy(), rtol=1e-10)


def test_by_months_annual_figures_are_empyricals() -> None:
    months = SERIES["normal 1"][:60]
    assert sharpe(months, periods_per_year=12) == pytest.approx(empyrical.sharpe_ratio(months, period="monthly"))
    assert sortino(months, periods_per_year=12) == pytest.approx(empyrical.sortino_ratio(months, period="monthly"))
    assert calmar(months, periods_per_year=12) == pytest.approx(empyrical.calmar_ratio(months, period="monthly"))


# Differences on purpose, each at its smallest.


def test_a_first_loss_is_a_drawdown_which_the_usual_snippet_misses() -> None:
    """We and empyrical are right: who put in 100 and has 80 has lost a fifth, whatever the highest close was."""
    returns = dated(np.array([-0.2, 0.1]))
    curve = (1 + returns).cumprod()
    assert float((curve / curve.cummax() - 1).min()) == 0.0
    assert max_drawdown(returns) == pytest.approx(0.2)
    assert empyrical.max_drawdown(returns) == pytest.approx(-0.2)


def test_the_sortino_deviation_is_over_all_returns_which_the_usual_snippet_misses() -> None:
    """We and empyrical are right (Sortino and van der Meer 1991): two equal losses are a risk, their spread is 0."""
    returns = np.array([0.02, -0.01, 0.03, -0.01])
    assert returns[returns < 0].std() == 0.0
    assert sortino(returns) == pytest.approx(returns.mean() / math.sqrt(0.0002 / 4) * math.sqrt(252))
    assert sortino(returns) == pytest.approx(empyrical.sortino_ratio(returns))


def test_a_ratio_over_nothing_does_not_exist_while_empyrical_calls_it_infinite() -> None:
    """We are right for a report: an account that gains the same each session is not infinitely good, it is untested."""
    steady = dated(np.full(10, 0.01))
    assert quietly(empyrical.sharpe_ratio, steady) == math.inf
    assert quietly(empyrical.sortino_ratio, steady) == math.inf
    assert math.isnan(sharpe(steady))
    assert math.isnan(sortino(steady))
    idle = np.zeros(40)
    idle[-4:] = 0.01
    assert quietly(empyrical.tail_ratio, idle) == math.inf
    assert math.isnan(tail_ratio(idle))


def test_a_gap_makes_a_measure_unknown_while_empyrical_skips_it() -> None:
    """We are right for an account: it has an equity on every session, so a gap is a fault and not a holiday."""
    gap = np.array([0.01, np.nan, -0.02, 0.03])
    assert math.isfinite(empyrical.sharpe_ratio(gap))
    measures = [sharpe, sortino, calmar, annual_return, annual_volatility, max_drawdown, total_return, win_rate]
    for measure in (*measures, tail_ratio, value_at_risk, expected_shortfall):
        assert math.isnan(measure(gap)), measure.__name__
    other = dated(np.array([0.01, 0.02, -0.02, 0.03]))
    for against in (beta, alpha, information_ratio, tracking_error):
        assert math.isnan(against(dated(gap), other)), against.__name__
        assert math.isnan(against(other, dated(gap))), against.__name__


def test_more_than_all_cannot_be_lost() -> None:
    """empyrical multiplies on below zero; a long account ends there, so -1 a year is the least."""
    returns = np.array([-1.5, 0.5])
    assert quietly(empyrical.cum_returns_final, returns) == pytest.approx(-1.75)
    assert annual_return(returns) == -1.0


def test_nothing_measured_has_no_drawdown() -> None:
    """Of an empty series empyrical's drawdown is unknown; ours is of the opening capital alone, which never fell."""
    assert math.isnan(empyrical.max_drawdown(np.array([])))
    assert max_drawdown(np.array([])) == 0.0
    for measure in (sharpe, sortino, calmar, annual_return, total_return, win_rate, tail_ratio, value_at_risk):
        assert math.isnan(measure(np.array([]))), measure.__name__
