"""The figures of one run as the report shows them and as machines read them: value, interval, unit.

One list of figures serves the page, ``figures.json``, ``figures.parquet`` and the comparison of runs. Not here: the
formulas (``metrics.py``, ``tails.py``, ``benchmarks.py``), how intervals come about (``resampled.py``), the page
(``report.py``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from ljwx_pipeline.evaluation import tails
from ljwx_pipeline.evaluation.benchmarks import alpha, beta, information_ratio, tracking_error
from ljwx_pipeline.evaluation.bootstrap import BootstrapParams
from ljwx_pipeline.evaluation.drawdown_table import longest_drawdown_sessions
from ljwx_pipeline.evaluation.metrics import (
    annual_return,
    annual_volatility,
    calmar,
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

Unit = Literal["percent", "number", "whole", "cny"]

#: Figures of one equity curve, in the order in which they are shown.
OWN_FIGURES: Mapping[str, Unit] = {
    "total_return": "percent",
    "annual_return": "percent",
    "annual_volatility": "percent",
    "sharpe": "number",
    "sortino": "number",
    "calmar": "number",
    "max_drawdown": "percent",
    "longest_drawdown_sessions": "whole",
    "win_rate": "percent",
    "profit_factor": "number",
    "monthly_win_rate": "percent",
    "monthly_profit_factor": "number",
    "tail_ratio": "number",
    "value_at_risk": "percent",
    "expected_shortfall": "percent",
    "skewness": "number",
    "excess_kurtosis": "number",
}
#: Figures of the strategy against another curve, each kept as ``name:curve``.
RELATIVE_FIGURES: Mapping[str, Unit] = {
    "excess_annual_return": "percent",
    "information_ratio": "number",
    "alpha": "percent",
    "beta": "number",
    "tracking_error": "percent",
}
#: Figures of how the account was run.
TRADING_FIGURES: Mapping[str, Unit] = {
    "turnover": "number",
    "cash_frac": "percent",
    "mean_names_held": "number",
    "largest_weight_frac": "percent",
    "closed_trades": "whole",
    "trade_win_rate": "percent",
    "trade_payoff_ratio": "number",
    "mean_holding_sessions": "number",
    "rejected_orders_frac": "percent",
    "fees_cny": "cny",
    "fees_of_equity_a_year": "percent",
    "median_capital_cny": "cny",
    "capital_90_cny": "cny",
    "break_even_capital_cny": "cny",
}
UNITS: Mapping[str, Unit] = {**OWN_FIGURES, **RELATIVE_FIGURES, **TRADING_FIGURES}


@dataclass(frozen=True)
class Figure:
    """One measured figure; None for what does not exist.

    Parameters
    ----------
    name
        A key of ``UNITS``; for a figure against another curve ``name:curve``.
    value
        As measured.
    lower, upper
        Of its bootstrap interval; None where none was made.
    """

    name: str
    value: float | None
    lower: float | None = None
    upper: float | None = None

    @property
    def unit(self) -> Unit:
        """How the value is written."""
        return UNITS[self.name.partition(":")[0]]


def own_figures(equity: pd.Series) -> dict[str, float | None]:
    """Return every figure of ``OWN_FIGURES`` of one equity curve, the opening capital first; None without a value."""
    returns, months = returns_of(equity), monthly_returns(equity)
    measured = {
        "total_return": total_return(returns),
        "annual_return": annual_return(returns),
        "annual_volatility": annual_volatility(returns),
        "sharpe": sharpe(returns),
        "sortino": sortino(returns),
        "calmar": calmar(returns),
        "max_drawdown": max_drawdown(returns),
        "longest_drawdown_sessions": float(longest_drawdown_sessions(equity)),
        "win_rate": win_rate(returns),
        "profit_factor": profit_factor(returns),
        "monthly_win_rate": win_rate(months),
        "monthly_profit_factor": profit_factor(months),
        "tail_ratio": tails.tail_ratio(returns),
        "value_at_risk": tails.value_at_risk(returns),
        "expected_shortfall": tails.expected_shortfall(returns),
        "skewness": tails.skewness(returns),
        "excess_kurtosis": tails.excess_kurtosis(returns),
    }
    return {name: finite(measured[name]) for name in OWN_FIGURES}


def relative_figures(equity: pd.Series, other: pd.Series) -> dict[str, float | None]:
    """Return every figure of ``RELATIVE_FIGURES`` of ``equity`` against another curve on the same sessions."""
    own, its = returns_of(equity), returns_of(other)
    measured = {
        "excess_annual_return": annual_return(own) - annual_return(its),
        "information_ratio": information_ratio(own, its),
        "alpha": alpha(own, its),
        "beta": beta(own, its),
        "tracking_error": tracking_error(own, its),
    }
    return {name: finite(measured[name]) for name in RELATIVE_FIGURES}


def trade_figures(trades: pd.DataFrame) -> dict[str, float | None]:
    """Return the figures of closed trades, a table as ``closed_trades.closed_trades`` gives it."""
    gains = trades["return_frac"]
    measured = {
        "closed_trades": float(len(trades)),
        "trade_win_rate": win_rate(gains),
        "trade_payoff_ratio": payoff_ratio(gains),
        "mean_holding_sessions": float(trades["holding_sessions"].mean()) if len(trades) else math.nan,
    }
    return {name: finite(value) for name, value in measured.items()}


def figures_of(
    equity: pd.Series,
    curves: Mapping[str, pd.Series],
    trading: Mapping[str, float | None],
    *,
    params: BootstrapParams,
) -> tuple[Figure, ...]:
    """Return every figure of a strategy: its own, against each of ``curves``, and those of its trading.

    Parameters
    ----------
    equity
        By session, the opening capital first.
    curves
        What it is compared with, by name, on the same sessions.
    trading
        Values of ``TRADING_FIGURES`` that were measured.
    params
        How the intervals are made; one drawing of sessions serves all figures.
    """
    others = {name: returns_of(curve).to_numpy() for name, curve in curves.items()}
    intervals = bootstrap_intervals(returns_of(equity).to_numpy(), others, params=params)
    values = own_figures(equity)
    for name, curve in curves.items():
        values |= {f"{figure}:{name}": value for figure, value in relative_figures(equity, curve).items()}
    values |= {name: trading[name] for name in TRADING_FIGURES if name in trading}
    found = []
    for name, value in values.items():
        interval = intervals.get(name)
        lower = upper = None
        if interval is not None and value is not None:
            lower, upper = finite(interval.lower), finite(interval.upper)
        found.append(Figure(name, value, lower, upper))
    return tuple(found)


def finite(value: float) -> float | None:
    """Return ``value``; None for NaN and infinities, which JSON cannot say."""
    return float(value) if math.isfinite(value) else None
