"""A strategy and everything it is compared with, side by side, by the same measures.

Not here: intervals (``performance.py``) or how a benchmark is made (``benchmarks.py``, ``benchmark_strategies.py``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from ljwx_pipeline.backtest.result import BacktestResult
from ljwx_pipeline.config import CostSettings, StrategySettings
from ljwx_pipeline.evaluation.benchmark_strategies import EQUAL_WEIGHT, Bool, equal_weight, plain_strategies
from ljwx_pipeline.evaluation.benchmarks import (
    alpha,
    beta,
    index_close,
    index_returns,
    information_ratio,
    tracking_error,
)
from ljwx_pipeline.evaluation.metrics import (
    annual_return,
    annual_turnover,
    annual_volatility,
    calmar,
    cash_frac,
    max_drawdown,
    monthly_returns,
    profit_factor,
    returns_of,
    sharpe,
    sortino,
    total_return,
    win_rate,
)
from ljwx_pipeline.evaluation.tails import excess_kurtosis, expected_shortfall, skewness, tail_ratio, value_at_risk
from ljwx_pipeline.trading.market_arrays import MarketArrays

#: Column of the strategy itself.
STRATEGY = "strategy"
#: An index's closes, an average's level, or an account.
Curve = pd.Series | BacktestResult

_OF_RETURNS: dict[str, Callable[[pd.Series], float]] = {
    "total_return": total_return,
    "annual_return": annual_return,
    "annual_volatility": annual_volatility,
    "sharpe": sharpe,
    "sortino": sortino,
    "calmar": calmar,
    "max_drawdown": max_drawdown,
    "tail_ratio": tail_ratio,
    "value_at_risk": value_at_risk,
    "expected_shortfall": expected_shortfall,
    "skewness": skewness,
    "excess_kurtosis": excess_kurtosis,
}
_OF_MONTHS: dict[str, Callable[[pd.Series], float]] = {
    "win_rate_months": win_rate,
    "profit_factor_months": profit_factor,
}
_OF_ACCOUNTS: dict[str, Callable[[BacktestResult], float]] = {"turnover": annual_turnover, "cash_frac": cash_frac}
_OVER: dict[str, Callable[[pd.Series, pd.Series], float]] = {
    "information_ratio": information_ratio,
    "tracking_error": tracking_error,
    "beta": beta,
    "alpha": alpha,
}
#: Rows of ``comparison``; those after ``cash_frac`` are the strategy's against the column.
MEASURES = (*_OF_RETURNS, *_OF_MONTHS, *_OF_ACCOUNTS, "excess_annual_return", *_OVER)


def every_benchmark(
    result: BacktestResult,
    market: MarketArrays,
    members: Bool,
    index_bars: pd.DataFrame,
    *,
    indices: Sequence[str],
    strategy: StrategySettings,
    costs: CostSettings,
) -> dict[str, Curve]:
    """Return the indices' closes, the equal-weight universe and the plain strategies over the sessions of ``result``.

    Parameters
    ----------
    result, market
        The backtest that is compared, and its market.
    members
        The universe at each close, shape ``(n_symbols, n_sessions)``: where the strategy's scores are finite.
    index_bars, indices
        Canonical index bars and the codes wanted.
    strategy, costs
        The settings ``result`` ran under.

    Raises
    ------
    DataQualityError
        When an index lacks a session, the universe is empty on one, or the history is too short for momentum.
    """
    first, last = result.sessions[0].date(), result.sessions[-1].date()
    closes = {code: index_close(index_bars, code, result.sessions) for code in indices}
    average = equal_weight(market, members, first=first, last=last)
    plain = plain_strategies(market, members, strategy=strategy, costs=costs, first=first, last=last)
    return {**closes, EQUAL_WEIGHT: average, **plain}


def levels(curves: Mapping[str, Curve]) -> dict[str, pd.Series]:
    """Return each curve as one series by session: the equity of an account, anything else as it is."""
    return {name: _level(curve) for name, curve in curves.items()}


def comparison(result: BacktestResult, benchmarks: Mapping[str, Curve]) -> pd.DataFrame:
    """Return measures by row, the strategy and each benchmark by column.

    Parameters
    ----------
    result
        The strategy.
    benchmarks
        By name, each on every session of ``result``.

    Returns
    -------
    DataFrame
        Index ``measure`` (``MEASURES``), columns ``strategy`` and the benchmarks' names. NaN where a measure does not
        exist: turnover and cash of what is no account, and the strategy against itself.

    Raises
    ------
    DataQualityError
        When a benchmark misses a session.
    """
    equity = result.equity
    own = returns_of(equity)
    columns = {STRATEGY: _column(result) | dict.fromkeys(("excess_annual_return", *_OVER), math.nan)}
    for name, curve in benchmarks.items():
        other = index_returns(equity, _level(curve))
        over = {measure: of(own, other) for measure, of in _OVER.items()}
        excess = annual_return(own) - annual_return(other)
        columns[name] = _column(curve) | {"excess_annual_return": excess} | over
    return pd.DataFrame(columns, index=pd.Index(MEASURES, name="measure"))


def _level(curve: Curve) -> pd.Series:
    return curve.equity if isinstance(curve, BacktestResult) else curve


def _column(curve: Curve) -> dict[str, float]:
    level = _level(curve)
    returns, months = returns_of(level), monthly_returns(level)
    account = {name: of(curve) if isinstance(curve, BacktestResult) else math.nan for name, of in _OF_ACCOUNTS.items()}
    return (
        {name: of(returns) for name, of in _OF_RETURNS.items()}
        | {name: of(months) for name, of in _OF_MONTHS.items()}
        | account
    )
