"""qlib's way of reckoning, beside the compound one of ``metrics.py``, so that its published tables can be compared.

The two differ on purpose. Compound: what an account would have grown by; a year has 252 sessions, returns multiply,
drawdown is a fraction of the peak, excess is one compound rate minus another. qlib: returns are added, a year has 238
sessions, drawdown is a fall of the **summed** curve in return points (it may pass 100 %), excess is the mean of the
daily differences. Summing leaves out the cost of variance (about half of it a year) and a loss from the first session,
because the sum's first point is its first peak. Neither is an error; a figure of one beside a figure of the other is.

The measures of this module carry a sign as qlib's do: a drawdown is negative.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.backtest.result import BacktestResult
from ljwx_pipeline.evaluation.benchmarks import session_excess
from ljwx_pipeline.evaluation.metrics import annual_return, max_drawdown, sharpe

Float = NDArray[np.float64]

#: qlib's sessions of a year.
QLIB_SESSIONS_PER_YEAR = 238
#: Sessions that a year of the A-share calendar has, rounded; figures are annualised with ``SESSIONS_PER_YEAR``.
CALENDAR_SESSIONS_PER_YEAR = 243


def qlib_risk_analysis(returns: Float | pd.Series) -> dict[str, float]:
    """Return what ``qlib.contrib.evaluate.risk_analysis(returns, freq="day")`` gives (mode ``sum``, its default).

    ``mean``, ``std`` (n - 1) of a session; ``annualized_return`` = mean * 238; ``information_ratio`` = mean / std *
    sqrt(238); ``max_drawdown`` = least of the running sum minus its highest point so far, zero or negative.

    NaN policy: a NaN among the returns, or no return at all, makes every measure NaN (qlib skips it); a constant
    series has no ratio (qlib: rounding noise).
    """
    values = np.asarray(returns, dtype=np.float64)
    if not len(values):
        return dict.fromkeys(("mean", "std", "annualized_return", "information_ratio", "max_drawdown"), math.nan)
    curve = np.cumsum(values)
    mean = float(values.mean())
    return {
        "mean": mean,
        "std": float(values.std(ddof=1)) if len(values) > 1 else math.nan,
        "annualized_return": mean * QLIB_SESSIONS_PER_YEAR,
        "information_ratio": sharpe(values, periods_per_year=QLIB_SESSIONS_PER_YEAR),
        "max_drawdown": float((curve - np.maximum.accumulate(curve)).min()),
    }


def compound_analysis(returns: Float | pd.Series) -> dict[str, float]:
    """Return the same measures by the compound convention of ``metrics.py``: 252 sessions, growth, opening capital."""
    values = np.asarray(returns, dtype=np.float64)
    return {
        "mean": float(values.mean()) if len(values) else math.nan,
        "std": float(values.std(ddof=1)) if len(values) > 1 else math.nan,
        "annualized_return": annual_return(values),
        "information_ratio": sharpe(values),
        "max_drawdown": -max_drawdown(values) if len(values) else math.nan,
    }


def conventions_table(result: BacktestResult, close: pd.Series) -> pd.DataFrame:
    """Return excess over a benchmark before and after fees, by both conventions, under qlib's names of rows.

    Parameters
    ----------
    result
        A backtest.
    close
        The benchmark's close or level on the sessions of ``result``.

    Returns
    -------
    DataFrame
        Indexed by ``convention`` (``qlib``, ``compound``) and ``series`` (``excess_return_without_cost``,
        ``excess_return_with_cost``), a column a measure. As in qlib, "without cost" adds back the session's fees over
        the equity before it; slippage and impact are in the fill prices and stay in both.

    Raises
    ------
    DataQualityError
        When the benchmark misses a session.
    """
    net = session_excess(result.equity, close)
    before = result.equity_fen[:-1]
    gross = net + np.where(before > 0, result.fees_fen[1:] / np.maximum(before, 1), 0.0)
    rows = {
        (convention, series): analysis(excess)
        for convention, analysis in (("qlib", qlib_risk_analysis), ("compound", compound_analysis))
        for series, excess in (("excess_return_without_cost", gross), ("excess_return_with_cost", net))
    }
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index = pd.MultiIndex.from_tuples(list(rows), names=["convention", "series"])
    return table
