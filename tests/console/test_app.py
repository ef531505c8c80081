"""The console shows what the journal holds, in CNY, and says so when there is none."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from ljwx_pipeline.clock import ManualClock, SystemClock
from ljwx_pipeline.config import Settings
from ljwx_pipeline.console.app import make_app
from ljwx_pipeline.console.journal_reader import JOURNAL, Reader
from ljwx_pipeline.console.main import serve
from ljwx_pipeline.errors import EnvironmentFault
from ljwx_pipeline.live.events import AlertRaised, BreakerReset, BreakerTripped, ModeChanged, Tier
from ljwx_pipeline.live.journal import Journal, RunnerState
from ljwx_pipeline.live.main import run_replay
from ljwx_pipeline.trading.modes import TradingMode
from tests.fakes.live_home import Home, live_home, live_settings
from tests.fakes.sqlite_file import connect

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
BASE = "http://127.0.0.1"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    from ljwx_pipeline.config import load_settings

    home = live_home(tmp_path_factory.mktemp("console"))
    home.spool(home.bundle(), "5")
    shipped = load_settings(config_file=ROOT / "ljwx.toml", profile="simulated", environ={})
    run_replay(home.home, live_settings(shipped), keys_dir=home.keys)
    return home


@pytest.fixture
def client(home: Home) -> TestClient:
    return TestClient(make_app(Reader(home.home / JOURNAL), market="test-market"), base_url=BASE)


def test_the_account_is_the_journal_s_in_cny(home: Home, client: TestClient) -> None:
    answer = client.get("/api/account").json()
    db = connect(home.home / JOURNAL)
    row = db.execute("SELECT * FROM account ORDER BY session DESC LIMIT 1").fetchone()
    assert answer["account"]["equity_cny"] == row["equity_fen"] / 100
    assert answer["account"]["cash_cny"] == row["cash_fen"] / 100
    assert len(answer["history"]) == home.feed_sessions
    assert answer["runner"]["model_version"] == "5"
    assert answer["runner"]["mode"] == "finished"
    positions = client.get("/api/positions").json()["positions"]
    held = sum(position["value_cny"] for position in positions)
    assert held == pytest.approx(answer["account"]["market_value_cny"], abs=0.01 * len(positions))


def test_orders_fills_signals_and_events_are_listed(home: Home, client: TestClient) -> None:
    answer = client.get("/api/orders?limit=1000").json()
    assert sum(answer["states"].values()) == len(answer["orders"])
    filled = {order["client_order_id"] for order in answer["orders"] if order["filled_shares"]}
    assert len(filled) == len(answer["fills"]) > 0
    assert len(client.get("/api/orders?limit=3").json()["orders"]) == 3
    scores = [signal["score"] for signal in client.get("/api/signals").json()["signals"]]
    assert scores == sorted(scores, reverse=True) != []
    kinds = {event["kind"] for event in client.get("/api/events").json()["events"]}
    of_breakers = {"alert", "breaker_tripped", "breaker_reset", "mode_changed"}
    assert kinds == {
        "bundle_deployed",
        "difference_explained",
        "model_trades",
        "no_intervals",
        "strategy_changed",
        *of_breakers,
    }


def test_who_trades_and_what_stands_in_the_way_are_told_first(home: Home, client: TestClient) -> None:
    shown = client.get("/api/standing").json()
    assert [one["strategy"] for one in shown["strategies"]] == ["topk-dropout"]
    assert shown["strategies"][0]["mode"] == "active"
    assert shown["strategies"][0]["capital_share_frac"] == 1.0
    books = {one["sleeve"]: one for one in shown["sleeves"]}
    newest = client.get("/api/account").json()["account"]
    assert sum(one["equity_cny"] for one in books.values()) == pytest.approx(newest["equity_cny"])
    db = connect(home.home / JOURNAL)
    tripped = {(row["breaker"], row["scope"]) for row in db.execute("SELECT * FROM breakers WHERE tripped = 1")}
    assert {(one["breaker"], one["strategy"]) for one in shown["tripped"]} == tripped
    page = client.get("/").text
    assert page.index("What may trade") < page.index("Equity</h2>")
    assert "topk-dropout" in page


def test_a_breaker_and_a_person_s_mode_are_shown_until_they_end(tmp_path: Path) -> None:
    clock = ManualClock(NOW)
    journal = Journal(tmp_path / JOURNAL, clock)
    journal.record_state(RunnerState("trading", False, 100, None, None, 0, 0, "session 2026-01-05"))
    client = TestClient(make_app(Reader(tmp_path / JOURNAL), market="m", clock=clock), base_url=BASE)
    assert "No breaker is tripped and nobody has changed a mode" in client.get("/").text
    tripped = BreakerTripped(
        breaker="DAY_LOSS",
        scope="",
        session=date(2026, 1, 5),
        value="61000.00",
        limit="50000.00",
        reason="lost <more> than it may in a day",
    )
    reduced = ModeChanged(scope="", mode=TradingMode.REDUCING, by="ann", reason="careful")
    journal.log.append([tripped, reduced, AlertRaised(tier=Tier.CRITICAL, code="DAY_LOSS", message="61,000 lost")], 0)
    page = client.get("/").text
    for told in ("day loss", "lost &lt;more&gt; than it may in a day", "reducing", "careful", "(ann)", "61,000 lost"):
        assert told in page
    assert [one["tier"] for one in client.get("/api/standing").json()["alerts"]] == ["critical"]
    journal.log.append([BreakerReset(breaker="DAY_LOSS", scope="", by="ann", reason="looked at it")], 0)
    journal.log.append([ModeChanged(scope="", mode=TradingMode.ACTIVE, by="ann", reason="again")], 0)
    assert "No breaker is tripped and nobody has changed a mode" in client.get("/").text


@pytest.mark.parametrize("limit", [0, -1, 10_001, "many"])
def test_a_limit_out_of_range_is_refused(client: TestClient, limit: object) -> None:
    assert client.get(f"/api/orders?limit={limit}").status_code == 422


def test_the_page_shows_it_all_and_loads_nothing_from_outside(client: TestClient) -> None:
    page = client.get("/").text
    for wanted in ("PAPER", "SIMULATED MARKET", "FINISHED", "<polyline", "test-market", "Newest fills", "S000"):
        assert wanted in page
    assert not re.search(r"""(?:src|href)=["'](?!data:)""", page)
    assert "http://" not in page
    assert "https://" not in page
    assert "<script" not in page


def test_an_idle_runner_is_told_from_a_stopped_one(tmp_path: Path) -> None:
    clock = ManualClock(NOW)
    journal = Journal(tmp_path / JOURNAL, clock)
    journal.record_state(RunnerState("finished", False, 100, None, None, 0, 0, "every session of the pack is done"))
    client = TestClient(make_app(Reader(tmp_path / JOURNAL), market="m", max_age_s=75, clock=clock), base_url=BASE)
    clock.set(NOW + timedelta(seconds=75))
    assert "runner idle, last seen 1 min ago" in client.get("/").text
    clock.set(NOW + timedelta(hours=5))
    page = client.get("/").text
    assert "runner not running, last seen 5 h ago" in page
    assert "<code>ljwx live</code> starts it" in page


def test_units_and_odd_lots_are_explained(home: Home, client: TestClient, tmp_path: Path) -> None:
    page = client.get("/").text
    assert "held, sessions" in page
    assert "This page renews itself every 5 s" in page
    db = connect(home.home / JOURNAL)
    odd = db.execute("SELECT count(*) FROM positions WHERE shares % 100 <> 0").fetchone()[0]
    assert odd > 0, "the market of this test holds odd lots"
    assert "the STAR board (688xxx" in page
    assert "STAR" not in TestClient(make_app(Reader(tmp_path / JOURNAL), market="m"), base_url=BASE).get("/").text


def test_before_the_first_start_it_says_so(tmp_path: Path) -> None:
    client = TestClient(make_app(Reader(tmp_path / JOURNAL), market="m"), base_url=BASE)
    assert "There is no account here yet" in client.get("/").text
    assert client.get("/api/account").json() == {
        "runner": None,
        "withdrawn": None,
        "account": None,
        "history": [],
    }
    assert client.get("/health").json()["journal"] is False
    assert not (tmp_path / "live").exists(), "reading must not make anything"


def test_what_is_written_in_the_journal_is_shown_as_text(tmp_path: Path) -> None:
    journal = Journal(tmp_path / JOURNAL, SystemClock())
    journal.record_state(RunnerState("waiting", False, 100, None, None, 0, 0, "<script>alert(1)</script>"))
    page = TestClient(make_app(Reader(tmp_path / JOURNAL), market="m"), base_url=BASE).get("/").text
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "SIMULATED" not in page


def test_a_journal_of_another_release_is_named(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).parent.mkdir(parents=True)
    (tmp_path / JOURNAL).touch()
    connect(tmp_path / JOURNAL).execute("PRAGMA user_version=99")
    answer = TestClient(make_app(Reader(tmp_path / JOURNAL), market="m"), base_url=BASE).get("/api/account")
    assert answer.status_code == 503
    assert "schema version 99" in answer.json()["detail"]


def test_the_console_cannot_write(home: Home) -> None:
    import sqlite3

    reader = Reader(home.home / JOURNAL)
    with reader._connection() as connection, pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM runner")


def test_a_port_in_use_is_named_with_its_remedy(tmp_path: Path, settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EnvironmentFault, match=rf"port {port} on 127\.0\.0\.1 .*ui\.console_port"):
            serve(tmp_path, live_settings(settings, console_port=port))


@pytest.fixture
def console(home: Home) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = f"""
import sys
from pathlib import Path
from ljwx_pipeline.config import load_settings
environ = {{"LJWX_UI__CONSOLE_PORT": "{port}"}}
settings = load_settings(config_file=Path("ljwx.toml"), profile="simulated", environ=environ)
from ljwx_pipeline.console.main import serve
exit_code = serve(Path({str(home.home)!r}), settings)
assert not [name for name in sys.modules if name.startswith(("ljwx_pipeline.live", "ljwx_pipeline.trading", "numba"))]
sys.exit(exit_code)
"""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    yield f"http://127.0.0.1:{port}", process
    if process.poll() is None:
        process.kill()
    process.communicate()


def test_it_serves_in_a_process_of_its_own_that_knows_no_runner(console: tuple[str, subprocess.Popen[str]]) -> None:
    base, process = console
    deadline = time.monotonic() + 60
    while True:
        try:
            assert httpx.get(f"{base}/health").json() == {"service": "ljwx-console", "ok": True, "journal": True}
            break
        except httpx.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert "LJWX paper account" in httpx.get(base).text
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err


@pytest.mark.parametrize(
    ("configured", "asked"),
    [("::1", "[::1]:8710"), ("fd00::7", "[fd00::7]:8710"), ("0.0.0.0", "127.0.0.1:8710"), ("0.0.0.0", "0.0.0.0:8710")],
)
def test_every_address_that_can_be_configured_is_served(tmp_path: Path, configured: str, asked: str) -> None:
    client = TestClient(make_app(Reader(tmp_path / JOURNAL), market="m", host=configured), base_url=BASE)
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
def test_only_its_own_names_are_served(tmp_path: Path, host: str, status: int) -> None:
    client = TestClient(make_app(Reader(tmp_path / JOURNAL), market="m", host="box.lan"), base_url=BASE)
    assert client.get("/health", headers={"Host": host}).status_code == status
