"""The one seam to wall-clock time: nothing else in this package reads the clock.

Not here: trading sessions and calendars (``market/calendar.py``).
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from datetime import time as time_of_day
from typing import Protocol
from zoneinfo import ZoneInfo

SHANGHAI = ZoneInfo("Asia/Shanghai")
#: When a session is over, by Shanghai's clocks, which keep no summer time.
SESSION_CLOSE = time_of_day(15)


class Clock(Protocol):
    """What the runner and the pipeline ask for the time."""

    def now(self) -> datetime:
        """Return the current instant, timezone-aware, in UTC."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds that never run backwards, for measuring durations."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the current instant in UTC."""
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        """Return the process-wide monotonic seconds."""
        return time.monotonic()


class ManualClock:
    """A clock that moves only when told to: for replays and tests.

    Parameters
    ----------
    start
        Timezone-aware instant at which the clock stands first.
    """

    def __init__(self, start: datetime) -> None:
        self._start = start.astimezone(UTC)
        self._now = self._start

    def now(self) -> datetime:
        """Return the instant last set."""
        return self._now

    def monotonic_s(self) -> float:
        """Return seconds since the start instant."""
        return (self._now - self._start).total_seconds()

    def set(self, instant: datetime) -> None:
        """Move the clock to ``instant``; moving backwards is allowed, as real clocks do it too."""
        self._now = instant.astimezone(UTC)


def utc_now() -> datetime:
    """Return the current instant in UTC from the machine's clock."""
    return SystemClock().now()
