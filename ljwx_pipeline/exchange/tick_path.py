"""Ticks made from a bar: a seeded path that is the bar, and nothing is known of it beforehand but the seed.

The path begins at the open, touches high and low once at least, ends at the close and never leaves them. Volume grows
along a U, most of it after the open and before the close, and amount with it at prices inside the bar; at the last tick
both are the bar's. The same seed, session and symbol give the same path, whatever else is in the market. It is no
claim about how prices move within a session: what a strategy earns on it beyond the bar is worth nothing.

Not here: which tick comes when (``timeline.py``).
"""

from __future__ import annotations

import zlib
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.exchange.market import DayBars
from ljwx_pipeline.exchange.quotes import Quotes, sided
from ljwx_pipeline.exchange.timeline import TICK_GROUPS, Step, Timeline
from ljwx_pipeline.market.rulebook import TICK_E4
from ljwx_pipeline.units import E4_PER_FEN, E8

Int = NDArray[np.int64]
Int32 = NDArray[np.int32]

#: Shares of a session's volume that trade in each of the two auctions.
AUCTION_E8 = 2_000_000
#: A tick shows from a half to one and a half of what traded since the one before, in units of this.
_SIZE_STEPS = 64


class TickPaths:
    """The made ticks of one session. Satisfies `quotes.TickSource`.

    Parameters
    ----------
    bars
        The session's bars; names without one do not tick.
    symbols
        Their names, by row.
    seed
        Another seed gives other paths over the same bars.
    """

    def __init__(self, timeline: Timeline, bars: DayBars, *, symbols: tuple[str, ...], seed: int) -> None:
        self.timeline = timeline
        self._bars = bars
        self._seed = seed
        self._symbols = symbols
        self._traded = np.flatnonzero(bars.close_e4 > 0)
        self._curve_e8 = volume_curve_e8(timeline.tick_seconds)
        self._made = np.zeros(len(symbols), dtype=np.bool_)
        self._groups = np.array([step.group if step.phase is None else -2 for step in timeline.steps])
        self._ticks = np.array([step.tick for step in timeline.steps])

    def batch(self, step: Step, only: Int | None = None) -> Quotes:
        """Return the group's snapshots; at the opening and the closing price those of every name."""
        rows = self._asked(only)
        if not step.is_auction:
            rows = rows[rows % TICK_GROUPS == step.group]
        return self._quotes(rows, np.full(len(rows), step.tick, dtype=np.int64))

    def standing(self, position: int, only: Int | None = None) -> Quotes:
        """Return the last snapshot of every name; none before the opening price."""
        groups, ticks = self._groups[: position + 1], self._ticks[: position + 1]
        last = [int(np.max(ticks[(groups == group) | (groups == -1)], initial=-1)) for group in range(TICK_GROUPS)]
        rows = self._asked(only) if min(last) >= 0 else self._traded[:0]
        return self._quotes(rows, np.array(last, dtype=np.int64)[rows % TICK_GROUPS])

    def _asked(self, only: Int | None) -> Int:
        return self._traded if only is None else only[self._bars.close_e4[only] > 0]

    @cached_property
    def _paths(self) -> tuple[Int32, Int32, Int32, Int]:
        """Prices, the highest and the lowest so far, and amounts so far, of shape ``(n_symbols, n_ticks)``.

        Rows are made when they are first asked for, and take no memory before.
        """
        shape = (len(self._symbols), self._curve_e8.shape[1])
        highest, lowest = np.zeros(shape, dtype=np.int32), np.zeros(shape, dtype=np.int32)
        return np.zeros(shape, dtype=np.int32), highest, lowest, np.zeros(shape, dtype=np.int64)

    def _make(self, row: int) -> None:
        bars, (price, highest, lowest, amount) = self._bars, self._paths
        made = price_path(
            *(int(bars.open_e4[row]), int(bars.high_e4[row]), int(bars.low_e4[row]), int(bars.close_e4[row])),
            n_ticks=price.shape[1],
            seed=(self._seed, self.timeline.session.toordinal(), zlib.crc32(self._symbols[row].encode())),
        )
        price[row], highest[row], lowest[row] = made, np.maximum.accumulate(made), np.minimum.accumulate(made)
        amount[row] = amount_path(
            made,
            int(bars.volume_shares[row]) * self._curve_e8[row % TICK_GROUPS] // E8,
            high_e4=int(bars.high_e4[row]),
            low_e4=int(bars.low_e4[row]),
            amount_fen=int(bars.amount_fen[row]),
        )

    def _quotes(self, rows: Int, ticks: Int) -> Quotes:
        for row in rows[~self._made[rows]].tolist():
            self._make(row)
        self._made[rows] = True
        price, highest, lowest, amount = self._paths
        bars, at, before = self._bars, (rows, ticks), (rows, np.maximum(ticks - 1, 0))
        groups = rows % TICK_GROUPS
        volume = bars.volume_shares[rows] * self._curve_e8[groups, ticks] // E8
        earlier = bars.volume_shares[rows] * self._curve_e8[groups, np.maximum(ticks - 1, 0)] // E8
        traded = np.where(ticks > 0, volume - earlier, volume)
        last = price[at].astype(np.int64)
        noise = (rows * 2_654_435_761 + ticks * 40_503) % _SIZE_STEPS
        size = np.where(traded > 0, np.maximum(traded * (_SIZE_STEPS // 2 + noise) // _SIZE_STEPS // 100, 1) * 100, 0)
        opening = ticks == 0
        bid, ask, bid_shares, ask_shares = sided(
            last_e4=last,
            before_e4=price[before].astype(np.int64),
            size_shares=size,
            up_e4=np.where(opening, bars.open_up_e4[rows], bars.limit_up_e4[rows]),
            down_e4=np.where(opening, bars.open_down_e4[rows], bars.limit_down_e4[rows]),
            tick_e4=TICK_E4,
        )
        return Quotes(
            rows=rows,
            last_e4=last,
            volume_shares=volume,
            amount_fen=amount[at],
            bid_e4=bid,
            ask_e4=ask,
            bid_shares=bid_shares,
            ask_shares=ask_shares,
            open_e4=bars.open_e4[rows],
            high_e4=highest[at].astype(np.int64),
            low_e4=lowest[at].astype(np.int64),
        )


def volume_curve_e8(tick_seconds: Int) -> Int:
    """Return the share of a session's volume traded up to each tick, 1e-8, shape of ``tick_seconds``; 1 at the end.

    Its density is ``1 + 3 (2x - 1)^2`` over the continuous trading x, with `AUCTION_E8` before and after it.
    """
    x = tick_seconds / np.maximum(tick_seconds[:, -1:], 1)
    between = (x + ((2 * x - 1) ** 3 + 1) / 2) / 2
    curve = AUCTION_E8 + np.floor(between * (E8 - 2 * AUCTION_E8)).astype(np.int64)
    curve[:, -1] = E8
    return curve


def price_path(open_e4: int, high_e4: int, low_e4: int, close_e4: int, *, n_ticks: int, seed: tuple[int, ...]) -> Int:
    """Return prices of ``n_ticks`` ticks (4 at least) whose first, highest, lowest and last are the bar's.

    A random walk tied to four points, open, the two extremes in either order at random ticks, and close; rounded to
    the tick and kept inside the bar.
    """
    rng = np.random.default_rng(seed)
    first, second = np.sort(rng.choice(n_ticks - 2, size=2, replace=False) + 1)
    extremes = (high_e4, low_e4) if rng.uniform() < 0.5 else (low_e4, high_e4)
    at, prices = np.array([0, first, second, n_ticks - 1]), np.array([open_e4, *extremes, close_e4])
    walk = np.cumsum(rng.normal(size=n_ticks)) * ((high_e4 - low_e4) / (2 * np.sqrt(n_ticks)))
    ticks = np.arange(n_ticks)
    tied = np.interp(ticks, at, prices) + walk - np.interp(ticks, at, walk[at])
    path: Int = np.clip(np.rint(tied / TICK_E4).astype(np.int64) * TICK_E4, low_e4, high_e4)
    path[at] = prices
    return path


def amount_path(price_e4: Int, volume_shares: Int, *, high_e4: int, low_e4: int, amount_fen: int) -> Int:
    """Return the amount traded up to each tick, never falling, ``amount_fen`` at the last.

    What trades between two ticks trades at the later one's price, moved towards the bar's high or low by one share for
    all ticks, so that the amounts add up.
    """
    traded = np.diff(volume_shares, prepend=0).astype(np.float64)
    paid_e4, target_e4 = traded * price_e4, float(amount_fen) * E4_PER_FEN
    gap = target_e4 - paid_e4.sum()
    room_e4 = traded * ((high_e4 if gap > 0 else low_e4) - price_e4)
    if room_e4.sum() != 0:
        paid_e4 = paid_e4 + min(1.0, gap / room_e4.sum()) * room_e4
    so_far = np.cumsum(paid_e4)
    if so_far[-1] > 0:
        so_far *= target_e4 / so_far[-1]
    out = np.minimum(np.floor(so_far / E4_PER_FEN).astype(np.int64), amount_fen)
    out[-1] = amount_fen
    return out
