"""From canonical bars to one bit mask a row: symbols as numbers, sessions and limits as small tables, one pass.

A month or a single session is judged as within its whole history when ``before`` holds each symbol's last earlier row.
Not here: the pass itself (``scan_kernel.py``), what a bit means for the line (``checks.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.market.calendar import CALENDAR_START, sessions_between
from ljwx_pipeline.market.rulebook import BOOK_FIRST, BOOK_LAST, limit_bps, price_limit_frac
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.quality.scan_kernel import (
    BEYOND_LIMIT,
    LIMIT_FRAC,
    LISTING_SESSIONS,
    NO_ROW,
    TICK_CNY,
    UNSORTED,
    Bits,
    scan_rows,
)
from ljwx_pipeline.units import BPS

Int = NDArray[np.int64]
#: Each row's symbol as a number, and the symbols by number.
Symbols: TypeAlias = tuple[Int, NDArray[np.object_]]

COLUMNS = (
    "open_cny",
    "high_cny",
    "low_cny",
    "close_cny",
    "pre_close_cny",
    "volume_shares",
    "amount_cny",
    "adj_factor",
)
NEVER, ALWAYS = np.iinfo(np.int64).max // 2, np.iinfo(np.int64).min // 2
#: The optional column of the securities that begins a delisting period.
PERIOD = "delisting_period_date"
#: Calendar days that certainly hold the sessions without limits of a new listing, holidays included.
LISTING_DAYS = 30
#: Rows looked at to learn whether equal symbols are one object.
ADDRESS_SAMPLE = 4_096
#: B shares trade in dollars with a finer step, and no rule here knows it.
B_SHARES = ("900", "200")


@dataclass(frozen=True)
class ScanContext:
    """What the scan knows besides the rows.

    Parameters
    ----------
    sessions
        The sessions the bars should cover, ascending.
    adjustment
        ``raw``, ``forward`` or ``backward``; average price and tick are judged on raw prices alone.
    securities, st_spells
        Canonical tables; without the first neither listing nor limits are judged.
    before
        Bars before the first session, at least each symbol's last; their own rows are not judged.
    as_of
        The day on which the bars were known; None judges no row as future-dated.
    """

    sessions: pd.DatetimeIndex
    adjustment: str
    securities: pd.DataFrame | None = None
    st_spells: pd.DataFrame | None = None
    before: pd.DataFrame | None = None
    as_of: date | None = None


def scan(bars: pd.DataFrame, context: ScanContext, symbols: Symbols | None = None) -> Bits:
    """Return the bits of ``scan_kernel`` for each bar, shape ``(len(bars),)``, in the order given.

    Rows by symbol and session or by session and symbol take one pass; rows in another order are flagged, sorted, and
    judged as sorted.

    Parameters
    ----------
    symbols
        What ``symbol_codes`` gives for the bars, where it is known already.
    """
    code, names = symbol_codes(bars["symbol"].to_numpy()) if symbols is None else symbols
    before = context.before if context.before is not None and len(context.before) else None
    judge: Any = scan_rows  # takes the columns, the rows before them and what is known in order
    bits: Bits = judge(code, *_columns(bars), *_carried(names, before), *_known(names, context))
    _judge_delisting_periods(bits, bars, (code, names), context.securities)
    out_of_order = bits & np.uint32(UNSORTED)
    if not out_of_order.any():
        return bits
    whole = bars if before is None else pd.concat([before[list(bars.columns)], bars])
    code, names = symbol_codes(whole["symbol"].to_numpy())
    columns = _columns(whole)
    order = np.lexsort((columns[0], code))
    again: Bits = np.empty(len(whole), dtype=np.uint32)
    given = (code[order], *(column[order] for column in columns))
    again[order] = judge(*given, *_carried(names, None), *_known(names, context))
    _judge_delisting_periods(again, whole, (code, names), context.securities)
    return again[len(whole) - len(bars) :] | out_of_order


def _judge_delisting_periods(bits: Bits, bars: pd.DataFrame, symbols: Symbols, securities: pd.DataFrame | None) -> None:
    """Judge the moves of known delisting periods again, in place: their limits are not the everyday ones.

    They are few rows, so the rulebook is asked for each instead of the kernel knowing its rules.
    """
    if securities is None or PERIOD not in securities or securities[PERIOD].isna().all():
        return
    code, names = symbols
    known = securities.drop_duplicates("symbol").set_index("symbol").reindex(names)
    days = bars["session_date"].to_numpy().astype("datetime64[D]")
    starts = known[PERIOD].to_numpy().astype("datetime64[D]")[code]
    inside = (days >= np.datetime64(BOOK_FIRST)) & (days <= np.datetime64(BOOK_LAST))
    rows = np.flatnonzero((days >= starts) & inside)  # NaT compares false
    asked: dict[str, Any] = {
        "board": known["board"].to_numpy(dtype=np.float64)[code[rows]].astype(np.int64),
        "session": days[rows],
        "list_date": np.datetime64("NaT"),
        "listed_sessions": LISTING_SESSIONS,
        "delisting_period_start": starts[rows],
    }
    limit, of_st = (limit_bps(is_st=is_st, **asked)[0] for is_st in (False, True))
    close, reference = (bars[name].to_numpy(dtype=np.float64)[rows] for name in ("close_cny", "pre_close_cny"))
    beyond = (limit > 0) & (np.abs(close - reference) > (limit / BPS + LIMIT_FRAC) * reference + TICK_CNY)
    ruled = limit == of_st  # where special treatment still counts no rule of the period is in force
    bits[rows[ruled]] &= ~np.uint32(BEYOND_LIMIT)
    bits[rows[ruled & beyond]] |= np.uint32(BEYOND_LIMIT)


def last_rows(bars: pd.DataFrame) -> pd.DataFrame:
    """Return the last row of each symbol, by symbol: what the scan needs of the sessions before a month.

    Of rows given twice the first counts, as it does within the scan.
    """
    instant_ns = bars["session_date"].to_numpy().view(np.int64)
    if (instant_ns[1:] < instant_ns[:-1]).any():
        bars = bars.sort_values("session_date", kind="stable")
        instant_ns = bars["session_date"].to_numpy().view(np.int64)
    code, names = symbol_codes(bars["symbol"].to_numpy())
    newest = np.empty(len(names), dtype=np.int64)
    newest[code] = instant_ns  # ascending: the last one stays
    rows = np.flatnonzero(instant_ns == newest[code])
    chosen = np.empty(len(names), dtype=np.int64)
    chosen[code[rows][::-1]] = rows[::-1]
    return bars.take(chosen).sort_values("symbol", ignore_index=True)


def _columns(bars: pd.DataFrame) -> list[NDArray[Any]]:
    return [bars["session_date"].to_numpy().view(np.int64), *(bars[name].to_numpy() for name in COLUMNS)]


def _carried(names: NDArray[np.object_], before: pd.DataFrame | None) -> tuple[Int, NDArray[np.float64]]:
    """Return the instant and the columns of each symbol's last earlier row; ``NO_ROW`` where there is none."""
    instant = np.full(len(names), NO_ROW, dtype=np.int64)
    values = np.full((len(COLUMNS), len(names)), np.nan)
    if before is not None:
        last = last_rows(before)
        at = pd.Index(names).get_indexer(pd.Index(last["symbol"]))
        rows = np.flatnonzero(at >= 0)
        instant[at[rows]] = last["session_date"].to_numpy().view(np.int64)[rows]
        values[:, at[rows]] = last[list(COLUMNS)].to_numpy(dtype=np.float64)[rows].T
    return instant, values


def symbol_codes(symbols: NDArray[np.object_]) -> Symbols:
    """Return each row's symbol as a number, and the symbols by number; rows grouped by symbol cost a comparison."""
    if len(symbols) > 1 and symbols[0] == symbols[1]:
        starts = np.flatnonzero(np.r_[True, symbols[1:] != symbols[:-1]])
        heads = symbols[starts]
        if len(starts) < len(symbols) // 4 and len(set(heads.tolist())) == len(heads):
            return np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(symbols)])), heads
    # tables share one string object a symbol, and addresses sort into classes at half the cost of texts; two objects
    # of one text are joined after, and where every row has its own object the texts are hashed after all
    addresses = np.frombuffer(symbols.tobytes(), dtype=np.intp)
    sample = addresses[:: max(1, len(addresses) // ADDRESS_SAMPLE)]
    if len(sample) > 1 and len(np.unique(sample)) <= len(sample) // 2:
        place, _ = pd.factorize(addresses)
        first = np.empty(place.max() + 1, dtype=np.int64)
        first[place[::-1]] = np.arange(len(place) - 1, -1, -1)
        joined, names = pd.factorize(symbols[first])
        codes = place if len(names) == len(first) else joined[place]
    else:
        codes, names = pd.factorize(symbols)
    return codes.astype(np.int64, copy=False), np.asarray(names, dtype=object)


def _known(names: NDArray[np.object_], context: ScanContext) -> tuple[Any, ...]:
    """Return the kernel's arguments after the columns."""
    sessions = context.sessions
    first_day, session_of_day = _session_of_day(sessions)
    board = np.full(len(names), -1, dtype=np.int64)
    listed_day = np.full(len(names), ALWAYS, dtype=np.int64)
    last_day = np.full(len(names), NEVER, dtype=np.int64)
    listed_at = np.full(len(names), ALWAYS, dtype=np.int64)
    if context.securities is not None and len(context.securities):
        table = context.securities.drop_duplicates("symbol").set_index("symbol").reindex(names)
        unknown = table["board"].isna().to_numpy()
        board = table["board"].fillna(-1).to_numpy(dtype=np.int64)
        listed_day = np.where(unknown, NEVER, _days(table["list_date"], ALWAYS))
        last_day = _days(table["delist_date"], NEVER)
        listed_at = _listing_positions(table["list_date"], sessions)
    ticks_per_cny = np.where([name[:3] in B_SHARES for name in names], 0.0, 1.0 / TICK_CNY)
    as_of_day = NEVER if context.as_of is None else int(np.datetime64(context.as_of, "D").astype(np.int64))
    return (
        session_of_day,
        first_day,
        as_of_day,
        _limits(sessions),
        board,
        listed_day,
        last_day,
        listed_at,
        ticks_per_cny,
        *_spells(names, context.st_spells),
        context.adjustment == "raw",
    )


def _session_of_day(sessions: pd.DatetimeIndex) -> tuple[int, Int]:
    if sessions.empty:
        return 0, np.empty(0, dtype=np.int64)
    days = sessions.to_numpy().astype("datetime64[D]").astype(np.int64)
    table = np.full(int(days[-1] - days[0]) + 1, -1, dtype=np.int64)
    table[days - days[0]] = np.arange(len(days))
    return int(days[0]), table


def _limits(sessions: pd.DatetimeIndex) -> NDArray[np.float64]:
    limits = np.zeros((2 * len(Board), len(sessions)))
    inside = (sessions >= pd.Timestamp(BOOK_FIRST)) & (sessions <= pd.Timestamp(BOOK_LAST))
    if inside.any():
        days = sessions[inside].to_numpy()
        for board in Board:
            for is_st in (0, 1):
                limits[2 * int(board) + is_st, inside] = price_limit_frac(int(board), bool(is_st), days)
    return limits


def _days(dates: pd.Series, missing: int) -> Int:
    values = dates.to_numpy().astype("datetime64[D]")
    return np.where(np.isnat(values), missing, values.astype(np.int64))


def _listing_positions(list_date: pd.Series, sessions: pd.DatetimeIndex) -> Int:
    """Return each listing's position among ``sessions``, negative (in exchange sessions) where it came before."""
    listed = pd.DatetimeIndex(list_date)
    at = sessions.searchsorted(listed).astype(np.int64)
    if sessions.empty:
        return at
    before = np.asarray(listed < sessions[0])
    at[before | np.asarray(listed.isna())] = -LISTING_SESSIONS
    recent = before & np.asarray(listed >= sessions[0] - pd.Timedelta(days=LISTING_DAYS))
    if recent.any() and sessions[0] > pd.Timestamp(CALENDAR_START) + pd.Timedelta(days=LISTING_DAYS):
        span = sessions_between((sessions[0] - pd.Timedelta(days=LISTING_DAYS)).date(), sessions[0].date())
        at[recent] = span.searchsorted(listed[recent]) - span.searchsorted(sessions[0])
    return at


def _spells(names: NDArray[np.object_], spells: pd.DataFrame | None) -> tuple[Int, Int, Int]:
    start = np.zeros(len(names) + 1, dtype=np.int64)
    if spells is None or spells.empty:
        return start, np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    code = pd.Index(names).get_indexer(pd.Index(spells["symbol"]))
    order = np.argsort(code, kind="stable")
    order = order[code[order] >= 0]
    np.cumsum(np.bincount(code[order], minlength=len(names)), out=start[1:])
    return start, _days(spells["start_date"], ALWAYS)[order], _days(spells["end_date"], NEVER)[order]
