"""Who is listed in the simulated market: codes, boards, listing dates, industries, sizes and exposures.

Not here: when a stock comes under special treatment or leaves, which depends on its price (``world.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.config import SimulatedSettings
from ljwx_pipeline.market.calendar import sessions_between
from ljwx_pipeline.market.symbols import SIMULATED_SUFFIX, Board
from ljwx_pipeline.sources.simulated.streams import stream

Float = NDArray[np.float64]
Int = NDArray[np.int64]

INDUSTRIES = (
    "banks", "brokers", "chemicals", "consumer", "electronics",
    "energy", "healthcare", "machinery", "property", "software",
)  # fmt: skip
STYLES = ("size", "value", "liquidity")
OLDEST_LISTING, CHINEXT_OPENED, STAR_OPENED = date(1999, 1, 4), date(2009, 10, 30), date(2019, 7, 22)
#: Stocks that list during the period, and stocks that may be delisted, per stock listed throughout.
IPO_SHARE, FRAGILE_SHARE = 0.20, 0.10
INDUSTRY_MOVE_SHARE = 0.08
#: Median daily idiosyncratic volatility before jumps and price limits.
IDIO_DAILY_VOL = 0.0225


@dataclass(frozen=True)
class Roster:
    """One entry a stock; ``listed_from`` is the position of its first session, 0 for those listed before."""

    symbols: tuple[str, ...]
    board: Int
    list_dates: pd.DatetimeIndex
    listed_from: Int
    fragile: NDArray[np.bool_]
    industry: Int
    second_industry: Int
    industry_changes_at: Int  # position of the first session in the second industry; n_sessions if it never moves
    first_close_ticks: Int
    shares: Int
    beta: Float
    styles: Float  # (n_symbols, len(STYLES))
    idio_vol: Float  # daily, log returns


def draw_roster(settings: SimulatedSettings, sessions: pd.DatetimeIndex) -> Roster:
    """Return the stocks of one world: ``settings.symbols`` listed throughout, then newcomers, then fragile ones."""
    rng = stream(settings.seed, "roster")
    core = settings.symbols
    newcomers = max(2, round(core * IPO_SHARE))
    fragile_count = max(1, round(core * FRAGILE_SHARE))
    n, t = core + newcomers + fragile_count, len(sessions)
    newcomer = np.zeros(n, dtype=bool)
    newcomer[core : core + newcomers] = True
    fragile = np.zeros(n, dtype=bool)
    fragile[core + newcomers :] = True

    board = np.where(rng.random(n) < 0.25, int(Board.CHINEXT), int(Board.MAIN)).astype(np.int64)
    board[fragile] = int(Board.MAIN)
    board[core : core + newcomers : 2] = int(Board.STAR)

    star_from = int(sessions.searchsorted(pd.Timestamp(STAR_OPENED)))
    earliest = np.where(board == int(Board.STAR), min(star_from, t - 2), min(60, t - 2))
    debut = (earliest + rng.random(n) * np.maximum(t - 300 - earliest, 1)).astype(np.int64)
    listed_from = np.where(newcomer, np.minimum(debut, t - 1), 0).astype(np.int64)
    past = sessions_between(OLDEST_LISTING, sessions[0].date())[:-1]
    opened = np.where(board == int(Board.CHINEXT), past.searchsorted(pd.Timestamp(CHINEXT_OPENED)), 0)
    listed_before = opened + (rng.random(n) * (len(past) - opened)).astype(np.int64)
    list_dates = pd.DatetimeIndex(np.where(newcomer, sessions[listed_from], past[listed_before]))

    industry = rng.integers(0, len(INDUSTRIES), n)
    moves = rng.random(n) < INDUSTRY_MOVE_SHARE
    changes_at = np.where(moves, listed_from + ((t - listed_from) * rng.uniform(0.2, 0.8, n)).astype(np.int64), t)
    second = np.where(moves, (industry + rng.integers(1, len(INDUSTRIES), n)) % len(INDUSTRIES), industry)

    price = np.exp(rng.normal(np.log(25.0), 0.45, n)).clip(8.0, 120.0)
    log_cap = rng.normal(np.log(9e9), 0.75, n)
    styles = rng.standard_normal((n, len(STYLES))).clip(-2.5, 2.5)
    styles[:, 0] = ((log_cap - log_cap.mean()) / log_cap.std()).clip(-2.5, 2.5)
    return Roster(
        symbols=tuple(f"S{i + 1:05d}{SIMULATED_SUFFIX}" for i in range(n)),
        board=board,
        list_dates=list_dates,
        listed_from=listed_from,
        fragile=fragile,
        industry=industry.astype(np.int64),
        second_industry=second.astype(np.int64),
        industry_changes_at=changes_at.astype(np.int64),
        first_close_ticks=np.rint(price * 100).astype(np.int64),
        shares=(np.rint(np.exp(log_cap) / price / 1e4) * 10_000).astype(np.int64),
        beta=rng.normal(1.0, 0.12, n).clip(0.6, 1.4),
        styles=styles,
        idio_vol=IDIO_DAILY_VOL * np.exp(rng.normal(0.0, 0.18, n)) * np.where(fragile, 1.25, 1.0),
    )
