"""The public pages behind the market-source port: bars a symbol at a time, proofs where an answer is empty.

Not here: asking (``questions.py``, ``wire.py``, ``transport.py``) and the meaning of columns (``tables.py``).
"""

from __future__ import annotations

import time
from datetime import date, timedelta

import pandas as pd

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.config import AkshareSettings, SourceSettings
from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.market.calendar import CALENDAR_START, last_known_session, overlaid, sessions_between
from ljwx_pipeline.market.tables import SourceDescription, Unknown, empty_table
from ljwx_pipeline.observability.progress import told
from ljwx_pipeline.sources.akshare import tables
from ljwx_pipeline.sources.akshare.questions import Questions, what
from ljwx_pipeline.sources.akshare.unknowns import UNKNOWN
from ljwx_pipeline.sources.akshare.wire import AkshareWire, akshare_version, shipped_sessions
from ljwx_pipeline.sources.base import BarUnit
from ljwx_pipeline.sources.by_symbol import BySymbolSource, asked_symbol
from ljwx_pipeline.sources.provider_frames import canonical, distributions, last_published_day
from ljwx_pipeline.sources.wire import Sleep

#: Days before a unit's first that are asked for with it, to see the close its first reference price follows from.
LOOK_BACK = timedelta(days=40)


class AkshareSource(BySymbolSource):
    """Daily bars and reference tables from public pages. Nothing is asked before a table is.

    Parameters
    ----------
    settings
        Address, calls a minute, seconds a call, tries.
    source
        The symbols to load.
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
        super().__init__(source.symbols, indices, clock)
        self._questions = Questions(AkshareWire(settings, self._clock, sleep), source.symbols)

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
            symbols=self._symbols,
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
        return self._questions.securities.copy()

    def st_spells(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return an empty table: the pages name today's only."""
        return empty_table("st_spells")

    def industries(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return all first-level Shenwan industries by date."""
        return self._questions.industries(sessions_between(date.fromisoformat(CALENDAR_START), last_known_session()))

    def index_members(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return the current members of the wanted indices of China Securities Index, from the list's date on."""
        parts = [self._questions.members(code) for code in self._indices if _is_csindex(code)]
        frame = pd.concat(parts) if parts else empty_table("index_members")
        return canonical("index_members", frame, by=("index_code", "symbol", "start_date"))

    def corporate_actions(self, first: date, last: date) -> pd.DataFrame:
        """Return cash dividends and bonus shares with an ex-date in ``[first, last]``, by report period."""
        until = min(last, last_published_day(self._clock.now()))
        periods = list(pd.date_range(date(first.year - 1, 1, 1), until, freq="QE"))
        parts = [self._questions.actions(period) for period in told(periods, "corporate_actions")]
        frame = pd.concat([part for part in parts if len(part)] or [empty_table("corporate_actions")])
        return distributions(frame[frame["ex_date"].between(pd.Timestamp(first), pd.Timestamp(last))])

    def bars_of(self, unit: BarUnit) -> pd.DataFrame:
        """Return one symbol's raw bars; suspended sessions are absent rows.

        Raises
        ------
        SourceError
            When no bar comes and the stock is not proven to have been suspended throughout.
        """
        symbol = asked_symbol(unit)
        listed, expected = self._expected(symbol, unit.first, unit.last)
        if expected.empty:
            return empty_table("bars")
        first, stop = pd.Timestamp(unit.first), expected[-1]
        hist = self._questions.hist(symbol, unit.first - LOOK_BACK, unit.last)
        if listed < first and (hist.empty or _days(hist).min() >= first):
            hist = self._questions.hist(symbol, listed.date(), unit.last)  # suspended longer than that, or no row
        if len(hist) and _days(hist).max() < stop:  # cut short, or suspended at the end: only asking again tells
            tail = self._questions.hist(symbol, _days(hist).max().date() + timedelta(days=1), unit.last)
            hist = pd.concat([table for table in (hist, tail) if len(table)], ignore_index=True)
        if hist.empty or not _days(hist).between(first, stop).any():
            self._questions.prove_suspended(symbol, expected)
            return empty_table("bars")
        found = tables.bars(symbol, hist, self._questions.adjustment(symbol), what(f"stock_zh_a_hist({symbol})"))
        return found[found["session_date"].between(first, stop)].reset_index(drop=True)

    def index_bars(self, first: date, last: date) -> pd.DataFrame:
        """Return daily bars of the wanted indices; one that began later begins with its first session.

        Raises
        ------
        SourceError
            When an index has no bar, or lacks a session after its first.
        """
        parts = [self._index(code, first, last) for code in self._indices]
        return canonical("index_bars", pd.concat(parts), by=("index_code", "session_date"))

    def suspensions(self, first: date, last: date) -> pd.DataFrame:
        """Return who did not trade, by the page of each session: two requests or more a session."""
        days = told(list(self.sessions(first, last)), "suspensions")
        rows = [(symbol, day) for day in days for symbol in self._questions.suspended_on(day)]
        frame = pd.DataFrame(rows, columns=["symbol", "session_date"])
        return canonical("suspensions", frame, by=("session_date", "symbol"))

    def _index(self, code: str, first: date, last: date) -> pd.DataFrame:
        found = self._questions.index_bars(code, first, last)
        given, span = pd.DatetimeIndex(found["session_date"]), self._published(first, last)
        missing = span[span >= given.min()].difference(given)
        if len(missing):
            raise SourceError(
                f"the page of index {code} lacks {missing[0]:%Y-%m-%d} ({len(missing)} such sessions)",
                "the session is not published yet, or the answer was cut short: ask again later",
            )
        return found

    def _published(self, first: date, last: date) -> pd.DatetimeIndex:
        return sessions_between(first, min(last, last_published_day(self._clock.now())))

    def _expected(self, symbol: str, first: date, last: date) -> tuple[pd.Timestamp, pd.DatetimeIndex]:
        """Return the listing date, and the sessions of the range on which the symbol was listed."""
        known = self._questions.securities
        row = known.loc[known["symbol"] == symbol]
        if row.empty:
            raise SourceError(f"no exchange's list names {symbol}", "correct source.symbols")
        listed, delisted = row["list_date"].iloc[0], row["delist_date"].iloc[0]
        until = delisted.date() - timedelta(days=1) if pd.notna(delisted) else last
        start = max(first, listed.date(), date.fromisoformat(CALENDAR_START))
        try:
            return listed, self._published(start, min(last, until))
        except SourceError:  # no session: nothing to expect
            return listed, pd.DatetimeIndex([])


def _is_csindex(code: str) -> bool:
    return not code.startswith("399")


def _days(hist: pd.DataFrame) -> pd.Series:
    return pd.to_datetime(hist["日期"])
