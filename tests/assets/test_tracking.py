"""The research run that the assets share: it resumes after a failure, and MLflow that is away holds no step up."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from assets.resources import Line
from assets.tracking import (
    _opened_tracker,
    asked_by,
    begin_research_run,
    end_research_run,
    fail_research_run,
    flush_tracking,
    research_run,
    research_run_id,
    track_evaluation,
    track_fold,
    track_promotion,
    track_training,
    track_trial,
    tracker_of,
)
from ljwx_pipeline.config import load_settings
from ljwx_pipeline.registry import Registry, open_registry
from ljwx_pipeline.tracking import SHARED_TAGS, JournaledRun, Tracker, unsent_events
from tests.fakes.mlflow_home import empty_database

ROOT = Path(__file__).resolve().parents[2]
TAGS = {name: f"{name} of the test" for name in SHARED_TAGS if name not in ("market", "strategy", "model_kind")}
TRIAL = {"number": 0, "params": {"num_leaves": 31}, "rank_ic": 0.05, "fold_rank_ics": [0.04, 0.06], "seconds": 2.0}
SPANS = {"train_first": "2022-01-04", "train_last": "2023-12-20", "test_first": "2024-01-02", "test_last": "2024-12-31"}
FOLD = {"name": "2024", "rank_ic": 0.1, "rounds": 30, "seconds": 3.0, **SPANS}
DECISION = {
    "decision": "refused",
    "reasons": ["rank IC"],
    "bundle_hash": "b",
    "thresholds": {},
    "measured": {"x": 1.0},
    "checks": [{"name": "months", "outcome": "passed"}, {"name": "rank_ic_lower", "outcome": "failed"}],
}


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Line:
    monkeypatch.setenv("LJWX_HOME", str(tmp_path))
    monkeypatch.setenv("LJWX_CONFIG", str(ROOT / "ljwx.toml"))
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "mlflow.db").write_bytes(empty_database()[0].read_bytes())
    return Line()


@pytest.fixture
def registry(line: Line, tmp_path: Path) -> Registry:
    return open_registry(load_settings(profile="simulated").mlflow, tmp_path)


def begun(line: Line, **tags: str) -> str:
    return begin_research_run(line, tags={**TAGS, **tags}, params={"seed": 7})


def statuses(registry: Registry) -> list[str]:
    return [run.status for run in registry.views(kind="research", limit=10)][::-1]


def tell_every_step(line: Line) -> None:
    track_trial(line, "study", TRIAL)
    track_trial(line, "study", {**TRIAL, "number": 1, "rank_ic": None, "state": "pruned", "pruned_after_fold": "1"})
    track_fold(line, "key", FOLD)
    track_training(line, "b" * 64, {"num_leaves": 31}, {"rounds": 30, "seconds": 1.0})
    track_evaluation(line, ("family", "variant", "evidence"), {"backtest.sharpe": 1.5}, seconds=1.0)
    track_promotion(line, DECISION, "3", "none")


def test_a_run_that_failed_goes_on_as_the_same_run(line: Line, registry: Registry) -> None:
    first = begun(line)
    track_trial(line, "study", TRIAL)
    fail_research_run(line, "disk full")
    assert statuses(registry) == ["FAILED"]
    assert begun(line) == first
    assert statuses(registry) == ["RUNNING"]
    tell_every_step(line)
    end_research_run(line)
    assert statuses(registry) == ["FINISHED"]
    assert begun(line) != first
    assert statuses(registry) == ["FINISHED", "RUNNING"]


def test_a_promotion_tells_the_outcome_of_every_check(line: Line, registry: Registry) -> None:
    begun(line)
    track_promotion(line, DECISION, "3", "none")
    end_research_run(line)
    (run,) = registry.views(kind="promotion", limit=10)
    told = {name: value for name, value in run.tags.items() if name.startswith("gate.")}
    assert told == {"gate.months": "passed", "gate.rank_ic_lower": "failed"}


def test_whoever_asked_for_a_research_stays_written_down_when_another_goes_on_with_it(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LJWX_USER", "ann")
    begun(line)
    fail_research_run(line, "disk full")
    monkeypatch.setenv("LJWX_USER", "bo")
    assert asked_by(line) == "ann", "whoever takes a later step alone"
    begun(line)
    assert asked_by(line) == "ann\nbo"
    end_research_run(line)
    begun(line)
    assert asked_by(line) == "bo", "a research of its own"


def test_runs_are_told_apart_by_what_was_changed(
    line: Line, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(line)
    end_research_run(line)
    monkeypatch.setenv("LJWX_MODEL__KIND", "linear")
    begun(Line(), config_hash="another")
    second, first = registry.views(kind="research", limit=10)
    assert (first.tags["changed"], second.tags["changed"]) == ("none", "model.kind=linear")
    assert first.name == "#1 regression factors of the test dataset_ simulated"
    assert second.name == "#2 linear model.kind=linear factors of the test dataset_ simulated"


@pytest.mark.parametrize("killed_at", ["try_send", "inputs", "artifacts", "params"])
def test_a_run_that_was_killed_as_it_began_goes_on_whole(
    line: Line, registry: Registry, killed_at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr(Tracker if killed_at == "try_send" else JournaledRun, killed_at, kill)
        with pytest.raises(KeyboardInterrupt):
            begun(line)
    run_id = begun(line)
    begun(line)
    (run,) = registry.views(kind="research", limit=10)
    assert (run.run_id, run.params, run.status) == (run_id, {"seed": "7"}, "RUNNING")
    for path in ("config/settings.json", "config/environment.json", "environment/requirements.txt"):
        assert registry.artifact_text(run_id, path), path


def test_a_run_that_somebody_deleted_in_mlflow_is_not_gone_on_with(line: Line, registry: Registry) -> None:
    from mlflow import MlflowClient

    first = begun(line)
    fail_research_run(line, "disk full")
    MlflowClient(tracking_uri=registry.tracking_uri).delete_run(first)
    second = begun(line)
    end_research_run(line)
    (run,) = registry.views(kind="research", limit=10)
    assert (run.run_id, run.status) == (second, "FINISHED")


def test_a_killed_run_ends_failed_when_another_begins_on_other_data(line: Line, registry: Registry) -> None:
    first = begun(line)
    assert begun(line) == first, "killed, and run again on the same"
    assert begun(line, data_hash="another") != first
    assert statuses(registry) == ["FAILED", "RUNNING"]


def test_another_live_run_is_left_alone_until_its_process_is_dead(line: Line, registry: Registry) -> None:
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        begin_research_run(line, tags=TAGS, params={"seed": 7}, pid=str(other.pid))
        begun(line, data_hash="another")
        assert statuses(registry) == ["RUNNING", "RUNNING"]
    finally:
        other.communicate(b"\n")
    begun(line, data_hash="a third")
    assert statuses(registry) == ["FAILED", "FAILED", "RUNNING"]


def test_a_damaged_journal_stops_no_research(line: Line, registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    first = begun(line)
    track_trial(line, "study", TRIAL)
    tracker = tracker_of(line)
    with tracker.run("lost", event="a" * 32):
        pass
    for path in sorted(tracker.journals.folder.rglob("*.jsonl")):
        path.write_bytes(path.read_bytes().replace(b'"do"', b"do", 1))
        path.rename(tracker.journals.folder / "open" / path.name)
    with caplog.at_level(logging.WARNING, logger="ljwx"):
        for _ in range(2):
            second = begun(line)
            tell_every_step(line)
    end_research_run(line)
    assert second != first
    said = [record.getMessage() for record in caplog.records if "is damaged" in record.getMessage()]
    assert len(said) == len(set(said)) == 3, "the research run, the trial and the other, each once"
    assert all("move the file away" in one for one in said)
    (found,) = [run for run in registry.views(kind="research", limit=10) if run.run_id == second]
    assert found.status == "FINISHED"
    assert {run.kind for run in registry.views(parent=second, limit=50)} == {
        "trial", "fold", "training", "evaluation", "promotion",
    }  # fmt: skip


def test_a_step_that_a_killed_process_left_open_ends_failed(line: Line, registry: Registry) -> None:
    begun(line)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    with research_run(line) as run:
        tracker_of(line).begin("fold 2024", kind="fold", parent=run.event, tags={"ljwx.pid": dead.pid})
    begun(line)
    assert statuses(registry) == ["RUNNING"]
    assert [fold.status for fold in registry.views(kind="fold", limit=5)] == ["FAILED"]


def test_each_step_is_one_run_however_often_it_is_told(line: Line, registry: Registry) -> None:
    research = begun(line)
    for _ in range(2):
        tell_every_step(line)
    end_research_run(line)
    below = registry.views(parent=research, limit=50)
    assert sorted(run.kind for run in below) == ["evaluation", "fold", "promotion", "training", "trial", "trial"]
    assert {run.status for run in below} == {"FINISHED"}
    for run in below:
        assert {name: run.tags[name] for name in TAGS} == TAGS
    trials = {run.tags["trial"]: run for run in below if run.kind == "trial"}
    assert (trials["0"].tags["state"], trials["1"].tags["state"]) == ("complete", "pruned")
    assert (trials["0"].metrics["rank_ic"], trials["1"].metrics.get("rank_ic")) == (0.05, None)
    assert trials["0"].ended_ms is not None
    assert 2000 <= trials["0"].ended_ms - trials["0"].started_ms < 60_000
    (evaluation,) = [run.params for run in below if run.kind == "evaluation"]
    assert {"strategy.kind", "strategy.sizing.kind"} <= set(evaluation)
    assert not [value for value in evaluation.values() if value.startswith("{")]


def test_a_lost_database_gets_everything_again_and_stops_no_research(line: Line, tmp_path: Path) -> None:
    first = begun(line)
    tell_every_step(line)
    database = tmp_path / "mlflow" / "mlflow.db"
    database.rename(tmp_path / "away.db")
    assert len(unsent_events(line.settings)) == 7
    (tmp_path / "away.db").rename(database)
    database.write_bytes(  # in place: this process has the file open
        empty_database()[0].read_bytes()
    )
    _opened_tracker.cache_clear()  # as another process
    second = begun(line)
    tell_every_step(line)
    end_research_run(line)
    registry = open_registry(line.settings.mlflow, tmp_path)
    (run,) = registry.views(kind="research", limit=10)
    assert (run.run_id, run.status, run.params) == (second, "FINISHED", {"seed": "7"})
    assert second != first
    assert registry.artifact_text(second, "config/settings.json")
    assert registry.artifact_text(second, "config/environment.json")
    assert len(registry.views(parent=second, limit=50)) == 6
    assert unsent_events(line.settings) == []


def test_steps_go_on_while_mlflow_is_away_and_are_sent_when_it_is_back(line: Line, registry: Registry) -> None:
    tracker = tracker_of(line)
    real, tracker.registry = (
        tracker.registry,
        Registry(tracking_uri="http://127.0.0.1:9", artifact_root=None, experiment="x"),
    )
    known = begun(line)
    tell_every_step(line)
    with research_run(line) as run:
        run.metrics({"rank_ic_mean": 0.05})
    end_research_run(line)
    assert known == run.event, "MLflow's id is not known yet"
    assert flush_tracking(line).left == 7
    tracker.registry = real
    assert flush_tracking(line).sent == 7
    (research,) = registry.views(kind="research", limit=10)
    assert (research.status, research.metrics) == ("FINISHED", {"rank_ic_mean": 0.05})
    assert research_run_id(line) == research.run_id
    assert len(registry.views(parent=research.run_id, limit=50)) == 6
