"""Questions whose answers need others to be trusted: the calendar, the list of stocks, a session's or a stock's rows.

Not here: which canonical table is made of them (``source.py``), and what an answer proves (``proofs.py``).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from datetime import date
from functools import cached_property

import pandas as pd

from ljwx_pipeline.clock import SHANGHAI, Clock
from ljwx_pipeline.config import TushareSettings
from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.market.symbols import check_symbol
from ljwx_pipeline.sources.tushare import proofs, securities
from ljwx_pipeline.sources.tushare.apis import DAILY, NAMECHANGE, STOCK_BASIC, Api
from ljwx_pipeline.sources.tushare.client import LATER, TushareClient
from ljwx_pipeline.sources.tushare.credentials import read_token
from ljwx_pipeline.sources.tushare.pages import day, fetch
from ljwx_pipeline.sources.tushare.sessions import trading_sessions
from ljwx_pipeline.sources.wire import Sleep


class Questions:
    """Asks, and remembers the calendar, the list of stocks and their names.

    Parameters
    ----------
    settings
        Endpoint, token file, rate and patience.
    symbols
        The symbols to load; none means all.
    clock, sleep
        The seam to time.
    environ
        Where the token may stand; the process's own environment if None.
    """

    def __init__(
        self,
        settings: TushareSettings,
        symbols: tuple[str, ...],
        clock: Clock,
        sleep: Sleep = time.sleep,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._settings = settings
        self._symbols = symbols
        self._clock = clock
        self._sleep = sleep
        self._environ = environ
        self._proven: set[pd.Timestamp] = set()
        self._calendars: dict[tuple[date, date], pd.DatetimeIndex] = {}

    @cached_property
    def client(self) -> TushareClient:
        """The client; the token is read here."""
        environ = os.environ if self._environ is None else self._environ
        token = read_token(self._settings.token_file, environ)
        return TushareClient(self._settings, token, self._clock, self._sleep)

    @cached_property
    def stocks(self) -> pd.DataFrame:
        """Every stock that ever listed (``securities.stock_list``), asked for once."""
        answers = {
            status: fetch(self.client, STOCK_BASIC, {"list_status": status}, until_empty=True)
            for status in securities.STATUSES
        }
        # pausing a listing was abolished: that list may be empty, the others never
        for status, meaning in (("L", "listed"), ("D", "delisted")):
            if answers[status].empty:
                raise SourceError(
                    f"tushare's stock_basic names no {meaning} stock",
                    f"{LATER}; without them only survivors would count",
                )
        return securities.stock_list(answers)

    @cached_property
    def _names(self) -> pd.DataFrame:
        """Every name that a stock has borne, asked for once."""
        return fetch(self.client, NAMECHANGE, {}, until_empty=True)

    @cached_property
    def chosen(self) -> set[str]:
        """The symbols to load: those configured, or all."""
        every = set(self.stocks["ts_code"])
        for symbol in self._symbols:
            if check_symbol(symbol) not in every:
                raise SourceError(f"tushare knows no stock {symbol}", "correct source.symbols")
        return set(self._symbols) or every

    def calendar(self, first: date, last: date) -> pd.DatetimeIndex:
        """Return the sessions of ``[first, last]``, of the future too; there may be none."""
        if (first, last) not in self._calendars:
            within = (span for (start, end), span in self._calendars.items() if start <= first and last <= end)
            known = next(within, None)
            if known is None:
                known = trading_sessions(self.client, first, last)
            self._calendars[first, last] = known[(known >= pd.Timestamp(first)) & (known <= pd.Timestamp(last))]
        return self._calendars[first, last]

    def listed_on(self, session: pd.Timestamp) -> set[str]:
        """Return the symbols of the whole market listed on a session."""
        stocks = self.stocks
        there = (stocks["list_date"] <= session) & ~(stocks["delist_date"] <= session)
        return set(stocks.loc[there, "ts_code"])

    def listed_within(self, span: pd.DatetimeIndex) -> list[str]:
        """Return the chosen symbols listed on a session of ``span``, sorted."""
        stocks = self.stocks[self.stocks["ts_code"].isin(self.chosen)]
        there = (stocks["list_date"] <= span[-1]) & ~(stocks["delist_date"] <= span[0])
        return sorted(stocks.loc[there, "ts_code"])

    def names(self, span: pd.DatetimeIndex) -> pd.DataFrame:
        """Return the rows of ``namechange``, in which every chosen symbol listed on a session of ``span`` is named."""
        proofs.everybody_named(set(self._names["ts_code"]), self.listed_within(span))
        return self._names

    def check_stocks(self, sessions: Iterable[pd.Timestamp]) -> None:
        """Check the list of stocks against who traded on some sessions: a call each, the first time."""
        for session in sessions:
            if session not in self._proven:
                self._check_known(session, set(fetch(self.client, DAILY, {"trade_date": day(session)})["ts_code"]))

    def _check_known(self, session: pd.Timestamp, traded: set[str]) -> None:
        proofs.everybody_known(session.date(), traded, set(self.stocks["ts_code"]))
        self._proven.add(session)

    def of_session(self, api: Api, session: pd.Timestamp) -> pd.DataFrame:
        """Return the chosen symbols' rows of one session, of which the whole market's are checked."""
        rows = fetch(self.client, api, {"trade_date": day(session)})
        listed = self.listed_on(session)
        held = set(rows["ts_code"])
        if not held and session.date() >= self._clock.now().astimezone(SHANGHAI).date():
            raise SourceError(
                f"tushare's {api.name} has no row for {session:%Y-%m-%d}: it is not published yet, or withheld",
                "bars come from 15:00 to 17:00 of the session, market values until 19:00: ask again then",
            )
        if api is DAILY:
            self._check_known(session, held)
        proofs.session_is_whole(self.client, api, session.date(), held, listed)
        return rows[rows["ts_code"].isin(self.chosen)].reset_index(drop=True)

    def of_symbol(self, api: Api, symbol: str, first: date, last: date) -> pd.DataFrame:
        """Return one symbol's rows, checked against the sessions on which it was listed."""
        span = self.calendar(first, last)
        stock = self.stocks[self.stocks["ts_code"] == symbol].iloc[0]
        expected = span[(span >= stock["list_date"]) & ~(span >= stock["delist_date"])]
        if expected.empty:
            return pd.DataFrame(columns=list(api.fields))
        rows = fetch(
            self.client, api, {"ts_code": symbol, "start_date": day(expected[0]), "end_date": day(expected[-1])}
        )
        held = pd.DatetimeIndex(pd.to_datetime(rows["trade_date"], format="%Y%m%d"))
        proofs.symbol_is_whole(self.client, api, symbol, held, expected)
        return rows
