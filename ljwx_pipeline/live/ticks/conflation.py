"""A bounded queue of ticks that holds the newest of each symbol and session, and counts what it let go.

A consumer that keeps up gets every tick, in order. One that falls behind gets of each symbol the newest, at the place
in the queue where its oldest waiting tick stood, so that no symbol starves. Nothing is lost by that: an exchange's
snapshot holds the session so far, and the last of a session is never replaced by one of the next. What a minute's bar
loses is said in ``bars.py``.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from datetime import date

from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.trading.exchange_wire import Tick


class ConflatingQueue:
    """Ticks that wait, one a symbol and session at most.

    Parameters
    ----------
    capacity
        Most ticks that wait: the symbols known, twice where two sessions may wait at once.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._waiting: OrderedDict[tuple[str, date], Tick] = OrderedDict()
        self._some = asyncio.Event()
        #: Ticks that were replaced by a newer one before anybody read them.
        self.conflated = 0
        #: Most that ever waited at once.
        self.deepest = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, tick: Tick) -> bool:
        """Let ``tick`` wait; returns whether an older one of its symbol and session went for it.

        One that is older than the waiting one is itself let go, and counted: the newest stays.

        Raises
        ------
        LiveError
            When as many symbols and sessions wait as there is room for: unknown symbols must not come here.
        """
        key = (tick.symbol, tick.session)
        waiting = self._waiting.get(key)
        if waiting is None:
            if len(self._waiting) >= self._capacity:
                raise LiveError(
                    f"{len(self._waiting)} ticks wait, as many as there is room for, and {tick.symbol} of "
                    f"{tick.session} is none of them",
                    "validate ticks before queueing them, and give room for every known symbol",
                )
            self._waiting[key] = tick
            self.deepest = max(self.deepest, len(self._waiting))
            self._some.set()
            return False
        self.conflated += 1
        if tick.at_ns >= waiting.at_ns:
            self._waiting[key] = tick
        return True

    def pop(self) -> Tick | None:
        """Return the tick of whoever waits longest; None when nobody does."""
        if not self._waiting:
            return None
        _, tick = self._waiting.popitem(last=False)
        if not self._waiting:
            self._some.clear()
        return tick

    async def get(self) -> Tick:
        """Return what ``pop`` gives, as soon as it gives something."""
        while (tick := self.pop()) is None:
            await self._some.wait()
        return tick
