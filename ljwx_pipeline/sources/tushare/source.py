"""Tushare Pro as a market source: which questions give which canonical table, and in what order.

Whole market: a call a session, the provider's own advice. Few symbols over a long range: a call a symbol. Not here:
the wire (``client.py``, ``pages.py``), the columns (``prices.py``, ``securities.py``, ``events.py``), and what an empty
answer proves (``proofs.py``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta

import numpy as np
import pandas as pd

from ljwx_pipeline.clock import SHANGHAI, Clock, SystemClock
from ljwx_pipeline.config import SourceSettings, TushareSettings
from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.market.calendar import CALENDAR_START
from ljwx_pipeline.market.tables import SourceDescription, empty_table
from ljwx_pipeline.observability.progress import told
from ljwx_pipeline.sources.base import BarUnit, month_units
from ljwx_pipeline.sources.tushare import dividends, members, prices, proofs, securities
from ljwx_pipeline.sources.tushare.apis import (
    ADJ_FACTOR,
    DAILY,
    DAILY_BASIC,
    INDEX_DAILY,
    INDEX_WEIGHT,
    STK_LIMIT,
    Api,
)
from ljwx_pipeline.sources.tushare.pages import day, fetch
from ljwx_pipeline.sources.tushare.questions import Questions
from ljwx_pipeline.sources.tushare.reports import Reports
from ljwx_pipeline.sources.tushare.sessions import last_published
from ljwx_pipeline.sources.tushare.unknowns import CORRECTIONS, FUNDAMENTALS_OFF, UNKNOWN
from ljwx_pipeline.sources.wire import Sleep

#: The exchanges close for less: a session lies before any day within it.
LONGEST_CLOSURE = timedelta(days=20)


class TushareSource:
    """The A-share market as tushare Pro tells it. Nothing is asked, and no token read, before the first table is.

    Parameters
    ----------
    tushare
        Endpoint, token file, rate and patience.
    source
        Range by whose ends the list of stocks is proven, and the symbols to load.
    indices
        Codes of the indices whose bars and members are loaded.
    clock, sleep
        The seam to time.
    environ
        Where the token may stand; the process's own environment if None.
    """

    def __init__(
        self,
        tushare: TushareSettings,
        source: SourceSettings,
        *,
        indices: tuple[str, ...],
        clock: Clock | None = None,
        sleep: Sleep = time.sleep,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._source = source
        self._indices = indices
        self._clock = clock or SystemClock()
        self._questions = Questions(tushare, source.symbols, self._clock, sleep, environ)
        self._reports = (
            None
            if tushare.fundamentals == "off"
            else Reports(lambda: self._questions.client, vip=tushare.fundamentals == "vip", first=source.first_session)
        )

    def describe(self) -> SourceDescription:
        """Return that prices are raw, and what tushare does not say."""
        return SourceDescription(
            "tushare",
            simulated=False,
            adjustment="raw",
            unknown=(*UNKNOWN, FUNDAMENTALS_OFF) if self._reports is None else (*UNKNOWN, CORRECTIONS),
            fetches="by_symbol" if self._source.symbols else "by_session",
            snapshots=("industries",),
            windowed=("index_members",),
            untold=("financial_indicators",) if self._reports is None else (),
            symbols=self._source.symbols,
        )

    def sessions(self, first: date, last: date) -> pd.DatetimeIndex:
        """Return the sessions of ``[first, last]`` up to the last whose figures should be published.

        Raises
        ------
        SourceError
            When there is none, or the provider's calendar and the exchange's disagree.
        """
        reached = min(last, last_published(self._clock.now()))
        if first > reached:
            raise SourceError(
                f"no session from {first} to {last} is published yet (the last is of {reached} at most)",
                "wait until 18:00 of the session, or set source.last_session before it",
            )
        found = self._questions.calendar(first, reached)
        if found.empty:
            raise SourceError(f"no trading session lies in {first} to {reached}", "widen the date range")
        return found

    def securities(self) -> pd.DataFrame:
        """Return every stock that ever listed; ``delist_date`` is the first day it can no longer trade.

        The list is proven by who traded on the first and on the last session of the configured range. Its
        ``delisting_period_date`` is told from the names borne.
        """
        table, span = self._listed()
        periods = securities.delisting_periods(self._questions.names(span), table)
        return table.assign(delisting_period_date=periods)

    def st_spells(self, first: date, last: date) -> pd.DataFrame:
        """Return every spell under special treatment, told from the names the stocks have borne."""
        span = self.sessions(first, last)
        return securities.st_spells(self._questions.names(span), self._listed()[0])

    def industries(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return today's industries from today on; what they were before is unknown."""
        table = securities.industries(self._questions.stocks, self._clock.now().astimezone(SHANGHAI).date())
        return table[table["symbol"].isin(self._questions.chosen)].reset_index(drop=True)

    def index_members(self, first: date, last: date) -> pd.DataFrame:
        """Return index members of ``[first, last]``, as the monthly snapshots from the month before on show them."""
        span = self.sessions(first, last)
        return pd.concat([self._members(code, span) for code in self._indices], ignore_index=True)

    def corporate_actions(self, first: date, last: date) -> pd.DataFrame:
        """Return the dividends and bonus shares whose ex-date lies in ``[first, last]``.

        Raises
        ------
        SourceError
            When factors moved that no dividend explains.
        """
        wider = max(first - LONGEST_CLOSURE, date.fromisoformat(CALENDAR_START))
        earlier = self._questions.calendar(wider, max(first, min(last, last_published(self._clock.now()))))
        span = self.sessions(first, last)
        before = earlier[earlier < span[0]]
        table = dividends.proven_actions(
            self._questions.client,
            span,
            self._questions.listed_within(span),
            before=before[-1] if len(before) else None,
        )
        inside = table["ex_date"].between(pd.Timestamp(first), pd.Timestamp(last))
        table = table[inside & table["symbol"].isin(self._questions.chosen)]
        if table.empty:
            return empty_table("corporate_actions")
        return table.sort_values(["symbol", "ex_date"], ignore_index=True)

    def bar_units(self, first: date, last: date) -> list[BarUnit]:
        """Return a unit a session for the whole market, or a unit a symbol where that takes fewer calls."""
        span = self.sessions(first, last)
        chosen = self._questions.listed_within(span)
        if not chosen:
            raise SourceError(
                f"none of source.symbols was listed from {first} to {last}", "widen the range or correct the symbols"
            )
        if not self._source.symbols or len(span) <= len(chosen):
            return [BarUnit(f"{session:%Y-%m-%d}", session.date(), session.date()) for session in span]
        start, end = span[0].date(), span[-1].date()
        return [BarUnit(f"{symbol}_{start}_{end}", start, end, symbol) for symbol in chosen]

    def bars_of(self, unit: BarUnit) -> pd.DataFrame:
        """Return the raw bars of one unit with their cumulative factor; suspended sessions are absent.

        Raises
        ------
        SourceError
            When stocks that were not suspended have none: not published yet, withheld, or cut short.
        """
        if unit.symbol is not None:
            daily = self._questions.of_symbol(DAILY, unit.symbol, unit.first, unit.last)
            if daily.empty:
                return empty_table("bars")
            span = {"ts_code": unit.symbol, "start_date": day(unit.first), "end_date": day(unit.last)}
            return prices.bars(daily, fetch(self._questions.client, ADJ_FACTOR, span))
        frames = []
        for session in self._questions.calendar(unit.first, unit.last):
            daily = self._questions.of_session(DAILY, session)
            if len(daily):
                frames.append(
                    prices.bars(daily, fetch(self._questions.client, ADJ_FACTOR, {"trade_date": day(session)}))
                )
        return pd.concat(frames, ignore_index=True) if frames else empty_table("bars")

    def index_bars(self, first: date, last: date) -> pd.DataFrame:
        """Return daily bars of the indices; one that began later begins with its first session.

        Raises
        ------
        SourceError
            When an index has no bar, or lacks a session after its first.
        """
        span = self.sessions(first, last)
        return pd.concat([self._index(code, span) for code in self._indices], ignore_index=True)

    def market_values(self, first: date, last: date) -> pd.DataFrame:
        """Return total market values at the close of the sessions traded."""
        return self._table(DAILY_BASIC, first, last, prices.market_values, "market_values")

    def price_limits(self, first: date, last: date) -> pd.DataFrame:
        """Return each session's price limits as the exchange set them, NaN where there was none."""
        return self._table(STK_LIMIT, first, last, prices.price_limits, "price_limits")

    def suspensions(self, first: date, last: date) -> pd.DataFrame:
        """Return sessions on which a listed stock was suspended all day."""
        span = self.sessions(first, last)
        frames = []
        for piece in month_units(span[0].date(), span[-1].date()):
            sessions = span[(span >= pd.Timestamp(piece.first)) & (span <= pd.Timestamp(piece.last))]
            table = proofs.suspended_days(
                self._questions.client, {"start_date": day(piece.first), "end_date": day(piece.last)}
            )
            if table.empty:
                proofs.nobody_suspended(
                    self._questions.client, sessions, {one: self._questions.listed_on(one) for one in sessions}
                )
            frames.append(table[table["session_date"].isin(sessions)])
        table = pd.concat(frames, ignore_index=True)
        listed = {session: self._questions.listed_on(session) & self._questions.chosen for session in span}
        pairs = zip(table["symbol"], table["session_date"], strict=True)
        kept = np.array([symbol in listed[at] for symbol, at in pairs], dtype=bool)  # a list without rows names columns
        return table[kept].reset_index(drop=True)

    def financial_indicators(self, first: date, last: date) -> pd.DataFrame:
        """Return the figures of reports announced in ``[first, last]``; none with ``tushare.fundamentals`` off."""
        if self._reports is None:
            return empty_table("financial_indicators")
        span = self.sessions(first, last)
        return self._reports.announced(first, last, span[-1].date(), self._questions.listed_within(span))

    def news(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return an empty table: tushare's news needs a permission of its own."""
        return empty_table("news")

    def macro(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return an empty table: release instants are not told."""
        return empty_table("macro")

    def _listed(self) -> tuple[pd.DataFrame, pd.DatetimeIndex]:
        """Return the canonical securities but for their delisting periods, proven, and the sessions configured."""
        span = self.sessions(self._source.first_session, self._source.until)
        self._questions.check_stocks((span[0], span[-1]))
        table = securities.securities(self._questions.stocks)
        return table[table["symbol"].isin(self._questions.chosen)].reset_index(drop=True), span

    def _table(
        self, api: Api, first: date, last: date, mapped: Callable[[pd.DataFrame], pd.DataFrame], name: str
    ) -> pd.DataFrame:
        frames = [mapped(rows) for rows in self._pieces(api, first, last, name) if len(rows)]
        if not frames:
            return empty_table(name)
        return pd.concat(frames).sort_values(["session_date", "symbol"], kind="stable", ignore_index=True)

    def _pieces(self, api: Api, first: date, last: date, name: str) -> Iterator[pd.DataFrame]:
        for unit in told(self.bar_units(first, last), name):
            if unit.symbol is None:
                yield self._questions.of_session(api, pd.Timestamp(unit.first))
            else:
                yield self._questions.of_symbol(api, unit.symbol, unit.first, unit.last)

    def _index(self, code: str, span: pd.DatetimeIndex) -> pd.DataFrame:
        params = {"ts_code": code, "start_date": day(span[0]), "end_date": day(span[-1])}
        table = prices.index_bars(fetch(self._questions.client, INDEX_DAILY, params))
        if table.empty:
            raise SourceError(
                f"tushare's index_daily has no bar of {code} from {span[0]:%Y-%m-%d} to {span[-1]:%Y-%m-%d}",
                "check evaluation.indices (000300.SH, 000905.SH, 399006.SZ), or ask again later",
            )
        began = table["session_date"].iloc[0]
        if began > span[0]:  # an index that began later, or an answer that lost its oldest rows: asked for alone
            before = {**params, "end_date": day(span[span < began][-1])}
            older = prices.index_bars(fetch(self._questions.client, INDEX_DAILY, before))
            began = began if older.empty else older["session_date"].iloc[0]
        missing = span[span >= began].difference(pd.DatetimeIndex(table["session_date"]))
        if len(missing):
            raise SourceError(
                f"tushare's index_daily of {code} lacks {missing[0]:%Y-%m-%d} ({len(missing)} such sessions)",
                "the session is not published yet, or the answer was cut short: ask again later",
            )
        return table

    def _members(self, code: str, span: pd.DatetimeIndex) -> pd.DataFrame:
        first = (span[0].date().replace(day=1) - timedelta(days=1)).replace(day=1)  # a snapshot is told of each month
        frames = []
        for month in told(month_units(first, span[-1].date()), f"months of members of {code}"):
            params = {"index_code": code, "start_date": day(month.first), "end_date": day(month.last)}
            frames.append(fetch(self._questions.client, INDEX_WEIGHT, params))
        weights = pd.concat(frames, ignore_index=True)
        if weights.empty:
            raise SourceError(
                f"tushare's index_weight holds no member of {code} from {span[0]:%Y-%m-%d} to {span[-1]:%Y-%m-%d}",
                "the interface needs 2,000 points; check evaluation.indices, or ask again later",
            )
        table = members.index_members(code, weights, self._questions.calendar(first, span[-1].date()))
        table = table[table["end_date"].isna() | (table["end_date"] >= span[0])]
        starts = table["start_date"]
        return table.assign(start_date=starts.where(starts >= span[0], span[0])).reset_index(drop=True)
