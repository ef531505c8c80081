"""`ljwx monitor` says how the champion fares, which alarms stand and when a training may be asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ljwx_pipeline.cli import main
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.tracking import AlarmJournal, RetrainingJournal
from tests.fakes.watched_home import SESSIONS, TRAINED, WatchedHome


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WatchedHome:
    return WatchedHome(tmp_path, monkeypatch)


def said(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    capsys.readouterr()
    assert main(["monitor", *options]) == 0
    return capsys.readouterr().out


def written(home: WatchedHome, document: dict[str, Any]) -> None:
    line = home.line()
    line.tables.mkdir(parents=True, exist_ok=True)
    (line.tables / "model_monitoring.json").write_text(json.dumps(document))


def test_without_a_champion_it_says_so(home: WatchedHome, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys)
    assert "none was promoted yet" in text
    assert "has no champion yet" in text


def test_a_decayed_champion_is_told_with_its_alarm_and_the_training_it_asks_for(
    home: WatchedHome, capsys: pytest.CaptureFixture[str]
) -> None:
    champion = home.promoted()
    assert "the daily job has not watched it yet" in said(capsys)
    home.skill[TRAINED + 1 :] = -3 * home.skill[0]
    home.at(TRAINED + 20)
    written(home, home.monitored(champion))
    text = said(capsys)
    assert "champion               version 1" in text
    assert "ALARM                  skill_lost since 2024-" in text
    assert "next label matures in  1 session\n" in text
    assert "training due           yes: " in text
    found = json.loads(said(capsys, "--json"))
    assert found["monitoring"]["matured_sessions"] == 14
    assert [one["kind"] for one in found["alarms"]] == ["skill_lost"]
    assert found["retraining"]["asked"]

    folder = home.line().home / "tracking"
    keys = [one["key"] for one in AlarmJournal(folder).records()]
    request = RetrainingJournal(folder).requested(SESSIONS[TRAINED + 20].date(), keys)
    RetrainingJournal(folder).ended(request.key, run_id="r", status="FAILURE")
    assert "and ended as FAILURE, 0 sessions ago, cool-down 5; not before" in said(capsys)
    RetrainingJournal(folder).ended(request.key, run_id="again", status="SUCCESS")
    assert "no: no alarm about the champion is unanswered" in said(capsys)

    home.promoted(digit="e")
    text = said(capsys)
    assert "version 2" in text
    assert "the daily job last watched another" in text
    assert "none stands" in text


def test_a_damaged_record_ends_in_one_line(home: WatchedHome, capsys: pytest.CaptureFixture[str]) -> None:
    home.promoted()
    (home.line().home / "tracking" / "alarms.jsonl").write_text("{}\n")
    assert main(["monitor"]) == LakeError.exit_code
    captured = capsys.readouterr()
    assert "alarms.jsonl is damaged" in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("file", ["tables/model_monitoring.json", "tracking/champion.jsonl", "tracking/alarms.jsonl"])
def test_what_is_there_and_cannot_be_read_ends_in_one_line(
    home: WatchedHome, capsys: pytest.CaptureFixture[str], file: str
) -> None:
    home.promoted()
    path = home.line().home / file
    path.unlink(missing_ok=True)
    path.mkdir(parents=True)
    assert main(["monitor"]) == LakeError.exit_code
    captured = capsys.readouterr()
    assert f"{path} cannot be read (Is a directory): mend its permissions" in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("content", ["", "[]", "null", '{"cusum": "x"}', '{"coverage_frac": [1]}', "[" * 100_000])
def test_a_damaged_document_ends_in_one_line_in_both_forms(
    home: WatchedHome, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    path = home.line().tables / "model_monitoring.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    for form in ([], ["--json"]):
        assert main(["monitor", *form]) == LakeError.exit_code
        captured = capsys.readouterr()
        assert f"{path} is damaged (" in captured.err
        assert captured.err.count("\n") == 1
