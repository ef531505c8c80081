"""The market as trading sees it: dense integer arrays over symbol x session, built from the canonical tables.

Limits, lots and listing days come from ``market/rulebook.py``; floats end here. Under a declared adjustment prices are
not on the tick, so a limit price cannot be reckoned exactly: the limits are then drawn ``ADJUSTED_TOLERANCE_BPS``
inside the true ones, which errs towards "locked" (on forward-adjusted daily bars with four decimals, 99 % of closes
locked at ten per cent lie within 12 basis points of it).

Memory: prices are int32 and laid out session after session (Fortran order), because that is how a backtest walks them;
what goes ex is a list (``corporate_actions.py``); open, high, low and amount are built only when asked for; the bars
are read a chunk at a time.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.config import CostSettings
from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.market.calendar import sessions_between
from ljwx_pipeline.market.ranges import range_mask
from ljwx_pipeline.market.rulebook import LISTING_RULES, NO_LIMIT_DOWN_E4, limit_bps, limit_prices_e4, lot_sizes
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.trading.corporate_actions import RIGHTS_COLUMNS, ActionList, booked_actions, derived_actions
from ljwx_pipeline.trading.fill_model import FillModel
from ljwx_pipeline.trading.matching import SessionQuotes
from ljwx_pipeline.trading.opening_limits import OpeningLimits
from ljwx_pipeline.trading.volatility import trailing_volatility_e8
from ljwx_pipeline.units import BPS, E4

Int = NDArray[np.int64]
Int32 = NDArray[np.int32]
Bool = NDArray[np.bool_]

#: Stands in ``limit_up_e4`` where there is no limit: the largest price of the arrays.
UNLIMITED_E4 = 2**31 - 1
#: Columns of bars that are turned into arrays only when asked for.
OPTIONAL_COLUMNS = {"open": "open_cny", "high": "high_cny", "low": "low_cny", "amount": "amount_cny"}
ADJUSTED_TOLERANCE_BPS = 15
#: Columns beside the keys that decide ``can_buy``, by canonical table.
CAN_BUY_READS: dict[str, tuple[str, ...]] = {
    "bars": ("close_cny", "pre_close_cny"),
    "securities": ("board", "list_date", "delisting_period_date"),
    "st_spells": ("start_date", "end_date"),
}
#: Rows of bars worked on at a time.
_CHUNK_ROWS = 1 << 17
#: Calendar days that surely hold the longest spell of listing days.
_LISTING_SPELL = timedelta(days=30)
_LISTING_SESSIONS = max(rule.sessions for rule in LISTING_RULES)


@dataclass(frozen=True)
class MarketArrays:
    """Everything trading asks of the market; arrays are ``(n_symbols, n_sessions)`` in Fortran order.

    Parameters
    ----------
    symbols, sessions
        Axes.
    close_e4, pre_close_e4
        Prices in 1e-4 CNY, int32, 0 where there is no bar (``pre_close_e4`` also where it is unknown).
    limit_up_e4, limit_down_e4
        A price at or beyond them is locked; ``UNLIMITED_E4`` and 0 where there is no limit. 0 without a bar; both close
        the name where the reference price is unknown.
    volume_shares
        Shares traded, int64, 0 without a bar.
    is_st, listed
        Under special treatment; between listing and delisting date, both inclusive.
    actions
        What goes ex.
    board, lot_min, lot_step
        By symbol, shape ``(n_symbols,)``.
    open_e4, high_e4, low_e4, amount_fen
        As above and turnover in fen (int64); None when they were not asked for.
    opening_limits
        Where the opening auction's limits are not the session's; None when the open was not asked for.
    """

    symbols: tuple[str, ...]
    sessions: pd.DatetimeIndex
    close_e4: Int32
    pre_close_e4: Int32
    limit_up_e4: Int32
    limit_down_e4: Int32
    volume_shares: Int
    is_st: Bool
    listed: Bool
    actions: ActionList
    board: NDArray[np.int8]
    lot_min: Int
    lot_step: Int
    open_e4: Int32 | None = None
    high_e4: Int32 | None = None
    low_e4: Int32 | None = None
    amount_fen: Int | None = None
    opening_limits: OpeningLimits | None = None

    @property
    def has_bar(self) -> Bool:
        """Where the name traded."""
        return self.close_e4 > 0

    @property
    def can_buy(self) -> Bool:
        """Where a buy at the close could fill: a bar, not locked at the upper limit."""
        return self.has_bar & (self.close_e4 < self.limit_up_e4)

    @cached_property
    def volatility_e8(self) -> Int32:
        """Daily volatility known before each session, 1e-8; see ``volatility.trailing_volatility_e8``."""
        return trailing_volatility_e8(self.close_e4.T, self.pre_close_e4.T).T

    def quotes(self, position: int, *, with_volatility: bool = False) -> SessionQuotes:
        """Return what matching needs of the session at ``position``; the volatility only where impact is charged."""

        def column(values: Int | Int32 | None) -> Int | None:
            return None if values is None else values[:, position].astype(np.int64)

        return SessionQuotes(
            close_e4=self.close_e4[:, position].astype(np.int64),
            limit_up_e4=self.limit_up_e4[:, position].astype(np.int64),
            limit_down_e4=self.limit_down_e4[:, position].astype(np.int64),
            volume_shares=self.volume_shares[:, position],
            lot_min=self.lot_min,
            lot_step=self.lot_step,
            reference_e4=column(self.pre_close_e4),
            open_e4=column(self.open_e4),
            high_e4=column(self.high_e4),
            low_e4=column(self.low_e4),
            amount_fen=column(self.amount_fen),
            volatility_e8=column(self.volatility_e8) if with_volatility else None,
            opening_limits=None if self.opening_limits is None else self.opening_limits.on(position),
        )


def optional_columns(costs: CostSettings) -> tuple[str, ...]:
    """Return which of ``OPTIONAL_COLUMNS`` fills under ``costs`` read."""
    return FillModel.of(costs.fill).reads


def market_arrays(
    bars: pd.DataFrame,
    securities: pd.DataFrame,
    st_spells: pd.DataFrame,
    corporate_actions: pd.DataFrame,
    *,
    symbols: tuple[str, ...],
    sessions: pd.DatetimeIndex,
    adjustment: str,
    columns: Collection[str] = (),
) -> MarketArrays:
    """Return the trading view of canonical tables over the given axes.

    Parameters
    ----------
    bars, securities, st_spells, corporate_actions
        Tables of ``market/tables.py``; rows outside the axes are left out. Unknown spells are an empty table (no name
        is then under special treatment), without ``delisting_period_date`` no session lies in a delisting period.
        Without any corporate action, raw bars give one by themselves: the drop from the previous close to
        ``pre_close_cny`` is credited in cash, a rise takes shares away, so that no gap is a profit or a loss.
    symbols, sessions
        Axes of the result, both ascending.
    adjustment
        ``raw``, ``forward`` or ``backward``. Adjusted prices already hold dividends and splits: no action is booked.
    columns
        Which of ``OPTIONAL_COLUMNS`` to build besides; ``optional_columns(costs)`` says what the fills read.

    Raises
    ------
    TradingError
        When a symbol is not in ``securities``, trades before its board opened, a price does not fit, a session is
        outside the rulebook, or ``amount`` is asked of adjusted prices (amount over volume is a price as traded).
    """
    if "amount" in columns and adjustment != "raw":
        raise TradingError(
            f"fills at the mean price of a session need prices as traded, these are {adjustment}-adjusted",
            'set costs.fill = "close" or "open", or give raw bars',
        )
    names = pd.Index(symbols)
    known = securities.set_index("symbol").reindex(names)
    if known["board"].isna().any():
        missing = known.index[known["board"].isna()][0]
        raise TradingError(f"{missing} is not in the securities table", "complete the table: its rules are unknown")
    board = known["board"].to_numpy(dtype=np.int8)
    is_st = np.asfortranarray(range_mask(st_spells, symbols, sessions))
    dense = _dense_bars(
        bars,
        names,
        sessions,
        board=board,
        is_st=is_st,
        list_date=known["list_date"].to_numpy(dtype="datetime64[D]"),
        period_start=_period_start(known),
        adjusted=adjustment != "raw",
        columns=columns,
    )
    actions = ActionList.none(len(sessions))
    if adjustment == "raw" and corporate_actions.empty:
        actions = derived_actions(dense["close_e4"].T, dense["pre_close_e4"].T)
    elif adjustment == "raw":
        actions = booked_actions(corporate_actions, names, sessions)
    lot_min, lot_step = lot_sizes(board)
    return MarketArrays(
        symbols=tuple(symbols),
        sessions=sessions,
        is_st=is_st,
        listed=_listed(known, sessions),
        actions=actions,
        board=board,
        lot_min=lot_min,
        lot_step=lot_step,
        **dense,
    )


def _dense_bars(
    bars: pd.DataFrame,
    names: pd.Index[str],
    sessions: pd.DatetimeIndex,
    *,
    board: NDArray[np.int8],
    is_st: Bool,
    list_date: NDArray[np.datetime64],
    period_start: NDArray[np.datetime64] | None,
    adjusted: bool,
    columns: Collection[str],
) -> dict[str, Any]:
    """Return every array that is read from the bars, by field."""
    shape = (len(names), len(sessions))
    fields = ["close_e4", "pre_close_e4", "limit_up_e4", "limit_down_e4"]
    fields += [f"{name}_e4" for name in columns if name != "amount"]
    dense: dict[str, Any] = {field: np.zeros(shape, dtype=np.int32, order="F") for field in fields}
    for field in ("volume_shares", *(["amount_fen"] if "amount" in columns else [])):
        dense[field] = np.zeros(shape, dtype=np.int64, order="F")
    flat = {field: values.T.reshape(-1) for field, values in dense.items()}  # views: Fortran order is kept
    first_positions = _listing_positions(list_date, sessions)
    days = sessions.to_numpy(dtype="datetime64[D]")
    symbol_rows = _symbol_rows(bars["symbol"], names)
    differing: list[Int] = []
    for start in range(0, len(bars), _CHUNK_ROWS):
        chunk = bars.iloc[start : start + _CHUNK_ROWS]
        row, column, inside = _positions(chunk, symbol_rows[start : start + _CHUNK_ROWS], sessions)
        close = _to_e4(chunk["close_cny"], inside)
        pre_close = _to_e4(chunk["pre_close_cny"], inside)
        ages = column - first_positions[row]
        asked = _Asked(
            pre_close_e4=pre_close.astype(np.int64),
            board=board[row],
            is_st=is_st[row, column],
            session=days[column],
            list_date=list_date[row],
            listed_sessions=ages,
            period_start=None if period_start is None else period_start[row],
        )
        up, down = _limits(asked, adjusted=adjusted)
        if "open" in columns:
            young = np.flatnonzero((ages >= 0) & (ages < _LISTING_SESSIONS))
            open_up, open_down = _limits(asked.at(young), adjusted=adjusted, at_open=True)
            other = (open_up != up[young]) | (open_down != down[young])
            differing.append(np.array([column[young], row[young], open_up, open_down])[:, other])
        at = column * len(names) + row
        found: dict[str, Any] = {"close_e4": close, "pre_close_e4": pre_close}
        found |= {"limit_up_e4": np.minimum(up, UNLIMITED_E4), "limit_down_e4": np.minimum(down, UNLIMITED_E4)}
        found["volume_shares"] = _to_integers(chunk["volume_shares"], inside, 1)
        for name in columns:
            if name == "amount":
                found["amount_fen"] = _to_integers(chunk["amount_cny"], inside, 100)
            else:
                found[f"{name}_e4"] = _to_e4(chunk[OPTIONAL_COLUMNS[name]], inside)
        for field, values in found.items():
            flat[field][at] = values
    if "open" in columns:
        session, name, up, down = np.hstack([np.zeros((4, 0), dtype=np.int64), *differing])
        dense["opening_limits"] = OpeningLimits.of(session, name, up, down, len(sessions))
    return dense


def backtest_reads(
    adjustment: str, columns: Collection[str] = (), *, action_columns: Collection[str] = ()
) -> dict[str, tuple[str, ...]]:
    """Return the columns beside the keys that decide what a backtest earns, by canonical table.

    ``columns`` are the ``OPTIONAL_COLUMNS`` that its fills read; none at the close. ``action_columns`` are those that
    table ``corporate_actions`` has: rights issues are read where it tells them. Adjusted prices already hold dividends
    and splits: no action is read beside them.
    """
    read = CAN_BUY_READS | {
        "bars": (*CAN_BUY_READS["bars"], "volume_shares", *(OPTIONAL_COLUMNS[name] for name in columns)),
        "securities": (*CAN_BUY_READS["securities"], "delist_date"),
    }
    rights = (column for column in RIGHTS_COLUMNS if column in action_columns)
    actions = ("ex_date", "cash_cny_per_share", "bonus_shares_per_share", *rights)
    return read | ({"corporate_actions": actions} if adjustment == "raw" else {})


def _symbol_rows(symbol: pd.Series, names: pd.Index[str]) -> Int32:
    """Return the position of each bar's symbol among ``names``, -1 for others."""
    if isinstance(symbol.dtype, pd.CategoricalDtype):
        of_category = np.r_[names.get_indexer(symbol.cat.categories), -1].astype(np.int32)
        return np.asarray(of_category[symbol.cat.codes.to_numpy()], dtype=np.int32)
    rows = np.empty(len(symbol), dtype=np.int32)
    for start in range(0, len(symbol), _CHUNK_ROWS):
        part = slice(start, start + _CHUNK_ROWS)
        rows[part] = names.get_indexer(pd.Index(symbol.iloc[part]))
    return rows


def _positions(bars: pd.DataFrame, rows: Int32, sessions: pd.DatetimeIndex) -> tuple[Int, Int, Bool]:
    row = rows.astype(np.int64)
    column = np.asarray(sessions.get_indexer(pd.DatetimeIndex(bars["session_date"])), dtype=np.int64)
    inside = (row >= 0) & (column >= 0)
    return row[inside], column[inside], inside


def _to_e4(prices_cny: pd.Series, inside: Bool) -> Int32:
    """Return prices as whole 1e-4 CNY; 0 for NaN."""
    values = _to_integers(prices_cny, inside, E4)
    if len(values) and values.max() >= UNLIMITED_E4:
        raise TradingError(
            f"a price of {values.max() / E4} CNY does not fit trading's {UNLIMITED_E4 / E4} CNY",
            "backward-adjusted prices grow without bound: give raw or forward-adjusted ones",
        )
    return values.astype(np.int32)


def _to_integers(values: pd.Series, inside: Bool, unit: int) -> Int:
    floats = values.to_numpy(dtype=np.float64)[inside]
    return np.asarray(np.rint(np.where(np.isfinite(floats), floats, 0.0) * unit), dtype=np.int64)


def _listing_positions(list_date: NDArray[np.datetime64], sessions: pd.DatetimeIndex) -> Int:
    """Return the position of each listing date in ``sessions``; negative before their first, far so where unknown."""
    days = sessions.to_numpy(dtype="datetime64[D]")
    out = np.searchsorted(days, list_date).astype(np.int64)
    first: date = days[0].item()
    earlier = sessions_between(first - _LISTING_SPELL, first)[:-1].to_numpy(dtype="datetime64[D]")
    before = list_date < days[0]
    out[before] = np.searchsorted(earlier, list_date[before]) - len(earlier)
    far = -_LISTING_SESSIONS - len(days)
    out[np.isnat(list_date) | (list_date < days[0] - np.timedelta64(_LISTING_SPELL))] = far
    return out


@dataclass(frozen=True)
class _Asked:
    """What limits are asked of, row by row of the bars; arguments of ``limit_bps`` and the reference price."""

    pre_close_e4: Int
    board: NDArray[np.int8]
    is_st: Bool
    session: NDArray[np.datetime64]
    list_date: NDArray[np.datetime64]
    listed_sessions: Int
    period_start: NDArray[np.datetime64] | None

    def at(self, rows: NDArray[np.intp]) -> _Asked:
        """Return some of the rows."""
        picked: dict[str, Any] = {name: None if all_ is None else all_[rows] for name, all_ in vars(self).items()}
        return _Asked(**picked)


def _limits(asked: _Asked, *, adjusted: bool, at_open: bool = False) -> tuple[Int, Int]:
    pre_close_e4, board, session = asked.pre_close_e4, asked.board, asked.session
    up_bps, down_bps = limit_bps(
        board=board,
        is_st=asked.is_st,
        session=session,
        list_date=asked.list_date,
        listed_sessions=asked.listed_sessions,
        delisting_period_start=asked.period_start,
        at_open=at_open,
    )
    early = np.flatnonzero(up_bps == 0)
    if len(early):
        first = early[0]
        raise TradingError(
            f"a {Board(int(board[first])).name} stock has a bar on {session[first]}, before its board opened",
            "correct the board in the securities table or the dates of the bars",
        )
    if adjusted:
        up = np.where(up_bps < 0, UNLIMITED_E4, pre_close_e4 * (BPS + up_bps - ADJUSTED_TOLERANCE_BPS) // BPS)
        down = -(-pre_close_e4 * (BPS - down_bps + ADJUSTED_TOLERANCE_BPS) // BPS)
        down = np.where(down_bps < 0, NO_LIMIT_DOWN_E4, down)
    else:
        up, down = limit_prices_e4(pre_close_e4, up_bps, down_bps, board=board)
    unknown = pre_close_e4 <= 0
    return np.where(unknown, 0, up), np.where(unknown, UNLIMITED_E4, down)


def _period_start(known: pd.DataFrame) -> NDArray[np.datetime64] | None:
    """Return the first session of each delisting period, NaT without one; None where no row tells one."""
    if "delisting_period_date" not in known or known["delisting_period_date"].isna().all():
        return None
    return known["delisting_period_date"].to_numpy(dtype="datetime64[D]")


def _listed(known: pd.DataFrame, sessions: pd.DatetimeIndex) -> Bool:
    days = sessions.to_numpy(dtype="datetime64[D]")[None, :]
    first = known["list_date"].to_numpy(dtype="datetime64[D]")[:, None]
    last = known["delist_date"].to_numpy(dtype="datetime64[D]")[:, None]
    return np.asfortranarray((np.isnat(first) | (days >= first)) & (np.isnat(last) | (days <= last)))
