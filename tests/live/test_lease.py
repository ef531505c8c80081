"""One runner trades: the lease changes hands without two holders, whatever the clocks do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from ljwx_pipeline.clock import ManualClock, SystemClock
from ljwx_pipeline.errors import Deposed
from ljwx_pipeline.live.holder import is_gone, this_process
from ljwx_pipeline.live.lease import Lease
from ljwx_pipeline.live.store import Store
from ljwx_pipeline.live.tables import lease
from tests.fakes.journal_events import NOW, noted
from tests.fakes.journals import empty_store, log_of

ROOT = Path(__file__).resolve().parents[2]


class SplitClock:
    """A wall clock that may jump, and monotonic seconds that do not."""

    def __init__(self) -> None:
        self.wall = ManualClock(NOW)
        self.seconds = 0.0

    def now(self) -> object:
        return self.wall.now()

    def monotonic_s(self) -> float:
        return self.seconds


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return empty_store(tmp_path)


def claim(store: Store, clock: SplitClock, name: str) -> Lease:
    return Lease(store, clock, holder=name, term_s=6)


def test_the_first_to_ask_gets_it_and_the_next_waits_a_whole_term(store: Store) -> None:
    clock = SplitClock()
    one, other = claim(store, clock, "one"), claim(store, clock, "other")
    assert one.acquire()
    assert (one.epoch, one.holds()) == (1, True)
    assert not other.acquire()
    clock.seconds = 6.0
    assert not one.holds(), "its term has run out before anybody may take over"
    assert not other.acquire()
    clock.seconds = 6.1
    assert other.acquire()
    assert (other.epoch, other.holds(), one.holds()) == (2, True, False)
    with pytest.raises(Deposed, match="held epoch 1, the journal is at 2"):
        one.renew()
    with pytest.raises(Deposed, match="holds no lease"):
        _ = one.epoch


def test_a_renewal_starts_the_term_anew(store: Store) -> None:
    clock = SplitClock()
    one, other = claim(store, clock, "one"), claim(store, clock, "other")
    assert one.acquire()
    for _ in range(10):
        clock.seconds += 4
        one.renew()
        assert not other.acquire()
    assert one.holds()
    assert one.epoch == 1


def test_one_given_back_is_free_at_once(store: Store) -> None:
    clock = SplitClock()
    one, other = claim(store, clock, "one"), claim(store, clock, "other")
    assert one.acquire()
    one.release()
    assert not one.holds()
    assert other.acquire()
    assert other.epoch == 2


def test_a_renewal_on_its_way_in_a_thread_does_not_bring_back_a_lease_that_is_given_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = claim(store, SplitClock(), "one")
    assert one.acquire()
    looked, go_on = threading.Event(), threading.Event()
    row = Lease._row

    def slow(self: Lease) -> tuple[str, int]:
        found = row(self)
        looked.set()
        assert go_on.wait(5)
        return found

    monkeypatch.setattr(Lease, "_row", slow)
    renewing = threading.Thread(target=one.renew)
    renewing.start()
    assert looked.wait(5)
    giving_back = threading.Thread(target=one.release)
    giving_back.start()
    giving_back.join(0.2)
    go_on.set()
    renewing.join(5)
    giving_back.join(5)
    with store.reading() as connection:
        assert connection.execute(select(lease.c.holder)).scalar_one() == ""
    assert claim(store, SplitClock(), "other").acquire(), "whoever waits need not wait a term"


@pytest.mark.parametrize("jump", [timedelta(days=-400), timedelta(days=400)])
def test_a_wall_clock_that_jumps_makes_neither_two_holders_nor_none(store: Store, jump: timedelta) -> None:
    clock = SplitClock()
    one, other = claim(store, clock, "one"), claim(store, clock, "other")
    assert one.acquire()
    assert not other.acquire()
    clock.wall.set(NOW + jump)
    clock.seconds = 5
    one.renew()
    assert not other.acquire()
    clock.seconds = 11.5
    assert other.acquire(), "it stood still for a term"


def test_a_restored_journal_starts_above_what_the_broker_has_seen(store: Store) -> None:
    one = claim(store, SplitClock(), "one")
    assert one.acquire(at_least=41)
    assert one.epoch == 41


def test_the_row_says_for_people_when_the_lease_ends(store: Store) -> None:
    assert claim(store, SplitClock(), "one").acquire()
    with store.reading() as connection:
        row = connection.execute(select(lease)).one()
    assert (row.holder, row.expires_at) == ("one", (NOW + timedelta(seconds=6)).isoformat())


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["ask", "renew", "give back", "sleep"])), max_size=40))
def test_two_never_hold_it_and_only_the_holder_can_append(steps: list[tuple[int, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store, clock = empty_store(Path(folder)), SplitClock()
        log = log_of(store)
        runners = [claim(store, clock, f"r{number}") for number in range(3)]
        epochs: list[int] = []
        for number, step in steps:
            runner = runners[number]
            if step == "sleep":
                clock.seconds += 1.7
            elif step == "ask" and runner.acquire():
                epochs.append(runner.epoch)
            elif step == "give back":
                runner.release()
            elif step == "renew" and runner.holds():
                runner.renew()
            assert sum(one.holds() for one in runners) <= 1
            for one in runners:
                if one.holds():
                    log.append([noted()], one.epoch)
            for old in epochs[:-1]:
                with pytest.raises(Deposed):
                    log.append([noted()], old)
        assert epochs == sorted(set(epochs)), "every holder has a higher epoch than the one before"
        store.close()


def test_a_process_that_ended_is_known_to_be_gone_and_one_that_was_stopped_is_not() -> None:
    script = "from ljwx_pipeline.live.holder import this_process; print(this_process(), flush=True); input()"
    child = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert child.stdout is not None
    name = child.stdout.readline().strip()
    assert name != this_process()
    child.send_signal(signal.SIGSTOP)
    assert not is_gone(name), "a stopped process may go on at any moment"
    child.kill()
    deadline = time.monotonic() + 10
    while not is_gone(name):  # not waited for yet: it is a zombie
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child.wait()
    assert is_gone(name)
    assert not is_gone(this_process())
    assert not is_gone(f"another-machine/{os.getpid()}/1")
    assert not is_gone("a name of another kind")


HOLDER = """
import sys
from pathlib import Path
from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.live.lease import Lease
from ljwx_pipeline.live.store import Store
import time
lease = Lease(Store(Path(sys.argv[1])), SystemClock(), term_s=1.0)
assert lease.acquire()
print(lease.epoch, flush=True)
while True:
    time.sleep(0.2)
    lease.renew()
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_standby_takes_over_from_a_holder_that_died_or_was_stopped(store: Store, how: signal.Signals) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(store.path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "1\n"
    standby = Lease(store, SystemClock(), term_s=1.0)
    watched = time.monotonic()
    while time.monotonic() < watched + 1.5:
        assert not standby.acquire(), "its holder renews it"
        time.sleep(0.1)
    child.send_signal(how)
    since = time.monotonic()
    while not standby.acquire():
        assert time.monotonic() < since + 10
        time.sleep(0.05)
    assert standby.epoch == 2
    if how is signal.SIGSTOP:
        child.send_signal(signal.SIGCONT)
        _, said = child.communicate(timeout=10)
        assert "held epoch 1, the journal is at 2" in said
    else:
        assert time.monotonic() < since + 0.9, "a process that is gone is not waited for"
        child.wait(10)
