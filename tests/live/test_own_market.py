"""A command for one market at the runner of another: refused over real HTTP, with the command that would kill it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ljwx_pipeline.cli import main
from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.config import load_settings, market_name
from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.journal import Journal
from ljwx_pipeline.live.own_market import MARKET_HEADER
from tests.fakes.live_home import CONFIG, Home
from tests.fakes.live_market import Tables
from tests.fakes.served_runner import ServedRunner, serving, wait_for

ROOT = Path(__file__).resolve().parents[2]
OTHER = "noise"


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRunner]:
    """A runner of the simulated market that has nothing to trade yet."""
    folder = tmp_path_factory.mktemp("simulated")
    nothing = Tables(*(None,) * len(Tables.__dataclass_fields__))
    with serving(Home(folder, folder / "keys", folder, nothing, 0)) as served:
        wait_for(lambda: served.ask("/status"))
        yield served


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("LJWX_HOME", str(tmp_path))


def name_of(profile: str) -> str:
    return market_name(load_settings(config_file=CONFIG, profile=profile))


def command(runner: ServedRunner, capsys: pytest.CaptureFixture[str], *words: str, profile: str = OTHER) -> Any:
    """What ``ljwx live ... --profile`` prints when it asks ``runner``: what it says, or why it was refused."""
    capsys.readouterr()
    code = main(["live", *words, "--profile", profile, "--set", f"ui.runner_port={runner.port}", "--json"])
    out, refused = capsys.readouterr()
    assert code == (0 if out else LiveError.exit_code), refused
    return json.loads(out) if out else refused


@pytest.mark.parametrize(
    "words",
    [
        ("read-only",),
        ("halt",),
        ("resume",),
        ("reduce",),
        ("kill",),
        ("reset", "kill-switch"),
        ("close", "--all", "--yes"),
        ("reload",),
    ],
    ids=lambda words: words[0],
)
def test_a_command_for_another_market_changes_nothing_and_names_both(
    runner: ServedRunner, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    before = runner.ask("/standing")
    reason = () if words[0] == "reload" else ("--reason", "a drill", "--by", "wu")
    refused = command(runner, capsys, *words, *reason)
    assert f"trades {name_of('simulated')}, this command is for {name_of(OTHER)}; nothing was changed" in refused
    assert "--profile" in refused
    assert "ui.runner_port" in refused
    assert runner.ask("/standing") == before


def test_the_command_that_a_refusal_names_kills_the_runner_that_answered(
    runner: ServedRunner, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = command(runner, capsys, "halt", "--reason", "a drill", "--by", "wu")
    kill = re.search(r"`ljwx (live kill .*) --reason TEXT`", refused)
    assert kill is not None
    capsys.readouterr()
    assert main([*shlex.split(kill.group(1)), "--reason", "fire", "--by", "wu", "--profile", OTHER]) == 0
    assert runner.ask("/standing")["mode"] == "halted"
    reset = command(runner, capsys, "reset", "kill-switch", "--reason", "out", "--by", "wu", profile="simulated")
    assert reset["market"] == name_of("simulated")
    assert not [one for one in reset["breakers"] if one["tripped"]]


def test_status_says_whose_runner_answers(runner: ServedRunner, capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.ask("/status")["market"] == name_of("simulated")
    assert command(runner, capsys, "status", profile="simulated")["market"] == name_of("simulated")
    port = f"ui.runner_port={runner.port}"
    assert main(["live", "status", "--profile", OTHER, "--set", port]) == 0
    first, second = capsys.readouterr().out.split("\n\n")[:2]
    assert first.startswith(f"NOT {name_of(OTHER)}: another market's runner answers")
    assert second.startswith(f"the runner of {name_of('simulated')}:")


def test_every_answer_names_the_market_and_a_request_that_names_none_is_taken(runner: ServedRunner) -> None:
    address, body = f"http://127.0.0.1:{runner.port}", {"mode": "active", "strategy": "", "by": "wu", "reason": "r"}
    answer = httpx.post(f"{address}/mode", json=body)
    assert (answer.status_code, answer.headers[MARKET_HEADER]) == (200, name_of("simulated"))
    for path in ("/mode", "/kill", "/bundles", "/withdrawals", "/strategies/reload"):
        answer = httpx.post(f"{address}{path}", json=body, headers={MARKET_HEADER: "%E5%88%AB-12345678"})
        assert (answer.status_code, "for 别-12345678" in answer.json()["detail"]) == (421, True)
    assert httpx.get(f"{address}/standing", headers={MARKET_HEADER: "another"}).status_code == 200


def test_without_a_runner_a_kill_that_names_another_market_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "markets" / name_of("simulated") / "live" / "account" / "journal.sqlite"
    Journal(place, SystemClock()).close()
    words = ("kill", "--reason", "fire", "--by", "wu", "--profile", "simulated", "--set", "ui.runner_port=1024")
    assert main(["live", *words, "--market", "noise-12345678"]) == LiveError.exit_code
    assert "name the profile of noise-12345678 with --profile" in capsys.readouterr().err
    assert main(["live", "status", *words[5:], "--json"]) == 0
    standing = json.loads(capsys.readouterr().out)
    assert not [one for one in standing["breakers"] if one["tripped"]]
    assert standing["market"] == name_of("simulated")
