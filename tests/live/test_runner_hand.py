"""A person's hand on a served runner: what the kill switch denies at the next closes, and what a reset lets go."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from ljwx_pipeline.cli import main
from tests.fakes.live_home import live_home
from tests.fakes.served_runner import ServedRunner, serving, wait_for
from tests.fakes.sqlite_file import connect

ROOT = Path(__file__).resolve().parents[2]
SESSIONS = 12


def asked(runner: ServedRunner, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """What ``ljwx live ...`` prints when it asks ``runner``."""
    capsys.readouterr()
    assert main(["live", *words, "--set", f"ui.runner_port={runner.port}", "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out))


def newest_close(journal: Path) -> str:
    """The newest close that was decided."""
    with closing(connect(journal)) as db:
        found = db.execute("SELECT max(session) FROM events_log WHERE kind = 'SignalsScored'").fetchone()[0]
    return found or ""


@pytest.mark.slow
def test_the_kill_switch_denies_the_next_close_s_orders_until_it_is_reset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("LJWX_HOME", str(tmp_path / "other"))
    home = live_home(tmp_path, symbols=16, feed_sessions=SESSIONS)
    home.spool(home.bundle(), "1")
    journal = home.live / "account" / "journal.sqlite"
    with serving(home, seconds_per_session=1.5) as runner:
        wait_for(lambda: runner.sessions >= 2)
        said = asked(runner, capsys, "status")
        assert (said["source"], said["mode"]) == ("runner", "active")
        said = asked(runner, capsys, "kill", "--reason", "a drill", "--by", "wu")
        assert said["mode"] == "halted"
        assert not said["not_cancelled"]
        killed = newest_close(journal)
        wait_for(lambda: decided_behind(journal, killed) >= 1)
        assert asked(runner, capsys, "reset", "KILL_SWITCH", "--reason", "over", "--by", "wu")["mode"] == "active"
        reset = newest_close(journal)
        wait_for(lambda: decided_behind(journal, reset) >= 1)
    with closing(connect(journal)) as db:
        rows = db.execute("SELECT session, side, state, reason FROM orders WHERE leg = 'decide'").fetchall()
    assert not [row for row in rows if row[3] == "KILL_SWITCH" and not killed < row[0] <= reset]
    # the close that was being decided when the switch was pulled or reset may stand on either side
    first = min(row[0] for row in rows if row[3] == "KILL_SWITCH")
    meanwhile = [row for row in rows if first <= row[0] < reset]
    assert meanwhile == [row for row in meanwhile if (row[2], row[3]) == ("denied", "KILL_SWITCH")]
    assert [row for row in rows if row[3] == "KILL_SWITCH" and row[1] == "buy"]
    assert [row for row in rows if row[0] > reset and row[2] != "denied"]


@pytest.mark.slow
def test_one_of_two_strategies_is_halted_and_the_other_trades_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("LJWX_HOME", str(tmp_path / "other"))
    home = live_home(tmp_path, symbols=16, feed_sessions=SESSIONS)
    home.spool(home.bundle(), "1")
    journal = home.live / "account" / "journal.sqlite"
    with serving(home, seconds_per_session=1.0) as runner:
        wait_for(lambda: runner.sessions >= 1)
        strategies = f"http://127.0.0.1:{runner.port}/strategies"
        for name, share in (("topk-dropout", 0.5), ("core", 0.5)):
            keys = {"model": "", "universe": "", "capital_share_frac": share, "schedule": "close", "paused": False}
            assert httpx.put(f"{strategies}/{name}?by=ada", json=keys).status_code == 200
        # it is known to the breakers and to a person as soon as it is there
        halted = asked(runner, capsys, "halt", "--strategy", "core", "--reason", "a drill", "--by", "wu")
        assert halted["strategies"]["core"]["mode"] == "halted"
        assert halted["strategies"]["topk-dropout"]["mode"] == halted["mode"] == "active"
        behind = newest_close(journal)
        wait_for(lambda: decided_behind(journal, behind) >= 2)
    with closing(connect(journal)) as db:
        rows = db.execute("SELECT strategy, state, reason FROM orders WHERE session > ?", (behind,)).fetchall()
    of_core = {row[1:] for row in rows if row[0] == "core"}
    assert of_core == {("denied", "CHOSEN")}
    assert "CHOSEN" not in {row[2] for row in rows if row[0] != "core"}
    assert [row for row in rows if row[0] == "topk-dropout" and row[1] != "denied"]


def decided_behind(journal: Path, session: str) -> int:
    """How many closes behind ``session`` asked for a purchase."""
    with closing(connect(journal)) as db:
        bought = "SELECT count(DISTINCT session) FROM orders WHERE side = 'buy' AND session > ?"
        return int(db.execute(bought, (session,)).fetchone()[0])
