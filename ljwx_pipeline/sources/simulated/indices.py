"""The three simulated indices: members by date and levels, capitalisation-weighted, dividends reinvested.

Codes are those of the real indices they stand for; the names say what they are.

Not here: the members' own prices (``world.py``).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.sources.simulated.roster import Roster
from ljwx_pipeline.sources.simulated.tables import last_session_before
from ljwx_pipeline.sources.simulated.world import World

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]

INDEX_NAMES = {
    "000300.SH": "Simulated large-cap index (stands for CSI 300)",
    "000905.SH": "Simulated broad index (stands for CSI 500)",
    "399006.SZ": "Simulated ChiNext index (stands for ChiNext)",
}
BASE_POINTS = {"000300.SH": 4000.0, "000905.SH": 6000.0, "399006.SZ": 1800.0}
#: Share of the listed stocks, by rank of market value, that the large-cap index takes and the broad one leaves below.
LARGE_SHARE, SMALLEST_SHARE = 0.20, 0.10
#: Sessions between the ranking and the change of members, and sessions a stock must have been listed.
NOTICE_SESSIONS, SEASONING_SESSIONS = 10, 60
#: Share of the way from the body to the weighted members' extremes that the index itself reaches.
EXTREME_SHARE = 0.4


def index_membership(roster: Roster, world: World) -> dict[str, Bool]:
    """Return each index's members, shape ``(n_sessions, n_symbols)``; they change in mid June and mid December."""
    sessions = world.sessions
    month_day = sessions.month * 100 + sessions.day
    half = (sessions.year * 2 + (month_day >= 615) + (month_day >= 1215)).to_numpy()
    starts = np.flatnonzero(np.diff(half, prepend=half[0] - 1) != 0)
    found = {code: np.zeros(world.listed.shape, dtype=bool) for code in INDEX_NAMES}
    for start, stop in pairwise([*starts.tolist(), len(sessions)]):
        at = max(start - NOTICE_SESSIONS, 0)
        seasoned = world.listed[at] & ((at - roster.listed_from >= SEASONING_SESSIONS) | (roster.listed_from == 0))
        eligible = seasoned & ~world.is_st[at]
        value = np.where(eligible, world.last_close_ticks[at] * world.shares[at].astype(np.float64), -1.0)
        rank = np.empty(len(value), dtype=np.int64)
        rank[np.argsort(-value, kind="stable")] = np.arange(len(value))
        n = int(eligible.sum())
        large = eligible & (rank < round(LARGE_SHARE * n))
        broad = eligible & ~large & (rank < n - round(SMALLEST_SHARE * n))
        chinext = eligible & (roster.board == int(Board.CHINEXT))
        for code, members in zip(INDEX_NAMES, (large, broad, chinext), strict=True):
            found[code][start:stop] = members & world.listed[start:stop]
    return found


def members_table(roster: Roster, world: World, membership: dict[str, Bool]) -> pd.DataFrame:
    """Return membership as inclusive date ranges; ``end_date`` is NaT for a member of the last session."""
    parts = []
    for code, members in membership.items():
        edges = np.diff(members.astype(np.int8), axis=0, prepend=0, append=0)
        who, starts = np.nonzero(edges.T == 1)
        stops = np.nonzero(edges.T == -1)[1]
        parts.append(
            pd.DataFrame(
                {
                    "index_code": code,
                    "symbol": np.asarray(roster.symbols, dtype=object)[who],
                    "start_date": world.sessions[starts],
                    "end_date": last_session_before(world, stops),
                }
            )
        )
    return pd.concat(parts).sort_values(["index_code", "symbol", "start_date"], ignore_index=True)


def index_bars_table(world: World, membership: dict[str, Bool]) -> pd.DataFrame:
    """Return index bars: each session's level is the last times the members' mean return, weighted by market value.

    Weights are market values at the previous close; a suspended member counts with return 0. A member's return is
    measured from its reference price, so dividends are reinvested.
    """
    reference = np.where(world.has_bar, world.pre_close_ticks, 1)
    value = world.last_close_ticks * world.shares.astype(np.float64)
    before = np.vstack([value[:1], value[:-1]])
    parts = []
    for code, members in membership.items():
        weight = np.where(members, before, 0.0)
        weight = weight / weight.sum(axis=1, keepdims=True)
        ratio = {
            name: (weight * np.where(world.has_bar, ticks / reference, 1.0)).sum(axis=1)
            for name, ticks in (
                ("open", world.open_ticks),
                ("high", world.high_ticks),
                ("low", world.low_ticks),
                ("close", world.close_ticks),
            )
        }
        close = BASE_POINTS[code] * np.cumprod(ratio["close"])
        previous = close / ratio["close"]
        top, bottom = np.maximum(ratio["open"], ratio["close"]), np.minimum(ratio["open"], ratio["close"])
        traded = members & world.has_bar
        parts.append(
            pd.DataFrame(
                {
                    "index_code": code,
                    "session_date": world.sessions,
                    "open_points": (previous * ratio["open"]).round(4),
                    "high_points": (previous * (top + EXTREME_SHARE * (ratio["high"] - top))).round(4),
                    "low_points": (previous * (bottom + EXTREME_SHARE * (ratio["low"] - bottom))).round(4),
                    "close_points": close.round(4),
                    "volume_shares": np.where(traded, world.volume_shares, 0).sum(axis=1).astype(np.float64),
                    "amount_cny": np.where(traded, world.amount_cny, 0.0).sum(axis=1).round(2),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)
