"""The public pages behind the market-source port: bars a symbol at a time, proofs where an answer is empty.

Not here: the requests (``transport.py``, ``wire.py``) and the meaning of columns (``tables.py``).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import date, timedelta
from functools import cached_property

import pandas as pd

from ljwx_pipeline.clock import Clock, SystemClock
from ljwx_pipeline.config import AkshareSettings, SourceSettings
from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.market.calendar import CALENDAR_START, last_known_session, overlaid, sessions_between
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.market.tables import SourceDescription, Unknown, empty_table
from ljwx_pipeline.sources.akshare import tables
from ljwx_pipeline.sources.akshare.wire import AkshareWire, akshare_version, shipped_sessions
from ljwx_pipeline.sources.base import BarUnit
from ljwx_pipeline.sources.provider_frames import canonical, distributions, last_published_day
from ljwx_pipeline.sources.wire import Sleep

#: Days before a unit's first that are asked for with it, to see the close its first reference price follows from.
LOOK_BACK = timedelta(days=40)
#: The exchange's page of delisted stocks holds this many rows and no second page is asked for.
SSE_PAGE_ROWS = 500
#: The lists of stocks: function, its argument, columns (code, name, listed, delisted), exchange and board.
LISTS: tuple[tuple[str, str, tuple[str, str, str, str | None], tuple[str, Board]], ...] = (
    ("stock_info_sh_name_code", "主板A股", ("证券代码", "证券简称", "上市日期", None), ("SH", Board.MAIN)),
    ("stock_info_sh_name_code", "科创板", ("证券代码", "证券简称", "上市日期", None), ("SH", Board.STAR)),
    ("stock_info_sz_name_code", "A股列表", ("A股代码", "A股简称", "A股上市日期", None), ("SZ", Board.MAIN)),
    ("stock_info_bj_name_code", "", ("证券代码", "证券简称", "上市日期", None), ("BJ", Board.BEIJING)),
    # the library calls the date of delisting there a suspension
    ("stock_info_sh_delist", "沪市", ("公司代码", "公司简称", "上市日期", "暂停上市日期"), ("SH", Board.MAIN)),
    ("stock_info_sh_delist", "科创板", ("公司代码", "公司简称", "上市日期", "暂停上市日期"), ("SH", Board.STAR)),
    ("stock_info_sz_delist", "终止上市公司", ("证券代码", "证券简称", "上市日期", "终止上市日期"), ("SZ", Board.MAIN)),
)
UNKNOWN = (
    Unknown(
        "ST spells",
        "stocks under special treatment are not excluded, and their narrower limit is taken for their board's",
    ),
    Unknown("bars of some delisted stocks", "a page may have dropped them; loading one is then an error that names it"),
    Unknown("past index members", "only today's are known: a universe cut to an index is chosen with hindsight"),
    Unknown("volumes below a lot", "volumes are whole lots: amount / volume strays a little on days of little trade"),
    Unknown("reference prices (pre_close)", "derived from the previous close and the adjustment factor"),
    Unknown("industries as they were named then", "the Shenwan classification is dated, but in the standard of today"),
    Unknown("suspensions of years past", "the page of a day long ago may name fewer than there were"),
    Unknown("market values", "size is not a control: part of a score may be a bet on small companies"),
    Unknown("price limits as published", "they are computed from the rulebook"),
    Unknown("figures of periodic reports", "no factor can use them"),
    Unknown("news and macro releases", "no factor can use them: the pages do not say when they became known"),
)


class AkshareSource:
    """Daily bars and reference tables from public pages. Nothing is asked before a table is.

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
        settings: AkshareSettings,
        source: SourceSettings,
        *,
        indices: tuple[str, ...],
        clock: Clock | None = None,
        sleep: Sleep = time.sleep,
    ) -> None:
        self._clock = clock or SystemClock()
        self._wire = AkshareWire(settings, self._clock, sleep)
        self._first, self._last = source.first_session, source.last_session
        self._symbols = source.symbols
        self._indices = indices
        self._suspended: dict[pd.Timestamp, frozenset[str]] = {}

    def describe(self) -> SourceDescription:
        """Return what the pages cannot say."""
        others = [code for code in self._indices if not _is_csindex(code)]
        more = (Unknown(f"members of {', '.join(others)}", "no universe can be cut to them"),) if others else ()
        return SourceDescription(
            f"akshare {akshare_version()}",
            simulated=False,
            adjustment="raw",
            unknown=(*UNKNOWN, *more),
            fetches="by_symbol",
            snapshots=("index_members",),
        )

    def sessions(self, first: date, last: date) -> pd.DatetimeIndex:
        """Return the exchange's sessions of ``[first, last]`` whose figures are out.

        Raises
        ------
        SourceError
            When there is none, or the calendar that akshare ships is another, as far as it reaches.
        """
        found = self._published(first, last)
        shipped = shipped_sessions()
        reach = min(found[-1].date(), shipped[-1].date())
        if first <= reach:
            days = pd.date_range(first, reach)
            overlaid(pd.Series(days.isin(shipped), index=days), first, reach, f"akshare {akshare_version()}")
        return found

    def securities(self) -> pd.DataFrame:
        """Return every A share of the three exchanges' lists, the delisted included, or the configured ones."""
        return self._securities.copy()

    def st_spells(self) -> pd.DataFrame:
        """Return an empty table: the pages name today's only."""
        return empty_table("st_spells")

    def industries(self) -> pd.DataFrame:
        """Return first-level Shenwan industries by date."""
        name = "stock_industry_clf_hist_sw"
        sessions = sessions_between(date.fromisoformat(CALENDAR_START), last_known_session())
        return tables.industries(self._wire.frame(name), self._by_code, sessions, _what(name))

    def index_members(self) -> pd.DataFrame:
        """Return the current members of the wanted indices of China Securities Index, from the list's date on."""
        name, parts = "index_stock_cons_weight_csindex", [empty_table("index_members")]
        for code in self._indices:
            if _is_csindex(code):
                frame = self._wire.frame(name, symbol=code.split(".")[0])
                parts.append(tables.index_members(code, frame, _what(name)))
        return canonical("index_members", pd.concat(parts[1:] or parts), by=("index_code", "symbol", "start_date"))

    def corporate_actions(self) -> pd.DataFrame:
        """Return cash dividends and bonus shares with an ex-date in the configured range, by report period."""
        name, parts = "stock_fhps_em", [empty_table("corporate_actions")]
        until = min(self._last, last_published_day(self._clock.now()))
        for period in pd.date_range(date(self._first.year - 1, 1, 1), until, freq="QE"):
            frame = self._wire.frame(name, date=f"{period:%Y%m%d}")
            if len(frame):
                parts.append(tables.corporate_actions(frame, self._by_code, _what(name)))
        frame = pd.concat([part for part in parts if len(part)] or parts[:1])
        return distributions(frame[frame["ex_date"].between(pd.Timestamp(self._first), pd.Timestamp(self._last))])

    def bar_units(self, first: date, last: date) -> Sequence[BarUnit]:
        """Return one unit a symbol that was listed within ``[first, last]``."""
        known = self._securities
        listed = known["list_date"] <= pd.Timestamp(last)
        there = known["delist_date"].isna() | (known["delist_date"] > pd.Timestamp(first))
        return [BarUnit(symbol, first, last, symbol) for symbol in known.loc[listed & there, "symbol"]]

    def bars_of(self, unit: BarUnit) -> pd.DataFrame:
        """Return one symbol's raw bars; suspended sessions are absent rows.

        Raises
        ------
        SourceError
            When no bar comes and the stock is not proven to have been suspended throughout.
        """
        if unit.symbol is None:
            raise SourceError(f"unit {unit.key} names no symbol", "take the units from bar_units of the same source")
        listed, expected = self._expected(unit.symbol, unit.first, unit.last)
        if expected.empty:
            return empty_table("bars")
        first, stop = pd.Timestamp(unit.first), expected[-1]
        hist = self._hist(unit.symbol, unit.first - LOOK_BACK, unit.last)
        if listed < first and (hist.empty or _days(hist).min() >= first):
            hist = self._hist(unit.symbol, listed.date(), unit.last)  # suspended longer than the look back, or no row
        if len(hist) and _days(hist).max() < stop:  # cut short, or suspended at the end: only asking again tells
            tail = self._hist(unit.symbol, _days(hist).max().date() + timedelta(days=1), unit.last)
            hist = pd.concat([table for table in (hist, tail) if len(table)], ignore_index=True)
        if hist.empty or not _days(hist).between(first, stop).any():
            self._prove_suspended(unit.symbol, expected)
            return empty_table("bars")
        what = _what(f"stock_zh_a_hist({unit.symbol})")
        found = tables.bars(unit.symbol, hist, self._adjustment(unit.symbol), what)
        return found[found["session_date"].between(first, stop)].reset_index(drop=True)

    def index_bars(self, first: date, last: date) -> pd.DataFrame:
        """Return daily bars of the wanted indices."""
        name, parts = "stock_zh_index_daily_em", []
        for code in self._indices:
            frame = self._wire.frame(
                name, symbol=tables.provider_code(code), start_date=f"{first:%Y%m%d}", end_date=f"{last:%Y%m%d}"
            )
            parts.append(tables.index_bars(code, frame, _what(f"{name}({code})")))
        return canonical("index_bars", pd.concat(parts), by=("index_code", "session_date"))

    def suspensions(self, first: date, last: date) -> pd.DataFrame:
        """Return who did not trade, by the page of each session: two requests or more a session."""
        rows = [(symbol, day) for day in self.sessions(first, last) for symbol in self._suspended_on(day)]
        frame = pd.DataFrame(rows, columns=["symbol", "session_date"])
        return canonical("suspensions", frame, by=("session_date", "symbol"))

    def market_values(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return an empty table: the pages give today's only."""
        return empty_table("market_values")

    def price_limits(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return an empty table: the pages give today's only."""
        return empty_table("price_limits")

    def financial_indicators(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return an empty table: the pages give figures as restated since."""
        return empty_table("financial_indicators")

    def news(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return an empty table: the page holds the last hundred items of a stock."""
        return empty_table("news")

    def macro(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return an empty table: the pages do not say when a figure became known."""
        return empty_table("macro")

    def _published(self, first: date, last: date) -> pd.DatetimeIndex:
        return sessions_between(first, min(last, last_published_day(self._clock.now())))

    @cached_property
    def _securities(self) -> pd.DataFrame:
        parts = []
        for name, which, columns, place in LISTS:
            arguments = {"symbol": which} if which else {}
            frame = self._wire.frame(name, may_be_empty=name.endswith("delist"), **arguments)
            if name == "stock_info_sh_delist" and len(frame) == SSE_PAGE_ROWS:
                raise SourceError(f"{_what(name)} stops at {SSE_PAGE_ROWS} rows", "upgrade akshare")
            if len(frame):
                parts.append(tables.listed(frame, columns, place, _what(name)))
        table = canonical("securities", pd.concat(parts).dropna(subset="list_date"), by=("symbol", "delist_date"))
        table = table.drop_duplicates("symbol", ignore_index=True)  # a delisted row sorts before the listed one
        if not self._symbols:
            return table
        unknown = sorted(set(self._symbols) - set(table["symbol"]))
        if unknown:
            raise SourceError(f"no exchange's list names {', '.join(unknown)}", "correct source.symbols")
        return table[table["symbol"].isin(self._symbols)].reset_index(drop=True)

    @cached_property
    def _by_code(self) -> dict[str, str]:
        return {symbol.split(".")[0]: symbol for symbol in self._securities["symbol"]}

    def _expected(self, symbol: str, first: date, last: date) -> tuple[pd.Timestamp, pd.DatetimeIndex]:
        """Return the listing date, and the sessions of the range on which the symbol was listed."""
        row = self._securities.loc[self._securities["symbol"] == symbol]
        if row.empty:
            raise SourceError(f"no exchange's list names {symbol}", "correct source.symbols")
        listed, delisted = row["list_date"].iloc[0], row["delist_date"].iloc[0]
        until = delisted.date() - timedelta(days=1) if pd.notna(delisted) else last
        start = max(first, listed.date(), date.fromisoformat(CALENDAR_START))
        try:
            return listed, self._published(start, min(last, until))
        except SourceError:  # no session: nothing to expect
            return listed, pd.DatetimeIndex([])

    def _hist(self, symbol: str, first: date, last: date) -> pd.DataFrame:
        return self._wire.frame(
            "stock_zh_a_hist",
            may_be_empty=True,
            symbol=symbol.split(".")[0],
            start_date=f"{first:%Y%m%d}",
            end_date=f"{last:%Y%m%d}",
            adjust="",
        )

    def _adjustment(self, symbol: str) -> pd.DataFrame:
        name = "stock_zh_a_daily"
        frame = self._wire.frame(name, symbol=tables.provider_code(symbol), adjust="hfq-factor")
        return tables.adjustment(frame, _what(f"{name}({symbol})"))

    def _suspended_on(self, day: pd.Timestamp) -> frozenset[str]:
        if day not in self._suspended:
            name = "stock_tfp_em"
            frame = self._wire.frame(name, date=f"{day:%Y%m%d}")
            known = tables.suspended(frame, day, self._by_code, _what(name)) if len(frame) else frozenset()
            self._suspended[day] = known
        return self._suspended[day]

    def _prove_suspended(self, symbol: str, expected: pd.DatetimeIndex) -> None:
        for day in (expected[0], expected[-1]):
            if symbol not in self._suspended_on(day):
                raise SourceError(
                    f"{_what(f'stock_zh_a_hist({symbol})')} has no bar from {expected[0]:%Y-%m-%d} to "
                    f"{expected[-1]:%Y-%m-%d}, though it was listed and not suspended on {day:%Y-%m-%d}",
                    "the page may have dropped a delisted stock: leave it out with source.symbols",
                )


def _what(function: str) -> str:
    return f"akshare {akshare_version()} {function}"


def _is_csindex(code: str) -> bool:
    return not code.startswith("399")


def _days(hist: pd.DataFrame) -> pd.Series:
    return pd.to_datetime(hist["日期"])
