"""The simulated market as a source: canonical tables cut from one world, plus the truth no real market tells.

A world is always walked whole, from ``WORLD_FIRST`` to ``WORLD_LAST``, and then cut: asking for fewer sessions never
changes a row.

Not here: how the world comes about (``world.py`` and its neighbours).
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
from ljwx_pipeline.sources.simulated.decoys import decoy_columns
from ljwx_pipeline.sources.simulated.events import macro_table, news_table
from ljwx_pipeline.sources.simulated.indices import INDEX_NAMES, index_bars_table, index_membership, members_table
from ljwx_pipeline.sources.simulated.roster import INDUSTRIES, Roster, draw_roster
from ljwx_pipeline.sources.simulated.shocks import draw_shocks
from ljwx_pipeline.sources.simulated.streams import SIMULATOR_VERSION
from ljwx_pipeline.sources.simulated.world import World, build_world

WORLD_FIRST, WORLD_LAST = date(2018, 1, 2), date(2025, 12, 31)


@dataclass(frozen=True)
class _Cached:
    roster: Roster
    world: World
    membership: dict[str, NDArray[np.bool_]]


@lru_cache(maxsize=2)
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
        roster, world = self._parts()
        gone = world.delisted_at < len(world.sessions)
        leaves = world.sessions[np.minimum(world.delisted_at, len(world.sessions) - 1)].to_series()
        return pd.DataFrame(
            {
                "symbol": list(roster.symbols),
                "name": [f"Simulated {symbol.split('.')[0]}" for symbol in roster.symbols],
                "board": roster.board,
                "list_date": roster.list_dates.as_unit("ns"),
                "delist_date": leaves.where(gone).to_numpy(),
            }
        )

    def st_spells(self) -> pd.DataFrame:
        """Return spells under special treatment, first and last session inclusive; NaT while it lasts."""
        roster, world = self._parts()
        edges = np.diff(world.is_st.astype(np.int8), axis=0, prepend=0, append=0)
        who, starts = np.nonzero(edges.T == 1)
        stops = np.nonzero(edges.T == -1)[1]
        return pd.DataFrame(
            {
                "symbol": np.asarray(roster.symbols, dtype=object)[who],
                "start_date": world.sessions[starts],
                "end_date": world.sessions[stops - 1].to_series().mask(stops == len(world.sessions)).to_numpy(),
            }
        )

    def industries(self) -> pd.DataFrame:
        """Return industries by date; a stock's current industry has no end."""
        roster, world = self._parts()
        rows = []
        for i, symbol in enumerate(roster.symbols):
            change = int(roster.industry_changes_at[i])
            start = min(roster.list_dates[i], world.sessions[0])
            if change < len(world.sessions):
                moved = world.sessions[change]
                rows.append((symbol, INDUSTRIES[roster.industry[i]], start, world.sessions[change - 1]))
                rows.append((symbol, INDUSTRIES[roster.second_industry[i]], moved, pd.NaT))
            else:
                rows.append((symbol, INDUSTRIES[roster.industry[i]], start, pd.NaT))
        frame = pd.DataFrame(rows, columns=["symbol", "industry", "start_date", "end_date"])
        return frame.astype({"start_date": "datetime64[ns]", "end_date": "datetime64[ns]"})

    def index_members(self) -> pd.DataFrame:
        """Return index members by date; ``end_date`` is NaT for current members."""
        roster, world = self._parts()
        return members_table(roster, world, _walked(self.settings).membership)

    def corporate_actions(self) -> pd.DataFrame:
        """Return cash dividends and bonus shares by ex-date."""
        roster, world = self._parts()
        frame = pd.DataFrame(world.actions, columns=["at", "who", "cash_cny_per_share", "bonus_shares_per_share"])
        frame.insert(0, "symbol", np.asarray(roster.symbols, dtype=object)[frame.pop("who")])
        frame.insert(1, "ex_date", world.sessions[frame.pop("at")])
        return frame.sort_values(["symbol", "ex_date"], ignore_index=True)

    def bars(self, first: date, last: date) -> pd.DataFrame:
        """Return raw daily bars sorted by session and symbol; suspended sessions are absent rows."""
        roster, world = self._parts()
        span = self._span(first, last)
        at, who = np.nonzero(world.has_bar[span])
        cut = (at + span.start, who)
        columns = {"symbol": np.asarray(roster.symbols, dtype=object)[who], "session_date": world.sessions[cut[0]]}
        for column, ticks in (
            ("open_cny", world.open_ticks),
            ("high_cny", world.high_ticks),
            ("low_cny", world.low_ticks),
            ("close_cny", world.close_ticks),
            ("pre_close_cny", world.pre_close_ticks),
        ):
            columns[column] = ticks[cut] / 100.0
        columns["volume_shares"] = world.volume_shares[cut].astype(np.float64)
        columns["amount_cny"] = world.amount_cny[cut]
        columns["adj_factor"] = world.adj_factor[cut]
        return pd.DataFrame(columns)

    def index_bars(self, first: date, last: date) -> pd.DataFrame:
        """Return daily bars of the three simulated indices."""
        frame = index_bars_table(self._parts()[1], _walked(self.settings).membership)
        return self._between(frame, "session_date", self.sessions(first, last))

    def market_values(self, first: date, last: date) -> pd.DataFrame:
        """Return market values at the close of every listed session; a suspended one keeps its last close."""
        roster, world = self._parts()
        span = self._span(first, last)
        at, who = np.nonzero(world.listed[span])
        value = world.last_close_ticks[span] * world.shares[span].astype(np.float64) / 100.0
        return pd.DataFrame(
            {
                "symbol": np.asarray(roster.symbols, dtype=object)[who],
                "session_date": world.sessions[at + span.start],
                "market_value_cny": value[at, who],
            }
        )

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
        roster, world = self._parts()
        at, who = np.nonzero(~np.isnan(world.oracle_score))
        return pd.DataFrame(
            {
                "symbol": np.asarray(roster.symbols, dtype=object)[who],
                "session_date": world.sessions[at],
                "oracle_score": world.oracle_score[at, who],
            }
        )

    def decoys(self) -> pd.DataFrame:
        """Return columns that predict only by looking ahead, on the rows that have a bar; NaN near the ends."""
        roster, world = self._parts()
        at, who = np.nonzero(world.has_bar)
        columns = {"symbol": np.asarray(roster.symbols, dtype=object)[who], "session_date": world.sessions[at]}
        columns.update({name: v[at, who] for name, v in decoy_columns(self.settings.seed, world).items()})
        return pd.DataFrame(columns)

    def _parts(self) -> tuple[Roster, World]:
        cached = _walked(self.settings)
        return cached.roster, cached.world

    def _span(self, first: date, last: date) -> slice:
        wanted = self.sessions(first, last)
        start = int(self._parts()[1].sessions.get_loc(wanted[0]))
        return slice(start, start + len(wanted))

    @staticmethod
    def _between(frame: pd.DataFrame, column: str, sessions: pd.DatetimeIndex) -> pd.DataFrame:
        return frame[frame[column].between(sessions[0], sessions[-1])].reset_index(drop=True)

    def _known_between(self, frame: pd.DataFrame, column: str, first: date, last: date) -> pd.DataFrame:
        self.sessions(first, last)
        local = frame[column].dt.tz_convert(SHANGHAI).dt.tz_localize(None).dt.normalize()
        return frame[local.between(pd.Timestamp(first), pd.Timestamp(last))].reset_index(drop=True)
