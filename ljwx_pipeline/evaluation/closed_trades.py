"""Round trips: which purchase each sale closed, what it earned after fees, dividends included.

First in, first out: every fill that buys opens a lot, every fill that sells closes the oldest lots of its name, whole
or in part, and each part closed is one trade. On an ex-date dividends and bonus shares go to the lots by their shares,
as ``trading/account.py`` books them. What is delisted while held is closed at nothing, as there. All in whole fen, with
nothing lost to rounding: the profit of closed and open lots together is the change of the account's equity.

Not here: measures of trades (``metrics.win_rate``, ``profit_factor``, ``payoff_ratio`` take ``return_frac`` or
``profit_fen``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.backtest.result import BacktestResult
from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.trading.account import E4
from ljwx_pipeline.trading.costs import E4_PER_FEN
from ljwx_pipeline.trading.market_arrays import MarketArrays

Int = NDArray[np.int64]

#: Columns of ``closed_trades``; of ``open_lots`` those that are in ``OPEN_COLUMNS``.
TRADE_COLUMNS = (
    "symbol", "entry_date", "exit_date", "holding_sessions", "shares", "cost_fen", "proceeds_fen", "dividends_fen",
    "fees_fen", "profit_fen", "return_frac", "exit",
)  # fmt: skip
OPEN_COLUMNS = ("symbol", "entry_date", "shares", "cost_fen", "dividends_fen", "fees_fen")

SOLD, DELISTED = "sold", "delisted"


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

    def go_ex(self, cash_e4: int, bonus_e4: int) -> None:
        """Book a dividend and bonus shares as the account does on the whole holding, then share them out."""
        held = self.shares
        for lot, part in zip(self.lots, _shared(held * cash_e4 // E4_PER_FEN, self.lots), strict=True):
            lot.dividends_fen += part
        for lot, part in zip(self.lots, _shared(held * bonus_e4 // E4, self.lots), strict=True):
            lot.shares += part

    def close(self, session: int, shares: int, value_fen: int, fees_fen: int, exit_: str) -> bool:
        """Close ``shares`` of the oldest lots; False when there are fewer."""
        while shares and self.lots:
            oldest = self.lots[0]
            closed = self.lots.popleft() if oldest.shares <= shares else oldest.part(shares)
            value, fees = value_fen * closed.shares // shares, fees_fen * closed.shares // shares
            self.trades.append((closed, session, value, fees, exit_))
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
        ``profit_fen`` = proceeds + dividends - cost; ``return_frac`` = profit / cost; ``exit`` ``sold`` or
        ``delisted``. Empty without a trade. Lots still open are in ``open_lots``.

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
            (value - fees + lot.dividends_fen) / lot.cost_fen - 1,
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
    last = int(market.sessions.get_indexer(result.sessions[-1:])[0])
    trades = result.trades
    sessions = market.sessions.get_indexer(pd.DatetimeIndex(trades["session_date"]))
    row_of = {symbol: row for row, symbol in enumerate(market.symbols)}
    fees = trades["commission_fen"] + trades["stamp_duty_fen"] + trades["transfer_fee_fen"]
    fills = pd.DataFrame(
        {"symbol": trades["symbol"], "session": sessions, "shares": trades["fill_shares"]}
        | {"value": trades["value_fen"], "fees": fees}
    )
    books: dict[str, _Book] = {}
    for symbol, own in fills.groupby("symbol", sort=True):
        book = books[str(symbol)] = _Book()
        row = row_of[str(symbol)]
        traded = list(zip(*(own[name].tolist() for name in ("session", "shares", "value", "fees")), strict=True))
        for session, event in _events(market, row, traded, last):
            if event is None:
                if not market.listed[row, session]:
                    book.close(session, book.shares, 0, 0, DELISTED)
                else:
                    book.go_ex(
                        int(market.cash_e4_per_share[row, session]), int(market.bonus_e4_per_share[row, session])
                    )
                continue
            shares, value, paid = event
            if shares > 0:
                book.lots.append(_Lot(session, shares, value + paid, paid))
            elif not book.close(session, -shares, value, paid, SOLD):
                raise TradingError(
                    f"{symbol} was sold on {market.sessions[session]:%Y-%m-%d} without having been held",
                    "pass the backtest together with the market it ran on",
                )
    return books


def _events(
    market: MarketArrays, row: int, traded: list[tuple[int, int, int, int]], last: int
) -> Iterator[tuple[int, tuple[int, int, int] | None]]:
    """Give what happens to one name in order: ex-dates and delisting (None) before the fills of the session."""
    first = traded[0][0]
    window = slice(first + 1, last + 1)
    listed = market.listed[row, first : last + 1]
    changes = (market.cash_e4_per_share[row, window] != 0) | (market.bonus_e4_per_share[row, window] != 0)
    changes |= ~listed[1:] & listed[:-1]
    overnight = [(int(at), 0, None) for at in np.flatnonzero(changes) + first + 1]
    fills = [(session, 1, (shares, value, fees)) for session, shares, value, fees in traded]
    for session, _, event in sorted([*overnight, *fills], key=lambda item: item[:2]):
        yield session, event


def _shared(amount: int, lots: deque[_Lot]) -> list[int]:
    """Divide a whole amount over lots by their shares; what rounding leaves goes to the newest."""
    held, parts = sum(lot.shares for lot in lots), []
    for lot in lots:
        part = amount * lot.shares // held if held else 0
        parts.append(part)
        amount, held = amount - part, held - lot.shares
    return parts
