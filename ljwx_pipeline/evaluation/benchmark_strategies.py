"""What anyone could have held instead: the equal-weight universe, and two plain strategies at the same costs.

The equal-weight universe is an average without costs; momentum and low volatility are scores traded by the same engine
under the same settings as the strategy they stand beside. All of them see the same universe. Dividends are in all three
(the indices of ``benchmarks.py`` are price indices).
"""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.backtest.engine import run_backtest
from ljwx_pipeline.backtest.result import BacktestResult
from ljwx_pipeline.config import CostSettings, StrategySettings
from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.evaluation.total_returns import session_returns
from ljwx_pipeline.trading.market_arrays import MarketArrays

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]

MOMENTUM_SESSIONS, SKIPPED_SESSIONS = 240, 20
VOLATILITY_SESSIONS = 120
#: Returns among ``VOLATILITY_SESSIONS`` that a name must have for its volatility to be known.
LEAST_RETURNS = 80

EQUAL_WEIGHT, MOMENTUM, LOW_VOLATILITY = "equal_weight", "momentum", "low_volatility"


def equal_weight(market: MarketArrays, members: Bool, *, first: date, last: date) -> pd.Series:
    """Return the level of the equal-weight universe from ``first`` (1.0) to ``last``, rebalanced every session.

    A session's return is the mean total return of those who were members at the close before, **without any cost**. A
    member that does not trade stays in with a return of zero until it trades again, and the gap counts then; one that
    is delisted meanwhile counts -100 %, as holdings do in the account.

    Parameters
    ----------
    market
        Trading view of the market.
    members
        The universe at each close, shape ``(n_symbols, n_sessions)``.
    first, last
        Sessions of ``market``.

    Raises
    ------
    DataQualityError
        When the universe is empty at a close before ``last``, the mask is on other axes or a date is no session.
    """
    begin, end = _span(market, members, first, last)
    remedy = "there is nothing to average: widen the universe's rules or shorten the backtest"
    _refuse_empty(members, market.sessions[begin:end], begin, "the universe", remedy)
    returns = np.nan_to_num(session_returns(market))
    level = np.ones(end - begin + 1)
    held = members[:, begin].copy()
    for t in range(begin + 1, end + 1):
        listed, traded = market.listed[:, t], market.close_e4[:, t] > 0
        today = np.where(listed, returns[:, t], -1.0)
        level[t - begin] = level[t - begin - 1] * (1 + float(today[held].mean()))
        held = members[:, t] | (held & listed & ~traded)
    return pd.Series(level, index=market.sessions[begin : end + 1], name=EQUAL_WEIGHT)


def momentum_scores(market: MarketArrays, members: Bool) -> Float:
    """Return 12-1 month momentum: the total return from 240 to 20 sessions ago (Jegadeesh and Titman 1993).

    Shape ``(n_symbols, n_sessions)``, best highest. A suspended name's price is its last one. NaN for non-members and
    for names whose first bar is less than 240 sessions old.
    """
    returns = session_returns(market)
    level = np.cumsum(np.log1p(np.nan_to_num(returns)), axis=1)
    out = np.full(level.shape, np.nan)
    formed = level[:, MOMENTUM_SESSIONS - SKIPPED_SESSIONS : -SKIPPED_SESSIONS] - level[:, :-MOMENTUM_SESSIONS]
    out[:, MOMENTUM_SESSIONS:] = np.expm1(formed)
    seen = np.logical_or.accumulate(market.has_bar, axis=1)
    known = np.zeros_like(members)
    known[:, MOMENTUM_SESSIONS:] = seen[:, :-MOMENTUM_SESSIONS]
    return np.where(members & known, out, np.nan)


def low_volatility_scores(market: MarketArrays, members: Bool) -> Float:
    """Return minus the standard deviation of the last 120 session returns (Ang et al. 2006, Blitz and van Vliet 2007).

    Shape ``(n_symbols, n_sessions)``, best highest. Sessions without a bar do not count; NaN for non-members and below
    80 returns.
    """
    returns = pd.DataFrame(session_returns(market).T)
    spread = returns.rolling(VOLATILITY_SESSIONS, min_periods=LEAST_RETURNS).std().to_numpy().T
    return np.where(members, -spread, np.nan)


def plain_strategies(
    market: MarketArrays,
    members: Bool,
    *,
    strategy: StrategySettings,
    costs: CostSettings,
    first: date,
    last: date,
) -> dict[str, BacktestResult]:
    """Return the backtests of momentum and low volatility, under the settings of the strategy they are compared with.

    Parameters
    ----------
    market
        Trading view of the market, with 240 sessions before ``first``.
    members
        The universe at each close, shape ``(n_symbols, n_sessions)``.
    strategy, costs
        As of the strategy that is judged: the same capital, number of names, limits and fees.
    first, last
        As of its backtest.

    Raises
    ------
    DataQualityError
        When one of them has no score for any name at a close before ``last``: the history before ``first`` is too
        short, or the universe is empty.
    TradingError
        As ``run_backtest``.
    """
    begin, end = _span(market, members, first, last)
    scores = {
        MOMENTUM: momentum_scores(market, members),
        LOW_VOLATILITY: low_volatility_scores(market, members),
    }
    for name, values in scores.items():
        needed = {MOMENTUM: MOMENTUM_SESSIONS, LOW_VOLATILITY: LEAST_RETURNS}[name]
        remedy = f"begin later (it needs {needed} sessions before the first) or widen the universe's rules"
        _refuse_empty(np.isfinite(values), market.sessions[begin:end], begin, f"the universe of {name}", remedy)
    return {
        name: run_backtest(market, values, strategy=strategy, costs=costs, first=first, last=last)
        for name, values in scores.items()
    }


def _span(market: MarketArrays, members: Bool, first: date, last: date) -> tuple[int, int]:
    if members.shape != market.close_e4.shape:
        raise DataQualityError(f"members have shape {members.shape}, the market {market.close_e4.shape}", "align them")
    begin, end = (int(at) for at in market.sessions.get_indexer(pd.DatetimeIndex([first, last])))
    if begin < 0 or end < 0 or end <= begin:
        raise DataQualityError(f"{first} to {last} is no span of the market's sessions", "take two of its sessions")
    return begin, end


def _refuse_empty(members: Bool, sessions: pd.DatetimeIndex, begin: int, what: str, remedy: str) -> None:
    empty = ~members[:, begin : begin + len(sessions)].any(axis=0)
    if empty.any():
        first = sessions[int(empty.argmax())]
        raise DataQualityError(f"{what} is empty on {first:%Y-%m-%d} ({int(empty.sum())} sessions so)", remedy)
