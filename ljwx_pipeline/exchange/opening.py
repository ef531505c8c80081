"""An exchange from its parts on disk: the pack's folder and the state folder.

Not here: the process around it (``main.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from ljwx_pipeline.config import CostSettings
from ljwx_pipeline.exchange.engine import Exchange
from ljwx_pipeline.exchange.journal import Journal
from ljwx_pipeline.exchange.ledger import Ledger
from ljwx_pipeline.exchange.market import DayBars, ExchangeMarket
from ljwx_pipeline.exchange.quotes import TickSource
from ljwx_pipeline.exchange.recorded_ticks import RecordedTicks, recorded_path
from ljwx_pipeline.exchange.tick_path import TickPaths
from ljwx_pipeline.exchange.timeline import timeline

#: Seconds between two ticks of a name, as exchanges send them.
TICK_SECONDS = 3


@dataclass(frozen=True)
class ExchangeSettings:
    """What an exchange is opened with.

    Parameters
    ----------
    capital_fen
        Cash of a new account.
    seed
        Of the made ticks.
    tick_seconds
        Seconds of continuous trading between two ticks of a name.
    """

    costs: CostSettings
    capital_fen: int
    seed: int = 0
    tick_seconds: int = TICK_SECONDS


def open_exchange(pack_folder: Path, state_folder: Path, settings: ExchangeSettings) -> tuple[Exchange, Journal]:
    """Return the exchange over the pack, as its journal left it, and the journal, which the caller closes.

    Raises
    ------
    LiveError
        When the pack is missing or damaged.
    TradingError
        When pack and account do not fit, or the journal cannot be read.
    """
    market = ExchangeMarket.open(pack_folder, settings.costs)
    journal = Journal(state_folder, capital_fen=settings.capital_fen, tick_seconds=settings.tick_seconds)

    def make_ticks(market: ExchangeMarket, session: date, bars: DayBars, tick_seconds: int) -> TickSource:
        recorded = recorded_path(pack_folder, session)
        if recorded.exists():
            return RecordedTicks(recorded, session, symbols=market.symbols)
        steps = timeline(session, tick_seconds=tick_seconds)
        return TickPaths(steps, bars, symbols=market.symbols, seed=settings.seed)

    try:
        ledger = Ledger(market, settings.costs, journal, make_ticks, tick_seconds=settings.tick_seconds)
    except BaseException:
        journal.close()
        raise
    return Exchange(ledger), journal
