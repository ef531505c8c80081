"""Questions to baostock, asked again where an answer may be cut short, and the answers that are worth remembering.

Not here: the protocol (``wire.py``), the meaning of columns (``tables.py``), and which canonical table is made of which
answers (``source.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version

import pandas as pd

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.market.calendar import CALENDAR_START, overlaid, sessions_between
from ljwx_pipeline.sources.baostock import tables
from ljwx_pipeline.sources.baostock.wire import BaostockWire
from ljwx_pipeline.sources.by_symbol import chosen
from ljwx_pipeline.sources.provider_frames import columns_of, dates, last_published_day

RAW = "3"  # baostock's adjustflag for prices as traded
EARLIEST = "1990-01-01"
#: Of a range up to this long every figure is kept, so that a daily increment asks once; of a longer one the flags.
FIGURES_KEPT = timedelta(days=45)


@dataclass(frozen=True)
class _Kept:
    first: date
    last: date
    days: tables.Days

    def covers(self, first: date, last: date) -> bool:
        return self.first <= first and last <= self.last

    @property
    def has_figures(self) -> bool:
        return "open" in self.days.frame


class Questions:
    """Asks, and remembers the list of securities and what was said of each symbol.

    Parameters
    ----------
    wire
        The connection.
    symbols
        The symbols to load; none means all.
    last_session
        Last session to load: what is asked of a symbol reaches there, so that later months need no question.
    clock
        The seam to time.
    """

    def __init__(self, wire: BaostockWire, symbols: tuple[str, ...], last_session: date, clock: Clock) -> None:
        self._wire = wire
        self._symbols = symbols
        self._last_session = last_session
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        self._factors: dict[str, pd.DataFrame] = {}
        self._actions: dict[tuple[str, int], pd.DataFrame] = {}

    @property
    def securities(self) -> pd.DataFrame:
        """Every A share of the list, or the configured ones."""
        return self._listing[0]

    @cached_property
    def _listing(self) -> tuple[pd.DataFrame, dict[str, str]]:
        """Return table ``securities`` and the provider's code of each symbol."""
        name = "query_stock_basic"
        rows = self._wire.rows(name)
        table = tables.securities(rows, what(name))
        if table.empty:
            raise SourceError("baostock's list of securities is empty", "try again later")
        codes = {symbol: code for code in rows["code"] if (symbol := tables.symbol_of(code)) is not None}
        return chosen(table, self._symbols, "baostock does not know"), codes

    def calendar(self, first: date, last: date) -> pd.DatetimeIndex:
        """Return the trading days of ``[first, last]``; the provider's calendar must be the exchange's."""
        said = what("query_trade_dates")
        rows = self._wire.rows("query_trade_dates", start_date=f"{first}", end_date=f"{last}")
        given = columns_of(rows, ("calendar_date", "is_trading_day"), said)
        is_open = (given["is_trading_day"].str.strip() == "1").to_numpy(dtype=bool)
        days = pd.DatetimeIndex(dates(given["calendar_date"], said))
        return overlaid(pd.Series(is_open, index=days), first, last, said)

    def listed(self, symbol: str) -> tuple[pd.Timestamp, pd.Timestamp]:
        """Return the days a symbol was listed and delisted, NaT while it is listed."""
        row = self.securities.loc[self.securities["symbol"] == symbol]
        if row.empty:
            raise SourceError(f"baostock does not know {symbol}", "correct source.symbols")
        return row["list_date"].iloc[0], row["delist_date"].iloc[0]

    def status(self, symbol: str, first: date, last: date) -> tables.Days:
        """Return what a symbol's rows of ``[first, last]`` say of trading and special treatment; asked for once."""
        kept = self._kept.get(symbol)
        if kept is None or not kept.covers(first, last):
            until = max(last, min(self._last_session, last_published_day(self._clock.now())))
            fields = tables.BAR_FIELDS if until - first <= FIGURES_KEPT else tables.STATUS_FIELDS
            kept = self._keep(symbol, first, until, self._fetch(symbol, first, until, fields))
        return kept.days.between(first, last)

    def daily(self, symbol: str, first: date, last: date) -> tables.Days:
        """Return every figure of a symbol's rows of ``[first, last]``."""
        kept = self._kept.get(symbol)
        if kept is not None and kept.covers(first, last) and kept.has_figures:
            return kept.days.between(first, last)
        found = self._fetch(symbol, first, last, tables.BAR_FIELDS)
        if kept is None or not kept.covers(first, last):
            self._keep(symbol, first, last, found)
        return found

    def _keep(self, symbol: str, first: date, last: date, found: tables.Days) -> _Kept:
        if last - first > FIGURES_KEPT:
            found = tables.Days(found.frame[["session_date", "traded", "is_st"]])
        self._kept[symbol] = _Kept(first, last, found)
        return self._kept[symbol]

    def adjustment(self, symbol: str) -> pd.DataFrame:
        """Return ``ex_date, factor`` of a symbol since its listing; that it has none has to be said twice."""
        if symbol not in self._factors:
            name, until = "query_adjust_factor", last_published_day(self._clock.now())
            rows = self._rows_or_twice_none(name, code=self._code(symbol), start_date=EARLIEST, end_date=f"{until}")
            self._factors[symbol] = tables.adjustment(rows, what(name))
        return self._factors[symbol]

    def actions(self, symbol: str, year: int) -> pd.DataFrame:
        """Return the corporate actions of a symbol with an ex-date in ``year``; that there is none said twice."""
        if (symbol, year) not in self._actions:
            name = "query_dividend_data"
            rows = self._rows_or_twice_none(name, code=self._code(symbol), year=f"{year}", yearType="operate")
            self._actions[symbol, year] = tables.corporate_actions(symbol, rows, what(name))
        return self._actions[symbol, year]

    def index_daily(self, code: str, first: date, last: date) -> pd.DataFrame:
        """Return the rows of an index, as answered."""
        return self._complete(tables.provider_code(code), first, last, tables.INDEX_FIELDS, self._expected(first, last))

    def rows_on(self, query: str, day: pd.Timestamp) -> pd.DataFrame:
        """Return the answer to a question that takes a day; that there is nothing has to be said twice."""
        return self._rows_or_twice_none(query, date=f"{day:%Y-%m-%d}")

    def _rows_or_twice_none(self, query: str, **arguments: str) -> pd.DataFrame:
        rows = self._wire.rows(query, **arguments)
        return rows if len(rows) else self._wire.rows(query, **arguments)

    def _code(self, symbol: str) -> str:
        return self._listing[1].get(symbol) or tables.provider_code(symbol)

    def _fetch(self, symbol: str, first: date, last: date, fields: tuple[str, ...]) -> tables.Days:
        said, code = what(f"query_history_k_data_plus({symbol})"), self._code(symbol)
        listed, delisted = self.listed(symbol)
        until = delisted.date() - timedelta(days=1) if pd.notna(delisted) else last
        expected = self._expected(max(first, listed.date()), min(last, until))
        rows = self._complete(code, first, last, fields, expected)
        if rows.empty and len(expected):
            raise SourceError(
                f"{said} has no row from {first} to {last}, though it was listed on {len(expected)} sessions then",
                "shorten the range, or leave the symbol out with source.symbols",
            )
        return tables.days(rows, fields, said)

    def _complete(
        self, code: str, first: date, last: date, fields: tuple[str, ...], expected: pd.DatetimeIndex
    ) -> pd.DataFrame:
        """Return the rows of a code, having asked for every expected session that was not among them once more.

        So a page cut short without a word is made whole, and a session that stays absent was denied twice.
        """
        said = what(f"query_history_k_data_plus({code})")
        rows = self._k_data(code, first, last, fields)
        while True:
            missing = expected.difference(pd.DatetimeIndex(dates(columns_of(rows, fields, said)["date"], said)))
            if missing.empty:
                return rows
            again = self._k_data(code, missing[0].date(), missing[-1].date(), fields)
            if not dates(columns_of(again, fields, said)["date"], said).isin(missing).any():
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


def what(query: str) -> str:
    """Return how an error names a question."""
    return f"baostock {library_version()} {query}"


def library_version() -> str:
    """Return the version of the library that is installed."""
    try:
        return version("baostock")
    except PackageNotFoundError:
        return "(not installed)"
