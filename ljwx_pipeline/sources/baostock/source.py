"""Baostock behind the market-source port: bars a symbol at a time, suspensions and ST spells from the same rows.

Not here: the protocol (``wire.py``) and the meaning of columns (``tables.py``).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import date, timedelta
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version

import pandas as pd

from ljwx_pipeline.clock import Clock, SystemClock
from ljwx_pipeline.config import BaostockSettings, SourceSettings
from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.market.calendar import CALENDAR_START, overlaid, sessions_between
from ljwx_pipeline.market.tables import SourceDescription, Unknown, empty_table
from ljwx_pipeline.sources.baostock import tables
from ljwx_pipeline.sources.baostock.wire import BaostockWire
from ljwx_pipeline.sources.base import BarUnit
from ljwx_pipeline.sources.provider_frames import (
    canonical,
    columns_of,
    dates,
    distributions,
    last_published_day,
    ranges_of,
    sampled,
)
from ljwx_pipeline.sources.wire import Sleep

RAW = "3"  # baostock's adjustflag for prices as traded
EARLIEST = "1990-01-01"
#: Indices whose members baostock tells by date, and the function that does.
MEMBER_QUERIES = {
    "000300.SH": "query_hs300_stocks",
    "000905.SH": "query_zz500_stocks",
    "000016.SH": "query_sz50_stocks",
}
UNKNOWN = (
    Unknown("stocks of the Beijing exchange", "baostock has none: the universe is Shanghai and Shenzhen"),
    Unknown("market values", "size is not a control: part of a score may be a bet on small companies"),
    Unknown("price limits as published", "they are computed from the rulebook"),
    Unknown("figures of periodic reports", "no factor can use them"),
    Unknown("news and macro releases", "no factor can use them"),
    Unknown(
        "industry changes to the day",
        "they are sampled monthly; months the provider knows only in hindsight are left out",
    ),
    Unknown("special treatment outside the configured range", "a spell under way at its first session starts there"),
)


class BaostockSource:
    """Daily bars and reference tables from baostock's server. Nothing is asked before a table is.

    Parameters
    ----------
    settings
        Address, calls a minute, seconds a call, tries.
    source
        Range for the tables that take none, and the symbols to load.
    indices
        Index codes whose bars and members are wanted.
    clock, sleep
        The seam to time.
    """

    def __init__(
        self,
        settings: BaostockSettings,
        source: SourceSettings,
        *,
        indices: tuple[str, ...],
        clock: Clock | None = None,
        sleep: Sleep = time.sleep,
    ) -> None:
        self._clock = clock or SystemClock()
        self._wire = BaostockWire(settings, self._clock, sleep)
        self._first, self._last = source.first_session, source.last_session
        self._symbols = source.symbols
        self._indices = indices
        self._factors: dict[str, pd.DataFrame] = {}
        self._status: dict[str, tables.Days] = {}

    def describe(self) -> SourceDescription:
        """Return what baostock cannot say."""
        unknown_members = [code for code in self._indices if code not in MEMBER_QUERIES]
        more = (
            (Unknown(f"members of {', '.join(unknown_members)}", "no universe can be cut to these indices"),)
            if unknown_members
            else ()
        )
        return SourceDescription(
            f"baostock {_version()}",
            simulated=False,
            adjustment="raw",
            unknown=(*UNKNOWN, *more),
            fetches="by_symbol",
        )

    def close(self) -> None:
        """Log out."""
        self._wire.close()

    def sessions(self, first: date, last: date) -> pd.DatetimeIndex:
        """Return the trading days of ``[first, last]`` whose figures are out.

        Raises
        ------
        SourceError
            When there is none, or the provider's calendar has holes or is not the exchange's.
        """
        last = min(last, last_published_day(self._clock.now()))
        found = self._calendar(first, last) if first <= last else pd.DatetimeIndex([])
        if found.empty:
            raise SourceError(f"baostock knows no trading day from {first} to {last}", "widen the date range")
        return found

    def securities(self) -> pd.DataFrame:
        """Return every A share that ever listed in Shanghai or Shenzhen, or the configured ones."""
        return self._securities.copy()

    def st_spells(self) -> pd.DataFrame:
        """Return the spells that the daily ``isST`` column shows within the configured range."""
        found = []
        for symbol in self._symbols_between(self._first, self._last):
            gone = self._listed(symbol)[1] <= pd.Timestamp(self._last)  # NaT compares false
            for start, end in self._days(symbol).st_spells(open_end=not gone):
                found.append((symbol, start, end))
        frame = pd.DataFrame(found, columns=["symbol", "start_date", "end_date"])
        return canonical("st_spells", frame, by=("symbol", "start_date"))

    def industries(self) -> pd.DataFrame:
        """Return industries by date, sampled monthly over the configured range."""
        name = "query_stock_industry"

        def ask(day: pd.Timestamp) -> dict[str, str]:
            rows = self._wire.rows(name, date=f"{day:%Y-%m-%d}")
            return tables.industries(rows, day, self._what(name))

        sessions = self.sessions(self._first, self._last)
        known = [(day, shown) for day, shown in sampled(sessions, ask, exact=False) if shown]
        if not known or known[-1][0] != sessions[-1]:
            raise SourceError(f"baostock names no industry on {sessions[-1]:%Y-%m-%d}", "try again later")
        frame = ranges_of(known, sessions).rename(columns={"key": "symbol", "value": "industry"})
        frame = frame[frame["symbol"].isin(self._securities["symbol"])]
        return canonical("industries", frame, by=("symbol", "start_date"))

    def index_members(self) -> pd.DataFrame:
        """Return the members of the wanted indices that baostock tells, changes to the session."""
        sessions = self.sessions(self._first, self._last)
        parts = [self._members(code, sessions) for code in self._indices if code in MEMBER_QUERIES]
        frame = pd.concat(parts) if parts else empty_table("index_members")
        return canonical("index_members", frame, by=("index_code", "symbol", "start_date"))

    def corporate_actions(self) -> pd.DataFrame:
        """Return cash dividends and bonus shares with an ex-date in the configured range."""
        name, parts = "query_dividend_data", [empty_table("corporate_actions")]
        first, last = pd.Timestamp(self._first), pd.Timestamp(self._last)
        for symbol in self._symbols_between(self._first, self._last):
            ex_dates = self._adjustment(symbol)["ex_date"]
            for year in sorted(set(ex_dates[ex_dates.between(first, last)].dt.year)):
                rows = self._wire.rows(name, code=self._code(symbol), year=f"{year}", yearType="operate")
                parts.append(tables.corporate_actions(symbol, rows, self._what(name)))
        frame = pd.concat([part for part in parts if len(part)] or parts[:1])
        return distributions(frame[frame["ex_date"].between(first, last)])

    def bar_units(self, first: date, last: date) -> Sequence[BarUnit]:
        """Return one unit a symbol that was listed within ``[first, last]``."""
        return [BarUnit(symbol, first, last, symbol) for symbol in self._symbols_between(first, last)]

    def bars_of(self, unit: BarUnit) -> pd.DataFrame:
        """Return one symbol's raw bars; suspended sessions are absent rows.

        Raises
        ------
        SourceError
            When no row comes although the symbol was listed, or rows that exist are left out of the answer.
        """
        if unit.symbol is None:
            raise SourceError(f"unit {unit.key} names no symbol", "take the units from bar_units of the same source")
        found = self._fetch(unit.symbol, unit.first, unit.last, tables.BAR_FIELDS)
        if (unit.first, unit.last) == (self._first, self._last):
            self._status[unit.symbol] = tables.Days(found.frame[["session_date", "traded", "is_st"]])
        traded = found.frame[found.frame["traded"]]
        return tables.bars(unit.symbol, traded, self._adjustment(unit.symbol))

    def index_bars(self, first: date, last: date) -> pd.DataFrame:
        """Return daily bars of the wanted indices."""
        parts = []
        for code in self._indices:
            expected = self._expected(first, last)
            rows = self._complete(tables.provider_code(code), first, last, tables.INDEX_FIELDS, expected)
            if rows.empty:
                raise SourceError(
                    f"baostock has no bar of index {code} from {first} to {last}",
                    "correct evaluation.indices, or the range",
                )
            parts.append(tables.index_bars(code, rows, self._what("query_history_k_data_plus")))
        return canonical("index_bars", pd.concat(parts), by=("index_code", "session_date"))

    def suspensions(self, first: date, last: date) -> pd.DataFrame:
        """Return the sessions whose row says that the symbol did not trade."""
        parts = []
        for symbol in self._symbols_between(first, last):
            inside = self._first <= first and last <= self._last
            known = self._days(symbol) if inside else self._fetch(symbol, first, last, tables.STATUS_FIELDS)
            out = known.suspended()
            out = out[out.between(pd.Timestamp(first), pd.Timestamp(last))]
            parts.append(pd.DataFrame({"symbol": symbol, "session_date": out}))
        frame = pd.concat(parts) if parts else empty_table("suspensions")
        return canonical("suspensions", frame, by=("session_date", "symbol"))

    def market_values(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return an empty table: baostock does not say."""
        return empty_table("market_values")

    def price_limits(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return an empty table: baostock does not say."""
        return empty_table("price_limits")

    def financial_indicators(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return an empty table: baostock's figures are asked for by symbol, quarter and kind, millions of calls."""
        return empty_table("financial_indicators")

    def news(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return an empty table: baostock does not say."""
        return empty_table("news")

    def macro(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return an empty table: baostock's series come without the instant of their release."""
        return empty_table("macro")

    def _calendar(self, first: date, last: date) -> pd.DatetimeIndex:
        what = self._what("query_trade_dates")
        rows = self._wire.rows("query_trade_dates", start_date=f"{first}", end_date=f"{last}")
        given = columns_of(rows, ("calendar_date", "is_trading_day"), what)
        is_open = (given["is_trading_day"].str.strip() == "1").to_numpy(dtype=bool)
        days = pd.DatetimeIndex(dates(given["calendar_date"], what))
        return overlaid(pd.Series(is_open, index=days), first, last, what)

    @cached_property
    def _securities(self) -> pd.DataFrame:
        return self._listing[0]

    @cached_property
    def _listing(self) -> tuple[pd.DataFrame, dict[str, str]]:
        """Return table ``securities`` and the provider's code of each symbol."""
        name = "query_stock_basic"
        rows = self._wire.rows(name)
        table = tables.securities(rows, self._what(name))
        if table.empty:
            raise SourceError("baostock's list of securities is empty", "try again later")
        if self._symbols:
            unknown = sorted(set(self._symbols) - set(table["symbol"]))
            if unknown:
                raise SourceError(f"baostock does not know {', '.join(unknown)}", "correct source.symbols")
            table = table[table["symbol"].isin(self._symbols)].reset_index(drop=True)
        codes = {symbol: code for code in rows["code"] if (symbol := tables.symbol_of(code)) is not None}
        return table, codes

    def _code(self, symbol: str) -> str:
        return self._listing[1].get(symbol) or tables.provider_code(symbol)

    def _listed(self, symbol: str) -> tuple[pd.Timestamp, pd.Timestamp]:
        row = self._securities.loc[self._securities["symbol"] == symbol]
        if row.empty:
            raise SourceError(f"baostock does not know {symbol}", "correct source.symbols")
        return row["list_date"].iloc[0], row["delist_date"].iloc[0]

    def _symbols_between(self, first: date, last: date) -> list[str]:
        known = self._securities
        listed = known["list_date"] <= pd.Timestamp(last)
        there = known["delist_date"].isna() | (known["delist_date"] > pd.Timestamp(first))
        return list(known.loc[listed & there, "symbol"])

    def _days(self, symbol: str) -> tables.Days:
        if symbol not in self._status:
            self._status[symbol] = self._fetch(symbol, self._first, self._last, tables.STATUS_FIELDS)
        return self._status[symbol]

    def _adjustment(self, symbol: str) -> pd.DataFrame:
        if symbol not in self._factors:
            name, until = "query_adjust_factor", last_published_day(self._clock.now())
            rows = self._wire.rows(name, code=self._code(symbol), start_date=EARLIEST, end_date=f"{until}")
            self._factors[symbol] = tables.adjustment(rows, self._what(name))
        return self._factors[symbol]

    def _members(self, code: str, sessions: pd.DatetimeIndex) -> pd.DataFrame:
        name = MEMBER_QUERIES[code]

        def ask(day: pd.Timestamp) -> frozenset[str]:
            return tables.members(self._wire.rows(name, date=f"{day:%Y-%m-%d}"), self._what(name))

        shown = [(day, dict.fromkeys(found, "")) for day, found in sampled(sessions, ask, exact=True)]
        while shown and not shown[0][1]:  # before the provider's first list
            shown.pop(0)
        if not shown or not all(found for _, found in shown):
            gap = next((f"{day:%Y-%m-%d}" for day, found in shown if not found), f"{sessions[0]:%Y-%m-%d}")
            raise SourceError(f"baostock names no member of {code} on {gap}", "try again later, or drop the index")
        frame = ranges_of(shown, sessions).rename(columns={"key": "symbol"}).assign(index_code=code)
        return frame[["index_code", "symbol", "start_date", "end_date"]]

    def _fetch(self, symbol: str, first: date, last: date, fields: tuple[str, ...]) -> tables.Days:
        what, code = self._what(f"query_history_k_data_plus({symbol})"), self._code(symbol)
        listed, delisted = self._listed(symbol)
        until = delisted.date() - timedelta(days=1) if pd.notna(delisted) else last
        expected = self._expected(max(first, listed.date()), min(last, until))
        rows = self._complete(code, first, last, fields, expected)
        if rows.empty and len(expected):
            raise SourceError(
                f"{what} has no row from {first} to {last}, though it was listed on {len(expected)} sessions then",
                "shorten the range, or leave the symbol out with source.symbols",
            )
        return tables.days(rows, fields, what)

    def _complete(
        self, code: str, first: date, last: date, fields: tuple[str, ...], expected: pd.DatetimeIndex
    ) -> pd.DataFrame:
        """Return the rows of a code, having asked for every expected session that was not among them once more.

        So a page cut short without a word is made whole, and a session that stays absent was denied twice.
        """
        what = self._what(f"query_history_k_data_plus({code})")
        rows = self._k_data(code, first, last, fields)
        while True:
            missing = expected.difference(pd.DatetimeIndex(dates(columns_of(rows, fields, what)["date"], what)))
            if missing.empty:
                return rows
            again = self._k_data(code, missing[0].date(), missing[-1].date(), fields)
            if not dates(columns_of(again, fields, what)["date"], what).isin(missing).any():
                return rows
            rows = pd.concat([rows, again], ignore_index=True)

    def _expected(self, first: date, last: date) -> pd.DatetimeIndex:
        start, stop = max(first, date.fromisoformat(CALENDAR_START)), min(last, last_published_day(self._clock.now()))
        try:
            return sessions_between(start, stop)
        except SourceError:  # no session: nothing to expect
            return pd.DatetimeIndex([])

    def _k_data(self, code: str, first: date, last: date, fields: tuple[str, ...]) -> pd.DataFrame:
        return self._wire.rows(
            "query_history_k_data_plus",
            code=code,
            fields=",".join(fields),
            start_date=f"{first}",
            end_date=f"{last}",
            frequency="d",
            adjustflag=RAW,
        )

    @staticmethod
    def _what(query: str) -> str:
        return f"baostock {_version()} {query}"


def _version() -> str:
    try:
        return version("baostock")
    except PackageNotFoundError:
        return "(not installed)"
