"""The walk through the sessions: prices on the tick inside the limits, volume, ex-dates, special treatment, delisting.

A session's return applies to the price that was really quoted the session before, and what a limit cuts off is gone:
neither rounding nor limits leave anything behind that tomorrow's price would still have to make up.

Not here: the random draws (``shocks.py``), a session's prices (``prices.py``), the planted score (``alpha.py``), the
tables made from the arrays (``tables.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.market.rulebook import price_limit_bps
from ljwx_pipeline.sources.simulated.alpha import WINDOW, oracle_score
from ljwx_pipeline.sources.simulated.prices import Draws, ex_reference_ticks, price_bars
from ljwx_pipeline.sources.simulated.roster import Roster
from ljwx_pipeline.sources.simulated.shocks import Shocks

Float = NDArray[np.float64]
Int = NDArray[np.int64]
Bool = NDArray[np.bool_]

#: Daily drift in log returns for one unit of score, per unit of the configured oracle rank IC. Measured at 0.11 over
#: eight seeds (0.098 to 0.117); at 0.2 the score unwinds itself faster and the world reaches about 0.18.
DRIFT_PER_RANK_IC = 0.0230
#: Cheaper shares are not split by bonus issues.
MIN_BONUS_TICKS = 1500
#: Response of log turnover to the size of the return.
TURNOVER_PER_RETURN = 9.0
REVIEW_SHARE, REVIEW_WINDOW, MIN_ST_HISTORY = 0.03, 250, 60
DELIST_AFTER = 280
#: Only boards where special treatment narrows the limit see it here (ChiNext and STAR hardly know it).
ST_LIMIT_BPS = 500


@dataclass(frozen=True)
class World:
    """Arrays of shape ``(n_sessions, n_symbols)``; ticks are 0.01 CNY, 0 where there is no bar."""

    sessions: pd.DatetimeIndex
    open_ticks: Int
    high_ticks: Int
    low_ticks: Int
    close_ticks: Int
    pre_close_ticks: Int
    volume_shares: Int
    amount_cny: Float
    adj_factor: Float
    has_bar: Bool
    listed: Bool
    is_st: Bool
    shares: Int
    last_close_ticks: Int  # last quoted close, kept through suspensions
    oracle_score: Float
    delisted_at: Int  # (n_symbols,): position of the first session without listing; n_sessions while listed
    actions: list[tuple[int, int, float, float]] = field(default_factory=list)  # session, symbol, cash, bonus


def build_world(roster: Roster, shocks: Shocks, sessions: pd.DatetimeIndex, oracle_rank_ic: float) -> World:
    """Return the whole walk.

    Parameters
    ----------
    roster, shocks
        The stocks and everything random that will happen to them.
    sessions
        Trading sessions.
    oracle_rank_ic
        Strength of the planted alpha; at 0 the score is still computed and moves nothing.
    """
    walk = _Walk(roster, shocks, sessions, oracle_rank_ic * DRIFT_PER_RANK_IC)
    for s in range(len(sessions)):
        walk.step(s)
    for values in vars(walk.world).values():
        if isinstance(values, np.ndarray):
            values.flags.writeable = False  # worlds are cached: nobody may change one
    return walk.world


def _empty_world(sessions: pd.DatetimeIndex, n: int) -> World:
    shape = (len(sessions), n)

    def whole() -> Int:
        return np.zeros(shape, dtype=np.int64)

    def flags() -> Bool:
        return np.zeros(shape, dtype=bool)

    return World(
        sessions=sessions,
        open_ticks=whole(),
        high_ticks=whole(),
        low_ticks=whole(),
        close_ticks=whole(),
        pre_close_ticks=whole(),
        volume_shares=whole(),
        amount_cny=np.zeros(shape),
        adj_factor=np.ones(shape),
        has_bar=flags(),
        listed=flags(),
        is_st=flags(),
        shares=whole(),
        last_close_ticks=whole(),
        oracle_score=np.full(shape, np.nan),
        delisted_at=np.full(n, len(sessions), dtype=np.int64),
    )


class _Walk:
    """State carried from session to session."""

    def __init__(self, roster: Roster, shocks: Shocks, sessions: pd.DatetimeIndex, drift: float) -> None:
        t, n = len(sessions), len(roster.symbols)
        self.roster, self.shocks, self.drift = roster, shocks, drift
        self.world = _empty_world(sessions, n)
        self.close = roster.first_close_ticks.copy()
        self.factor = np.ones(n)
        self.shares = roster.shares.copy()
        self.st = np.zeros(n, dtype=bool)
        self.due_yield, self.due_bonus = np.zeros(n), np.zeros(n, dtype=np.int64)
        self.filled = [np.full((t, n), np.nan) for _ in range(4)]  # adjusted close, high, low, volume
        months = sessions.month.to_numpy()
        self.reviews = (months == 4) & np.append(months[1:] != 4, False)

    def step(self, s: int) -> None:
        """Trade session ``s``."""
        world, shocks, roster = self.world, self.shocks, self.roster
        listed = (s >= roster.listed_from) & (s < world.delisted_at)
        trades = listed & (~shocks.suspended[s] | (s == roster.listed_from))
        self.due_yield = np.where(listed & (shocks.dividend_yield[s] > 0), shocks.dividend_yield[s], self.due_yield)
        self.due_bonus = np.where(listed & (shocks.dividend_yield[s] > 0), shocks.bonus_tenths[s], self.due_bonus)
        reference = self._reference(s, trades)
        log_return = shocks.common[s] + shocks.idio[s]
        if s and self.drift:
            log_return = log_return + self.drift * np.nan_to_num(world.oracle_score[s - 1])
        limit_bps = price_limit_bps(roster.board, self.st, world.sessions[s].to_datetime64())
        draws = Draws(shocks.vol[s], shocks.gap[s], shocks.up_draw[s], shocks.down_draw[s])
        bars = price_bars(reference, log_return, limit_bps, draws)
        world.has_bar[s], world.listed[s], world.is_st[s] = trades, listed, self.st & listed
        names = ("open_ticks", "high_ticks", "low_ticks", "close_ticks")
        for name, values in zip(names, bars, strict=True):
            getattr(world, name)[s] = np.where(trades, values, 0)
        world.pre_close_ticks[s] = np.where(trades, reference, 0)
        world.adj_factor[s], world.shares[s] = self.factor, self.shares
        self._trade_volume(s, trades, bars, log_return)
        self.close = np.where(trades, bars[3], self.close)
        world.last_close_ticks[s] = np.where(listed, self.close, 0)
        self._score(s, trades, listed)
        if self.reviews[s]:
            self._review(s, listed)

    def _reference(self, s: int, trades: Bool) -> Int:
        """Take stocks ex dividend and bonus where due, and return the session's reference prices."""
        ex = trades & (self.due_yield > 0)
        cash = np.where(ex, np.maximum(np.rint(self.due_yield * self.close), 1.0), 0.0).astype(np.int64)
        bonus = np.where(ex & (self.close >= MIN_BONUS_TICKS), self.due_bonus, 0)
        reference = np.where(ex, ex_reference_ticks(self.close, cash, bonus), self.close)
        self.factor = np.where(ex, self.factor * self.close / reference, self.factor)
        self.shares = np.where(bonus > 0, self.shares * (10 + bonus) // 10, self.shares)
        self.due_yield = np.where(ex, 0.0, self.due_yield)
        self.world.actions.extend((s, int(i), float(cash[i]) / 100, float(bonus[i]) / 10) for i in np.flatnonzero(ex))
        return reference

    def _trade_volume(self, s: int, trades: Bool, bars: tuple[Int, Int, Int, Int], log_return: Float) -> None:
        world, shocks = self.world, self.shocks
        opened, high, low, close = bars
        locked = (high == low) & (high != world.pre_close_ticks[s])
        turnover = np.exp(shocks.log_turnover[s] + TURNOVER_PER_RETURN * np.minimum(np.abs(log_return), 0.12))
        turnover = np.where(locked, 0.2 * turnover, turnover).clip(1e-6, 0.5)
        lots = np.maximum((self.shares * turnover / 100).astype(np.int64), 1)
        weight = 0.5 * shocks.vwap_draw[s]
        vwap = (1.0 - weight) * (opened + high + low + close) / 4 + weight * (high + low) / 2
        world.volume_shares[s] = np.where(trades, 100 * lots, 0)
        world.amount_cny[s] = np.where(trades, np.rint(vwap * lots * 100) / 100, 0.0)

    def _score(self, s: int, trades: Bool, listed: Bool) -> None:
        world = self.world
        close, high, low, volume = self.filled
        adjusted = self.close * self.factor
        close[s] = np.where(listed, adjusted, np.nan)
        high[s] = np.where(trades, world.high_ticks[s] * self.factor, close[s])
        low[s] = np.where(trades, world.low_ticks[s] * self.factor, close[s])
        volume[s] = np.where(listed, world.volume_shares[s] / self.factor, np.nan)
        if s + 1 >= WINDOW:
            window = [values[s + 1 - WINDOW : s + 1] for values in self.filled]
            score = oracle_score(*window)
            world.oracle_score[s] = np.where(trades, score, np.nan)

    def _review(self, s: int, listed: Bool) -> None:
        """Put the year's weakest stocks under special treatment and schedule one fragile stock's delisting."""
        world, roster = self.world, self.roster
        base = max(0, s - REVIEW_WINDOW)
        past = np.log(self.filled[0][s] / self.filled[0][base]) + self.shocks.review_noise[s]
        leaving = world.delisted_at < len(world.sessions)
        narrow = price_limit_bps(roster.board, np.ones_like(leaving), world.sessions[s].to_datetime64()) == ST_LIMIT_BPS
        eligible = listed & ~leaving & ~np.isnan(past) & (s - roster.listed_from >= MIN_ST_HISTORY)
        ranked = np.argsort(np.where(eligible & ~roster.fragile & narrow, past, np.inf), kind="stable")
        self.st = leaving & listed
        self.st[ranked[: max(1, round(REVIEW_SHARE * listed.sum()))]] = True
        fragile = np.flatnonzero(eligible & roster.fragile)
        if len(fragile):
            weakest = fragile[np.argmin(past[fragile])]
            self.st[weakest] = True
            world.delisted_at[weakest] = min(s + DELIST_AFTER + int(weakest) % 40, len(world.sessions))
