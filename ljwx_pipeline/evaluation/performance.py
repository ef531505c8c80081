"""Every figure of a backtest, each with its interval, unit and basis: the one source of report, JSON and Parquet.

Not here: the formulas (the modules beside this one) or how figures are stored (``performance_file.py``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ljwx_pipeline.backtest.result import BacktestResult
from ljwx_pipeline.config import CostSettings
from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.evaluation.benchmarks import (
    alpha,
    beta,
    index_returns,
    information_ratio,
    tracking_error,
)
from ljwx_pipeline.evaluation.bootstrap import BootstrapParams, Interval
from ljwx_pipeline.evaluation.capacity import capacity
from ljwx_pipeline.evaluation.closed_trades import closed_trades
from ljwx_pipeline.evaluation.conventions import qlib_risk_analysis
from ljwx_pipeline.evaluation.drawdown_table import longest_drawdown_sessions
from ljwx_pipeline.evaluation.metrics import (
    MONTHS_PER_YEAR,
    annual_return,
    annual_turnover,
    annual_volatility,
    calmar,
    cash_frac,
    max_drawdown,
    monthly_returns,
    payoff_ratio,
    profit_factor,
    returns_of,
    sharpe,
    sortino,
    total_return,
    win_rate,
)
from ljwx_pipeline.evaluation.resampled import bootstrap_intervals
from ljwx_pipeline.evaluation.tails import excess_kurtosis, expected_shortfall, skewness, tail_ratio, value_at_risk
from ljwx_pipeline.trading.market_arrays import MarketArrays

FRAC, RATIO, CNY, COUNT, SESSIONS = "frac", "ratio", "CNY", "count", "sessions"
_NONE = Interval(math.nan, math.nan)


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Parameters
    ----------
    value
        NaN where the measure does not exist, infinite for a profit factor without a loss.
    lower, upper
        Bootstrap interval; NaN for both where none is made: facts of the run (fees, turnover), extremes, trades (whose
        spans overlap) and capacity.
    unit
        ``frac``, ``ratio``, ``CNY``, ``count`` or ``sessions``.
    basis
        What it is measured on: ``sessions``, ``months``, ``closed trades``, ``orders``, or ``sessions against`` a
        benchmark.
    """

    value: float
    lower: float
    upper: float
    unit: str
    basis: str


def performance(
    result: BacktestResult,
    market: MarketArrays,
    *,
    costs: CostSettings,
    benchmarks: Mapping[str, pd.Series],
    capacity_against: str | None = None,
    bootstrap: BootstrapParams | None = None,
) -> dict[str, Figure]:
    """Return every figure of ``result`` by its measure's name.

    Parameters
    ----------
    result, market
        A backtest and the market it ran on.
    costs
        The settings it ran under: their participation limit is capacity's.
    benchmarks
        Closes or levels by name, on every session of ``result``; measures against one are named ``measure:benchmark``.
        Those with ``qlib_`` before them follow qlib's convention (``conventions.py``), on the excess after costs.
    capacity_against
        The benchmark whose excess return impact may eat; None: there is no break-even figure.
    bootstrap
        How intervals are made; defaults as ``BootstrapParams``.

    Raises
    ------
    DataQualityError
        When a benchmark misses a session, ``capacity_against`` is none of them, or the backtest has one session only.
    """
    if len(result.sessions) < 2:
        raise DataQualityError(f"the backtest has {len(result.sessions)} sessions", "measure one of two or more")
    if capacity_against is not None and capacity_against not in benchmarks:
        raise DataQualityError(
            f"capacity is asked against {capacity_against}, which is no benchmark here", f"one of {[*benchmarks]}"
        )
    equity = result.equity
    returns = returns_of(equity)
    others = {name: index_returns(equity, level) for name, level in benchmarks.items()}
    intervals = bootstrap_intervals(
        returns.to_numpy(), {name: other.to_numpy() for name, other in others.items()}, params=bootstrap
    )
    figures = _session_figures(equity, returns, intervals)
    figures |= _month_figures(monthly_returns(equity), bootstrap)
    for name, other in others.items():
        figures |= _against(returns, other, name, intervals)
    figures |= _trade_figures(closed_trades(result, market))
    excess = figures[f"excess_annual_return:{capacity_against}"].value if capacity_against else math.nan
    return figures | _account_figures(result, market, costs, excess)


def _figure(value: float, unit: str, basis: str, interval: Interval = _NONE) -> Figure:
    return Figure(float(value), interval.lower, interval.upper, unit, basis)


def _session_figures(equity: pd.Series, returns: pd.Series, intervals: Mapping[str, Interval]) -> dict[str, Figure]:
    measured = {
        "annual_return": (annual_return(returns), FRAC),
        "annual_volatility": (annual_volatility(returns), FRAC),
        "sharpe": (sharpe(returns), RATIO),
        "sortino": (sortino(returns), RATIO),
        "calmar": (calmar(returns), RATIO),
        "max_drawdown": (max_drawdown(returns), FRAC),
        "win_rate": (win_rate(returns), FRAC),
        "profit_factor": (profit_factor(returns), RATIO),
        "tail_ratio": (tail_ratio(returns), RATIO),
        "value_at_risk": (value_at_risk(returns), FRAC),
        "expected_shortfall": (expected_shortfall(returns), FRAC),
        "skewness": (skewness(returns), RATIO),
        "excess_kurtosis": (excess_kurtosis(returns), RATIO),
    }
    named = {"win_rate": "win_rate_sessions", "profit_factor": "profit_factor_sessions"}
    figures = {
        named.get(name, name): _figure(value, unit, "sessions", intervals[name])
        for name, (value, unit) in measured.items()
    }
    return (
        {"total_return": _figure(total_return(returns), FRAC, "sessions")}
        | figures
        | {
            "longest_drawdown": _figure(longest_drawdown_sessions(equity), SESSIONS, "sessions"),
            "best_session": _figure(returns.max(), FRAC, "sessions"),
            "worst_session": _figure(returns.min(), FRAC, "sessions"),
        }
    )


def _month_figures(months: pd.Series, bootstrap: BootstrapParams | None) -> dict[str, Figure]:
    intervals = bootstrap_intervals(months.to_numpy(), params=bootstrap, periods_per_year=MONTHS_PER_YEAR)
    best, worst = (months.max(), months.min()) if len(months) else (math.nan, math.nan)
    return {
        "months": _figure(len(months), COUNT, "months"),
        "win_rate_months": _figure(win_rate(months), FRAC, "months", intervals["win_rate"]),
        "profit_factor_months": _figure(profit_factor(months), RATIO, "months", intervals["profit_factor"]),
        "best_month": _figure(best, FRAC, "months"),
        "worst_month": _figure(worst, FRAC, "months"),
    }


def _against(returns: pd.Series, other: pd.Series, name: str, intervals: Mapping[str, Interval]) -> dict[str, Figure]:
    measured = {
        "excess_annual_return": (annual_return(returns) - annual_return(other), FRAC),
        "information_ratio": (information_ratio(returns, other), RATIO),
        "tracking_error": (tracking_error(returns, other), FRAC),
        "beta": (beta(returns, other), RATIO),
        "alpha": (alpha(returns, other), FRAC),
    }
    basis = f"sessions against {name}"
    figures = {
        f"{measure}:{name}": _figure(value, unit, basis, intervals[f"{measure}:{name}"])
        for measure, (value, unit) in measured.items()
    }
    qlib = qlib_risk_analysis(returns - other)
    units = {"annualized_return": FRAC, "information_ratio": RATIO, "max_drawdown": FRAC}
    return figures | {f"qlib_{measure}:{name}": _figure(qlib[measure], unit, basis) for measure, unit in units.items()}


def _trade_figures(trades: pd.DataFrame) -> dict[str, Figure]:
    returns, profits = trades["return_frac"], trades["profit_fen"].to_numpy(dtype=np.float64)
    measured = {
        "closed_trades": (len(trades), COUNT),
        "win_rate_trades": (win_rate(profits), FRAC),
        "profit_factor_trades": (profit_factor(profits), RATIO),
        "payoff_ratio_trades": (payoff_ratio(profits), RATIO),
        "mean_trade_return": (returns.mean(), FRAC),
        "mean_holding_sessions": (trades["holding_sessions"].mean(), SESSIONS),
    }
    return {name: _figure(value, unit, "closed trades") for name, (value, unit) in measured.items()}


def _account_figures(
    result: BacktestResult, market: MarketArrays, costs: CostSettings, excess: float
) -> dict[str, Figure]:
    able = capacity(result, market, max_participation_frac=costs.max_participation_frac, excess_annual_return=excess)
    return {
        "turnover": _figure(annual_turnover(result), FRAC, "sessions"),
        "cash_frac": _figure(cash_frac(result), FRAC, "sessions"),
        "fees": _figure(int(result.fees_fen.sum()) / 100, CNY, "orders"),
        "dividends": _figure(int(result.dividends_fen.sum()) / 100, CNY, "sessions"),
        "written_off": _figure(int(result.written_off_fen.sum()) / 100, CNY, "sessions"),
        "capacity_median": _figure(able.median_capital_cny, CNY, "orders"),
        "capacity_90": _figure(able.capital_90_cny, CNY, "orders"),
        "capacity_break_even": _figure(able.break_even_capital_cny, CNY, "orders"),
    }
