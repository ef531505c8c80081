"""The journal for a loop that must not wait for a disk: one thread writes and reads, in the order it was asked.

A write is durable when its ``await`` returns. Not here: what is written (``event_log.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection

from ljwx_pipeline.live.event_log import EventLog
from ljwx_pipeline.live.events import Event
from ljwx_pipeline.live.store import Store

T = TypeVar("T")


class AsyncJournal:
    """One journal, reached from one event loop.

    Parameters
    ----------
    store, log
        The database, and its log. Closing them is the caller's.
    """

    def __init__(self, store: Store, log: EventLog) -> None:
        self.log = log
        self._store = store
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")

    async def append(self, events: Sequence[Event], epoch: int | None) -> int:
        """Append as `EventLog.append`."""
        return await self._run(lambda: self.log.append(events, epoch))

    async def write(self, change: Callable[[Connection], T]) -> T:
        """Run ``change`` within one durable transaction and return what it returns."""

        def in_transaction() -> T:
            with self._store.writing() as connection:
                return change(connection)

        return await self._run(in_transaction)

    async def read(self, look: Callable[[Connection], T]) -> T:
        """Return what ``look`` finds in one state of the journal."""

        def in_snapshot() -> T:
            with self._store.reading() as connection:
                return look(connection)

        return await self._run(in_snapshot)

    def close(self) -> None:
        """Wait for what was asked and end the thread."""
        self._thread.shutdown(wait=True)

    async def _run(self, work: Callable[[], T]) -> T:
        # shielded: a task that is cancelled while its write is on the way must not hide that it was written
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, work))
