"""Market arrays that were made without a session pack, played by the exchange's own engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import numpy as np

from ljwx_pipeline.config import CostSettings
from ljwx_pipeline.exchange.engine import Exchange
from ljwx_pipeline.exchange.journal import Journal
from ljwx_pipeline.exchange.ledger import Ledger
from ljwx_pipeline.exchange.market import DayBars, ExchangeMarket
from ljwx_pipeline.exchange.tick_path import TickPaths
from ljwx_pipeline.exchange.timeline import LONGEST_TICK_SECONDS, timeline
from ljwx_pipeline.trading.market_arrays import MarketArrays


class ArrayMarket(ExchangeMarket):
    """The exchange's market of arrays alone: nobody asks it for bars as a pack states them."""

    def __init__(self, arrays: MarketArrays) -> None:
        self.arrays = arrays
        self.symbols = arrays.symbols
        self.rows = {symbol: row for row, symbol in enumerate(arrays.symbols)}
        self.sessions = tuple(day.date() for day in arrays.sessions)
        self.raw_prices = True
        self._columns = {session: column for column, session in enumerate(self.sessions)}

    def bars_hash(self, session: date) -> str:
        return session.isoformat()

    def _amounts_fen(self, session: date) -> np.ndarray:
        assert self.arrays.amount_fen is not None
        return self.arrays.amount_fen[:, self.column(session)]


def _make_ticks(market: ExchangeMarket, session: date, bars: DayBars, tick_seconds: int) -> TickPaths:
    return TickPaths(timeline(session, tick_seconds=tick_seconds), bars, symbols=market.symbols, seed=0)


@contextmanager
def exchange_of(arrays: MarketArrays, state: Path, costs: CostSettings, *, capital_fen: int) -> Iterator[Exchange]:
    """An exchange over ``arrays`` with an account in ``state``, closed at the end."""
    seconds = LONGEST_TICK_SECONDS
    journal = Journal(state, capital_fen=capital_fen, tick_seconds=seconds)
    try:
        yield Exchange(Ledger(ArrayMarket(arrays), costs, journal, _make_ticks, tick_seconds=seconds))
    finally:
        journal.close()
