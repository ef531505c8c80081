"""What a follower's hooks call: signals opened, fed and closed as the market goes on, without holding up its loop.

All of it is called one after the other from the event loop; ``run`` alone stands beside. Not here: signals themselves
(``signals.py``), the stream (``live/follower.py``), what becomes of alerts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import date

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.live.online.facts import session_facts
from ljwx_pipeline.live.online.signals import LiveSignals, Signal
from ljwx_pipeline.live.scorer import BundleScorer
from ljwx_pipeline.trading.exchange_wire import Durable, Frame, Phase, PhaseName, SessionBars, Tick
from ljwx_pipeline.units import NS_PER_S

#: Ticks that are judged before others get a turn: five milliseconds.
TICKS_AT_ONCE = 500


class SignalDesk:
    """The signals of one feed.

    Parameters
    ----------
    signals
        Of the model that trades.
    scorer
        The model's; its history is the signals'.
    clock
        By which ticks are late or early.
    """

    def __init__(self, signals: LiveSignals, scorer: BundleScorer, clock: Clock) -> None:
        self.signals = signals
        self._feed = scorer.history.feed
        self._clock = clock

    async def begin(self, session: date) -> None:
        """Open ``session``, at its auction or in its midst; not twice, and none that the feed does not hold."""
        if self.signals.session == session or session not in self._feed.sessions:
            return
        raw = self._feed.pack.manifest.adjustment == "raw"
        facts = session_facts(self._feed.market, session, raw_prices=raw)
        await asyncio.to_thread(self.signals.open, session, facts)

    async def hear(self, messages: Iterable[Durable]) -> None:
        """Open the session that one of ``messages`` says has begun."""
        for one in messages:
            if isinstance(one, Phase) and one.phase is PhaseName.OPENING_AUCTION:
                await self.begin(one.session)

    def believe(self, tick: Tick) -> None:
        """Take a tick that somebody else has judged; nothing while its session is not open."""
        if self.signals.session == tick.session:
            self.signals.on_believed(tick)

    async def take(self, frame: Frame) -> None:
        """Open the session that the frame says has begun, and judge its ticks while one is open."""
        await self.hear(frame.durable)
        for first in range(0, len(frame.ticks), TICKS_AT_ONCE):
            if self.signals.session is None:
                return
            now_ns = round(self._clock.now().timestamp() * NS_PER_S)
            for tick in frame.ticks[first : first + TICKS_AT_ONCE]:
                self.signals.on_tick(tick, now_ns)
            await asyncio.sleep(0)

    async def end(self, official: SessionBars, scorer: BundleScorer) -> tuple[str, ...]:
        """Close the session of ``official`` if it is open, go on with the model of ``scorer``; return the alerts."""
        alerts: tuple[str, ...] = ()
        if self.signals.session == official.session:
            alerts = (await self.signals.close_aside(official.session, official)).alerts
        self.signals.use(scorer)
        return alerts

    async def run(self, told: Callable[[Sequence[Signal]], None]) -> None:
        """Tell signals as they are made, until cancelled."""
        await self.signals.run(told, self._clock)
