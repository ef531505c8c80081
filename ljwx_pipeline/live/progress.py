"""The heartbeat: when the loop last got something done, not whether its thread exists; and what it says of itself."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import StrEnum

from ljwx_pipeline.clock import Clock


class Mode(StrEnum):
    """What the runner is doing."""

    STARTING = "starting"
    STANDBY = "standby"  # another process trades; this one takes over when that one ends
    WAITING = "waiting"  # for a bundle or a session pack
    TRADING = "trading"
    OUTAGE = "outage"  # the broker does not answer: nothing new is sent, and it is tried again
    FINISHED = "finished"  # every session of the pack is done; watching for more
    HALTED = "halted"  # an error that a person must mend; no order leaves


@dataclass(frozen=True)
class Heartbeat:
    """One look at the loop."""

    mode: Mode
    message: str
    age_s: float


class Progress:
    """Shared by the loop, which beats after each piece of work, and the API, which reads.

    Parameters
    ----------
    clock
        Monotonic seconds come from it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._mode, self._message, self._at = Mode.STARTING, "", clock.monotonic_s()

    def beat(self, mode: Mode, message: str = "") -> None:
        """Note that a piece of work was completed."""
        with self._lock:
            self._mode, self._message, self._at = mode, message, self._clock.monotonic_s()

    def tell(self, mode: Mode, message: str = "") -> None:
        """Change what is said without any work having been completed: what stalls goes on stalling."""
        with self._lock:
            self._mode, self._message = mode, message

    def read(self) -> Heartbeat:
        """Return the last beat and its age."""
        with self._lock:
            return Heartbeat(self._mode, self._message, self._clock.monotonic_s() - self._at)
