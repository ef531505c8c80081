"""The market's time as the runner knows it, and whether its clocks agree.

A real market keeps our clock's time. A simulated one keeps its own, at its own speed: its time is the newest it has
said, and goes on with our seconds until it says more, so that a silence is measured in seconds that somebody waited.
Not here: what an instant means for trading (``market/hours.py``), what follows from a skew (``guard.py``).
"""

from __future__ import annotations

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.config import BreakerSettings
from ljwx_pipeline.live.events import instant_ns
from ljwx_pipeline.trading.breaker_machines import Fault, clock_fault
from ljwx_pipeline.units import NS_PER_S

#: No tick of a simulated market is ahead of our clock, which is not its own.
_ANY_TIME_NS = 2**62


class MarketTime:
    """The time of one market.

    Parameters
    ----------
    clock
        Ours.
    simulated
        Whether the market keeps a time of its own.
    """

    def __init__(self, clock: Clock, *, simulated: bool) -> None:
        self._clock = clock
        self._simulated = simulated
        self._newest_ns = 0
        self._heard_s = self._tick_s = clock.monotonic_s()
        self._looked = (self._ours_ns(), clock.monotonic_s())

    def saw(self, at_ns: int) -> None:
        """Take an instant that the market has said, in a durable message or a believed tick; an older one is none."""
        if at_ns > self._newest_ns:
            self._newest_ns, self._heard_s = at_ns, self._clock.monotonic_s()

    def heard_tick(self) -> None:
        """Take note that the feed has spoken, or is listened to from here on."""
        self._tick_s = self._clock.monotonic_s()

    def feed_ns(self, newest_ns: int) -> int:
        """Return the time that a feed's silence is measured to, whose newest tick is of ``newest_ns``.

        A simulated market's clock may jump from one message to the next: its feed is silent for as long as we waited.
        """
        if not self._simulated:
            return self._ours_ns()
        return newest_ns + round((self._clock.monotonic_s() - self._tick_s) * NS_PER_S)

    def now_ns(self) -> int:
        """Return the market's time; 0 before a simulated one has said anything."""
        if not self._simulated:
            return self._ours_ns()
        if self._newest_ns == 0:
            return 0
        return self._newest_ns + round((self._clock.monotonic_s() - self._heard_s) * NS_PER_S)

    def judging_ns(self) -> int:
        """Return the time that no tick may be ahead of."""
        return _ANY_TIME_NS if self._simulated else self._ours_ns()

    def fault(self, theirs_ns: int, settings: BreakerSettings) -> Fault | None:
        """Return what is wrong with our clock: it jumped since the last look, or differs from the market's.

        Parameters
        ----------
        theirs_ns
            The market's clock right now; 0 where it was not asked. A simulated one's is not held against ours.
        """
        now_ns, now_s = self._ours_ns(), self._clock.monotonic_s()
        then_ns, then_s = self._looked
        self._looked = (now_ns, now_s)
        jumped = clock_fault(now_ns, then_ns + round((now_s - then_s) * NS_PER_S), settings)
        if jumped is not None or self._simulated or theirs_ns == 0:
            return jumped
        return clock_fault(now_ns, theirs_ns, settings)

    def _ours_ns(self) -> int:
        return instant_ns(self._clock.now())
