"""``ljwx live`` under a service manager: what it is told, and what a runner does that ended uncleanly too often."""

from __future__ import annotations

import queue
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.errors import CrashLoop
from ljwx_pipeline.live.supervision.starts import ALERT_CODE, Starts
from tests.fakes.live_home import Home, live_home
from tests.fakes.served_runner import serving
from tests.fakes.sqlite_file import connect


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return live_home(tmp_path, symbols=16, feed_sessions=4)


class Manager:
    """The service manager's end of the socket: it reads whatever comes, and hands it out line by line."""

    def __init__(self, listener: socket.socket) -> None:
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._listener = listener
        threading.Thread(target=self._listen, daemon=True).start()

    def until(self, beginning: str) -> list[str]:
        """Every line up to the first that begins so, this one included."""
        found: list[str] = []
        while not (found and found[-1].startswith(beginning)):
            found.append(self._lines.get(timeout=60))
        return found

    def _listen(self) -> None:
        while message := self._listener.recv(65_536):
            for line in message.decode().split("\n"):
                self._lines.put(line)


@pytest.fixture
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    """The manager's end of the socket, named to whoever is started."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "400000")
        yield Manager(listener)
        listener.sendto(b"", str(tmp_path / "notify"))


def crashed(home: Home, times: int) -> Starts:
    """The record of a runner that ended so often."""
    starts = Starts(home.live, SystemClock())
    for _ in range(times):
        with pytest.raises(RuntimeError), starts.run():
            raise RuntimeError("boom")
    return starts


def alerts(home: Home) -> list[str]:
    with closing(connect(home.live / "account" / "journal.sqlite")) as journal:
        return [row[0] for row in journal.execute("SELECT code FROM outbox")]


@pytest.mark.slow
def test_the_manager_hears_that_the_books_agree_that_it_gets_on_and_that_it_ends(home: Home, heard: Manager) -> None:
    home.spool(home.bundle(), "1")
    with serving(home, seconds_per_session=0.2) as runner:
        before = heard.until("READY=1")
        assert not [line for line in before if line.startswith("STATUS=finished")]
        assert heard.until("STATUS=")[-1].startswith("STATUS=trading: ")
        heard.until("STATUS=finished: every session of the pack is done")
        for _ in range(3):
            heard.until("WATCHDOG=1")  # idle at the pack's end, and still at work
        assert runner.end(signal.SIGTERM) == (0, "")
        rest = heard.until("STATUS=asked to")
        assert rest[-2] == "STOPPING=1"
        assert "READY=1" not in rest
    assert Starts(home.live, SystemClock()).unclean_ends() == []
    assert list((home.live / "starts").glob("*.json")) == []


def test_without_a_model_it_is_ready_and_the_one_that_stands_by_is(home: Home, heard: Manager) -> None:
    with serving(home) as first:
        heard.until("READY=1")
        assert heard.until("STATUS=") == ["STATUS=waiting: no model has been deployed yet"]
        with serving(home) as second:
            heard.until("READY=1")
            assert heard.until("STATUS=") == ["STATUS=standby: another runner trades this account"]
            assert second.end(signal.SIGTERM) == (0, "")
        assert first.end(signal.SIGTERM) == (0, "")


def test_a_runner_that_was_killed_three_times_waits_and_can_be_stopped_meanwhile(home: Home, heard: Manager) -> None:
    starts = crashed(home, 3)
    with serving(home) as runner:
        (said,) = heard.until("STATUS=")
        assert said.startswith("STATUS=the runner ended uncleanly 3 times within 30 min")
        assert said.endswith("waiting 10 s")
        assert alerts(home) == [ALERT_CODE]
        code, complained = runner.end(signal.SIGTERM)
    assert (code, complained.strip()) == (0, said.removeprefix("STATUS="))
    assert len(starts.unclean_ends()) == 3, "nothing was started"


def test_after_eight_it_stays_down_and_says_why(home: Home) -> None:
    crashed(home, 8)
    for _ in range(2):
        with serving(home) as runner:
            code, said = runner.end()
        assert code == CrashLoop.exit_code
        assert "8 times within 30 min" in said
        assert "said: exit code 1, RuntimeError: boom" in said
    assert alerts(home) == [ALERT_CODE], "told once"
