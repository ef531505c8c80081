"""The commands around the gate, against MLflow's own database and a real runner process."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from ljwx_pipeline.cli import main
from ljwx_pipeline.config import Settings, load_settings, market_home, registered_model
from ljwx_pipeline.errors import ConfigError
from ljwx_pipeline.promotion.desk import Desk
from ljwx_pipeline.promotion.moves import Verdict, settle
from ljwx_pipeline.registry import ModelVersion, open_registry
from ljwx_pipeline.scoring.signing import public_key
from ljwx_pipeline.tracking import ChampionRecord
from tests.fakes.live_home import Home, live_home
from tests.fakes.mlflow_home import registry_in

ROOT = Path(__file__).resolve().parents[1]
LIMIT_S = 60.0
ENVIRONMENT = {
    "LJWX_STRATEGY__TOP_K": "6",
    "LJWX_STRATEGY__N_DROP": "2",
    "LJWX_STRATEGY__MIN_HOLD_SESSIONS": "2",
    "LJWX_RISK__MAX_WEIGHT_PER_NAME_FRAC": "0.3",
    "LJWX_RISK__MAX_PRICE_DEVIATION_FRAC": "1.0",
    "LJWX_RISK__MAX_DAY_LOSS_FRAC": "1.0",
    "LJWX_LIVE__MAX_BUNDLE_AGE_DAYS": "3650",
    "LJWX_LIVE__SECONDS_PER_SESSION": "1.0",
    "LJWX_UNIVERSE__MIN_MEAN_AMOUNT_CNY": "0.0",
    "LJWX_USER": "ann",
}


@dataclass(frozen=True)
class Market:
    """A market with three versions on which the gate has decided: promoted, promoted, awaiting approval."""

    home: Home
    settings: Settings
    desk: Desk

    @property
    def address(self) -> str:
        return self.settings.ui.address(self.settings.ui.runner_port)

    def status(self) -> dict[str, object]:
        return dict(httpx.get(f"{self.address}/status").json())

    def register(self, **changes: object) -> ModelVersion:
        registry = self.desk.registry
        bundle = self.home.bundle(model_name=self.desk.model, **changes)
        return registry.register(bundle, run_id=registry.begin("x"), public_key=public_key(self.home.keys))

    def judge(self, version: ModelVersion, decision: str) -> None:
        seen = self.desk.champion()
        verdict = Verdict(decision, ("few configurations",), version, "quant")  # type: ignore[arg-type]
        settle(self.desk, verdict, seen=None if seen is None else seen.bundle_hash)

    def champion(self) -> str | None:
        now = self.desk.champion()
        return None if now is None else now.version


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], bool], seconds: float = LIMIT_S) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@pytest.fixture
def market(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Market:
    for name, value in {**ENVIRONMENT, "LJWX_HOME": str(tmp_path), "LJWX_UI__RUNNER_PORT": str(free_port())}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LJWX_CONFIG", str(ROOT / "ljwx.toml"))
    settings = load_settings()
    made = live_home(tmp_path, feed_sessions=12)
    made.home.rename(market_home(settings))
    home = replace(made, home=market_home(settings))
    registry_in(tmp_path)
    registry, model = open_registry(settings.mlflow, tmp_path), registered_model(settings)
    desk = Desk(registry, ChampionRecord(home.home / "tracking"), model)
    market = Market(home, settings, desk)
    for rounds, decision in ((3, "promoted"), (4, "promoted"), (5, "awaiting_approval")):
        market.judge(market.register(rounds=rounds), decision)
    return market


@pytest.fixture
def runner(market: Market) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-m", "ljwx_pipeline.cli", "live"], cwd=ROOT, env=dict(os.environ))
    try:
        wait_for(lambda: httpx.get(f"{market.address}/health").status_code == 200)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@pytest.mark.slow
def test_a_rollback_puts_the_former_champion_live_within_a_minute(
    market: Market, runner: subprocess.Popen[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    for number in ("1", "2"):  # each traded once: the rollback brings back a bundle that the runner knows
        assert main(["promote", number, "--champion-changed-accepted", "--reason", "for the test"]) == 0
        wait_for(lambda number=number: market.status()["model"]["version"] == number)  # type: ignore[index,misc]
    capsys.readouterr()
    started = time.monotonic()
    command = [sys.executable, "-m", "ljwx_pipeline.cli", "rollback-model", "--reason", "worse than before", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    commanded = time.monotonic() - started
    wait_for(lambda: market.status()["model"]["version"] == "1")  # type: ignore[index]
    seconds = time.monotonic() - started
    with capsys.disabled():
        sys.stdout.write(f"\nrollback-model took {commanded:.1f} s, former champion live after {seconds:.1f} s\n")
    told = json.loads(done.stdout)
    assert (told["champion_before"], told["champion"], told["demoted"], told["status"]) == ("2", "1", "2", "accepted")
    assert (told["by"], told["reason"]) == ("ann", "worse than before")
    assert market.champion() == "1"
    assert seconds < LIMIT_S

    assert main(["demote", "--reason", "look first"]) == 0
    assert "has no champion; version 1 is demoted; the runner buys nothing more" in capsys.readouterr().out
    wait_for(lambda: market.status()["model"]["version"] is None)  # type: ignore[index]
    assert str(market.status()["withdrawn"]).startswith("no model: version 1 withdrawn at 20")
    assert market.champion() is None

    assert main(["promote", "1"]) == 0
    wait_for(lambda: market.status()["model"]["version"] == "1")  # type: ignore[index]
    assert market.status()["withdrawn"] is None

    other = market.register(rounds=6, factor_hash="e" * 64)
    market.judge(other, "promoted")
    assert main(["promote", other.version]) == 12
    error = capsys.readouterr().err
    assert f"version {other.version} is champion in the registry, but the runner refuses it" in error
    assert "the runner trades what it traded before" in error
    assert market.status()["model"]["version"] == "1"  # type: ignore[index]
    assert main(["rollback-model"]) == 0
    wait_for(lambda: market.status()["model"]["version"] == "1")  # type: ignore[index]
    assert market.champion() == "1"


@pytest.mark.slow
@pytest.mark.usefixtures("runner")
def test_a_demotion_of_old_whose_reason_no_runner_takes_is_finished(
    market: Market, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["promote", "2"]) == 0
    wait_for(lambda: market.status()["model"]["version"] == "2")  # type: ignore[index]
    two = market.desk.version("2")
    market.desk.record.decided(
        two.name, "2", two.bundle_hash, decision="demoted", reasons=[], via="demote", by="ann", reason="y" * 70_000
    )
    capsys.readouterr()
    assert main(["demote", "--reason", "short"]) == 0
    assert "has no champion; the runner buys nothing more" in capsys.readouterr().out
    wait_for(lambda: market.status()["model"]["version"] is None)  # type: ignore[index]
    assert market.champion() is None


def test_without_a_runner_it_waits_in_the_inbox_and_that_is_said(
    market: Market, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["promote", "3", "--dry-run"]) == 0
    said = capsys.readouterr()
    assert said.out.strip().endswith("would be champion, and the runner be told; nothing was done")
    assert "its last decision: awaiting_approval by the gate" in said.err
    assert market.champion() == "2"
    assert main(["promote", "3", "--reason", "few  trials,\nlooked at"]) == 0
    said = capsys.readouterr()
    assert "the runner does not answer: it lies in" in said.out
    assert f"champion of {market.desk.model}: version 2 -> 3" in said.err
    inbox = market.home.live / "inbox"
    assert [path.name for path in inbox.iterdir()] == [market.desk.version("3").bundle_hash]
    assert main(["rollback-model", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "spooled"
    assert len(list(inbox.glob("*.withdrawal.json"))) == 1
    assert market.champion() == "2"
    assert main(["models", "list", "--json"]) == 0
    rows = {row["version"]: row for row in json.loads(capsys.readouterr().out)["versions"]}
    assert {number: row["state"] for number, row in rows.items()} == {
        "1": "former champion",
        "2": "champion",
        "3": "demoted",
    }
    assert rows["3"]["decided"].startswith("demoted by ann (`ljwx rollback-model`) at 20")


def test_a_reason_that_could_not_be_told_is_refused_before_anything(
    market: Market, capsys: pytest.CaptureFixture[str]
) -> None:
    before = market.desk.record.path.read_bytes()
    odd = "which cannot be printed: give it as printable UTF-8 text"
    for reason, said in {
        "y" * 70_000: "--reason has 70000 characters: say it in 1000 at most",
        "bad\udcff": f"--reason holds '\\udcff', {odd}",
        "a\0b": f"--reason holds '\\x00', {odd}",
    }.items():
        for command in (["promote", "3"], ["demote"], ["rollback-model"]):
            assert main([*command, "--reason", reason]) == ConfigError.exit_code
            assert capsys.readouterr().err == f"error: {said}\n"
    assert (market.desk.record.path.read_bytes(), market.champion()) == (before, "2")


def test_who_may_not_and_what_is_not_there_end_in_one_line(
    market: Market, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LJWX_USER", "quant")
    assert main(["promote", "3", "--set", "approval.separation=true"]) == 12
    error = capsys.readouterr().err
    assert "error: version 3 of" in error
    assert "quant ran the research of this model, and approval.separation is on" in error
    assert main(["promote", "9"]) == 11
    assert "has no version '9': choose among 3, 2, 1" in capsys.readouterr().err
    assert main(["rollback-model", "--to", "3"]) == 12
    assert "choose among 1, or bring it back: `ljwx promote 3`" in capsys.readouterr().err
    assert market.champion() == "2"


def test_a_champion_that_the_gate_never_saw_is_replaced_only_by_a_word(
    market: Market, capsys: pytest.CaptureFixture[str]
) -> None:
    market.judge(market.register(rounds=6), "promoted")
    assert main(["promote", "3"]) == 12
    error = capsys.readouterr().err
    assert f"error: version 4 of {market.desk.model} became champion meanwhile (when version 3 was judged" in error
    assert "--champion-changed-accepted --reason TEXT" in error
    assert main(["promote", "3", "--champion-changed-accepted"]) == 12
    capsys.readouterr()
    accepted = ["promote", "3", "--champion-changed-accepted", "--reason", "both looked at", "--dry-run"]
    assert main(accepted) == 0
    assert "they were never compared" in capsys.readouterr().err
    assert market.champion() == "4"


def test_a_runner_that_refuses_trades_nothing_demoted_and_the_command_finishes_later(
    market: Market, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ljwx_pipeline.errors import PromotionError
    from ljwx_pipeline.promotion.deploy import RunnerLink

    def refuses(*_: object) -> object:
        raise PromotionError("the runner refuses it (trained on other factors)", "mend it")

    with monkeypatch.context() as patched:
        patched.setattr(RunnerLink, "push", refuses)
        assert main(["rollback-model"]) == 12
    error = capsys.readouterr().err
    assert "version 1 is champion in the registry, but the runner refuses it (trained on other factors)" in error
    assert "the runner trades no model" in error
    assert len(list((market.home.live / "inbox").glob("*.withdrawal.json"))) == 1
    assert main(["rollback-model"]) == 0
    said = capsys.readouterr()
    assert "finishes the rollback that ann began" in said.err
    assert market.champion() == "1"
