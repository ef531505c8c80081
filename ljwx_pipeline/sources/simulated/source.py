"""The simulated market as a source: canonical tables cut from one world, plus the truth no real market tells.

A world is always walked whole, from ``WORLD_FIRST`` to ``WORLD_LAST``, and then cut: asking for fewer sessions never
changes a row.

Not here: how the world comes about (``world.py`` and its neighbours), how rows are cut from it (``tables.py``).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.clock import SHANGHAI
from ljwx_pipeline.config import SimulatedSettings
from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.market.calendar import sessions_between
from ljwx_pipeline.market.tables import SourceDescription
from ljwx_pipeline.sources.base import BarUnit, month_units
from ljwx_pipeline.sources.simulated.decoys import decoy_columns
from ljwx_pipeline.sources.simulated.events import financial_indicators_table, macro_table, news_table
from ljwx_pipeline.sources.simulated.indices import INDEX_NAMES, index_bars_table, index_membership, members_table
from ljwx_pipeline.sources.simulated.roster import Roster, draw_roster
from ljwx_pipeline.sources.simulated.shocks import draw_shocks
from ljwx_pipeline.sources.simulated.streams import SIMULATOR_VERSION
from ljwx_pipeline.sources.simulated.tables import (
    bars_table,
    corporate_actions_table,
    industries_table,
    market_values_table,
    price_limits_table,
    row_keys,
    securities_table,
    st_spells_table,
    suspensions_table,
)
from ljwx_pipeline.sources.simulated.world import World, build_world

WORLD_FIRST, WORLD_LAST = date(2018, 1, 2), date(2025, 12, 31)


@dataclass(frozen=True)
class _Cached:
    roster: Roster
    world: World
    membership: dict[str, NDArray[np.bool_]]


@lru_cache(maxsize=3)
def _walked(settings: SimulatedSettings) -> _Cached:
    sessions = sessions_between(WORLD_FIRST, WORLD_LAST)
    roster = draw_roster(settings, sessions)
    month_day = (sessions.month * 100 + sessions.day).to_numpy(dtype=np.int64)
    shocks = draw_shocks(settings.seed, roster, len(sessions), month_day)
    world = build_world(roster, shocks, sessions, settings.oracle_rank_ic)
    return _Cached(roster, world, index_membership(roster, world))


class SimulatedMarket:
    """A market that never was: the same settings give the same bytes in every process.

    Parameters
    ----------
    settings
        Seed, size and strength of the planted alpha.
    """

    def __init__(self, settings: SimulatedSettings) -> None:
        self.settings = settings

    @property
    def world_hash(self) -> str:
        """SHA-256 of the simulator's version and the settings: what every row follows from."""
        stated = {"simulator_version": SIMULATOR_VERSION, **self.settings.model_dump(mode="json")}
        return hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()

    @property
    def index_names(self) -> dict[str, str]:
        """Full names of the indices by code."""
        return dict(INDEX_NAMES)

    def describe(self) -> SourceDescription:
        """Return what this source is; it knows everything about itself."""
        name = f"simulated market, version {SIMULATOR_VERSION}, seed {self.settings.seed}, world {self.world_hash[:12]}"
        return SourceDescription(name=name, simulated=True, adjustment="raw", unknown=())

    def sessions(self, first: date, last: date) -> pd.DatetimeIndex:
        """Return the sessions of ``[first, last]`` that lie in the simulated world."""
        if first > last:
            raise SourceError(f"the range {first} to {last} is empty", "give a first session before the last")
        low, high = max(first, WORLD_FIRST), min(last, WORLD_LAST)
        if low > high:
            raise SourceError(
                f"the simulated market trades from {WORLD_FIRST} to {WORLD_LAST}, not in {first} to {last}",
                "set source.first_session and source.last_session inside that range",
            )
        return sessions_between(low, high)

    def securities(self) -> pd.DataFrame:
        """Return every stock that ever listed; ``delist_date`` is the first session it no longer trades."""
        return securities_table(*self._parts())

    def st_spells(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return every spell under special treatment, first and last session inclusive; NaT while it lasts."""
        return st_spells_table(*self._parts())

    def industries(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return all industries by date; a stock's current industry has no end."""
        return industries_table(*self._parts())

    def index_members(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return all index members by date; ``end_date`` is NaT for current members."""
        return members_table(*self._parts(), _walked(self.settings).membership)

    def corporate_actions(self, first: date, last: date) -> pd.DataFrame:
        """Return the cash dividends and bonus shares whose ex-date lies in ``[first, last]``."""
        self.sessions(first, last)
        frame = corporate_actions_table(*self._parts())
        return frame[frame["ex_date"].between(pd.Timestamp(first), pd.Timestamp(last))].reset_index(drop=True)

    def bar_units(self, first: date, last: date) -> list[BarUnit]:
        """Return the months of ``[first, last]``."""
        span = self.sessions(first, last)
        return month_units(span[0].date(), span[-1].date())

    def bars_of(self, unit: BarUnit) -> pd.DataFrame:
        """Return the bars of one month."""
        return self.bars(unit.first, unit.last)

    def bars(self, first: date, last: date) -> pd.DataFrame:
        """Return raw daily bars sorted by session and symbol; suspended sessions are absent rows."""
        return bars_table(*self._parts(), self._span(first, last))

    def index_bars(self, first: date, last: date) -> pd.DataFrame:
        """Return daily bars of the three simulated indices."""
        wanted = self.sessions(first, last)
        frame = index_bars_table(self._parts()[1], _walked(self.settings).membership)
        return frame[frame["session_date"].between(wanted[0], wanted[-1])].reset_index(drop=True)

    def market_values(self, first: date, last: date) -> pd.DataFrame:
        """Return market values at the close of every listed session; a suspended one keeps its last close."""
        return market_values_table(*self._parts(), self._span(first, last))

    def suspensions(self, first: date, last: date) -> pd.DataFrame:
        """Return the sessions on which a listed stock did not trade."""
        return suspensions_table(*self._parts(), self._span(first, last))

    def price_limits(self, first: date, last: date) -> pd.DataFrame:
        """Return the limits of every session traded, NaN where there is none."""
        return price_limits_table(*self._parts(), self._span(first, last))

    def financial_indicators(self, first: date, last: date) -> pd.DataFrame:
        """Return the quarterly figures announced on the dates ``[first, last]``."""
        self.sessions(first, last)
        frame = financial_indicators_table(self.settings.seed, *self._parts())
        return frame[frame["announced_date"].between(pd.Timestamp(first), pd.Timestamp(last))].reset_index(drop=True)

    def news(self, first: date, last: date) -> pd.DataFrame:
        """Return news published on the dates ``[first, last]`` of Asia/Shanghai."""
        frame = news_table(self.settings.seed, *self._parts())
        return self._known_between(frame, "published_at", first, last)

    def macro(self, first: date, last: date) -> pd.DataFrame:
        """Return macro releases that became known on the dates ``[first, last]`` of Asia/Shanghai."""
        frame = macro_table(self.settings.seed, self._parts()[1].sessions)
        return self._known_between(frame, "released_at", first, last)

    def truth(self) -> pd.DataFrame:
        """Return the oracle score by symbol and session, as known at that session's close, where there is a bar."""
        world = self._parts()[1]
        return self._rows(~np.isnan(world.oracle_score), {"oracle_score": world.oracle_score})

    def decoys(self) -> pd.DataFrame:
        """Return columns that predict only by looking ahead, on the rows that have a bar; NaN near the ends."""
        world = self._parts()[1]
        return self._rows(world.has_bar, decoy_columns(self.settings.seed, world))

    def _rows(self, present: NDArray[np.bool_], columns: dict[str, NDArray[np.float64]]) -> pd.DataFrame:
        roster, world = self._parts()
        keys = row_keys(roster, world, present, slice(0, len(world.sessions)))
        return keys.assign(**{name: values[present] for name, values in columns.items()})

    def _parts(self) -> tuple[Roster, World]:
        cached = _walked(self.settings)
        return cached.roster, cached.world

    def _span(self, first: date, last: date) -> slice:
        wanted = self.sessions(first, last)
        start = int(self._parts()[1].sessions.searchsorted(wanted[0]))
        return slice(start, start + len(wanted))

    def _known_between(self, frame: pd.DataFrame, column: str, first: date, last: date) -> pd.DataFrame:
        self.sessions(first, last)
        known = pd.DatetimeIndex(frame[column])
        start = pd.Timestamp(first, tz=SHANGHAI)
        stop = pd.Timestamp(last, tz=SHANGHAI) + pd.Timedelta(days=1)
        return frame.loc[(known >= start) & (known < stop)].reset_index(drop=True)
