"""The simulated market's canonical tables, cut to a range: what every stub serves in its provider's spelling.

The world ends with 2025; ``relabelled`` moves it to later dates, so that yesterday can be asked for. Not here: any
provider's column, unit or fault, and what a stub process is told (``process.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np
import pandas as pd

from ljwx_pipeline.clock import SHANGHAI
from ljwx_pipeline.config import SimulatedSettings
from ljwx_pipeline.market.calendar import CALENDAR_START, sessions_between
from ljwx_pipeline.market.tables import DATE, TABLES
from ljwx_pipeline.sources import base
from ljwx_pipeline.sources.simulated.source import WORLD_FIRST, WORLD_LAST, SimulatedMarket

#: Covers a listing, special treatment, ex-dates, suspensions and a half-yearly change of index members (mid June).
FIRST, LAST = date(2020, 5, 6), date(2020, 8, 31)
BY_RANGE = ("index_bars", "market_values", "suspensions", "price_limits", "financial_indicators", "news", "macro")
RANGES = ("st_spells", "industries", "index_members")


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
    tables |= {name: getattr(source, name)(WORLD_FIRST, WORLD_LAST) for name in (*RANGES, "corporate_actions")}
    tables["securities"] = source.securities()
    tables["bars"] = base.bars(source, first, last)
    return SimulatedTables(first, last, source.sessions(first, last), tables)


def relabelled(market: SimulatedTables, until: date) -> SimulatedTables:
    """Return ``market`` under later dates: its last session becomes the exchange's last up to ``until``.

    Every table's dates move alike: a session k sessions before the last stays k sessions before it, a day between two
    sessions stays between them, an earlier day (an old listing) moves by as many days as the first session. Report
    periods move by whole quarters and described months by whole months, and never past the day that tells them.

    No row breaks a rule of its new date: since the world began the exchanges only widened price limits.
    """
    before = market.sessions
    every = sessions_between(date.fromisoformat(CALENDAR_START), until)
    if until < market.last:
        raise ValueError(f"the market ends on {market.last}: it can be moved to later dates, not to {until}")
    after = every[len(every) - len(before) :]

    def moved(days: pd.DatetimeIndex) -> pd.DatetimeIndex:
        at = np.clip(before.searchsorted(days, side="right") - 1, 0, None)
        inside = (at < len(before) - 1) & (days >= before[0])
        beyond = days - before[at]
        # the day before the next session at most: a holiday may have become a weekend
        room = np.where(inside, after[np.minimum(at + 1, len(after) - 1)] - after[at] - pd.Timedelta(days=1), beyond)
        return pd.DatetimeIndex(after[at] + np.minimum(beyond, pd.TimedeltaIndex(room)))

    shortest = (after - before).min().days
    return SimulatedTables(
        first=after[0].date(),
        last=after[-1].date(),
        sessions=after,
        tables={name: _moved_table(name, frame, moved, shortest) for name, frame in market.tables.items()},
    )


def _moved_table(
    name: str, frame: pd.DataFrame, moved: Callable[[pd.DatetimeIndex], pd.DatetimeIndex], shortest_days: int
) -> pd.DataFrame:
    out = frame.copy()
    for column, dtype in TABLES[name].items():
        if not dtype.startswith("datetime64"):
            continue
        known = frame[column].notna()
        days = pd.DatetimeIndex(frame.loc[known, column])
        if column == "report_period":
            days = days + pd.offsets.QuarterEnd(shortest_days // 92)
        elif column == "reference_month":
            days = days + pd.DateOffset(months=shortest_days // 31)
        elif dtype == DATE:
            days = moved(days)
        else:  # an instant keeps its time of day
            local = days.tz_convert(SHANGHAI).tz_localize(None)
            days = (moved(local.normalize()) + (local - local.normalize())).tz_localize(SHANGHAI).tz_convert("UTC")
        out.loc[known, column] = days.as_unit("ns")
    return out
