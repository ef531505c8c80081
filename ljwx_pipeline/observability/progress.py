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
        Seconds spent, and the estimate of those to come from the units this run fetched; None before the first, and of
        a question that is one of several: how many more there will be is not known.
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
        left = f", about {self.remaining_s:,.0f} s to go" if self.remaining_s and self.remaining_s >= 1.0 else ""
        return f"{self.done} of {self.total} fetched ({self.unit}){rows}{left}"


@dataclass(frozen=True)
class Waiting:
    """A pause that a provider's limit of calls a minute asks for; ``elapsed_s`` of it are over."""

    calls_per_minute: int
    elapsed_s: float

    def __str__(self) -> str:
        """Return the line a person reads."""
        return f"waiting for the provider's limit of {self.calls_per_minute} calls a minute"


Listener = Callable[[Progress | Waiting], None]
_LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)
#: Whether the question being asked is a part of another one.
_WITHIN: ContextVar[bool] = ContextVar("within", default=False)


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
    listener, within, started = _LISTENER.get(), _WITHIN.get(), clock.monotonic_s()
    for number, item in enumerate(items, start=1):
        _WITHIN.set(True)
        try:
            yield item
        finally:
            _WITHIN.set(within)
        if listener is not None:
            elapsed = clock.monotonic_s() - started
            remaining = None if within else elapsed / number * (len(items) - number)
            listener(Progress(number, len(items), None, elapsed, remaining, what))


def tell_waiting(calls_per_minute: int, elapsed_s: float) -> None:
    """Tell who listens that a provider's limit is waited for."""
    listener = _LISTENER.get()
    if listener is not None:
        listener(Waiting(calls_per_minute, elapsed_s))
