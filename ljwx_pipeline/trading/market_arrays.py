"""The market as trading sees it: dense integer arrays over symbol x session, built from the canonical tables.

Limits, lots and listing days come from ``market/rulebook.py``; floats end here. Under a declared adjustment prices are
not on the tick, so a limit price cannot be reckoned exactly: the limits are then drawn ``ADJUSTED_TOLERANCE_BPS``
inside the true ones, which errs towards "locked" (on forward-adjusted daily bars with four decimals, 99 % of closes
locked at ten per cent lie within 12 basis points of it).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.market.calendar import sessions_between
from ljwx_pipeline.market.ranges import range_mask
from ljwx_pipeline.market.rulebook import (
    BPS,
    LISTING_RULES,
    NO_LIMIT_DOWN_E4,
    NO_LIMIT_UP_E4,
    limit_bps,
    limit_prices_e4,
    lot_sizes,
)
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.trading.account import E4
from ljwx_pipeline.trading.matching import SessionQuotes

Int = NDArray[np.int64]
Bool = NDArray[np.bool_]

ADJUSTED_TOLERANCE_BPS = 15
#: Columns beside the keys that decide ``can_buy``, by canonical table.
CAN_BUY_READS: dict[str, tuple[str, ...]] = {
    "bars": ("close_cny", "pre_close_cny"),
    "securities": ("board", "list_date"),
    "st_spells": ("start_date", "end_date"),
}
#: Calendar days that surely hold the longest spell of listing days.
_LISTING_SPELL = timedelta(days=30)


@dataclass(frozen=True)
class MarketArrays:
    """Everything trading asks of the market; arrays are C-ordered ``(n_symbols, n_sessions)``.

    Parameters
    ----------
    symbols, sessions
        Axes.
    open_e4, high_e4, low_e4, close_e4, pre_close_e4
        Prices in 1e-4 CNY, 0 where there is no bar (``pre_close_e4`` also where it is unknown).
    limit_up_e4, limit_down_e4
        A close at or beyond them is locked. 0 without a bar; both close the name where the reference price is unknown.
    volume_shares
        Shares traded, 0 without a bar.
    is_st, listed
        Under special treatment; between listing and delisting date, both inclusive.
    cash_e4_per_share, bonus_e4_per_share
        What goes ex on the session, 1e-4 CNY and 1e-4 shares a share.
    board, lot_min, lot_step
        By symbol, shape ``(n_symbols,)``.
    """

    symbols: tuple[str, ...]
    sessions: pd.DatetimeIndex
    open_e4: Int
    high_e4: Int
    low_e4: Int
    close_e4: Int
    pre_close_e4: Int
    limit_up_e4: Int
    limit_down_e4: Int
    volume_shares: Int
    is_st: Bool
    listed: Bool
    cash_e4_per_share: Int
    bonus_e4_per_share: Int
    board: NDArray[np.int8]
    lot_min: Int
    lot_step: Int

    @property
    def has_bar(self) -> Bool:
        """Where the name traded."""
        return self.close_e4 > 0

    @property
    def can_buy(self) -> Bool:
        """Where a buy at the close could fill: a bar, not locked at the upper limit."""
        return self.has_bar & (self.close_e4 < self.limit_up_e4)

    @property
    def can_sell(self) -> Bool:
        """Where a sale at the close could fill: a bar, not locked at the lower limit."""
        return self.has_bar & (self.close_e4 > self.limit_down_e4)

    def quotes(self, position: int) -> SessionQuotes:
        """Return what matching needs of the session at ``position`` of ``sessions``."""
        return SessionQuotes(
            close_e4=self.close_e4[:, position],
            limit_up_e4=self.limit_up_e4[:, position],
            limit_down_e4=self.limit_down_e4[:, position],
            volume_shares=self.volume_shares[:, position],
            lot_min=self.lot_min,
            lot_step=self.lot_step,
        )


def market_arrays(
    bars: pd.DataFrame,
    securities: pd.DataFrame,
    st_spells: pd.DataFrame,
    corporate_actions: pd.DataFrame,
    *,
    symbols: tuple[str, ...],
    sessions: pd.DatetimeIndex,
    adjustment: str,
) -> MarketArrays:
    """Return the trading view of canonical tables over the given axes.

    Parameters
    ----------
    bars, securities, st_spells, corporate_actions
        Tables of ``market/tables.py``; rows outside the axes are left out. Unknown spells are an empty table (no name
        is then under special treatment). Without any corporate action, raw bars give one by themselves: the drop from
        the previous close to ``pre_close_cny`` is credited in cash, a rise takes shares away, so that no gap is a
        profit or a loss.
    symbols, sessions
        Axes of the result, both ascending.
    adjustment
        ``raw``, ``forward`` or ``backward``. Adjusted prices already hold dividends and splits: no action is booked.

    Raises
    ------
    TradingError
        When a symbol is not in ``securities``, trades before its board opened, or a session is outside the rulebook.
    """
    names = pd.Index(symbols)
    known = securities.set_index("symbol").reindex(names)
    if known["board"].isna().any():
        missing = known.index[known["board"].isna()][0]
        raise TradingError(f"{missing} is not in the securities table", "complete the table: its rules are unknown")
    board = known["board"].to_numpy(dtype=np.int8)
    list_date = known["list_date"].to_numpy(dtype="datetime64[D]")
    row, column, inside = _positions(bars, names, sessions)
    kept = bars if inside.all() else bars[inside]
    shape = (len(symbols), len(sessions))

    def dense(values: NDArray[np.int64]) -> Int:
        out = np.zeros(shape, dtype=np.int64)
        out[row, column] = values
        return out

    price = {name: _to_e4(kept[f"{name}_cny"]) for name in ("open", "high", "low", "close", "pre_close")}
    is_st = range_mask(st_spells, tuple(symbols), sessions)
    up, down = _limits(
        pre_close_e4=price["pre_close"],
        board=board[row],
        is_st=is_st[row, column],
        session=sessions.to_numpy(dtype="datetime64[D]")[column],
        list_date=list_date[row],
        listed_sessions=column - _listing_positions(list_date, sessions)[row],
        adjusted=adjustment != "raw",
    )
    cash, bonus = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    if adjustment == "raw":
        if corporate_actions.empty:
            _derive_actions(row, column, price, cash, bonus)
        else:
            _book_actions(corporate_actions, names, sessions, cash, bonus)
    lot_min, lot_step = lot_sizes(board)
    return MarketArrays(
        symbols=tuple(symbols),
        sessions=sessions,
        **{f"{name}_e4": dense(values) for name, values in price.items()},
        limit_up_e4=dense(up),
        limit_down_e4=dense(down),
        volume_shares=dense(np.rint(kept["volume_shares"].to_numpy(dtype=np.float64)).astype(np.int64)),
        is_st=is_st,
        listed=_listed(known, sessions),
        cash_e4_per_share=cash,
        bonus_e4_per_share=bonus,
        board=board,
        lot_min=lot_min,
        lot_step=lot_step,
    )


def backtest_reads(adjustment: str) -> dict[str, tuple[str, ...]]:
    """Return the columns beside the keys that decide what a backtest at the close earns, by canonical table.

    Adjusted prices already hold dividends and splits: no action is read beside them.
    """
    read = CAN_BUY_READS | {
        "bars": (*CAN_BUY_READS["bars"], "volume_shares"),
        "securities": (*CAN_BUY_READS["securities"], "delist_date"),
    }
    actions = ("ex_date", "cash_cny_per_share", "bonus_shares_per_share")
    return read | ({"corporate_actions": actions} if adjustment == "raw" else {})


def _positions(bars: pd.DataFrame, names: pd.Index[str], sessions: pd.DatetimeIndex) -> tuple[Int, Int, Bool]:
    row = np.asarray(names.get_indexer(pd.Index(bars["symbol"])), dtype=np.int64)
    column = np.asarray(sessions.get_indexer(pd.DatetimeIndex(bars["session_date"])), dtype=np.int64)
    inside = (row >= 0) & (column >= 0)
    return row[inside], column[inside], inside


def _to_e4(prices_cny: pd.Series) -> Int:
    values = prices_cny.to_numpy(dtype=np.float64)
    return np.asarray(np.rint(np.where(np.isfinite(values), values, 0.0) * E4), dtype=np.int64)


def _listing_positions(list_date: NDArray[np.datetime64], sessions: pd.DatetimeIndex) -> Int:
    """Return the position of each listing date in ``sessions``; negative before their first, far so where unknown."""
    days = sessions.to_numpy(dtype="datetime64[D]")
    out = np.searchsorted(days, list_date).astype(np.int64)
    first: date = days[0].item()
    earlier = sessions_between(first - _LISTING_SPELL, first)[:-1].to_numpy(dtype="datetime64[D]")
    before = list_date < days[0]
    out[before] = np.searchsorted(earlier, list_date[before]) - len(earlier)
    far = -max(rule.sessions for rule in LISTING_RULES) - len(days)
    out[np.isnat(list_date) | (list_date < days[0] - np.timedelta64(_LISTING_SPELL))] = far
    return out


def _limits(
    *,
    pre_close_e4: Int,
    board: NDArray[np.int8],
    is_st: Bool,
    session: NDArray[np.datetime64],
    list_date: NDArray[np.datetime64],
    listed_sessions: Int,
    adjusted: bool,
) -> tuple[Int, Int]:
    up_bps, down_bps = limit_bps(
        board=board, is_st=is_st, session=session, list_date=list_date, listed_sessions=listed_sessions
    )
    early = np.flatnonzero(up_bps == 0)
    if len(early):
        first = early[0]
        raise TradingError(
            f"a {Board(int(board[first])).name} stock has a bar on {session[first]}, before its board opened",
            "correct the board in the securities table or the dates of the bars",
        )
    if adjusted:
        up = np.where(up_bps < 0, NO_LIMIT_UP_E4, pre_close_e4 * (BPS + up_bps - ADJUSTED_TOLERANCE_BPS) // BPS)
        down = -(-pre_close_e4 * (BPS - down_bps + ADJUSTED_TOLERANCE_BPS) // BPS)
        down = np.where(down_bps < 0, NO_LIMIT_DOWN_E4, down)
    else:
        up, down = limit_prices_e4(pre_close_e4, up_bps, down_bps, board=board)
    unknown = pre_close_e4 <= 0
    return np.where(unknown, 0, up), np.where(unknown, NO_LIMIT_UP_E4, down)


def _listed(known: pd.DataFrame, sessions: pd.DatetimeIndex) -> Bool:
    days = sessions.to_numpy(dtype="datetime64[D]")[None, :]
    first = known["list_date"].to_numpy(dtype="datetime64[D]")[:, None]
    last = known["delist_date"].to_numpy(dtype="datetime64[D]")[:, None]
    return np.asarray((np.isnat(first) | (days >= first)) & (np.isnat(last) | (days <= last)), dtype=bool)


def _book_actions(
    actions: pd.DataFrame, names: pd.Index[str], sessions: pd.DatetimeIndex, cash: Int, bonus: Int
) -> None:
    rows = names.get_indexer(pd.Index(actions["symbol"]))
    days = pd.DatetimeIndex(actions["ex_date"])
    columns = sessions.searchsorted(days, side="left")
    kept = (rows >= 0) & (columns < len(sessions)) & (days >= sessions[0])
    at = (rows[kept], columns[kept])
    np.add.at(cash, at, np.rint(actions["cash_cny_per_share"].to_numpy()[kept] * E4).astype(np.int64))
    np.add.at(bonus, at, np.rint(actions["bonus_shares_per_share"].to_numpy()[kept] * E4).astype(np.int64))


def _derive_actions(row: Int, column: Int, price: dict[str, Int], cash: Int, bonus: Int) -> None:
    order = np.lexsort((column, row))
    rows, columns = row[order], column[order]
    close, reference = price["close"][order], price["pre_close"][order]
    gap = np.zeros(len(order), dtype=np.int64)
    gap[1:] = np.where((rows[1:] == rows[:-1]) & (reference[1:] > 0), close[:-1] - reference[1:], 0)
    cash[rows, columns] = np.maximum(gap, 0)
    rise = np.flatnonzero(gap < 0)
    bonus[rows[rise], columns[rise]] = close[rise - 1] * E4 // reference[rise] - E4
