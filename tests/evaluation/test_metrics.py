"""Performance measures: by hand, and against empyrical where both define the same."""

from __future__ import annotations

import math
from dataclasses import replace

import empyrical
import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.backtest.result import ORDER_COLUMNS, BacktestResult
from ljwx_pipeline.evaluation.metrics import (
    annual_return,
    backtest_summary,
    calmar,
    cash_frac,
    drawdowns,
    max_drawdown,
    monthly_returns,
    payoff_ratio,
    profit_factor,
    returns_of,
    sharpe,
    sortino,
    unwanted_cash_frac,
    win_rate,
)


@pytest.fixture(scope="module")
def equity() -> pd.Series:
    rng = np.random.default_rng(4)
    days = pd.bdate_range("2019-01-31", periods=600)
    return pd.Series(1e7 * np.cumprod(np.r_[1.0, 1 + rng.normal(0.0006, 0.012, 599)]), index=days)


def test_agrees_with_empyrical(equity: pd.Series) -> None:
    returns = returns_of(equity)
    assert annual_return(returns) == pytest.approx(empyrical.annual_return(returns), rel=1e-12)
    assert sharpe(returns) == pytest.approx(empyrical.sharpe_ratio(returns), rel=1e-12)
    assert sortino(returns) == pytest.approx(empyrical.sortino_ratio(returns), rel=1e-12)
    assert sortino(returns, target=0.0004) == pytest.approx(
        empyrical.sortino_ratio(returns, required_return=0.0004), rel=1e-12
    )
    assert max_drawdown(returns) == pytest.approx(-empyrical.max_drawdown(returns), rel=1e-12)
    assert calmar(returns) == pytest.approx(empyrical.calmar_ratio(returns), rel=1e-12)


def test_monthly_returns_agree_with_empyrical_and_lose_nothing(equity: pd.Series) -> None:
    ours = monthly_returns(equity)
    theirs = empyrical.aggregate_returns(returns_of(equity), "monthly")
    np.testing.assert_allclose(ours.to_numpy(), theirs.to_numpy(), rtol=1e-12)
    assert (1 + ours).prod() == pytest.approx(equity.iloc[-1] / equity.iloc[0], rel=1e-12)
    assert str(ours.index[0]) == "2019-02"  # the opening point alone makes no month


def test_a_first_month_counts_from_the_opening_point() -> None:
    equity = pd.Series([100.0, 110.0, 99.0], index=pd.to_datetime(["2020-01-02", "2020-01-31", "2020-02-28"]))
    assert monthly_returns(equity).tolist() == pytest.approx([0.1, -0.1])


def test_a_loss_on_the_first_day_is_a_drawdown() -> None:
    assert max_drawdown(np.array([-0.2, 0.1])) == pytest.approx(0.2)
    assert drawdowns(np.array([-0.2, 0.1])).tolist() == pytest.approx([0.0, 0.2, 0.12])
    assert max_drawdown(np.array([0.1, 0.1])) == 0.0


def test_downside_deviation_is_over_all_returns() -> None:
    returns = np.array([0.02, -0.01, 0.03, -0.01])
    expected = returns.mean() / math.sqrt((0.01**2 * 2) / 4) * math.sqrt(252)
    assert sortino(returns) == pytest.approx(expected)


def test_annual_return_of_a_total_loss_is_minus_one() -> None:
    assert annual_return(np.array([0.1, -1.0])) == -1.0


@pytest.mark.parametrize("measure", [sharpe, sortino, calmar])
def test_a_flat_curve_has_no_ratio(measure: object) -> None:
    assert math.isnan(measure(np.zeros(10)))
    assert math.isnan(annual_return(np.array([])))


def test_win_rate_and_profit_factor() -> None:
    months = np.array([0.03, -0.01, 0.02, 0.0])
    assert win_rate(months) == 0.5
    assert profit_factor(months) == pytest.approx(5.0)
    assert profit_factor(np.array([0.01])) == math.inf
    assert math.isnan(profit_factor(np.zeros(3)))
    assert math.isnan(win_rate(np.array([])))


def test_the_payoff_is_the_mean_gain_over_the_mean_loss() -> None:
    assert payoff_ratio(np.array([0.03, 0.01, -0.01, 0.0])) == pytest.approx(2.0)
    assert payoff_ratio(np.array([0.03])) == math.inf
    assert math.isnan(payoff_ratio(np.array([-0.03])))
    for measure in (payoff_ratio, profit_factor, win_rate):
        assert math.isnan(measure(np.array([0.1, np.nan, -0.1])))


def test_cash_is_a_share_of_equity_after_the_opening(equity: pd.Series) -> None:
    result = result_of(equity)
    assert cash_frac(result) == 0.0
    half = replace(result, cash_fen=result.equity_fen // 2)
    assert cash_frac(half) == pytest.approx(0.5)
    assert math.isnan(cash_frac(replace(result, equity_fen=np.zeros_like(result.equity_fen))))
    halved = replace(half, exposure_bps=np.full(len(half.equity_fen), 6_000, dtype=np.int64))
    assert unwanted_cash_frac(halved) == pytest.approx(0.1)
    assert unwanted_cash_frac(half) == cash_frac(half)


def result_of(equity: pd.Series) -> BacktestResult:
    n = len(equity)
    fen = (equity * 100).round().astype(np.int64).to_numpy()
    zero, traded = np.zeros(n, np.int64), np.full(n, 10_000_000, np.int64)
    traded[0] = 0
    return BacktestResult(
        sessions=pd.DatetimeIndex(equity.index),
        equity_fen=fen,
        cash_fen=zero,
        fees_fen=np.full(n, 50, np.int64),
        dividends_fen=zero,
        written_off_fen=zero,
        bought_fen=traded,
        sold_fen=traded,
        names_held=zero,
        orders=pd.DataFrame(columns=["session_date", "symbol", *ORDER_COLUMNS]),
        positions=pd.DataFrame(),
    )


def test_the_summary_names_what_the_run_summary_promises(equity: pd.Series) -> None:
    summary = backtest_summary(result_of(equity))
    assert list(summary) == [
        "annual_return",
        "sharpe",
        "sortino",
        "calmar",
        "max_drawdown",
        "turnover",
        "win_rate",
        "profit_factor",
        "fees_cny",
    ]
    assert summary["fees_cny"] == 300.0
    assert summary["turnover"] == pytest.approx(252 * (1e5 / equity.iloc[:-1]).mean(), rel=1e-6)


def test_what_cannot_be_measured_is_none_in_the_summary() -> None:
    flat = pd.Series(1e6, index=pd.bdate_range("2020-01-01", periods=40))
    summary = backtest_summary(result_of(flat))
    assert summary["sharpe"] is summary["calmar"] is summary["profit_factor"] is None
    assert summary["max_drawdown"] == 0.0
