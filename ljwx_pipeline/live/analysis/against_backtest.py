"""Live against the backtest of the same days: the engine trades the scores that the journal holds, over the same pack.

What differs is then what the backtest does not have: orders that a limit, a breaker or a mode denied, orders of other
hands, and whatever went wrong. Not here: the engine (``backtest/engine.py``).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date

import numpy as np

from ljwx_pipeline.backtest.engine import run_backtest
from ljwx_pipeline.config import CostSettings, StrategySettings
from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.live.analysis.ledger import Ledger
from ljwx_pipeline.live.analysis.measures import outcome_of
from ljwx_pipeline.live.orders import OrderState
from ljwx_pipeline.trading.fill_model import Reject
from ljwx_pipeline.trading.market_arrays import MarketArrays


@dataclass(frozen=True)
class EquityDay:
    """Both accounts at a session's close, fen."""

    session: date
    live_fen: int
    backtest_fen: int

    @property
    def gap_fen(self) -> int:
        """Live less backtest."""
        return self.live_fen - self.backtest_fen


@dataclass(frozen=True)
class OrderGap:
    """One name on one session that the two traded differently; shares are negative for sales.

    ``live_said`` and ``backtest_said`` are how the orders ended, empty where there was none.
    """

    session: date
    symbol: str
    live_shares: int
    live_filled: int
    live_said: str
    backtest_shares: int
    backtest_filled: int
    backtest_said: str


@dataclass(frozen=True)
class Comparison:
    """The two side by side.

    Parameters
    ----------
    days
        Sessions of the account, ascending.
    orders
        Names and sessions that one of them ordered, or both.
    gaps
        Those that differ, by session and symbol.
    """

    days: tuple[EquityDay, ...]
    orders: int
    gaps: tuple[OrderGap, ...]

    @property
    def first_gap(self) -> date | None:
        """The first session at whose close the accounts differ."""
        return next((day.session for day in self.days if day.gap_fen), None)


@dataclass(frozen=True)
class Asked:
    """What is compared: sessions from ``first`` to ``last``, None for all the account has."""

    first: date | None
    last: date | None


def compared(
    ledger: Ledger, market: MarketArrays, *, strategy: StrategySettings, costs: CostSettings, asked: Asked
) -> Comparison:
    """Return the account of the journal beside a backtest of its scores.

    Both begin at the account's first session, whatever part is ``asked`` for: a backtest opens with cash alone.

    Parameters
    ----------
    market
        Of the pack, with the columns that the fill model reads (``market_arrays.optional_columns``).
    strategy, costs
        As the runner had them.

    Raises
    ------
    TradingError
        When there is nothing to compare: two sessions at least, one strategy, and bars of each session.
    """
    sessions = [day.session for day in ledger.account]
    columns = {stamp.date(): column for column, stamp in enumerate(market.sessions)}
    _require_comparable(ledger, sessions, columns)
    rows = {symbol: row for row, symbol in enumerate(market.symbols)}
    scores = np.full((len(market.symbols), len(market.sessions)), np.nan, order="F")
    for session, said in ledger.scores.items():
        for symbol, score in said.items():
            if session in columns and symbol in rows:
                scores[rows[symbol], columns[session]] = score
    found = run_backtest(market, scores, strategy=strategy, costs=costs, first=sessions[0], last=sessions[-1])
    wanted = {day for day in sessions if (asked.first is None or day >= asked.first)}
    wanted = {day for day in wanted if asked.last is None or day <= asked.last}
    by_day = dict(zip(sessions, zip(ledger.account, found.equity_fen.tolist(), strict=False), strict=False))
    days = tuple(EquityDay(day, by_day[day][0].equity_fen, int(by_day[day][1])) for day in sessions if day in wanted)
    live = _live(ledger, wanted)
    paper: dict[tuple[date, str], tuple[int, int, str]] = {}
    told = found.orders
    for stamp, symbol, shares, filled, reject in zip(
        told["session_date"], told["symbol"], told["order_shares"], told["fill_shares"], told["reject"], strict=True
    ):
        if stamp.date() in wanted:
            paper[stamp.date(), str(symbol)] = (int(shares), int(filled), _ended(Reject(int(reject))))
    gaps = []
    keys = sorted(live.keys() | paper.keys())
    for session, symbol in keys:
        ours, theirs = live.get((session, symbol), (0, 0, "")), paper.get((session, symbol), (0, 0, ""))
        if ours[:2] != theirs[:2]:
            gaps.append(OrderGap(session, symbol, *ours, *theirs))
    return Comparison(days, len(keys), tuple(gaps))


def _ended(reject: Reject) -> str:
    """Return how a backtest's order ended, in the words of `outcome_of`."""
    return OrderState.FILLED.value if reject is Reject.NONE else f"{OrderState.LAPSED.value} {reject.name}"


def _live(ledger: Ledger, wanted: set[date]) -> dict[tuple[date, str], tuple[int, int, str]]:
    """Return signed shares ordered and filled, and how it ended, by session and name; orders that were denied too."""
    ordered: dict[tuple[date, str], int] = defaultdict(int)
    filled: dict[tuple[date, str], int] = defaultdict(int)
    said: dict[tuple[date, str], list[str]] = defaultdict(list)
    for one in ledger.orders:
        key = (one.valid_session, one.symbol)
        if one.valid_session not in wanted:
            continue
        ordered[key] += 0 if one.state is OrderState.DENIED else one.sign * one.shares
        filled[key] += one.sign * one.filled_shares
        said[key].append(outcome_of(one))
    return {key: (ordered[key], filled[key], ", ".join(said[key])) for key in ordered}


def _require_comparable(ledger: Ledger, sessions: list[date], columns: dict[date, int]) -> None:
    if len(sessions) < 2:
        raise TradingError(
            f"the account has {len(sessions)} session(s), a backtest needs two", "let the runner trade on"
        )
    if len(ledger.strategies) > 1:
        raise TradingError(
            f"{', '.join(ledger.strategies)} share the account, a backtest trades one strategy",
            "look at the costs alone, which are of all of them",
        )
    lacking = [day for day in sessions if day not in columns]
    if lacking:
        raise TradingError(
            f"the session pack does not hold {lacking[0]}, which the account has traded",
            "analyse with the pack that holds it",
        )
