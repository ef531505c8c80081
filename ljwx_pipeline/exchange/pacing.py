"""When the market goes on: in lockstep with those who follow it, or by the wall clock at a speed.

Not here: what happens when it does (``engine.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import date

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.errors import LjwxError
from ljwx_pipeline.exchange.engine import Exchange
from ljwx_pipeline.exchange.market import ExchangeMarket
from ljwx_pipeline.exchange.stream import Hub
from ljwx_pipeline.units import NS_PER_S

#: Wall seconds between two looks for a new pack when every session is over, and between two tries of a failed step.
POLL_S = 0.5
#: Wall seconds between two sessions, at any speed: who trades decides at night.
NIGHT_S = 2.0

#: An event loop's timer is no finer: what is due sooner is done now.
TIMER_S = 0.001


class Pacer:
    """Makes the exchange's steps happen, one after the other.

    Parameters
    ----------
    speed
        Market seconds a wall second; 0: lockstep.
    newer_market
        Returns the market of a pack that was put in place since, None when there is none.
    night_s
        Wall seconds between two sessions when there is a speed.
    """

    def __init__(
        self,
        exchange: Exchange,
        hub: Hub,
        clock: Clock,
        *,
        speed: float,
        newer_market: Callable[[], ExchangeMarket | None],
        night_s: float = NIGHT_S,
    ) -> None:
        self.failure = ""
        self.finished = False
        self._exchange = exchange
        self._hub = hub
        self._clock = clock
        self._speed = speed
        self._newer_market = newer_market
        self._night_s = night_s
        self._due_s = clock.monotonic_s()

    async def run(self) -> None:
        """Go on until cancelled. A step that fails on purpose is said in ``failure`` and tried again; a pack is not."""
        while True:
            try:
                went_on = await self._step()
                # a pack that was refused is not opened again: what is wrong with it stays said until one is played on
                self.failure = "" if went_on else self.failure
            except LjwxError as error:
                self.failure, went_on = str(error), False
            await asyncio.sleep(0 if went_on else POLL_S)

    async def _step(self) -> bool:
        if self._speed == 0:
            await self._hub.quiet()
        coming = self._exchange.next_step()
        self.finished = coming is None
        if coming is None:
            market = self._newer_market()
            if market is not None:
                self._exchange.play_on(market)
            return market is not None
        session, step = coming
        if self._speed > 0:
            await self._sleep_until(session, step.at_ns)
        rows = self._exchange.advance(ticks=self._hub.wants_ticks, hurry=self._speed == 0)
        self._hub.publish(rows)
        return True

    async def _sleep_until(self, session: date, at_ns: int) -> None:
        same = self._exchange.clock(self._speed).session == session
        pause_s = (at_ns - self._exchange.at_ns) / NS_PER_S / self._speed if same else self._night_s
        now_s = self._clock.monotonic_s()
        # a market that fell behind (a slow disk, a stopped process) does not hurry to make up for it
        self._due_s = max(self._due_s + pause_s, now_s)
        if self._due_s - now_s > TIMER_S:
            await asyncio.sleep(self._due_s - now_s)
