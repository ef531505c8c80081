"""The simulated market's canonical tables, cut to a range: what every stub serves in its provider's spelling.

Not here: any provider's column, unit or fault.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import pandas as pd

from ljwx_pipeline.config import SimulatedSettings
from ljwx_pipeline.sources import base
from ljwx_pipeline.sources.simulated.source import SimulatedMarket

#: Covers a listing, special treatment, ex-dates, suspensions and a half-yearly change of index members (mid June).
FIRST, LAST = date(2020, 5, 6), date(2020, 8, 31)
BY_RANGE = ("index_bars", "market_values", "suspensions", "price_limits", "financial_indicators", "news", "macro")
WHOLE = ("securities", "st_spells", "industries", "index_members", "corporate_actions")


@dataclass(frozen=True)
class SimulatedTables:
    """Canonical tables by name: those by range hold ``[first, last]``, the others (securities, spells) everything.

    They are shared between tests: never change one in place.
    """

    first: date
    last: date
    sessions: pd.DatetimeIndex
    tables: dict[str, pd.DataFrame]

    def __getitem__(self, name: str) -> pd.DataFrame:
        return self.tables[name]


@lru_cache(maxsize=4)
def simulated_tables(seed: int = 7, symbols: int = 20, first: date = FIRST, last: date = LAST) -> SimulatedTables:
    """Return the tables of one simulated market; a fifth of newcomers and a tenth that may leave come on top."""
    source = SimulatedMarket(SimulatedSettings(seed=seed, symbols=symbols, oracle_rank_ic=0.11))
    tables = {name: getattr(source, name)(first, last) for name in BY_RANGE}
    tables |= {name: getattr(source, name)() for name in WHOLE}
    tables["bars"] = base.bars(source, first, last)
    return SimulatedTables(first, last, source.sessions(first, last), tables)
