"""Words about a fault are no work: what stands still goes on standing still."""

from __future__ import annotations

import asyncio
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ljwx_pipeline.clock import ManualClock
from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.journal import Journal, RunnerState
from ljwx_pipeline.live.progress import Mode, Progress
from ljwx_pipeline.live.runner_word import RunnerWord, Traded

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


def test_a_fault_that_is_told_again_does_not_hide_that_nothing_gets_done() -> None:
    clock = ManualClock(NOW)
    progress = Progress(clock)
    word = RunnerWord(progress, capital_fen=1, traded=Traded)
    progress.beat(Mode.TRADING, "session 2026-01-05")
    for second in range(1, 5):
        clock.set(NOW + timedelta(seconds=10 * second))
        word.renewal_hindered("the database does not answer")
        asyncio.run(word.faulted(Mode.HALTED, LiveError("the disk is full", "free space")))
        beat = progress.read()
        assert (beat.mode, beat.age_s) == (Mode.HALTED, 10.0 * second)
    word.renewal_hindered("")
    beat = progress.read()
    assert (beat.mode, beat.message, beat.age_s) == (Mode.TRADING, "session 2026-01-05", 40.0)
    word.beat()
    assert progress.read().age_s == 0


def test_what_two_tasks_say_at_once_leaves_the_row_as_the_last_one_said_it(tmp_path: Path) -> None:
    both_said = threading.Event()

    class Slow(Journal):
        def record_state(self, state: RunnerState) -> None:
            super().record_state(state)
            if state.mode == Mode.HALTED:
                both_said.wait(0.3)
            else:
                both_said.set()

    with closing(Slow(tmp_path / "journal.sqlite", ManualClock(NOW))) as journal:
        word = RunnerWord(Progress(ManualClock(NOW)), capital_fen=1, traded=Traded)
        word.write_to(journal)

        async def say() -> None:
            await asyncio.gather(word.say(Mode.HALTED, "the disk is full"), word.say(Mode.TRADING, "a session"))
            await word.say(Mode.HALTED, "the disk is full")

        asyncio.run(say())
        stands = journal.runner_state()
        assert stands is not None
        assert stands.mode == Mode.HALTED
