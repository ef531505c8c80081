"""What is said to systemd, heard on a real socket, and when the watchdog falls silent."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ljwx_pipeline.clock import ManualClock, SystemClock
from ljwx_pipeline.errors import ConfigError, EnvironmentFault
from ljwx_pipeline.live.progress import Mode, Progress
from ljwx_pipeline.live.supervision.sd_notify import MAX_STATUS_CHARACTERS, ServiceManager
from ljwx_pipeline.live.supervision.watchdog import STARTING_LOOK_S, UNWATCHED_LOOK_S, Watchdog

NOW = datetime(2025, 11, 3, 7, 5, tzinfo=UTC)


class Listener:
    """The service manager's end of the socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(f"\0{address[1:]}" if address[0] == "@" else address)
        self.socket.setblocking(False)

    def heard(self) -> list[list[str]]:
        found = []
        while True:
            try:
                found.append(self.socket.recv(65_536).decode().split("\n"))
            except BlockingIOError:
                return found


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Listener]:
    if request.param == "abstract" and sys.platform != "linux":
        pytest.skip("abstract sockets are Linux's")
    found = Listener(str(tmp_path / "notify") if request.param == "path" else f"@ljwx-{secrets.token_hex(8)}")
    yield found
    found.socket.close()


def test_each_word_of_the_protocol_arrives_as_it_is_specified(listener: Listener) -> None:
    manager = ServiceManager(listener.address)
    manager.status("migrating\nthe journal")
    manager.ready("trading")
    manager.watchdog()
    manager.stopping("asked to")
    assert listener.heard() == [
        ["STATUS=migrating the journal"],
        ["READY=1", "STATUS=trading"],
        ["WATCHDOG=1"],
        ["STOPPING=1", "STATUS=asked to"],
    ]


def test_the_same_status_is_said_once_and_a_long_one_is_cut(listener: Listener) -> None:
    manager = ServiceManager(listener.address)
    for _ in range(3):
        manager.status("x" * 1000)
    assert listener.heard() == [["STATUS=" + "x" * MAX_STATUS_CHARACTERS]]


def test_where_nobody_listens_nothing_is_sent_and_nobody_is_watched() -> None:
    manager = ServiceManager.of_environment({"WATCHDOG_USEC": "5"})
    manager.ready("alone")
    manager.watchdog()
    assert not manager.listens
    assert manager.watchdog_s is None


@pytest.mark.parametrize(
    ("said", "watchdog_s"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({}, None),
    ],
)
def test_the_environment_says_whether_this_process_is_watched(said: dict[str, str], watchdog_s: float | None) -> None:
    manager = ServiceManager.of_environment({"NOTIFY_SOCKET": "/run/notify", **said})
    assert manager.watchdog_s == watchdog_s


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"NOTIFY_SOCKET": "vsock:2:1"}, "NOTIFY_SOCKET is 'vsock:2:1'"),
        ({"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "soon"}, "WATCHDOG_USEC is 'soon'"),
        ({"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "0"}, "WATCHDOG_USEC is '0'"),
    ],
)
def test_an_environment_without_sense_is_named(environment: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ServiceManager.of_environment(environment)


def test_a_socket_that_is_gone_is_an_error_of_the_machine(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="takes no message"):
        ServiceManager(str(tmp_path / "nobody")).watchdog()


def watched(listener: Listener, max_age_s: float = 60.0) -> tuple[ManualClock, Progress, Watchdog]:
    clock = ManualClock(NOW)
    progress = Progress(clock)
    manager = ServiceManager(listener.address, watchdog_s=30.0)
    return clock, progress, Watchdog(manager, progress, max_age_s=max_age_s, books_agree=lambda: False)


def test_the_watchdog_is_fed_by_progress_and_starves_without(listener: Listener) -> None:
    clock, progress, watchdog = watched(listener)
    progress.beat(Mode.TRADING, "session 2025-11-03")
    clock.set(NOW + timedelta(seconds=59))
    assert watchdog.look()
    assert listener.heard() == [["WATCHDOG=1"], ["STATUS=trading: session 2025-11-03"]]
    clock.set(NOW + timedelta(seconds=60))
    for _ in range(5):
        assert not watchdog.look(), "however often it looks, no time but progress feeds it"
    assert listener.heard() == [["STATUS=no progress for 60 s, limit 60 s; last: trading: session 2025-11-03"]]
    progress.beat(Mode.TRADING, "session 2025-11-04")
    assert watchdog.look()
    assert ["WATCHDOG=1"] in listener.heard()


def test_start_up_is_over_once_the_books_agree_and_that_is_said_once(listener: Listener) -> None:
    progress, agreed = Progress(ManualClock(NOW)), False
    watchdog = Watchdog(ServiceManager(listener.address), progress, max_age_s=60, books_agree=lambda: agreed)
    assert watchdog.look_s == STARTING_LOOK_S
    for mode in (Mode.STARTING, Mode.OUTAGE, Mode.HALTED, Mode.TRADING):
        progress.beat(mode)
        watchdog.look()
    assert listener.heard() == [["STATUS=starting"], ["STATUS=outage"], ["STATUS=halted"], ["STATUS=trading"]]
    agreed = True
    watchdog.look()
    watchdog.look()
    assert listener.heard() == [["READY=1", "STATUS=trading"]]
    assert watchdog.look_s == UNWATCHED_LOOK_S


@pytest.mark.parametrize("mode", [Mode.STANDBY, Mode.WAITING])
def test_who_has_no_books_to_compare_is_ready(listener: Listener, mode: Mode) -> None:
    _, progress, watchdog = watched(listener)
    progress.beat(mode, "for something")
    watchdog.look()
    assert listener.heard()[0] == ["READY=1", f"STATUS={mode}: for something"]


def test_while_it_ends_nothing_else_is_said_of_what_it_does(listener: Listener) -> None:
    _, progress, watchdog = watched(listener)
    watchdog.stopping("asked to")
    progress.beat(Mode.TRADING, "the last step")
    watchdog.look()
    assert listener.heard() == [["STOPPING=1", "STATUS=asked to"], ["WATCHDOG=1"]]


def test_a_manager_that_is_gone_keeps_nobody_from_ending(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manager = ServiceManager(str(tmp_path / "nobody"))
    watchdog = Watchdog(manager, Progress(SystemClock()), max_age_s=60, books_agree=lambda: True)
    watchdog.stopping("asked to")
    assert watchdog.fault in capsys.readouterr().err
    assert "takes no message" in watchdog.fault


def run_for(watchdog: Watchdog, until: Callable[[], bool]) -> None:
    async def run() -> None:
        task = asyncio.create_task(watchdog.run())
        for _ in range(200):
            await asyncio.sleep(0.01)
            if until():
                break
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


def test_it_looks_several_times_a_term_and_stops_speaking_when_the_work_stops(listener: Listener) -> None:
    progress = Progress(SystemClock())
    manager = ServiceManager(listener.address, watchdog_s=0.08)
    watchdog = Watchdog(manager, progress, max_age_s=0.2, books_agree=lambda: False)
    told: list[list[str]] = []

    def silent() -> bool:
        told.extend(listener.heard())
        return any(line.startswith("STATUS=no progress") for message in told for line in message)

    run_for(watchdog, silent)
    pings = told.count(["WATCHDOG=1"])
    assert 3 <= pings <= 11, "every 0.02 s for 0.2 s, then never again"
    assert told[-1][0].startswith("STATUS=no progress")


def test_a_manager_that_is_away_for_a_moment_is_told_again(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    manager = ServiceManager(address, watchdog_s=0.04)
    watchdog = Watchdog(manager, Progress(SystemClock()), max_age_s=60, books_agree=lambda: False)
    run_for(watchdog, lambda: bool(watchdog.fault))
    assert "takes no message" in watchdog.fault
    listener = Listener(address)
    try:
        run_for(watchdog, lambda: not watchdog.fault)
        assert watchdog.fault == ""
        assert ["WATCHDOG=1"] in listener.heard()
    finally:
        listener.socket.close()
