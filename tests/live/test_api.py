"""Health means progress; a body too large is not read; a loop that dies takes its process with it."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from ljwx_pipeline.clock import ManualClock
from ljwx_pipeline.config import Settings
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.live import api
from ljwx_pipeline.live.api import ApiParts, make_api
from ljwx_pipeline.live.inbox import Accepted, Inbox
from ljwx_pipeline.live.journal import Journal
from ljwx_pipeline.live.main import serve
from ljwx_pipeline.live.process import LiveProcess
from ljwx_pipeline.live.progress import Mode, Progress
from tests.fakes.arrivals import at_once
from tests.fakes.live_home import live_home, live_settings
from tests.fakes.sqlite_file import connect

BASE = "http://127.0.0.1"
NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def parts(tmp_path: Path, clock: ManualClock) -> ApiParts:
    @contextmanager
    def journal() -> Iterator[Journal]:
        opened = Journal(tmp_path / "journal.sqlite", clock)
        yield opened
        opened.close()

    def inbox(opened: Journal) -> Inbox:
        return Inbox(
            live_dir=tmp_path,
            keys_dir=tmp_path / "keys",
            factor_hash="",
            model_name="",
            journal=opened,
            clock=clock,
            staging=at_once(""),
        )

    return ApiParts(
        market="simulated-00000000",
        journal=journal,
        inbox=inbox,
        progress=Progress(clock),
        max_age_s=60.0,
        capital_fen=100_000,
    )


def test_health_follows_progress_and_not_existence(parts: ApiParts, clock: ManualClock) -> None:
    client = TestClient(make_api(parts), base_url=BASE)
    parts.progress.beat(Mode.TRADING, "session 2026-01-05")
    assert client.get("/health").status_code == 200
    clock.set(NOW + timedelta(seconds=60))
    assert client.get("/health").status_code == 200
    clock.set(NOW + timedelta(seconds=61))
    answer = client.get("/health")
    assert (answer.status_code, answer.json()["stalled"], answer.json()["seconds_since_progress"]) == (503, True, 61)
    parts.progress.beat(Mode.FINISHED)
    assert client.get("/health").json()["ok"]
    parts.progress.beat(Mode.HALTED, "a person must look")
    answer = client.get("/health")
    assert (answer.status_code, answer.json()["message"]) == (503, "a person must look")


def test_health_answers_while_every_thread_waits_with_a_bundle(
    parts: ApiParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    def slow(*_: object) -> Accepted:
        assert go_on.wait(30)
        raise LakeError("another process holds the inbox", "wait until it has ended")

    monkeypatch.setattr(Inbox, "receive", slow)
    parts.progress.beat(Mode.TRADING)

    async def ask() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(make_api(parts)), base_url=BASE) as client:
            pushed = [asyncio.create_task(client.post("/bundles", content=b"{}")) for _ in range(60)]
            try:
                await asyncio.sleep(0.2)  # more of them than the server has threads
                async with asyncio.timeout(5):
                    assert (await client.get("/health")).status_code == 200
            finally:
                go_on.set()
                answers = await asyncio.gather(*pushed)
            assert {answer.status_code for answer in answers} == {503}
            assert "another process holds the inbox" in answers[0].json()["detail"]

    asyncio.run(ask())


def test_the_bare_address_names_what_can_be_asked(parts: ApiParts) -> None:
    answer = TestClient(make_api(parts), base_url=BASE).get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    for wanted in ('href="/status"', 'href="/health"', "POST /bundles", "ljwx console"):
        assert wanted in answer.text


def test_the_status_of_a_new_account_is_its_capital(parts: ApiParts) -> None:
    status = TestClient(make_api(parts), base_url=BASE).get("/status").json()
    assert status["account"]["equity_cny"] == 1_000.0
    assert status["model"] == {"version": None, "bundle_hash": None}
    assert status["paper"] is True


def test_a_body_larger_than_any_bundle_is_refused(parts: ApiParts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "MAX_REQUEST_BYTES", 1000)
    answer = TestClient(make_api(parts), base_url=BASE).post("/bundles", content=b"x" * 1001)
    assert answer.status_code == 413
    assert "larger than 1000 bytes" in answer.json()["detail"]


@pytest.mark.parametrize("body", [b"", b"{}", b"\x00\xff", b"[" * 5000])
def test_rubbish_is_refused_with_a_reason(parts: ApiParts, body: bytes) -> None:
    answer = TestClient(make_api(parts), base_url=BASE).post("/bundles", content=body)
    assert answer.status_code == 422
    assert answer.json()["detail"]


def test_a_loop_that_dies_takes_its_process_with_it(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = live_home(tmp_path, symbols=8, feed_sessions=2)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    async def bug(*_: object) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(LiveProcess, "_pass", bug)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with pytest.raises(ZeroDivisionError):
            serve(home.home, live_settings(settings, runner_port=port), keys_dir=home.keys)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.parametrize(
    ("configured", "asked"),
    [("::1", "[::1]:8700"), ("fd00::7", "[fd00::7]:8700"), ("0.0.0.0", "127.0.0.1:8700"), ("0.0.0.0", "0.0.0.0:8700")],
)
def test_every_address_that_can_be_configured_is_served(parts: ApiParts, configured: str, asked: str) -> None:
    client = TestClient(make_api(replace(parts, host=configured)), base_url=BASE)
    assert client.get("/health", headers={"Host": asked}).status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("localhost", 200),
        ("[::1]:8000", 200),
        ("box.lan:8000", 200),
        ("evil.example", 400),
        ("127.0.0.1.evil.example", 400),
        ("", 400),
    ],
)
def test_only_its_own_names_are_served(parts: ApiParts, host: str, status: int) -> None:
    parts.progress.beat(Mode.TRADING)
    client = TestClient(make_api(replace(parts, host="box.lan")), base_url=BASE)
    assert client.get("/health", headers={"Host": host}).status_code == status


def test_refused_requests_write_one_event_a_second(parts: ApiParts, clock: ManualClock) -> None:
    client = TestClient(make_api(parts), base_url=BASE)
    for second, events in ((0, 1), (0.9, 1), (1, 2)):
        clock.set(NOW + timedelta(seconds=second))
        for _ in range(3):
            assert client.post("/bundles", content=b"x").status_code == 422
        with parts.journal() as journal:
            rows = connect(journal.path).execute("SELECT kind FROM events").fetchall()
        assert [row["kind"] for row in rows] == ["bundle_refused"] * events
