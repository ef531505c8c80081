"""The jump guard of one symbol: a tick far from the last minute's mean is put in quarantine, not the market.

The mean is that of the believed prices of the last ``window`` of trading (lunch takes no time), each second's ticks in
one bucket; the newest bucket is kept however old it is, so that a name that trades rarely is held to its last price. A
tick further than the limit from it is a suspect. A suspected price becomes the new anchor once so many *further* ticks
stand by it, each within the limit of the suspects' mean and each with evidence of its own: more was traded since the
suspect before, or the best bid or ask stands there too. A print that is repeated without trades and without a book
confirms nothing. A tick near the old mean ends the suspicion. An auction's price, at the open and at the close, is
believed and is the new anchor: price limits bound it, and after the close nothing further could confirm it. So is the
first price seen of a session; if it was wrong, the next ones prove it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from ljwx_pipeline.config import BreakerSettings
from ljwx_pipeline.trading.exchange_wire import Tick
from ljwx_pipeline.units import E4, NS_PER_S

_PPM = 1_000_000


class Outcome(StrEnum):
    """How a suspicion stands."""

    OPEN = "open"
    CONFIRMED = "confirmed"  # a true jump: the suspected price is the new anchor
    DISMISSED = "dismissed"  # the price came back
    SETTLED = "settled"  # an auction said what the price is


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What the journal keeps of ticks in quarantine: one a suspicion, not one a tick.

    Parameters
    ----------
    first_at_ns, price_e4, mean_e4
        Of the first suspect: its instant, its price, and the mean it was held to.
    ticks
        How many ticks were put in quarantine so far.
    """

    symbol: str
    first_at_ns: int
    price_e4: int
    mean_e4: int
    ticks: int
    outcome: Outcome

    def sentence(self) -> str:
        """Return it as people read it."""
        moved = (self.price_e4 - self.mean_e4) / self.mean_e4
        count = f"{self.ticks} tick" + ("" if self.ticks == 1 else "s")
        return (
            f"{self.symbol} at {self.price_e4 / E4:.2f} CNY, {moved:+.2%} from its last minute's mean "
            f"{self.mean_e4 / E4:.2f}: {count} in quarantine, {self.outcome}"
        )


@dataclass(frozen=True, slots=True)
class JumpLimits:
    """``BreakerSettings`` as integers: parts per million of the mean, seconds of trading, further ticks."""

    limit_ppm: int
    window_s: int
    confirmations: int

    @classmethod
    def of(cls, settings: BreakerSettings) -> JumpLimits:
        """Return the limits that ``settings`` stands for."""
        return cls(
            round(settings.max_tick_jump_frac * _PPM), round(settings.jump_window_s), settings.jump_confirmations
        )


class JumpGuard:
    """Holds the ticks of one symbol in one session to their last minute's mean.

    Parameters
    ----------
    limits
        How far is too far, over how long, and what confirms.
    """

    __slots__ = (
        "_buckets",
        "_count",
        "_first",
        "_last_suspect",
        "_limits",
        "_mean_e4",
        "_quarantined",
        "_suspects",
        "_total",
    )

    def __init__(self, limits: JumpLimits) -> None:
        self._limits = limits
        self._buckets: deque[list[int]] = deque()  # second of trading, sum of prices, ticks
        self._total = self._count = 0
        self._suspects: list[int] = []
        self._first: Tick | None = None
        self._last_suspect: Tick | None = None
        self._mean_e4 = self._quarantined = 0

    @property
    def suspicious(self) -> bool:
        """Whether the newest price is doubted: the last believed one may be history."""
        return self._first is not None

    @property
    def suspicion(self) -> Suspicion | None:
        """The open suspicion, None where nothing is doubted."""
        return self._told(Outcome.OPEN)

    def admit(self, tick: Tick, continuous_ns: int, *, auction: bool) -> Suspicion | None:
        """Take the next tick; `suspicious` says afterwards whether it is in quarantine.

        Parameters
        ----------
        tick
            Valid beside its price, later than those before, with a price above zero.
        continuous_ns
            ``SessionHours.continuous_ns`` of its instant.
        auction
            Whether its price is the opening or the closing auction's.

        Returns
        -------
        The suspicion that this tick opened or ended; None where it changed none.
        """
        last_e4, second = tick.last_e4, continuous_ns // NS_PER_S
        if auction:
            settled = self._told(Outcome.SETTLED)
            self._anchor([last_e4], second)
            return settled
        self._forget_before(second - self._limits.window_s)
        if not self._count or self._near(last_e4, self._total, self._count):
            ended = None if self._first is None else self._told(Outcome.DISMISSED)
            if ended is not None:
                self._clear_suspects()
            self._remember(second, last_e4)
            return ended
        return self._suspect(tick, second)

    def _suspect(self, tick: Tick, second: int) -> Suspicion | None:
        self._quarantined += 1
        before, prices = self._last_suspect, self._suspects
        if before is None or not self._near(tick.last_e4, sum(prices), len(prices)):
            fresh = self._first is None
            if fresh:
                self._first, self._mean_e4 = tick, self._total // self._count
            self._suspects, self._last_suspect = [tick.last_e4], tick
            return self._told(Outcome.OPEN) if fresh else None
        if not self._has_evidence(tick, before):
            return None
        prices.append(tick.last_e4)
        self._last_suspect = tick
        if len(prices) <= self._limits.confirmations:
            return None
        self._quarantined -= 1  # this one is believed
        confirmed = self._told(Outcome.CONFIRMED)
        self._anchor(prices, second)
        return confirmed

    def _has_evidence(self, tick: Tick, before: Tick) -> bool:
        total, count = sum(self._suspects), len(self._suspects)
        if tick.at_ns <= before.at_ns:
            return False
        return (
            tick.volume_shares > before.volume_shares
            or (tick.bid_e4 > 0 and self._near(tick.bid_e4, total, count))
            or (tick.ask_e4 > 0 and self._near(tick.ask_e4, total, count))
        )

    def _near(self, price_e4: int, total: int, count: int) -> bool:
        return abs(price_e4 * count - total) * _PPM <= self._limits.limit_ppm * total

    def _remember(self, second: int, price_e4: int) -> None:
        if self._buckets and self._buckets[-1][0] == second:
            newest = self._buckets[-1]
            newest[1] += price_e4
            newest[2] += 1
        else:
            self._buckets.append([second, price_e4, 1])
        self._total += price_e4
        self._count += 1

    def _forget_before(self, second: int) -> None:
        buckets = self._buckets
        while len(buckets) > 1 and buckets[0][0] < second:
            _, total, count = buckets.popleft()
            self._total -= total
            self._count -= count

    def _anchor(self, prices: list[int], second: int) -> None:
        self._buckets.clear()
        self._total = self._count = 0
        for price in prices:
            self._remember(second, price)
        self._clear_suspects()

    def _clear_suspects(self) -> None:
        self._first = self._last_suspect = None
        self._suspects = []
        self._quarantined = 0

    def _told(self, outcome: Outcome) -> Suspicion | None:
        first = self._first
        if first is None:
            return None
        return Suspicion(first.symbol, first.at_ns, first.last_e4, self._mean_e4, self._quarantined, outcome)
