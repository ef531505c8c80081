"""The studies of a market are listed and shown, whatever made them, and looking changes nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from ljwx_pipeline.cli import main
from ljwx_pipeline.config import load_settings, market_home
from ljwx_pipeline.studies import Axis, Place, Space, StudyPlan, opened_study

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LJWX_HOME", str(tmp_path))
    monkeypatch.chdir(ROOT)
    return market_home(load_settings())


def plan_of(kind: str, inputs: Mapping[str, object]) -> StudyPlan:
    axis = Axis("depth", "int", 0, 4, log=False, levels=(0, 1, 2))
    return StudyPlan(kind=kind, inputs=inputs, space=Space((axis,)), seed=1, batch=1, random_trials=2)


def make(journal: Path, kind: str, *, trials: int, best: float = 0.25, **inputs: object) -> str:
    """Make a study of ``trials`` trials, the second of them pruned, and one that nobody has run yet."""
    with opened_study(Place(journal), plan_of(kind, inputs)) as study:
        for at in range(trials):
            asked = study.claim(trials)
            assert asked is not None
            kept = {"trial": {"pruned_after_fold": "inner-1"}} if at == 1 else {}
            study.tell(asked, [best - at / 10], kept=kept, steps={0: 0.05}, pruned=at == 1)
        return study.name


def finish(journal: Path, *, at: str, **inputs: object) -> None:
    """Mark a study as finished, as whoever made it does."""
    with opened_study(Place(journal), plan_of("ljwx", inputs)) as study:
        study.mark_finished({"depth": 1}, until=date(2025, 12, 31), at=at)


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["studies", *words]) == 0
    return capsys.readouterr().out


def test_studies_of_models_and_of_sweeps_are_listed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = make(home / "studies" / "journal.log", "ljwx", trials=3)
    sweep = make(home / "sweeps" / "journal.log", "sweep", trials=1)
    before = (home / "studies" / "journal.log").read_bytes()
    rows = json.loads(said(capsys, "list", "--json"))["studies"]
    assert [(row["study"], row["complete"], row["pruned"], row["best"]) for row in rows] == [
        (sweep, 1, 0, 0.25),
        (model, 2, 1, 0.25),
    ]
    assert {row["state"] for row in rows} == {"unfinished"}
    assert model in said(capsys, "list")
    assert (home / "studies" / "journal.log").read_bytes() == before


def test_the_newest_study_comes_first_and_one_without_a_trial_last(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = home / "studies" / "journal.log"
    never = make(journal, "ljwx", trials=0)
    made = [make(journal, "ljwx", trials=1, dataset=name) for name in "abcd"]
    rows = json.loads(said(capsys, "list", "--json"))["studies"]
    assert [row["study"] for row in rows] == [*reversed(made), never]
    assert rows[-1]["began_at"] is None


def test_a_study_is_listed_with_its_model_all_its_trials_and_when(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    best, journal = 0.123456789, home / "studies" / "journal.log"
    before = datetime.now(UTC)
    try:
        make(journal, "ljwx", trials=3, best=best, model={"kind": "linear"})
        finish(journal, at="2026-01-05T09:30:00+08:00", model={"kind": "linear"})
        (row,) = json.loads(said(capsys, "list", "--json"))["studies"]
        head, _, line = said(capsys, "list").splitlines()[:3]
    finally:
        monkeypatch.undo()
        time.tzset()
    assert (row["model_kind"], row["complete"], row["pruned"]) == ("linear", 2, 1)
    assert (row["best"], row["finished_at"]) == (best, "2026-01-05T09:30:00+08:00")
    assert before <= datetime.fromisoformat(row["began_at"]) <= datetime.now(UTC)
    assert "began (UTC)" in head
    assert head.endswith("finished (UTC)")
    assert line.split()[1:6] == ["linear", "finished", "3", "1", "0.1235"]
    assert line.endswith("2026-01-05 01:30:00")


def test_a_study_is_shown_with_its_trials_and_says_where_one_was_given_up(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = make(home / "studies" / "journal.log", "ljwx", trials=3, dataset="abc")
    body = json.loads(said(capsys, "show", name, "--json"))
    assert [(trial["number"], trial["state"]) for trial in body["trials"]] == [
        (0, "complete"),
        (1, "pruned"),
        (2, "complete"),
    ]
    assert body["decided"]["dataset"] == "abc"
    text = said(capsys, "show", name)
    assert "pruned after inner-1" in text
    assert "2 complete, 1 pruned" in text


def test_a_sweeps_parameters_are_shown_as_the_values_they_stand_for(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    axes = {"depth": [10, 20, 30, 40, 50]}
    name = make(home / "sweeps" / "journal.log", "sweep", trials=2, axes=axes)
    trials = json.loads(said(capsys, "show", name, "--json"))["trials"]
    assert all(trial["params"]["depth"] in axes["depth"] for trial in trials)


def test_a_market_without_studies_says_so(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no study was ever made" in said(capsys, "list")
    assert json.loads(said(capsys, "list", "--json")) == {"studies": []}
    assert not (home / "studies").exists()


def test_an_unknown_name_is_refused_with_those_there_are(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = make(home / "studies" / "journal.log", "ljwx", trials=1)
    assert main(["studies", "show", name[:-2]]) == 9
    assert f"choose among {name}" in capsys.readouterr().err


def test_a_damaged_journal_and_a_database_that_is_not_there_are_one_sentence(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = home / "studies" / "journal.log"
    journal.parent.mkdir(parents=True)
    journal.write_text("no journal\n")
    assert main(["studies", "list"]) == 9
    assert "is damaged" in capsys.readouterr().err
    address = "postgresql+psycopg2://nobody:secret@127.0.0.1:1/studies"
    assert main(["studies", "list", "--set", f"tune.storage={address}"]) == 3
    said_of_it = capsys.readouterr().err
    assert "cannot be reached" in said_of_it
    assert "secret" not in said_of_it
    assert "secret" not in str(load_settings(overrides={"tune.storage": address}).model_dump(mode="json"))
