"""How often it may start: the policy as a function, the record over real processes that die."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ljwx_pipeline.clock import ManualClock, SystemClock
from ljwx_pipeline.errors import ConfigError, CrashLoop, EnvironmentFault, LiveError
from ljwx_pipeline.live.events import AlertRaised, Tier
from ljwx_pipeline.live.supervision.starts import ALERT_CODE, BackOff, Starts, may_start

NOW = datetime(2025, 11, 3, 7, 5, tzinfo=UTC)


@given(
    free=st.integers(0, 10),
    more=st.integers(1, 60),
    first_s=st.floats(0.1, 100),
    longest_s=st.floats(100, 1000),
    ends=st.lists(st.integers(0, 100), min_size=2),
)
def test_waits_grow_never_pass_the_longest_and_end_in_a_refusal(
    free: int, more: int, first_s: float, longest_s: float, ends: list[int]
) -> None:
    policy = BackOff(free_ends=free, most_ends=free + more, first_wait_s=first_s, longest_wait_s=longest_s)
    waits = [policy.wait_s(count) for count in sorted(ends)]
    finite = [wait for wait in waits if wait is not None]
    assert finite == sorted(finite)
    assert all(wait == 0 or first_s <= wait <= longest_s for wait in finite)
    for count, wait in zip(sorted(ends), waits, strict=True):
        assert (wait is None) == (count >= policy.most_ends)
        assert (wait == 0.0) == (count < max(1, free))


def test_the_shipped_waits() -> None:
    policy = BackOff()
    assert [policy.wait_s(count) for count in range(9)] == [0, 0, 0, 10, 20, 40, 80, 160, None]


@dataclass
class World:
    """A live folder, its clock, and what was told."""

    starts: Starts
    clock: ManualClock
    alerts: list[AlertRaised] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def may_start(self, *, alert: Callable[[AlertRaised], None] | None = None, go_on: bool = True) -> bool:
        def wait(seconds: float) -> bool:
            self.waits.append(seconds)
            return go_on

        return may_start(self.starts, alert=alert or self.alerts.append, wait=wait, say=self.said.append)

    def crash(self, error: BaseException | None = None) -> None:
        error = RuntimeError("boom") if error is None else error
        with pytest.raises(type(error)), self.starts.run():
            raise error
        self.clock.set(self.clock.now() + timedelta(seconds=5))


@pytest.fixture
def world(tmp_path: Path) -> World:
    clock = ManualClock(NOW)
    return World(Starts(tmp_path / "live", clock), clock)


def test_the_first_ends_are_free_then_it_waits_is_told_of_and_stays_down(world: World, tmp_path: Path) -> None:
    for _ in range(8):
        assert world.may_start()
        world.crash()
    assert world.waits == [10, 20, 40, 80, 160]
    (alert,) = world.alerts
    assert (alert.tier, alert.code) == (Tier.CRITICAL, ALERT_CODE)
    assert "ended uncleanly 3 times within 30 min" in alert.message
    for _ in range(2):
        with pytest.raises(CrashLoop, match=r"8 times within 30 min, .*code 1, RuntimeError: boom.*remove .*/starts"):
            world.may_start()
    assert [one.message.endswith("it stays down") for one in world.alerts] == [False, True], "told once, however often"


def test_a_clean_end_begins_a_new_count(world: World) -> None:
    for _ in range(2):
        world.crash()
    with world.starts.run():
        pass
    assert world.starts.unclean_ends() == []
    world.crash()
    with pytest.raises(KeyboardInterrupt), world.starts.run():
        raise KeyboardInterrupt
    assert world.starts.unclean_ends() == [], "a person ended it"


def test_what_a_person_must_mend_is_no_loop_and_what_may_pass_is_one(world: World) -> None:
    world.crash(ConfigError("top_k is 0", "raise it"))
    assert world.starts.unclean_ends() == []
    world.crash(EnvironmentFault("port 8700 is in use", "free it"))
    world.crash(LiveError("the broker is away", "wait"))
    assert [one.said for one in world.starts.unclean_ends()] == [
        "exit code 3, port 8700 is in use: free it",
        "exit code 13, the broker is away: wait",
    ]


def test_runs_that_began_before_the_window_are_forgotten_and_a_clock_set_back_forgets_none(world: World) -> None:
    for _ in range(3):
        world.crash()
    world.clock.set(NOW - timedelta(days=2))
    assert len(world.starts.unclean_ends()) == 3
    world.clock.set(NOW + timedelta(minutes=31))
    assert world.may_start()
    assert world.waits == []
    with world.starts.run():
        assert len(list(world.starts.folder.glob("*.json"))) == 1, "the old records are gone"


def test_a_stop_while_it_waits_leaves_no_trace(world: World) -> None:
    for _ in range(3):
        world.crash()
    assert not world.may_start(go_on=False)
    assert len(world.starts.unclean_ends()) == 3


def test_an_alert_that_no_journal_takes_is_said_in_words(world: World) -> None:
    def refuse(_: AlertRaised) -> None:
        raise LiveError("the journal is on a full disk", "free some")

    for _ in range(3):
        world.crash()
    assert world.may_start(alert=refuse)
    assert "the alert could not be stored (the journal is on a full disk: free some)" in world.said[0]
    for _ in range(5):
        world.crash()
    with pytest.raises(CrashLoop, match="the alert could not be stored"):
        world.may_start(alert=refuse)


def test_a_folder_that_cannot_be_written_is_an_error_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "live").write_text("a file where the folder should be")
    with pytest.raises(EnvironmentFault, match="cannot be read or written"):
        Starts(tmp_path / "live", ManualClock(NOW)).unclean_ends()


CHILD = """
import sys, time
from pathlib import Path
from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.live.supervision.starts import Starts
with Starts(Path(sys.argv[1]), SystemClock()).run():
    print("running", flush=True)
    time.sleep(60)
"""


def test_a_run_that_is_killed_counts_and_one_that_goes_on_does_not(tmp_path: Path) -> None:
    starts = Starts(tmp_path, SystemClock())
    killed, living = (
        subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    )
    try:
        for process in (killed, living):
            assert process.stdout is not None
            assert process.stdout.readline() == "running\n"
        assert starts.unclean_ends() == [], "the one that trades and the one that stands by"
        killed.send_signal(signal.SIGKILL)
        killed.wait(20)
        assert [one.said for one in starts.unclean_ends()] == ["nothing: it was killed, or the machine went down"]
        with starts.run():
            pass
        assert starts.unclean_ends() == []
        assert len(list(starts.folder.glob("*.json"))) == 1, "a clean end here forgets nobody who still runs"
        living.send_signal(signal.SIGKILL)
        living.wait(20)
        assert len(starts.unclean_ends()) == 1
    finally:
        for process in (killed, living):
            process.kill()
            process.communicate(timeout=20)
