"""``ljwx live strategies|reload``: the journal's strategies as a table and as JSON, and the runner's own words."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI

from ljwx_pipeline.cli import main
from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.config import LiveStrategySettings, load_settings, market_home
from ljwx_pipeline.errors import ConfigError, LiveError
from ljwx_pipeline.live.async_journal import AsyncJournal
from ljwx_pipeline.live.event_log import EventLog
from ljwx_pipeline.live.journal import Journal
from ljwx_pipeline.live.sleeves.desk import Configured, StrategyDesk
from ljwx_pipeline.live.sleeves.strategies import plan, specs_of
from ljwx_pipeline.live.strategies_api import strategies_router

ROOT = Path(__file__).resolve().parent.parent
KEYS = {"model": "", "universe": "", "capital_share_frac": 0.25, "schedule": "close", "paused": False}


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("LJWX_HOME", str(tmp_path))
    made = Journal(market_home(load_settings()) / "live" / "account" / "journal.sqlite", SystemClock())
    yield made
    made.close()


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(["live", *words]) == 0
    return capsys.readouterr().out


def test_before_anything_traded_there_is_nothing_to_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("LJWX_HOME", str(tmp_path))
    assert main(["live", "strategies"]) == LiveError.exit_code
    assert "no runner has traded this market" in capsys.readouterr().err


def test_the_strategies_are_shown_as_a_table_and_as_json(journal: Journal, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "strategies").strip() == "no strategy has traded this account yet"
    settings = load_settings()
    specs, _ = specs_of({"core": LiveStrategySettings.model_validate(KEYS)}, settings.strategy, settings.risk)
    EventLog(journal.store, SystemClock()).append(plan((), specs, holding=(), by="ada").events, 0)
    header, _, line, note = said(capsys, "strategies").strip().splitlines()
    assert header.split()[:5] == ["strategy", "state", "mode", "share", "%"]
    assert line.split()[:4] == ["core", "active", "active", "25.00"]
    assert note == "core: no bundle of the market's model trades: nothing is bought"
    (found,) = json.loads(said(capsys, "strategies", "--json"))["strategies"]
    assert (found["sleeve"], found["share_bps"], found["by"], found["result_fen"]) == ("core", 2_500, "ada", None)
    # nobody listens on the discard port
    said(capsys, "halt", "--strategy", "core", "--reason", "odd", "--by", "wu", "--set", "ui.runner_port=1024")
    assert said(capsys, "strategies").splitlines()[2].split()[:3] == ["core", "active", "halted"]
    assert json.loads(said(capsys, "strategies", "--json"))["strategies"][0]["mode"] == "halted"


def test_without_a_runner_a_reload_says_how_to_start_one(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("LJWX_UI__RUNNER_PORT", str(free.getsockname()[1]))
    assert main(["live", "reload"]) == LiveError.exit_code
    said = capsys.readouterr().err
    assert "no runner answers at http://127.0.0.1" in said
    assert "start it (`ljwx live`)" in said
    assert "Errno" not in said


def test_a_reload_prints_what_changed_or_the_runner_s_refusal(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load_settings()
    sections: dict[str, Any] = {"core": KEYS}

    def configured() -> Configured:
        if not sections:
            raise ConfigError("unknown key live.strategies.core.modle", "correct ljwx.toml")
        read = {name: LiveStrategySettings.model_validate(keys) for name, keys in sections.items()}
        return Configured(read, settings.strategy, settings.risk)

    reached = AsyncJournal(journal.store, EventLog(journal.store, SystemClock()))
    api = FastAPI()
    api.include_router(strategies_router(StrategyDesk(journal=reached, epoch=lambda: 0, configured=configured)))
    server = uvicorn.Server(uvicorn.Config(api, log_level="warning"))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        monkeypatch.setenv("LJWX_UI__RUNNER_PORT", str(listener.getsockname()[1]))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            out = said(capsys, "reload")
            assert out.splitlines() == ["core is added with 25.00% of the capital", "in effect from the next close on"]
            assert said(capsys, "reload").strip() == "nothing has changed"
            assert json.loads(said(capsys, "reload", "--json")) == {"changed": []}
            sections.clear()
            assert main(["live", "reload"]) == LiveError.exit_code
            assert "unknown key live.strategies.core.modle: correct ljwx.toml" in capsys.readouterr().err
        finally:
            server.should_exit = True
            thread.join()
            reached.close()
