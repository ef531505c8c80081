"""The watchdog: the service manager hears of progress that was measured, and of nothing else.

A runner that hangs is worse than one that is gone: it holds the lease's place, answers, and trades nothing. So the sign
of life never comes from a timer that runs whatever happens; it is sent while the newest completed piece of work
(``progress.py``) is young enough. A loop that stands still sends none as well, as this runs in it. Not here: the
protocol (``sd_notify.py``), what a piece of work is: whoever beats.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

from ljwx_pipeline.errors import EnvironmentFault
from ljwx_pipeline.live.progress import Mode, Progress
from ljwx_pipeline.live.supervision.sd_notify import ServiceManager

#: Looks within the time after which the process is killed.
LOOKS_A_TERM = 4
#: Seconds between two looks where nobody watches: the status is still told.
UNWATCHED_LOOK_S = 5.0
#: Seconds between two looks until start-up is over.
STARTING_LOOK_S = 0.5
#: Start-up is over in these, too: there are no books to compare yet.
_NOTHING_TO_COMPARE = (Mode.STANDBY, Mode.WAITING)


class Watchdog:
    """Tells the service manager what the runner does, and that it gets on.

    Parameters
    ----------
    manager
        Whom it tells.
    progress
        What it measures.
    max_age_s
        A beat older than this is no progress: the manager then hears nothing and ends the process.
    books_agree
        Whether the books were found to agree with the broker's; start-up is over then, or when there are none yet.
    """

    def __init__(
        self,
        manager: ServiceManager,
        progress: Progress,
        *,
        max_age_s: float,
        books_agree: Callable[[], bool],
    ) -> None:
        #: Why the last message could not be sent; empty when it could. The next look tries again.
        self.fault = ""
        self._manager = manager
        self._progress = progress
        self._max_age_s = max_age_s
        self._books_agree = books_agree
        self._ready = False
        self._stopping = False

    @property
    def look_s(self) -> float:
        """Seconds between two looks."""
        term_s = self._manager.watchdog_s
        usual_s = UNWATCHED_LOOK_S if term_s is None else term_s / LOOKS_A_TERM
        return usual_s if self._ready else min(usual_s, STARTING_LOOK_S)

    def look(self) -> bool:
        """Say that work was done if it was, and return whether it was; the first time say that start-up is over.

        Raises
        ------
        EnvironmentFault
            When the manager cannot be told.
        """
        beat = self._progress.read()
        words = f"{beat.mode}: {beat.message}" if beat.message else str(beat.mode)
        if not self._ready and (self._books_agree() or beat.mode in _NOTHING_TO_COMPARE):
            self._manager.ready(words)
            self._ready = True
        alive = beat.age_s < self._max_age_s
        if alive and self._manager.watchdog_s is not None:
            self._manager.watchdog()
        stalled = "" if alive else f"no progress for {beat.age_s:.0f} s, limit {self._max_age_s:g} s; last: "
        if not self._stopping:
            self._manager.status(f"{stalled}{words}")
        return alive

    def stopping(self, why: str) -> None:
        """Say that the runner is about to end, and nothing of what it does from then on."""
        self._stopping = True
        self._told(lambda: self._manager.stopping(why))

    async def run(self) -> None:
        """Look until cancelled. A manager that cannot be told is tried again: it ends the process if it stays so."""
        while True:
            self._told(self.look)
            await asyncio.sleep(self.look_s)

    def _told(self, say: Callable[[], object]) -> None:
        fault = ""
        try:
            say()
        except EnvironmentFault as error:
            fault = str(error)
        if fault and fault != self.fault:
            sys.stderr.write(f"{fault}\n")
        self.fault = fault
