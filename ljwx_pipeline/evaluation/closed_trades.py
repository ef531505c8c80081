"""Round trips: which purchase each sale closed, what it earned after fees, dividends included.

First in, first out: every fill that buys opens a lot, every fill that sells closes the oldest lots of its name, whole
or in part, and each part closed is one trade. On an ex-date dividends, bonus shares and subscribed rights go to the
lots by their shares, as ``trading/account.py`` books them. What is delisted while held is closed at nothing, as there.
All in whole fen, with nothing lost to rounding: the profit of closed and open lots together is the change of the
account's equity.

Not here: measures of trades (``metrics.win_rate``, ``profit_factor``, ``payoff_ratio`` take ``return_frac`` or
``profit_fen``).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ljwx_pipeline.backtest.result import BacktestResult
from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.trading.market_arrays import MarketArrays
from ljwx_pipeline.units import E4, E4_PER_FEN

#: Columns of ``closed_trades``; of ``open_lots`` those that are in ``OPEN_COLUMNS``.
TRADE_COLUMNS = (
    "symbol", "entry_date", "exit_date", "holding_sessions", "shares", "cost_fen", "proceeds_fen", "dividends_fen",
    "fees_fen", "profit_fen", "return_frac", "exit",
)  # fmt: skip
OPEN_COLUMNS = ("symbol", "entry_date", "shares", "cost_fen", "dividends_fen", "fees_fen")

SOLD, LOST = "sold", "lost"


@dataclass
class _Lot:
    """What is left of one purchase; ``cost_fen`` holds its fees."""

    entry: int
    shares: int
    cost_fen: int
    fees_fen: int
    dividends_fen: int = 0

    def part(self, shares: int) -> _Lot:
        """Take ``shares`` out, with their part of the money; the last part takes what rounding left."""
        taken = _Lot(
            self.entry,
            shares,
            self.cost_fen * shares // self.shares,
            self.fees_fen * shares // self.shares,
            self.dividends_fen * shares // self.shares,
        )
        self.shares -= taken.shares
        self.cost_fen -= taken.cost_fen
        self.fees_fen -= taken.fees_fen
        self.dividends_fen -= taken.dividends_fen
        return taken


@dataclass
class _Book:
    """The lots of one name, oldest first, and the trades that closed some."""

    lots: deque[_Lot] = field(default_factory=deque)
    trades: list[tuple[_Lot, int, int, int, str]] = field(default_factory=list)

    @property
    def shares(self) -> int:
        return sum(lot.shares for lot in self.lots)

    def earn(self, amount_fen: int) -> None:
        """Share a dividend out."""
        for lot, part in zip(self.lots, _shared(amount_fen, self.lots), strict=True):
            lot.dividends_fen += part

    def grow(self, shares: int, cost_fen: int) -> None:
        """Share out shares that came (or, negative, went) on an ex-date, and what was paid for them."""
        parts = zip(self.lots, _shared(shares, self.lots), _shared(cost_fen, self.lots), strict=True)
        for lot, part, cost in parts:
            lot.shares += part
            lot.cost_fen += cost

    def lose(self, session: int) -> None:
        """Close everything at nothing."""
        self.trades.extend((lot, session, 0, 0, LOST) for lot in self.lots)
        self.lots.clear()

    def sell(self, session: int, shares: int, value_fen: int, fees_fen: int) -> bool:
        """Close ``shares`` of the oldest lots; False when there are fewer."""
        while shares and self.lots:
            oldest = self.lots[0]
            closed = self.lots.popleft() if oldest.shares <= shares else oldest.part(shares)
            value, fees = value_fen * closed.shares // shares, fees_fen * closed.shares // shares
            self.trades.append((closed, session, value, fees, SOLD))
            shares, value_fen, fees_fen = shares - closed.shares, value_fen - value, fees_fen - fees
        return shares == 0


def closed_trades(result: BacktestResult, market: MarketArrays) -> pd.DataFrame:
    """Return every closed trade, by exit date, then symbol, then entry date.

    Parameters
    ----------
    result
        A backtest.
    market
        The market it ran on: what went ex, and who was delisted when.

    Returns
    -------
    DataFrame
        ``TRADE_COLUMNS``: ``shares`` sold; ``holding_sessions`` from entry to exit; ``cost_fen`` paid, fees included;
        ``proceeds_fen`` received, fees taken off; ``dividends_fen`` while held; ``fees_fen`` both ways;
        ``profit_fen`` = proceeds + dividends - cost; ``return_frac`` = profit / cost (NaN for a part
        so small that its cost rounds to no fen); ``exit`` ``sold`` or
        ``lost`` (delisted while held, or a last odd share that an ex-date took). Rights that were subscribed add to
        cost and shares. Empty without a trade. Lots still open are in ``open_lots``.

    Raises
    ------
    TradingError
        When more was sold than held: orders and market are not of the same backtest.
    """
    books = _books(result, market)
    rows = [
        (
            symbol,
            market.sessions[lot.entry],
            market.sessions[session],
            session - lot.entry,
            lot.shares,
            lot.cost_fen,
            value - fees,
            lot.dividends_fen,
            lot.fees_fen + fees,
            value - fees + lot.dividends_fen - lot.cost_fen,
            (value - fees + lot.dividends_fen) / lot.cost_fen - 1 if lot.cost_fen else math.nan,
            exit_,
        )
        for symbol, book in books.items()
        for lot, session, value, fees, exit_ in book.trades
    ]
    frame = pd.DataFrame(rows, columns=list(TRADE_COLUMNS)).astype(
        {"entry_date": "datetime64[ns]", "exit_date": "datetime64[ns]", "return_frac": "float64"}
        | {name: "int64" for name in TRADE_COLUMNS if name.endswith(("_fen", "shares", "_sessions"))}
    )
    return frame.sort_values(["exit_date", "symbol", "entry_date"], kind="stable", ignore_index=True)


def open_lots(result: BacktestResult, market: MarketArrays) -> pd.DataFrame:
    """Return what is left of every purchase at the last close, ``OPEN_COLUMNS``; errors as ``closed_trades``."""
    rows = [
        (symbol, market.sessions[lot.entry], lot.shares, lot.cost_fen, lot.dividends_fen, lot.fees_fen)
        for symbol, book in _books(result, market).items()
        for lot in book.lots
    ]
    return pd.DataFrame(rows, columns=list(OPEN_COLUMNS)).astype({"entry_date": "datetime64[ns]"})


def _books(result: BacktestResult, market: MarketArrays) -> dict[str, _Book]:
    first, last = (int(at) for at in market.sessions.get_indexer(result.sessions[[0, -1]]))
    fills = _fills(result, market)
    names = sorted({name for session in fills.values() for name, *_ in session})
    books = {name: _Book() for name in names}
    delisted = _delistings(market, names, first, last)
    for session in range(first, last + 1):
        for name in delisted.get(session, ()):
            books[name].lose(session)
        _go_ex(books, market, session, int(result.cash_fen[max(session - first - 1, 0)]))
        for name, shares, value, fees in fills.get(session, ()):
            if shares > 0:
                books[name].lots.append(_Lot(session, shares, value + fees, fees))
            elif not books[name].sell(session, -shares, value, fees):
                raise TradingError(
                    f"{market.symbols[name]} was sold on {market.sessions[session]:%Y-%m-%d} without having been held",
                    "pass the backtest together with the market it ran on",
                )
    return {market.symbols[name]: book for name, book in books.items()}


def _fills(result: BacktestResult, market: MarketArrays) -> dict[int, list[tuple[int, int, int, int]]]:
    """Return name, signed shares, value and fees of every fill by session, in the order of the orders."""
    trades = result.trades
    fees = trades["commission_fen"] + trades["stamp_duty_fen"] + trades["transfer_fee_fen"]
    columns = (
        market.sessions.get_indexer(pd.DatetimeIndex(trades["session_date"])),
        pd.Index(market.symbols).get_indexer(pd.Index(trades["symbol"])),
        *(values.to_numpy() for values in (trades["fill_shares"], trades["value_fen"], fees)),
    )
    out: dict[int, list[tuple[int, int, int, int]]] = {}
    for session, *fill in zip(*(column.tolist() for column in columns), strict=True):
        out.setdefault(session, []).append(tuple(fill))
    return out


def _delistings(market: MarketArrays, names: list[int], first: int, last: int) -> dict[int, list[int]]:
    """Return who is no longer listed from which session of the backtest on."""
    out: dict[int, list[int]] = {}
    for name in names:
        listed = market.listed[name, first : last + 1]
        for at in np.flatnonzero(listed[:-1] & ~listed[1:]).tolist():
            out.setdefault(first + at + 1, []).append(name)
    return out


def _go_ex(books: dict[int, _Book], market: MarketArrays, session: int, cash_fen: int) -> None:
    """Book what goes ex in the order of the account: every dividend first, then shares, name by name."""
    actions = [row for row in market.actions.on(session).tolist() if row[0] in books and books[row[0]].lots]
    for name, cash_e4, *_ in actions:
        dividend = books[name].shares * cash_e4 // E4_PER_FEN
        books[name].earn(dividend)
        cash_fen += dividend
    for name, _, bonus_e4, rights_e4, price_e4 in actions:
        held = books[name].shares
        books[name].grow(held * bonus_e4 // E4, 0)
        offered = held * rights_e4 // E4
        cost = -(-offered * price_e4 // E4_PER_FEN)
        if offered and cost <= cash_fen:
            cash_fen -= cost
            books[name].grow(offered, cost)
        if not books[name].shares:
            books[name].lose(session)


def _shared(amount: int, lots: deque[_Lot]) -> list[int]:
    """Divide a whole amount over lots by their shares; what rounding leaves goes to the newest."""
    held, parts = sum(lot.shares for lot in lots), []
    for lot in lots:
        part = amount * lot.shares // held if held else 0
        parts.append(part)
        amount, held = amount - part, held - lot.shares
    return parts
