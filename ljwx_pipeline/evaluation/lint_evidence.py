"""What the result lint looks at, measured on a backtest and its scores: plain numbers that a JSON file can keep.

Not here: which of them are suspicious (``lint.py``), the figures people compare strategies by (``metrics.py``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.backtest.result import BacktestResult
from ljwx_pipeline.coefficients import BySession, by_session, panel_rank_ic
from ljwx_pipeline.config import LabelSettings
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.evaluation.holdings import Holdings
from ljwx_pipeline.evaluation.metrics import annual_turnover, monthly_returns, returns_of, sharpe, unwanted_cash_frac
from ljwx_pipeline.evaluation.total_returns import session_returns
from ljwx_pipeline.trading.market_arrays import MarketArrays
from ljwx_pipeline.units import E4

Float = NDArray[np.float64]
Int = NDArray[np.int64]

#: Growth below which all is lost; its logarithm stays finite.
_RUIN = 1e-300


@dataclass(frozen=True)
class LintEvidence:
    """What was measured; None where it could not be.

    Parameters
    ----------
    first_session, last_session
        Of the backtest, as ``YYYY-MM-DD``.
    fills, fills_beyond_limit, fills_at_limit
        Fills; those at a price outside the session's limits (on the side that a limit does not lock, outside the bar
        as well); buys at the upper (sales at the lower) limit on a session
        that closed locked there.
    first_bad_fill
        Session, symbol and price of the first of either kind; empty without one.
    positions_closed, months
        Holdings that went back to nothing (one may hold several trades closed first in, first out), and calendar
        months of returns.
    top_name, top_name_profit_frac
        The name that earned most and its share of the profit of all names; None without a profit.
    largest_weight_name, largest_weight_frac
        The largest share of equity that one name ever had at a close.
    session_sharpe
        Annualised Sharpe ratio of session returns after costs.
    moved_sessions, first_moved_session
        Sessions on which equity changed though no name held had a bar and nothing was paid out or written off.
    stale_value_frac
        Mean share of equity valued at a price older than ``stale_after_sessions``.
    capital_cny, capacity_cny
        Opening capital, and the capital at which the strategy's orders meet its limit on participation.
    rank_ic_earned
        Mean rank IC of the scores with the return over the horizon from the entry on.
    rank_ic_delayed
        The same, entered one session later.
    rank_ic_before_entry
        With the return from the score's close to the entry's, which nobody earns.
    rank_ic_same_session
        With the return of the score's own session.
    horizon_sessions
        The horizon of all but the last two.
    turnover, unwanted_cash_frac
        As ``metrics.annual_turnover`` and ``metrics.unwanted_cash_frac``.
    benchmark, benchmark_correlation, closest_index, closest_correlation
        The gate's index and the index of those compared whose session returns move most like the strategy's.
    cliff_frac, cliff_parameter
        How much of the chosen settings' information ratio is lost at the worst neighbour in a sweep, and along which
        setting; None without a sweep (``swept_cliff.py``).
    abstained_frac
        Share of the scored rows that were too unsure to be bought; None where no limit is set.
    """

    first_session: str
    last_session: str
    fills: int
    fills_beyond_limit: int
    fills_at_limit: int
    first_bad_fill: str
    positions_closed: int
    months: int
    top_name: str
    top_name_profit_frac: float | None
    largest_weight_name: str
    largest_weight_frac: float
    session_sharpe: float | None
    moved_sessions: int
    first_moved_session: str
    stale_after_sessions: int
    stale_value_frac: float
    capital_cny: float
    capacity_cny: float | None
    rank_ic_earned: float | None
    rank_ic_delayed: float | None
    rank_ic_before_entry: float | None
    rank_ic_same_session: float | None
    horizon_sessions: int
    turnover: float
    unwanted_cash_frac: float | None
    benchmark: str
    benchmark_correlation: float | None
    closest_index: str
    closest_correlation: float | None
    cliff_frac: float | None = None
    cliff_parameter: str = ""
    abstained_frac: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> LintEvidence:
        """Return the evidence that ``as_dict`` gave.

        Raises
        ------
        LakeError
            When ``document`` holds other keys: another version wrote it.
        """
        names = {field.name for field in fields(cls)}
        if set(document) != names:
            differ = ", ".join(sorted(names ^ set(document)))
            raise LakeError(f"the lint evidence has other fields than this version ({differ})", "run `ljwx run` again")
        return cls(**document)


def measure_evidence(
    result: BacktestResult,
    market: MarketArrays,
    scores: Float,
    holdings: Holdings,
    *,
    label: LabelSettings,
    closes: Mapping[str, pd.Series],
    benchmark: str,
    stale_after_sessions: int,
    capacity_cny: float,
    abstained_frac: float | None = None,
) -> LintEvidence:
    """Return what the lint looks at.

    Parameters
    ----------
    result, market, scores
        A backtest, and the market arrays and scores (``(n_symbols, n_sessions)``, NaN: not scored) it ran on.
    holdings
        ``holdings_of(result, market)``.
    label
        When a score is entered and how long it is held.
    closes, benchmark
        Index closes on the sessions of ``result``, and the one that the gate subtracts.
    stale_after_sessions
        A price older than this is stale.
    capacity_cny
        From the capacity figure; NaN where no order met any turnover.
    abstained_frac
        Share of the scored rows that were too unsure to be bought; None where no limit is set.
    """
    returns = returns_of(result.equity)
    beyond, locked, first_bad = _bad_fills(result, market)
    top_name, top_frac = _top_name(holdings)
    equity = np.maximum(result.equity_fen, 1)
    weights = holdings.value_fen / equity[:, None]
    session, name = np.unravel_index(int(weights.argmax()), weights.shape) if weights.size else (0, 0)
    moved = _moved_without_data(result, market, holdings)
    stale = np.where(holdings.price_age_sessions > stale_after_sessions, holdings.value_fen, 0).sum(axis=1)
    correlations = {code: _correlation(returns, returns_of(close)) for code, close in closes.items()}
    known = {code: value for code, value in correlations.items() if value is not None}
    closest = max(known, key=known.__getitem__) if known else ""
    earned, delayed, before, same = _coefficients(result, market, scores, label)
    return LintEvidence(
        first_session=f"{result.sessions[0]:%Y-%m-%d}",
        last_session=f"{result.sessions[-1]:%Y-%m-%d}",
        fills=len(result.trades),
        fills_beyond_limit=beyond,
        fills_at_limit=locked,
        first_bad_fill=first_bad,
        positions_closed=holdings.positions_closed,
        months=len(monthly_returns(result.equity)),
        top_name=top_name,
        top_name_profit_frac=top_frac,
        largest_weight_name=holdings.symbols[name] if weights.size else "",
        largest_weight_frac=float(weights[session, name]) if weights.size else 0.0,
        session_sharpe=_finite(sharpe(returns)),
        moved_sessions=len(moved),
        first_moved_session=f"{result.sessions[moved[0]]:%Y-%m-%d}" if len(moved) else "",
        stale_after_sessions=stale_after_sessions,
        stale_value_frac=float((stale / equity).mean()),
        capital_cny=int(result.equity_fen[0]) / 100,
        capacity_cny=_finite(capacity_cny),
        rank_ic_earned=earned,
        rank_ic_delayed=delayed,
        rank_ic_before_entry=before,
        rank_ic_same_session=same,
        horizon_sessions=label.horizon_sessions,
        turnover=annual_turnover(result),
        unwanted_cash_frac=_finite(unwanted_cash_frac(result)),
        benchmark=benchmark,
        benchmark_correlation=correlations[benchmark],
        closest_index=closest,
        closest_correlation=known.get(closest),
        abstained_frac=abstained_frac,
    )


def _bad_fills(result: BacktestResult, market: MarketArrays) -> tuple[int, int, str]:
    trades = result.trades
    rows = pd.Index(market.symbols).get_indexer(pd.Index(trades["symbol"]))
    at = (rows, market.sessions.get_indexer(pd.DatetimeIndex(trades["session_date"])))
    price, buying = trades["price_e4"].to_numpy(), trades["fill_shares"].to_numpy() > 0
    up, down, close = market.limit_up_e4[at], market.limit_down_e4[at], market.close_e4[at]
    # a name locked at one limit still trades with whoever takes the other side; under an adjustment the limits of
    # ``market_arrays`` lie inside the true ones, so for that side the bar's own prices count too
    highest, lowest = (
        np.maximum(up, _extreme(market, at, np.maximum)),
        np.minimum(down, _extreme(market, at, np.minimum)),
    )
    beyond = np.where(buying, (price > up) | (price < lowest), (price < down) | (price > highest))
    locked = np.where(buying, (price >= up) & (close >= up), (price <= down) & (close <= down)) & ~beyond
    bad = np.flatnonzero(beyond | locked)
    if not len(bad):
        return 0, 0, ""
    one = trades.iloc[bad[0]]
    told = f"{one['symbol']} {one['session_date']:%Y-%m-%d} {one['price_e4'] / E4:.2f} CNY"
    return int(beyond.sum()), int(locked.sum()), told


def _extreme(market: MarketArrays, at: tuple[Int, Int], chosen: np.ufunc) -> Int:
    """Return the outermost of the prices that the market holds of these bars."""
    held = (prices for prices in (market.open_e4, market.high_e4, market.low_e4) if prices is not None)
    out = market.close_e4[at].astype(np.int64)
    for prices in held:
        out = chosen(out, prices[at])
    return out


def _top_name(holdings: Holdings) -> tuple[str, float | None]:
    total = int(holdings.profit_fen.sum())
    if total <= 0:
        return "", None
    best = int(holdings.profit_fen.argmax())
    return holdings.symbols[best], int(holdings.profit_fen[best]) / total


def _moved_without_data(result: BacktestResult, market: MarketArrays, holdings: Holdings) -> NDArray[np.int64]:
    """Return the positions of sessions on which equity changed without a bar, an action or a write-off behind it."""
    rows = pd.Index(market.symbols).get_indexer(pd.Index(holdings.symbols))
    first = int(market.sessions.get_indexer(result.sessions[:1])[0])
    told = (market.close_e4[rows, first : first + len(result.sessions)] > 0).T
    for at in range(len(result.sessions)):
        told[at] |= np.isin(rows, market.actions.on(first + at)[:, 0])
    held = holdings.shares > 0
    held[1:] |= holdings.shares[:-1] > 0
    explained = (held & told).any(axis=1) | (result.written_off_fen != 0)
    change = np.diff(result.equity_fen, prepend=result.equity_fen[0])
    return np.flatnonzero((change != 0) & ~explained)


def _coefficients(
    result: BacktestResult, market: MarketArrays, scores: Float, label: LabelSettings
) -> tuple[float | None, float | None, float | None, float | None]:
    """Return the mean rank IC earned, earned a session later, of the return before the entry, of the same session."""
    lag, horizon = label.entry_lag_sessions, label.horizon_sessions
    first = int(market.sessions.get_indexer(result.sessions[:1])[0])
    span = slice(first, first + len(result.sessions))
    steps = np.nan_to_num(np.log1p(np.maximum(session_returns(market), _RUIN - 1)))
    level = np.where(market.has_bar, np.cumsum(steps, axis=1), np.nan)[:, span]
    scored = by_session(scores[:, span])

    def mean(start: int, stop: int) -> float | None:
        """Return the mean rank IC with the return from ``start`` to ``stop`` sessions after the score."""
        values = panel_rank_ic(scored, _between(level, start, stop))
        known = values[np.isfinite(values)]
        return float(known.mean()) if len(known) else None

    return mean(lag, lag + horizon), mean(lag + 1, lag + 1 + horizon), mean(0, lag), mean(-1, 0)


def _between(level: Float, start: int, stop: int) -> BySession:
    out = np.full_like(level, np.nan)
    sessions = level.shape[1]
    begin, end = max(0, -start), sessions - max(stop, 0)
    if begin < end:
        out[:, begin:end] = level[:, begin + stop : end + stop] - level[:, begin + start : end + start]
    return by_session(out)


def _correlation(own: pd.Series, other: pd.Series) -> float | None:
    if len(own) < 2 or float(own.std()) == 0 or float(other.std()) == 0:
        return None
    return _finite(float(own.corr(other)))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
