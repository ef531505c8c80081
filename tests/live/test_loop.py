"""An idle loop goes on saying that it is there."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ljwx_pipeline.clock import ManualClock
from ljwx_pipeline.config import Settings
from ljwx_pipeline.live.database import connect
from ljwx_pipeline.live.main import RunnerProcess

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


class Polls(threading.Event):
    """Is set after so many polls; each of them takes ``seconds`` on the clock and none on the wall."""

    def __init__(self, polls: int, clock: ManualClock, seconds: float) -> None:
        super().__init__()
        self._left, self._clock, self._pause = polls, clock, timedelta(seconds=seconds)

    def wait(self, timeout: float | None = None) -> bool:
        self._clock.set(self._clock.now() + self._pause)
        self._left -= 1
        if self._left == 0:
            self.set()
        return self.is_set()


def test_a_runner_that_waits_renews_its_word_in_the_journal(tmp_path: Path, settings: Settings) -> None:
    clock = ManualClock(NOW)
    process = RunnerProcess(tmp_path, settings, keys_dir=tmp_path / "keys", clock=clock)
    with process.loop() as loop:
        loop.run_forever(Polls(5, clock, seconds=11))
    with process.journal() as journal:
        mode, at = connect(journal.path).execute("SELECT mode, updated_at FROM runner").fetchone()
    assert mode == "waiting"
    assert datetime.fromisoformat(at) == NOW + timedelta(seconds=44)
