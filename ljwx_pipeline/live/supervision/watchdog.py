"""The watchdog: the service manager hears of progress that was measured, and of nothing else.

A runner that hangs is worse than one that is gone: it holds the lease's place, answers, and trades nothing. So the sign
of life never comes from a timer that runs whatever happens; it is sent while the newest completed piece of work
(``progress.py``) is young enough. A loop that stands still sends none as well, as this runs in it. Not here: the
protocol (``sd_notify.py``), what a piece of work is: whoever beats.
"""

from __future__ import annotations

import asyncio

from ljwx_pipeline.errors import EnvironmentFault
from ljwx_pipeline.live.progress import Progress
from ljwx_pipeline.live.supervision.sd_notify import ServiceManager

#: Looks within the time after which the process is killed.
LOOKS_A_TERM = 4
#: Seconds between two looks where nobody watches: the status is still told.
UNWATCHED_LOOK_S = 5.0


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
    """

    def __init__(self, manager: ServiceManager, progress: Progress, *, max_age_s: float) -> None:
        #: Why the last message could not be sent; empty when it could. The next look tries again.
        self.fault = ""
        self._manager = manager
        self._progress = progress
        self._max_age_s = max_age_s

    @property
    def look_s(self) -> float:
        """Seconds between two looks."""
        term_s = self._manager.watchdog_s
        return UNWATCHED_LOOK_S if term_s is None else term_s / LOOKS_A_TERM

    def look(self) -> bool:
        """Say that work was done if it was, and return whether it was.

        Raises
        ------
        EnvironmentFault
            When the manager cannot be told.
        """
        beat = self._progress.read()
        alive = beat.age_s < self._max_age_s
        if alive and self._manager.watchdog_s is not None:
            self._manager.watchdog()
        stalled = "" if alive else f"no progress for {beat.age_s:.0f} s, limit {self._max_age_s:g} s; last: "
        self._manager.status(f"{stalled}{beat.mode}: {beat.message}")
        return alive

    async def run(self) -> None:
        """Look until cancelled. A manager that cannot be told is tried again: it ends the process if it stays so."""
        while True:
            try:
                self.look()
                self.fault = ""
            except EnvironmentFault as error:
                self.fault = str(error)
            await asyncio.sleep(self.look_s)
