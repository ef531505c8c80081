"""Canonical tables cut from a simulated world's arrays.

Not here: indices (``indices.py``), news and macro (``events.py``).
"""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.market.calendar import CALENDAR_START, sessions_between
from ljwx_pipeline.market.rulebook import TICK_E4, limit_bps, limit_prices_e4
from ljwx_pipeline.sources.simulated.roster import INDUSTRIES, Roster
from ljwx_pipeline.sources.simulated.world import World

PRICE_E4 = 1e4


def row_keys(roster: Roster, world: World, present: NDArray[np.bool_], span: slice) -> pd.DataFrame:
    """Return ``symbol`` and ``session_date`` of the cells of ``span`` that are present, by session, then symbol."""
    at, who = np.nonzero(present[span])
    symbols = np.asarray(roster.symbols, dtype=object)
    return pd.DataFrame({"symbol": symbols[who], "session_date": world.sessions[at + span.start]})


def bars_table(roster: Roster, world: World, span: slice) -> pd.DataFrame:
    """Return raw bars of the sessions of ``span``; prices are whole ticks divided by 100."""
    present = world.has_bar[span]
    frame = row_keys(roster, world, world.has_bar, span)
    for column, ticks in (
        ("open_cny", world.open_ticks),
        ("high_cny", world.high_ticks),
        ("low_cny", world.low_ticks),
        ("close_cny", world.close_ticks),
        ("pre_close_cny", world.pre_close_ticks),
    ):
        frame[column] = ticks[span][present] / 100.0
    frame["volume_shares"] = world.volume_shares[span][present].astype(np.float64)
    frame["amount_cny"] = world.amount_cny[span][present]
    frame["adj_factor"] = world.adj_factor[span][present]
    return frame


def market_values_table(roster: Roster, world: World, span: slice) -> pd.DataFrame:
    """Return total market value of every listed session of ``span``."""
    value = world.last_close_ticks[span] * world.shares[span].astype(np.float64) / 100.0
    frame = row_keys(roster, world, world.listed, span)
    return frame.assign(market_value_cny=value[world.listed[span]])


def suspensions_table(roster: Roster, world: World, span: slice) -> pd.DataFrame:
    """Return the listed sessions of ``span`` without a bar."""
    return row_keys(roster, world, world.listed & ~world.has_bar, span)


def price_limits_table(roster: Roster, world: World, span: slice) -> pd.DataFrame:
    """Return the limits of every session of ``span`` that was traded; NaN where the rulebook has none."""
    at, who = np.nonzero(world.has_bar[span])
    at = at + span.start
    list_dates = pd.DatetimeIndex(roster.list_dates)[who]
    earlier = sessions_between(date.fromisoformat(CALENDAR_START), world.sessions[-1].date())
    age = earlier.get_indexer(world.sessions[at]) - earlier.searchsorted(list_dates)
    up_bps, down_bps = limit_bps(
        board=np.asarray(roster.board)[who],
        is_st=world.is_st[at, who],
        session=world.sessions[at].to_numpy(),
        list_date=list_dates.to_numpy(),
        listed_sessions=age,
    )
    up_e4, down_e4 = limit_prices_e4(world.pre_close_ticks[at, who] * TICK_E4, up_bps, down_bps)
    return row_keys(roster, world, world.has_bar, span).assign(
        limit_up_cny=np.where(up_bps < 0, np.nan, up_e4 / PRICE_E4),
        limit_down_cny=np.where(down_bps < 0, np.nan, down_e4 / PRICE_E4),
    )


def securities_table(roster: Roster, world: World) -> pd.DataFrame:
    """Return one row a stock; ``delist_date`` is the first session it no longer trades."""
    return pd.DataFrame(
        {
            "symbol": list(roster.symbols),
            "name": [f"Simulated {symbol.split('.')[0]}" for symbol in roster.symbols],
            "board": roster.board,
            "list_date": roster.list_dates,
            "delist_date": _dates_or_nat(world, world.delisted_at),
        }
    )


def st_spells_table(roster: Roster, world: World) -> pd.DataFrame:
    """Return spells under special treatment as inclusive ranges."""
    edges = np.diff(world.is_st.astype(np.int8), axis=0, prepend=0, append=0)
    who, starts = np.nonzero(edges.T == 1)
    stops = np.nonzero(edges.T == -1)[1]
    return pd.DataFrame(
        {
            "symbol": np.asarray(roster.symbols, dtype=object)[who],
            "start_date": world.sessions[starts],
            "end_date": last_session_before(world, stops),
        }
    )


def industries_table(roster: Roster, world: World) -> pd.DataFrame:
    """Return industries as inclusive ranges from the listing on: one a stock, two for those that moved."""
    names = np.asarray(INDUSTRIES, dtype=object)
    symbols = np.asarray(roster.symbols, dtype=object)
    moved = np.flatnonzero(roster.industry_changes_at < len(world.sessions))
    first = pd.DataFrame(
        {
            "symbol": symbols,
            "industry": names[roster.industry],
            "start_date": roster.list_dates,
            "end_date": last_session_before(world, roster.industry_changes_at),
        }
    )
    second = pd.DataFrame(
        {
            "symbol": symbols[moved],
            "industry": names[roster.second_industry[moved]],
            "start_date": world.sessions[roster.industry_changes_at[moved]],
            "end_date": pd.Series(pd.NaT, index=range(len(moved)), dtype="datetime64[ns]"),
        }
    )
    return pd.concat([first, second]).sort_values(["symbol", "start_date"], ignore_index=True)


def corporate_actions_table(roster: Roster, world: World) -> pd.DataFrame:
    """Return cash dividends and bonus shares by ex-date."""
    frame = pd.DataFrame(world.actions, columns=["at", "who", "cash_cny_per_share", "bonus_shares_per_share"])
    frame.insert(0, "symbol", np.asarray(roster.symbols, dtype=object)[frame.pop("who")])
    frame.insert(1, "ex_date", world.sessions[frame.pop("at")])
    return frame.sort_values(["symbol", "ex_date"], ignore_index=True)


def last_session_before(world: World, stops: NDArray[np.int64]) -> NDArray[np.datetime64]:
    """Return the session before each position; NaT where the position is the world's end, which has no end date."""
    days = world.sessions.to_numpy()[stops - 1]
    return np.where(stops == len(world.sessions), np.datetime64("NaT", "ns"), days)


def _dates_or_nat(world: World, positions: NDArray[np.int64]) -> NDArray[np.datetime64]:
    days = world.sessions.to_numpy()[np.minimum(positions, len(world.sessions) - 1)]
    return np.where(positions == len(world.sessions), np.datetime64("NaT", "ns"), days)
