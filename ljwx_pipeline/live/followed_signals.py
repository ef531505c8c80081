"""The signals beside a followed pack: whatever goes wrong with them is noted, and trading goes on without them.

Nothing is traded on signals, so that no error of theirs may reach the follower, its hooks or its process. Not here: how
a tick becomes a signal (``online/``), what is traded (``following.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.config import BreakerSettings
from ljwx_pipeline.errors import LjwxError
from ljwx_pipeline.live.async_journal import AsyncJournal
from ljwx_pipeline.live.brokers.port import Broker, Fence, required_epoch
from ljwx_pipeline.live.events import Noted
from ljwx_pipeline.live.model import Model
from ljwx_pipeline.live.online.desk import SignalDesk
from ljwx_pipeline.live.online.signals import LiveSignals
from ljwx_pipeline.live.scorer import BundleScorer
from ljwx_pipeline.live.tasks import first_of
from ljwx_pipeline.trading.exchange_wire import Durable, Tick

#: Topic of the lines for people.
TOPIC = "online_signals"


class FollowedSignals:
    """The signals of one followed pack, from one event loop.

    Parameters
    ----------
    breakers, clock
        As `LiveSignals` and `SignalDesk` take them.
    journal, fence
        Where faults and differences are noted, under which lease.
    """

    def __init__(self, *, breakers: BreakerSettings, clock: Clock, journal: AsyncJournal, fence: Fence) -> None:
        #: Who makes signals; None while nobody does: no model has a voice, no ticks come, or something went wrong.
        self.desk: SignalDesk | None = None
        self._breakers = breakers
        self._clock = clock
        self._journal = journal
        self._fence = fence
        self._faults: asyncio.Queue[str] = asyncio.Queue()

    async def open(self, champion: Model | None) -> None:
        """Make signals by ``champion``, if it has a voice."""
        if champion is None or not isinstance(champion.scorer, BundleScorer):
            return
        scorer = champion.scorer
        with self._without_them():
            made = await asyncio.to_thread(LiveSignals, scorer, self._breakers)
            self.desk = SignalDesk(made, scorer, self._clock)

    async def begin(self, session: date) -> None:
        """Open the session that the market is in the midst of."""
        if self.desk is not None:
            with self._without_them():
                await self.desk.begin(session)

    async def hear(self, messages: Sequence[Durable]) -> None:
        """Open the session that one of ``messages`` says has begun."""
        if self.desk is not None:
            with self._without_them():
                await self.desk.hear(messages)

    def believe(self, tick: Tick) -> None:
        """Take a tick that the breakers believe."""
        if self.desk is not None:
            with self._without_them():
                self.desk.believe(tick)

    async def end(self, session: date, broker: Broker, champion: Model | None) -> None:
        """Close ``session`` by the broker's official bars and go on with ``champion``; nobody does without a voice.

        Raises
        ------
        BrokerSilent
            When the bars cannot be asked for.
        """
        if self.desk is None:
            return
        if champion is None or not isinstance(champion.scorer, BundleScorer):
            self.desk = None
            return
        official = await broker.bars(session)
        with self._without_them():
            for one in await self.desk.end(official, champion.scorer):
                self._faults.put_nowait(one)

    async def run(self) -> None:
        """Make signals of what was believed, and note what went wrong, until cancelled.

        Raises
        ------
        Deposed, LiveError
            When the journal takes no note.
        """
        await first_of(self._make(), self._note())

    async def _make(self) -> None:
        if self.desk is not None:
            with self._without_them():
                await self.desk.run(lambda _: None)
        await asyncio.Event().wait()  # trading goes on

    async def _note(self) -> None:
        while True:
            noted = Noted(topic=TOPIC, message=await self._faults.get(), session=None)
            await self._journal.append([noted], required_epoch(self._fence))

    @contextmanager
    def _without_them(self) -> Iterator[None]:
        """Go on without signals when the block fails, whatever it raises, and let it be noted."""
        try:
            yield
        except Exception as error:  # a model's own code runs in there
            self.desk = None
            why = error.fact if isinstance(error, LjwxError) else repr(error)
            self._faults.put_nowait(f"no signals until the pack is followed anew: {why}")
