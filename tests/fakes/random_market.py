"""Small random markets made of arrays: suspensions, limits, odd lots, ex-dates, delistings, thin volumes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ljwx_pipeline.market.calendar import sessions_between
from ljwx_pipeline.trading.corporate_actions import ActionList
from ljwx_pipeline.trading.market_arrays import UNLIMITED_E4, MarketArrays
from ljwx_pipeline.trading.opening_limits import OpeningLimits

DAYS = sessions_between(pd.Timestamp("2021-01-04").date(), pd.Timestamp("2023-12-29").date())


def random_market(
    seed: int, *, names: int, sessions: int, suspended_frac: float = 0.1, rights: bool = False, odd: bool = True
) -> MarketArrays:
    """Return a market whose every array is drawn from ``seed``; ``odd`` mixes lot rules and derived reductions in."""
    rng = np.random.default_rng(seed)
    shape = (names, sessions)
    close = np.maximum(
        100,
        (rng.integers(20_000, 400_000, (names, 1)) * np.cumprod(1 + rng.normal(0, 0.03, shape), axis=1)).astype(
            np.int64
        )
        // 100
        * 100,
    )
    before = np.c_[close[:, :1], close[:, :-1]]
    up, down = before * 110 // 100 // 100 * 100 + 100, before * 90 // 100 // 100 * 100
    free = rng.random(shape) < 0.05
    up, down = np.where(free, UNLIMITED_E4, up), np.where(free, 0, down)
    close = np.clip(close, np.maximum(down, 100), up)
    locked = rng.random(shape)
    close = np.where((locked < 0.05) & ~free, up, np.where((locked > 0.95) & ~free, down, close))
    spread = rng.integers(0, 3, (2, *shape)) * 100 * rng.integers(0, 20, (2, *shape))
    opened = np.clip(before + rng.integers(-30, 31, shape) * 100, np.maximum(down, 100), up)
    high = np.minimum(np.maximum(opened, close) + spread[0], up)
    low = np.maximum(np.minimum(opened, close) - spread[1], np.maximum(down, 100))
    volume = rng.integers(1_000, 400_000, shape) * rng.integers(0, 2, shape) + rng.integers(1, 3_000, shape)
    mean = low + (high - low) * rng.integers(0, 101, shape) // 100
    amount = volume * mean // 100 + rng.integers(0, 3, shape)
    listed = np.ones(shape, dtype=bool)
    for name in np.flatnonzero(rng.random(names) < 0.2):
        listed[name, rng.integers(sessions // 2, sessions) :] = False
    traded = (rng.random(shape) >= suspended_frac) & listed

    def column(values: np.ndarray, dtype: type = np.int32) -> np.ndarray:
        return np.asfortranarray(np.where(traded, values, 0).astype(dtype))

    lots = rng.integers(0, 3 if odd else 1, names)
    return MarketArrays(
        symbols=tuple(f"{600_000 + name}.SH" for name in range(names)),
        sessions=pd.DatetimeIndex(DAYS[:sessions]),
        close_e4=column(close),
        pre_close_e4=column(before),
        limit_up_e4=column(up),
        limit_down_e4=column(down),
        volume_shares=column(volume, np.int64),
        is_st=np.zeros(shape, dtype=bool, order="F"),
        listed=np.asfortranarray(listed),
        actions=_actions(rng, names, sessions, rights=rights, odd=odd),
        board=np.zeros(names, dtype=np.int8),
        lot_min=np.array([100, 200, 100])[lots],
        lot_step=np.array([100, 1, 1])[lots],
        open_e4=column(opened),
        high_e4=column(high),
        low_e4=column(low),
        amount_fen=column(amount, np.int64),
        opening_limits=_opening_limits(seed, before, up, down),
    )


def random_scores(seed: int, market: MarketArrays) -> np.ndarray:
    """Return scores with ties and gaps, and one finite at least on every session."""
    rng = np.random.default_rng(seed + 1)
    scores = np.round(rng.normal(size=market.close_e4.shape), 1)
    scores[rng.random(scores.shape) < 0.2] = np.nan
    scores[rng.integers(0, len(scores)), ~np.isfinite(scores).any(axis=0)] = 0.0
    return scores


def _opening_limits(seed: int, before: np.ndarray, up: np.ndarray, down: np.ndarray) -> OpeningLimits:
    """Return narrower limits at the open of one cell in ten: one per cent about the reference price."""
    name, session = np.nonzero(np.random.default_rng(seed + 2).random(before.shape) < 0.1)
    reference = before[name, session]
    near_up = np.minimum(reference * 101 // 100 // 100 * 100, up[name, session])
    near_down = np.maximum(reference * 99 // 100 // 100 * 100, down[name, session])
    return OpeningLimits.of(session, name, near_up, near_down, before.shape[1])


def _actions(rng: np.random.Generator, names: int, sessions: int, *, rights: bool, odd: bool) -> ActionList:
    rows, start = [], [0]
    for _ in range(sessions):
        for name in np.flatnonzero(rng.random(names) < 0.05):
            cash = int(rng.integers(0, 5_000)) * int(rng.integers(0, 2))
            bonus = int(rng.choice([0, 0, 3_000, 10_000, -2_500 if odd else 0]))
            offered = int(rng.choice([0, 3_000])) if rights else 0
            row = [int(name), cash, bonus, offered, 40_000 if offered else 0]
            if any(row[1:]):
                rows.append(row)
        start.append(len(rows))
    return ActionList(np.array(rows, dtype=np.int64).reshape(-1, 5), np.array(start, dtype=np.int64))
