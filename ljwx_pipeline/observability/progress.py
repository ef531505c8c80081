"""How far a long job is: who does it tells, whoever asked for it may listen.

Not here: what a person is shown of it and how often (``assets/market.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

from ljwx_pipeline.clock import Clock, SystemClock

T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """How far a download is.

    Parameters
    ----------
    done, total
        Units fetched and to fetch; units left over from a run before count as done.
    rows
        Rows fetched by this run; None where they are not counted.
    elapsed_s, remaining_s
        Seconds spent, and the estimate of those to come from the units this run fetched; None before the first.
    unit
        The unit just done.
    """

    done: int
    total: int
    rows: int | None
    elapsed_s: float
    remaining_s: float | None
    unit: str

    def __str__(self) -> str:
        """Return the line a person reads."""
        rows = "" if self.rows is None else f", {self.rows:,} rows"
        left = "" if self.remaining_s is None else f", about {self.remaining_s:,.0f} s to go"
        return f"{self.done} of {self.total} fetched ({self.unit}){rows}{left}"


Listener = Callable[[Progress], None]
_LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Let ``listener`` hear how far the questions asked within the ``with`` block are."""
    before = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(before)


def told(items: Sequence[T], what: str, *, clock: Clock | None = None) -> Iterator[T]:
    """Give ``items`` one by one, and tell who listens when each is done; ``what`` names the question."""
    clock = clock or SystemClock()
    listener, started = _LISTENER.get(), clock.monotonic_s()
    for number, item in enumerate(items, start=1):
        yield item
        if listener is not None:
            elapsed = clock.monotonic_s() - started
            listener(Progress(number, len(items), None, elapsed, elapsed / number * (len(items) - number), what))
