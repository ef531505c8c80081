"""A seeded market of any size that costs next to nothing to ask: random walks on the 0.01 tick inside every limit.

Prices are kept as whole ticks, 4 bytes a row; everything else of a bar follows from them when it is asked for. Its bars
break no rule. It is a ``MarketSource`` of either shape, session by session or symbol by symbol, or with all at hand.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from ljwx_pipeline.clock import utc_now
from ljwx_pipeline.ingest.tables import CALENDAR, ingest_dated_table, ingest_range_table, ingest_securities
from ljwx_pipeline.lake import Lake
from ljwx_pipeline.market.calendar import sessions_between
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.market.tables import SourceDescription, empty_table
from ljwx_pipeline.sources.base import BarUnit, month_units

#: Main board, listed long before the first session; limits of ten per cent are never reached.
LISTED = pd.Timestamp("2005-01-04")
MOST_MOVE_FRAC, SUSPENDED_FRAC, LIMIT_FRAC = 0.06, 0.01, 0.1
LEAST_TICKS, MOST_TICKS = 500, 20_000


class WholeMarket:
    """A market of ``symbols`` stocks on the exchange's sessions of ``[first, last]``.

    Parameters
    ----------
    published
        Last session it gives bars of; ``last`` when None. May be moved on.
    """

    def __init__(
        self,
        symbols: int,
        first: date,
        last: date,
        *,
        fetches: Literal["at_hand", "by_session", "by_symbol"] = "by_session",
        published: date | None = None,
        seed: int = 10,
    ) -> None:
        self.published = published or last
        self.fetches = fetches
        self.days = sessions_between(first, last)
        self.names = np.array([f"{600_000 + number}.SH" for number in range(symbols)], dtype=object)
        rng = np.random.default_rng(seed)
        ticks = rng.integers(1_000, 5_000, symbols).astype(np.int32)
        self.close = np.empty((len(self.days) + 1, symbols), dtype=np.int32)
        self.close[0] = ticks
        self.traded = np.empty((len(self.days), symbols), dtype=bool)
        for number in range(len(self.days)):
            move = np.clip(rng.standard_normal(symbols, dtype=np.float32) * 0.02, -MOST_MOVE_FRAC, MOST_MOVE_FRAC)
            suspended = rng.random(symbols, dtype=np.float32) < SUSPENDED_FRAC
            moved = np.clip(np.rint(ticks * (1 + move)), LEAST_TICKS, MOST_TICKS).astype(np.int32)
            ticks = np.where(suspended, ticks, moved)
            self.close[number + 1], self.traded[number] = ticks, ~suspended

    def describe(self) -> SourceDescription:
        """Return what the source is."""
        return SourceDescription("seeded", True, "raw", (), self.fetches)

    def sessions(self, first: date, last: date) -> pd.DatetimeIndex:
        """Return the sessions published within ``[first, last]``."""
        start, stop = self._span(first, last)
        return self.days[start:stop]

    def securities(self) -> pd.DataFrame:
        """Return every stock, listed on the main board of old."""
        never = pd.Series([pd.NaT] * len(self.names), dtype="datetime64[ns]")
        return pd.DataFrame(
            {
                "symbol": self.names,
                "name": self.names,
                "board": np.int64(Board.MAIN),
                "list_date": LISTED,
                "delist_date": never,
            }
        )

    def st_spells(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return no spell."""
        return empty_table("st_spells")

    def industries(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return nothing."""
        return empty_table("industries")

    def index_members(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return nothing."""
        return empty_table("index_members")

    def corporate_actions(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return none."""
        return empty_table("corporate_actions")

    def bar_units(self, first: date, last: date) -> list[BarUnit]:
        """Return sessions, symbols or months."""
        if self.fetches == "by_symbol":
            return [BarUnit(symbol, first, last, symbol) for symbol in self.names]
        if self.fetches == "at_hand":
            return month_units(first, last)
        return [BarUnit(f"{day:%Y-%m-%d}", day.date(), day.date()) for day in self.sessions(first, last)]

    def bars_of(self, unit: BarUnit) -> pd.DataFrame:
        """Return the bars of one unit, by session and symbol."""
        start, stop = self._span(unit.first, unit.last)
        symbol = int(unit.symbol[:6]) - 600_000 if unit.symbol else None
        who = slice(None) if symbol is None else slice(symbol, symbol + 1)
        day, name = np.nonzero(self.traded[start:stop, who])
        close = self.close[start + 1 : stop + 1, who][day, name].astype(np.float64)
        before = self.close[start:stop, who][day, name].astype(np.float64)
        number = (start + day) * 31 + (name + (symbol or 0)) * 17
        low, high = np.minimum(before, close) - number % 3, np.maximum(before, close) + number % 5
        volume = 100.0 * (5_000 + number % 997)
        return pd.DataFrame(
            {
                "symbol": self.names[who][name],
                "session_date": self.days[start:stop].to_numpy()[day],
                "open_cny": before / 100,
                "high_cny": high / 100,
                "low_cny": low / 100,
                "close_cny": close / 100,
                "pre_close_cny": before / 100,
                "volume_shares": volume,
                "amount_cny": volume * (low + high) / 200,
                "adj_factor": 1.0,
            },
            copy=False,
        )

    def price_limits(self, first: date, last: date) -> pd.DataFrame:
        """Return the limits of every session and stock."""
        start, stop = self._span(first, last)
        before = self.close[start:stop].ravel()
        return pd.DataFrame(
            {
                "symbol": np.tile(self.names, stop - start),
                "session_date": np.repeat(self.days[start:stop].to_numpy(), len(self.names)),
                "limit_up_cny": np.rint(before * (1 + LIMIT_FRAC)) / 100,
                "limit_down_cny": np.rint(before * (1 - LIMIT_FRAC)) / 100,
            }
        )

    def suspensions(self, first: date, last: date) -> pd.DataFrame:
        """Return who did not trade."""
        start, stop = self._span(first, last)
        day, name = np.nonzero(~self.traded[start:stop])
        return pd.DataFrame({"symbol": self.names[name], "session_date": self.days[start:stop].to_numpy()[day]})

    def index_bars(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return nothing."""
        return empty_table("index_bars")

    def market_values(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return nothing."""
        return empty_table("market_values")

    def financial_indicators(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return nothing."""
        return empty_table("financial_indicators")

    def news(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return nothing."""
        return empty_table("news")

    def macro(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return nothing."""
        return empty_table("macro")

    def _span(self, first: date, last: date) -> tuple[int, int]:
        ends = pd.Timestamp(first), pd.Timestamp(min(last, self.published))
        return int(self.days.searchsorted(ends[0])), int(self.days.searchsorted(ends[1], side="right"))


def ingest_beside(market: WholeMarket, lake: Lake, folder: Path) -> None:
    """Ingest the calendar and the tables that bars are judged beside."""
    sessions = market.sessions(market.days[0].date(), market.days[-1].date())
    lake.write(CALENDAR, pd.DataFrame({"session_date": sessions}), known_at=utc_now())
    ingest_securities(market, lake)
    for ingest, table in (
        (ingest_range_table, "st_spells"),
        *((ingest_dated_table, name) for name in ("corporate_actions", "price_limits", "suspensions")),
    ):
        ingest(
            market,
            lake,
            table,
            sessions,
            coverage_file=folder / f"{table}.json",
            recheck_sessions=1,
        )
