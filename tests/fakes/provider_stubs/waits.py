"""A clock that moves only when somebody waits: a minute's rate limit is tested in no time."""

from __future__ import annotations

from datetime import datetime, timedelta

from ljwx_pipeline.clock import ManualClock


class Waits:
    """A clock and a sleep that moves it, remembering every wait in seconds."""

    def __init__(self, start: datetime) -> None:
        self.clock = ManualClock(start)
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.set(self.clock.now() + timedelta(seconds=seconds))
