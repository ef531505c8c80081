"""Progress for a person who waits: silent for quick work, a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, Timer
from typing import Protocol, TextIO

#: Work done within this many seconds shows nothing.
QUIET_S = 2.0
#: Plain lines come at most this often: once a tenth of the total.
LINES = 10


class Advance(Protocol):
    """What the work calls to say that it got on."""

    def __call__(self, steps: int = 1) -> None:
        """Add ``steps`` done."""
        ...


@contextmanager
def progress(
    description: str, total: int | None = None, *, stream: TextIO | None = None, quiet_s: float = QUIET_S
) -> Iterator[Advance]:
    """Show how far a piece of work is, once it has taken longer than ``quiet_s`` seconds.

    Parameters
    ----------
    description
        What is being done, a few words.
    total
        Number of steps; None when it is not known.
    stream
        Where to show it; stderr if None.
    quiet_s
        Seconds before anything is shown.

    Yields
    ------
    Advance
        To be called as steps are done, from any thread.
    """
    target = sys.stderr if stream is None else stream
    # a dumb terminal cannot move its cursor: a bar would only scroll
    moves = target.isatty() and os.environ.get("TERM", "dumb") not in {"dumb", "unknown"}
    display: _Bar | _Lines = _Bar(description, total, target) if moves else _Lines(description, total, target)
    timer = Timer(quiet_s, display.start)
    timer.daemon = True
    timer.start()
    try:
        yield display.advance
    finally:
        timer.cancel()
        display.stop()


class _Bar:
    """A rich progress bar."""

    def __init__(self, description: str, total: int | None, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        self._progress = Progress(*columns, TimeElapsedColumn(), console=Console(file=stream), transient=True)
        self._task = self._progress.add_task(description, total=total)
        self._lock = Lock()
        self._stopped = False

    def start(self) -> None:
        with self._lock:
            if not self._stopped:
                self._progress.start()

    def advance(self, steps: int = 1) -> None:
        self._progress.advance(self._task, steps)

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            self._progress.stop()


class _Lines:
    """A line now and then."""

    def __init__(self, description: str, total: int | None, stream: TextIO) -> None:
        self._description, self._total, self._stream = description, total, stream
        self._done = 0
        self._shown = -1  # tenths shown; -1 before the quiet time is over
        self._lock = Lock()
        self._stopped = False

    def start(self) -> None:
        with self._lock:
            if not self._stopped:
                self._write()

    def advance(self, steps: int = 1) -> None:
        with self._lock:
            self._done += steps
            if self._shown >= 0 and self._tenths() > self._shown:
                self._write()

    def stop(self) -> None:
        with self._lock:
            self._stopped = True

    def _tenths(self) -> int:
        return 0 if not self._total else LINES * self._done // self._total

    def _write(self) -> None:
        self._shown = self._tenths()
        so_far = "..." if self._total is None else f"{self._done} of {self._total}"
        self._stream.write(f"{self._description}: {so_far}\n")
        self._stream.flush()
