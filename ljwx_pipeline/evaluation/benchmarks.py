"""A strategy against an index: excess return, information ratio, beta, alpha. A gap in an index is an error.

Index closes are price indices: dividends are not in them, which flatters a strategy that collects its own. Everything
here takes any other curve in place of an index, for instance those of ``benchmark_strategies.py``.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.evaluation.metrics import annual_return, annual_volatility, monthly_returns, returns_of, sharpe
from ljwx_pipeline.market.calendar import SESSIONS_PER_YEAR

Float = NDArray[np.float64]
#: Below this sum of squares an index does not move.
_CONSTANT = 1e-24


def index_close(index_bars: pd.DataFrame, code: str, sessions: pd.DatetimeIndex) -> pd.Series:
    """Return an index's close in points on every one of ``sessions``.

    Parameters
    ----------
    index_bars
        The canonical index bars.
    code
        Index code, for instance ``000905.SH``.
    sessions
        Sessions that are needed, all of them.

    Raises
    ------
    DataQualityError
        When the index has no bar at all, none or two on one of the sessions, or a close that is not positive.
    """
    rows = index_bars.loc[index_bars["index_code"] == code]
    if rows.empty:
        known = ", ".join(sorted(index_bars["index_code"].unique())) or "none"
        raise DataQualityError(f"index {code} has no bar", f"add its history to the index data (there: {known})")
    if rows["session_date"].duplicated().any():
        twice = rows.loc[rows["session_date"].duplicated(), "session_date"].iloc[0]
        raise DataQualityError(f"index {code} has two bars on {twice:%Y-%m-%d}", "remove one of them")
    close = rows.set_index("session_date")["close_points"].reindex(sessions)
    bad = ~(close > 0)
    if bad.any():
        first = sessions[int(bad.to_numpy().argmax())]
        raise DataQualityError(
            f"index {code} has no close on {first:%Y-%m-%d} ({int(bad.sum())} sessions so)",
            "complete the index history over the whole backtest",
        )
    return close


def index_returns(equity: pd.Series, close: pd.Series) -> pd.Series:
    """Return the index's returns on the sessions of ``equity``; errors as ``session_excess``."""
    return returns_of(_aligned(equity, close))


def session_excess(equity: pd.Series, close: pd.Series) -> pd.Series:
    """Return the strategy's return minus the index's, session by session.

    Raises
    ------
    DataQualityError
        When ``close`` misses a session of ``equity``.
    """
    return returns_of(equity) - index_returns(equity, close)


def monthly_excess(equity: pd.Series, close: pd.Series) -> pd.Series:
    """Return the strategy's month minus the index's month, by calendar month; both as ``monthly_returns``."""
    return monthly_returns(equity) - monthly_returns(_aligned(equity, close))


def tracking_error(returns: pd.Series, market: pd.Series, *, periods_per_year: int = SESSIONS_PER_YEAR) -> float:
    """Return ``standard deviation (n - 1) of r - m * sqrt(periods_per_year)``; NaN below two returns."""
    own, other = _paired(returns, market)
    return annual_volatility(own - other, periods_per_year=periods_per_year)


def information_ratio(returns: pd.Series, market: pd.Series, *, periods_per_year: int = SESSIONS_PER_YEAR) -> float:
    """Return ``mean(r - m) / standard deviation (n - 1) of r - m * sqrt(periods_per_year)`` (Goodwin 1998).

    NaN for a constant difference. empyrical's ``excess_sharpe`` is the same before annualisation.
    """
    own, other = _paired(returns, market)
    return sharpe(own - other, periods_per_year=periods_per_year)


def beta(returns: pd.Series, market: pd.Series) -> float:
    """Return ``cov(r, m) / var(m)``; NaN for an index that never moves, below two returns, or with a NaN."""
    own, other = _paired(returns, market)
    if len(own) < 2:
        return math.nan
    centred = other - other.mean()
    variance = float((centred**2).sum())
    return float((centred * own).sum()) / variance if variance > _CONSTANT else math.nan


def alpha(returns: pd.Series, market: pd.Series, *, periods_per_year: int = SESSIONS_PER_YEAR) -> float:
    """Return the annual rate that the mean of ``r - beta * m`` compounds to (Jensen 1968, risk-free rate zero)."""
    own, other = _paired(returns, market)
    slope = beta(returns, market)
    mean = float((own - slope * other).mean()) if math.isfinite(slope) else math.nan
    return math.pow(max(1 + mean, 0.0), periods_per_year) - 1 if math.isfinite(mean) else math.nan


def against_index(equity: pd.Series, close: pd.Series) -> dict[str, float | None]:
    """Return the comparison with one index.

    ``excess_annual_return`` is the difference of the two compound annual returns, ``information_ratio`` the annualised
    mean over standard deviation of ``session_excess``.
    """
    own, other = returns_of(equity), index_returns(equity, close)
    measured = {
        "excess_annual_return": annual_return(own) - annual_return(other),
        "information_ratio": information_ratio(own, other),
        "beta": beta(own, other),
        "alpha": alpha(own, other),
    }
    return {name: value if math.isfinite(value) else None for name, value in measured.items()}


def _paired(returns: pd.Series, market: pd.Series) -> tuple[Float, Float]:
    if not returns.index.equals(market.index):
        raise DataQualityError(
            f"{len(returns)} returns of the strategy meet {len(market)} of the benchmark on other sessions",
            "pass both on the same sessions",
        )
    return returns.to_numpy(dtype=np.float64), market.to_numpy(dtype=np.float64)


def _aligned(equity: pd.Series, close: pd.Series) -> pd.Series:
    aligned = close.reindex(equity.index)
    missing = np.flatnonzero(aligned.isna())
    if len(missing):
        raise DataQualityError(
            f"the index has no close on {equity.index[missing[0]]:%Y-%m-%d}", "pass its close on every session"
        )
    return aligned
