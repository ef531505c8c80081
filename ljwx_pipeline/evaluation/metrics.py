"""Performance measures of one equity curve, with their formulas.

Beside it: comparisons with a benchmark (``benchmarks.py``), quantiles and moments (``tails.py``), drawdowns with their
dates (``drawdown_table.py``), qlib's convention (``conventions.py``), intervals (``bootstrap.py``).

A year has 252 sessions and 12 months. The risk-free rate is taken as zero. Drawdown is a positive fraction and counts
the opening capital as a peak. A measure that does not exist (no variance, no loss) is NaN, or infinite for a profit
factor without a loss; ``backtest_summary`` gives None for both. A NaN among the returns makes every measure NaN: a gap
is never skipped (empyrical skips it). Where both define the same, the figures are empyrical's; docs/metrics.md has
the differences.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.backtest.result import BacktestResult
from ljwx_pipeline.market.calendar import SESSIONS_PER_YEAR
from ljwx_pipeline.units import BPS

MONTHS_PER_YEAR = 12
#: Below this standard deviation a series counts as constant.
_CONSTANT = 1e-12

Float = NDArray[np.float64]


def returns_of(equity: pd.Series) -> pd.Series:
    """Return simple returns between neighbouring points of ``equity``, one fewer than it has points."""
    return equity.pct_change().iloc[1:]


def annual_return(returns: Float | pd.Series, *, periods_per_year: int = SESSIONS_PER_YEAR) -> float:
    """Return the compound annual rate ``(prod(1 + r)) ** (periods_per_year / n) - 1``; -1 once all is lost."""
    values = np.asarray(returns, dtype=np.float64)
    if not len(values):
        return math.nan
    growth = float(np.prod(np.maximum(1 + values, 0.0)))
    return math.pow(growth, periods_per_year / len(values)) - 1


def total_return(returns: Float | pd.Series) -> float:
    """Return ``prod(1 + r) - 1``; NaN for an empty series."""
    values = np.asarray(returns, dtype=np.float64)
    return float(np.prod(1 + values)) - 1 if len(values) else math.nan


def annual_volatility(returns: Float | pd.Series, *, periods_per_year: int = SESSIONS_PER_YEAR) -> float:
    """Return ``standard deviation (n - 1) * sqrt(periods_per_year)``; NaN below two returns."""
    values = np.asarray(returns, dtype=np.float64)
    return float(values.std(ddof=1)) * math.sqrt(periods_per_year) if len(values) > 1 else math.nan


def sharpe(returns: Float | pd.Series, *, periods_per_year: int = SESSIONS_PER_YEAR) -> float:
    """Return ``mean / standard deviation (n - 1) * sqrt(periods_per_year)`` (Sharpe 1994).

    NaN below two returns and for a constant series, whose ratio would be rounding noise (empyrical: infinite).
    """
    values = np.asarray(returns, dtype=np.float64)
    spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return float(values.mean()) / spread * math.sqrt(periods_per_year) if spread > _CONSTANT else math.nan


def sortino(returns: Float | pd.Series, *, target: float = 0.0, periods_per_year: int = SESSIONS_PER_YEAR) -> float:
    """Return ``(mean - target) / downside deviation * sqrt(periods_per_year)``.

    The downside deviation is the root mean square of ``min(r - target, 0)`` over all returns, those above the target
    counting as zero (Sortino and van der Meer 1991); not the standard deviation of the negative ones. NaN below two
    returns and where none is below the target.
    """
    excess = np.asarray(returns, dtype=np.float64) - target
    downside = math.sqrt(float((np.minimum(excess, 0.0) ** 2).mean())) if len(excess) > 1 else 0.0
    return float(excess.mean()) / downside * math.sqrt(periods_per_year) if downside > _CONSTANT else math.nan


def drawdowns(returns: Float | pd.Series) -> Float:
    """Return the fall from the highest peak so far, shape ``(n + 1,)``; the first element is the opening capital's."""
    curve = np.concatenate([[1.0], np.cumprod(1 + np.asarray(returns, dtype=np.float64))])
    return np.asarray(1 - curve / np.maximum.accumulate(curve), dtype=np.float64)


def max_drawdown(returns: Float | pd.Series) -> float:
    """Return the deepest fall from a peak as a positive fraction; a loss on the first period counts.

    0 for a curve that never falls, an empty one too.
    """
    return float(drawdowns(returns).max())


def calmar(returns: Float | pd.Series, *, periods_per_year: int = SESSIONS_PER_YEAR) -> float:
    """Return the annual return over the maximum drawdown (Young 1991, over the whole span); NaN without a drawdown."""
    if not len(returns):
        return math.nan
    deepest = max_drawdown(returns)
    return annual_return(returns, periods_per_year=periods_per_year) / deepest if deepest > _CONSTANT else math.nan


def win_rate(returns: Float | pd.Series) -> float:
    """Return the share of returns above zero, a zero being no win; NaN for an empty series.

    Of sessions, months or closed trades: whatever a value is the result of.
    """
    values = np.asarray(returns, dtype=np.float64)
    return float((values > 0).mean()) if len(values) and not np.isnan(values).any() else math.nan


def profit_factor(returns: Float | pd.Series) -> float:
    """Return the sum of gains over the sum of losses; infinite without a loss, NaN without either.

    Of returns, or of profits in money (then a large trade weighs more).
    """
    values = np.asarray(returns, dtype=np.float64)
    if np.isnan(values).any():
        return math.nan
    gains, losses = float(values[values > 0].sum()), float(-values[values < 0].sum())
    if losses > 0:
        return gains / losses
    return math.inf if gains > 0 else math.nan


def payoff_ratio(returns: Float | pd.Series) -> float:
    """Return the mean gain over the mean loss, zeros left out; infinite without a loss, NaN without a gain."""
    values = np.asarray(returns, dtype=np.float64)
    gains, losses = values[values > 0], -values[values < 0]
    if np.isnan(values).any() or not len(gains):
        return math.nan
    return float(gains.mean() / losses.mean()) if len(losses) else math.inf


def annual_turnover(result: BacktestResult) -> float:
    """Return the one-way turnover of a year: mean of ``turnover_frac`` over the sessions after the first, times 252."""
    return float(result.turnover_frac.iloc[1:].mean()) * SESSIONS_PER_YEAR


def cash_frac(result: BacktestResult) -> float:
    """Return the mean share of equity held in cash at the close, the opening session left out (it is all cash)."""
    equity, cash = result.equity_fen[1:], result.cash_fen[1:]
    return float(np.mean(cash[equity > 0] / equity[equity > 0])) if (equity > 0).any() else math.nan


def unwanted_cash_frac(result: BacktestResult) -> float:
    """Return ``cash_frac`` less the mean share that money management kept out; all of it where it records no exposure.

    Below zero where holdings lag behind an exposure that fell.
    """
    invested = result.exposure_bps[: len(result.equity_fen) - 1] / BPS
    kept_out = 1 - float(invested.mean()) if len(invested) else 0.0
    return cash_frac(result) - kept_out


def monthly_returns(equity: pd.Series) -> pd.Series:
    """Return simple returns by calendar month, indexed by month (``PeriodIndex``).

    A month runs from the last point of the month before; the first one from the first point of ``equity``, so that the
    product over months is the product over sessions. First and last month may be partial. A first month that holds only
    the opening point is left out.
    """
    months = pd.DatetimeIndex(equity.index).to_period("M")
    closes = equity.groupby(months).last()
    opening = closes.shift()
    opening.iloc[0] = equity.iloc[0]
    returns = closes / opening - 1
    return returns.iloc[1:] if (months == months[0]).sum() == 1 else returns


def backtest_summary(result: BacktestResult) -> dict[str, float | None]:
    """Return the ``backtest`` section of the run summary.

    ``annual_return``, ``sharpe``, ``sortino``, ``calmar`` and ``max_drawdown`` are on session returns after costs,
    ``turnover`` is one-way and annual (mean of a session times 252), ``win_rate`` and ``profit_factor`` are on months,
    ``fees_cny`` is all commission, stamp duty and transfer fee.
    """
    returns, months = returns_of(result.equity), monthly_returns(result.equity)
    measured = {
        "annual_return": annual_return(returns),
        "sharpe": sharpe(returns),
        "sortino": sortino(returns),
        "calmar": calmar(returns),
        "max_drawdown": max_drawdown(returns),
        "turnover": annual_turnover(result),
        "win_rate": win_rate(months),
        "profit_factor": profit_factor(months),
        "fees_cny": int(result.fees_fen.sum()) / 100,
    }
    return {name: value if math.isfinite(value) else None for name, value in measured.items()}
