"""What the runner says of itself: the heartbeat for ``/health`` and the watchdog, and the journal's own row.

Work that was done beats; what only changes the words does not, so that a fault that is told again and again never hides
a loop that stands still. Not here: what the words are about (``process.py``, ``following.py``).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from ljwx_pipeline.errors import Deposed, LjwxError
from ljwx_pipeline.live.journal import Journal, RunnerState
from ljwx_pipeline.live.progress import Heartbeat, Mode, Progress


@dataclass(frozen=True)
class Traded:
    """What the row says of what is traded.

    Parameters
    ----------
    simulated, sessions
        Of the pack that is open; none before.
    bundle_hash
        Of the model that trades.
    """

    simulated: bool = False
    sessions: tuple[date, ...] = ()
    bundle_hash: str | None = None


class RunnerWord:
    """The word of one process, from its event loop.

    Parameters
    ----------
    progress
        The heartbeat.
    capital_fen
        Opening cash of the account, part of the row.
    traded
        Returns what is traded now.
    """

    def __init__(self, progress: Progress, *, capital_fen: int, traded: Callable[[], Traded]) -> None:
        self.progress = progress
        self._capital_fen = capital_fen
        self._traded = traded
        self._journal: Journal | None = None
        self._said: RunnerState | None = None
        self._turn = threading.Lock()  # what is remembered as said is what the row says, whoever speaks at once
        self._last_fault = ""
        self._before_fault: Heartbeat | None = None

    @property
    def finished(self) -> bool:
        """Whether the row says that every session of the pack is done."""
        return self._said is not None and self._said.mode == Mode.FINISHED

    def write_to(self, journal: Journal) -> None:
        """Keep the row in ``journal`` from now on."""
        self._journal, self._said, self._last_fault = journal, None, ""

    def leads(self) -> None:
        """Say that the process has begun to lead, whatever it did before; no work was done."""
        self.progress.tell(Mode.STARTING, "opening the account")

    def starting(self, doing: str) -> None:
        """Say what a start is at; once it has come to anything, trading or a fault, those words stand."""
        if self.progress.read().mode is Mode.STARTING:
            self.progress.tell(Mode.STARTING, doing)

    async def say(self, mode: Mode, message: str) -> None:
        """Beat; make the journal's own row say the same if it does not yet."""
        self._last_fault = ""
        await self._record(mode, message)

    def beat(self) -> None:
        """Note that work was done, in the words that stand."""
        now = self.progress.read()
        self.progress.beat(now.mode, now.message)

    async def faulted(self, mode: Mode, error: LjwxError) -> None:
        """Say what is wrong, in the journal once: the same again is told to ``/health`` alone.

        Raises
        ------
        Deposed
            When another runner has taken over.
        """
        fault = str(error)
        self.progress.tell(mode, fault)
        if fault == self._last_fault or self._journal is None:
            return
        try:
            await asyncio.to_thread(self._journal.record_event, mode.value, fault)
            await self._record(mode, fault, worked=False)
        except Deposed:
            raise
        except LjwxError as unwritable:
            # a full disk keeps even this from being noted: /health says it, and it is noted once there is room
            self.progress.tell(mode, f"{fault}; {unwritable}")
            return
        self._last_fault = fault

    def renewal_hindered(self, why: str) -> None:
        """Say what hinders the lease's renewal; empty: nothing does any more, and the words before it stand again."""
        if why:
            self._before_fault = self._before_fault or self.progress.read()
            self.progress.tell(Mode.HALTED, why)
        elif self._before_fault is not None:
            self.progress.tell(self._before_fault.mode, self._before_fault.message)
            self._before_fault = None

    async def _record(self, mode: Mode, message: str, *, worked: bool = True) -> None:
        if self._journal is None:
            text = message
        else:
            text = await asyncio.to_thread(self._written, self._journal, mode, message)
        (self.progress.beat if worked else self.progress.tell)(mode, text)

    def _written(self, journal: Journal, mode: Mode, message: str) -> str:
        with self._turn:
            return self._written_in_turn(journal, mode, message)

    def _written_in_turn(self, journal: Journal, mode: Mode, message: str) -> str:
        withdrawn = journal.withdrawn()
        text = message if withdrawn is None else f"{message}; {withdrawn.sentence()}"
        done, last = journal.sessions_done()
        traded = self._traded()
        ahead = [day for day in traded.sessions if last is None or day > last]
        state = RunnerState(
            mode=mode.value,
            simulated=traded.simulated,
            opening_capital_fen=self._capital_fen,
            bundle_hash=traded.bundle_hash,
            session=None if last is None else last.isoformat(),
            sessions_done=done,
            sessions_total=done + len(ahead),
            message=text,
        )
        if state != self._said:
            journal.record_state(state)
            self._said = state
        return text
