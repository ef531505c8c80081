"""Follows one broker: what it says is written down, each close is traded, and only then is more asked for.

Start-up, a connection that came back and a restart after a crash are one path: recover, catch up, follow. A broker that
falls silent is tried again with growing waits; books that differ stop new orders until a comparison succeeds. Not here:
what is decided at a close (``close_trading.py``), how orders travel (``order_desk.py``), processes (``main.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date

from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.async_journal import AsyncJournal
from ljwx_pipeline.live.brokers.port import Broker, BrokerSilent
from ljwx_pipeline.live.close_trading import Close
from ljwx_pipeline.live.events import ReconciliationFailed
from ljwx_pipeline.live.from_broker import MessageIntake
from ljwx_pipeline.live.order_desk import OrderDesk
from ljwx_pipeline.trading.exchange_wire import Durable, Phase, PhaseName, Tick

#: Waits between two attempts to reach a broker that is silent, seconds; the last one is repeated.
BACK_OFF_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class BooksDiffer(LiveError):
    """Journal and broker do not hold the same, and nobody has explained why: nothing may be opened."""

    @classmethod
    def of(cls, broker: str, differences: Sequence[str]) -> BooksDiffer:
        """Return the error that says both sides of all ``differences`` from ``broker``."""
        return cls(
            f"journal and {broker} differ: {'; '.join(differences)}",
            "find out which one is right; nothing is sent until both hold the same",
        )


async def _unheard(messages: Sequence[Durable]) -> None:  # noqa: ARG001 - nobody listens
    return None


def _unseen(ticks: Sequence[Tick]) -> None:  # noqa: ARG001
    return None


@dataclass(frozen=True)
class Hooks:
    """What is done on the way; each is awaited before more is asked for.

    Parameters
    ----------
    on_close
        A session is over and the next one known.
    on_connected, on_silent
        The books agree and the stream is read; the broker does not answer, and why.
    progressed
        Something was written down.
    on_messages
        These durable messages are written down; told before the frame's ticks and before the close they may end with.
    on_ticks
        The frame's ticks; nothing is awaited.
    """

    on_close: Callable[[Close], Awaitable[None]]
    on_connected: Callable[[], Awaitable[None]]
    on_silent: Callable[[BrokerSilent], Awaitable[None]]
    progressed: Callable[[str], None]
    on_messages: Callable[[Sequence[Durable]], Awaitable[None]] = _unheard
    on_ticks: Callable[[Sequence[Tick]], None] = _unseen


class Follower:
    """One broker's stream into one journal.

    Parameters
    ----------
    broker, journal, desk
        Whom it follows, and what it writes through.
    hooks
        Whom it tells.
    """

    def __init__(self, *, broker: Broker, journal: AsyncJournal, desk: OrderDesk, hooks: Hooks) -> None:
        self._broker = broker
        self._journal = journal
        self._desk = desk
        self._hooks = hooks
        self._intake = MessageIntake(journal.log, broker.name)

    async def follow(self, done: Callable[[date | None, bool], bool] | None = None) -> None:
        """Follow until cancelled, or until ``done`` says so of the last close and whether it was the pack's last one.

        Raises
        ------
        Deposed
            When another runner has taken over.
        BooksDiffer
            When journal and broker differ: call again to compare again.
        """
        silent = 0
        while True:
            try:
                await self._recover()
                silent = 0
                if await self._stream(done):
                    return
            except BrokerSilent as error:
                await self._hooks.on_silent(error)
                await asyncio.sleep(BACK_OFF_S[min(silent, len(BACK_OFF_S) - 1)])
                silent += 1

    async def _recover(self) -> None:
        found = await self._desk.recover()
        if isinstance(found, ReconciliationFailed):
            raise BooksDiffer.of(self._broker.name, found.differences)
        await self._hooks.on_connected()

    async def _stream(self, done: Callable[[date | None, bool], bool] | None) -> bool:
        if await self._close(done):
            return True
        after = await self._journal.read(self._intake.position)
        async for frame in self._broker.stream(after):
            taken = await self._desk.take_in(frame.durable)
            if taken.differences:
                raise BooksDiffer.of(self._broker.name, taken.differences)
            await self._hooks.on_messages(frame.durable)
            if taken.reopened:
                await self._desk.settle()
            self._hooks.on_ticks(frame.ticks)
            if frame.durable:
                self._hooks.progressed(f"{len(frame.durable)} messages of {self._broker.name}")
            # by the frame: a comparison beside this may have written the close down before it was told here
            if _tells_a_close(frame.durable) and await self._close(done):
                return True
        return False

    async def _close(self, done: Callable[[date | None, bool], bool] | None) -> bool:
        """Trade the close that the market stands at, if it stands at one; return whether all is done."""
        clock = await self._broker.clock()
        closed = clock.session if clock.phase is PhaseName.CLOSED else None
        if closed is not None and clock.next_session is not None:
            await self._hooks.on_close(Close(closed, clock.next_session, clock.at_ns))
        return done is not None and done(closed, clock.exhausted)


def _tells_a_close(messages: Sequence[Durable]) -> bool:
    return any(isinstance(one, Phase) and one.phase is PhaseName.CLOSED for one in messages)
