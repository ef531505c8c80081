"""Baostock behind the market-source port: bars a symbol at a time, suspensions and ST spells from the same rows.

Not here: asking (``questions.py``), the protocol (``wire.py``) and the meaning of columns (``tables.py``).
"""

from __future__ import annotations

import time
from datetime import date

import pandas as pd

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.config import BaostockSettings, SourceSettings
from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.market.tables import SourceDescription, Unknown, empty_table
from ljwx_pipeline.observability.progress import told
from ljwx_pipeline.sources.baostock import tables
from ljwx_pipeline.sources.baostock.questions import Questions, library_version, what
from ljwx_pipeline.sources.baostock.unknowns import UNKNOWN
from ljwx_pipeline.sources.baostock.wire import BaostockWire
from ljwx_pipeline.sources.base import BarUnit
from ljwx_pipeline.sources.by_symbol import BySymbolSource, asked_symbol
from ljwx_pipeline.sources.provider_frames import canonical, distributions, last_published_day, ranges_of, sampled
from ljwx_pipeline.sources.wire import Sleep

#: Indices whose members baostock tells by date, and the function that does.
MEMBER_QUERIES = {
    "000300.SH": "query_hs300_stocks",
    "000905.SH": "query_zz500_stocks",
    "000016.SH": "query_sz50_stocks",
}
#: Less than this share of the longest list of an index was cut short: indices have a fixed size.
WHOLE_LIST_FRAC = 0.75


class BaostockSource(BySymbolSource):
    """Daily bars and reference tables from baostock's server. Nothing is asked before a table is.

    Parameters
    ----------
    settings
        Address, calls a minute, seconds a call, tries.
    source
        The symbols to load, and the last session.
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
        super().__init__(source.symbols, indices, clock)
        self._wire = BaostockWire(settings, self._clock, sleep)
        self._questions = Questions(self._wire, source.symbols, source.until, self._clock)

    def describe(self) -> SourceDescription:
        """Return what baostock cannot say."""
        others = [code for code in self._indices if code not in MEMBER_QUERIES]
        more = (Unknown(f"members of {', '.join(others)}", "no universe can be cut to these indices"),)
        return SourceDescription(
            f"baostock {library_version()}",
            simulated=False,
            adjustment="raw",
            unknown=(*UNKNOWN, *(more if others else ())),
            fetches="by_symbol",
            windowed=("st_spells", "industries", "index_members"),
            symbols=self._symbols,
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
        found = self._questions.calendar(first, last) if first <= last else pd.DatetimeIndex([])
        if found.empty:
            raise SourceError(f"baostock knows no trading day from {first} to {last}", "widen the date range")
        return found

    def securities(self) -> pd.DataFrame:
        """Return every A share that ever listed in Shanghai or Shenzhen, or the configured ones."""
        return self._questions.securities.copy()

    def st_spells(self, first: date, last: date) -> pd.DataFrame:
        """Return the spells that the daily ``isST`` column shows within ``[first, last]``."""
        found = []
        for symbol in told(self._symbols_between(first, last), "st_spells"):
            gone = self._questions.listed(symbol)[1] <= pd.Timestamp(last)  # NaT compares false
            for start, end in self._questions.status(symbol, first, last).st_spells(open_end=not gone):
                found.append((symbol, start, end))
        frame = pd.DataFrame(found, columns=["symbol", "start_date", "end_date"])
        return canonical("st_spells", frame, by=("symbol", "start_date"))

    def industries(self, first: date, last: date) -> pd.DataFrame:
        """Return industries by date, sampled on ``first``, monthly and on ``last``."""
        name = "query_stock_industry"

        def ask(day: pd.Timestamp) -> dict[str, str]:
            return tables.industries(self._questions.rows_on(name, day), day, what(name))

        sessions = self.sessions(first, last)
        known = [(day, shown) for day, shown in sampled(sessions, ask, exact=False, what="industries") if shown]
        if not known or known[-1][0] != sessions[-1]:
            raise SourceError(f"baostock names no industry on {sessions[-1]:%Y-%m-%d}", "try again later")
        frame = ranges_of(known, sessions).rename(columns={"key": "symbol", "value": "industry"})
        frame = frame[frame["symbol"].isin(self._questions.securities["symbol"])]
        return canonical("industries", frame, by=("symbol", "start_date"))

    def index_members(self, first: date, last: date) -> pd.DataFrame:
        """Return the members of the wanted indices that baostock tells, changes to the session."""
        sessions = self.sessions(first, last)
        parts = [self._members(code, sessions) for code in self._indices if code in MEMBER_QUERIES]
        frame = pd.concat(parts) if parts else empty_table("index_members")
        return canonical("index_members", frame, by=("index_code", "symbol", "start_date"))

    def corporate_actions(self, first: date, last: date) -> pd.DataFrame:
        """Return cash dividends and bonus shares with an ex-date in ``[first, last]``: a call a symbol that has one."""
        parts, span = [empty_table("corporate_actions")], (pd.Timestamp(first), pd.Timestamp(last))
        for symbol in told(self._symbols_between(first, last), "corporate_actions"):
            ex_dates = self._questions.adjustment(symbol)["ex_date"]
            years = sorted(set(ex_dates[ex_dates.between(*span)].dt.year))
            parts += [self._questions.actions(symbol, year) for year in years]
        frame = pd.concat([part for part in parts if len(part)] or parts[:1])
        return distributions(frame[frame["ex_date"].between(*span)])

    def bars_of(self, unit: BarUnit) -> pd.DataFrame:
        """Return one symbol's raw bars; suspended sessions are absent rows.

        Raises
        ------
        SourceError
            When no row comes although the symbol was listed, or rows that exist are left out of the answer.
        """
        symbol = asked_symbol(unit)
        found = self._questions.daily(symbol, unit.first, unit.last).frame
        return tables.bars(symbol, found[found["traded"]], self._questions.adjustment(symbol))

    def index_bars(self, first: date, last: date) -> pd.DataFrame:
        """Return daily bars of the wanted indices."""
        parts = []
        for code in self._indices:
            rows = self._questions.index_daily(code, first, last)
            if rows.empty:
                raise SourceError(
                    f"baostock has no bar of index {code} from {first} to {last}",
                    "correct evaluation.indices, or the range",
                )
            parts.append(tables.index_bars(code, rows, what("query_history_k_data_plus")))
        return canonical("index_bars", pd.concat(parts), by=("index_code", "session_date"))

    def suspensions(self, first: date, last: date) -> pd.DataFrame:
        """Return the sessions whose row says that the symbol did not trade."""
        parts = []
        for symbol in told(self._symbols_between(first, last), "suspensions"):
            out = self._questions.status(symbol, first, last).suspended()
            parts.append(pd.DataFrame({"symbol": symbol, "session_date": out}))
        frame = pd.concat(parts) if parts else empty_table("suspensions")
        return canonical("suspensions", frame, by=("session_date", "symbol"))

    def _members(self, code: str, sessions: pd.DatetimeIndex) -> pd.DataFrame:
        name, longest = MEMBER_QUERIES[code], 0

        def ask(day: pd.Timestamp) -> frozenset[str]:
            nonlocal longest
            found = tables.members(self._questions.rows_on(name, day), what(name))
            if 0 < len(found) < WHOLE_LIST_FRAC * longest:
                found = tables.members(self._questions.rows_on(name, day), what(name))
            longest = max(longest, len(found))
            return found

        def cut_short() -> list[str]:
            short = [day for day, members in found if 0 < len(members) < WHOLE_LIST_FRAC * longest]
            return [f"{day:%Y-%m-%d}" for day in short]

        found = sampled(sessions, ask, exact=True, what=f"members of {code}")
        if cut_short():  # the length of a whole list was not known yet when it came
            found = sampled(sessions, ask, exact=True, what=f"members of {code}")
        if days := cut_short():
            raise SourceError(
                f"baostock's list of members of {code} is cut short on {len(days)} sessions, first {days[0]}: another "
                f"day it names {longest}",
                "try again later, or drop the index from evaluation.indices",
            )
        shown = [(day, dict.fromkeys(members, "")) for day, members in found]
        while shown and not shown[0][1]:  # before the provider's first list
            shown.pop(0)
        if not shown or not all(members for _, members in shown):
            gap = next((f"{day:%Y-%m-%d}" for day, members in shown if not members), f"{sessions[0]:%Y-%m-%d}")
            raise SourceError(f"baostock names no member of {code} on {gap}", "try again later, or drop the index")
        frame = ranges_of(shown, sessions).rename(columns={"key": "symbol"}).assign(index_code=code)
        return frame[["index_code", "symbol", "start_date", "end_date"]]
