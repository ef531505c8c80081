"""What happened is on disk before MLflow hears of it; whatever befalls MLflow, nothing is lost and nothing doubled."""

from __future__ import annotations

import logging
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ljwx_pipeline.clock import ManualClock
from ljwx_pipeline.errors import LakeError, RegistryError
from ljwx_pipeline.registry import Registry, open_registry
from ljwx_pipeline.tracking import EVENT_TAG, Flushed, Tracker, stable_id
from ljwx_pipeline.tracking.inputs import dataset_input
from tests.fakes.mlflow_home import SETTINGS, gone_for_good, registry_in, stored_runs

NOBODY = "http://127.0.0.1:9"
DATASET = dataset_input(
    "bars", "d" * 64, source={"market": "tests"}, schema={"close_cny": "double"}, profile={"rows": 3}
)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return registry_in(tmp_path)


@pytest.fixture
def tracker(registry: Registry, tmp_path: Path) -> Tracker:
    return Tracker(tmp_path / "tracking", registry)


@pytest.fixture
def away(tracker: Tracker) -> Iterator[Registry]:
    """The tracker's registry, replaced by one that nobody answers for until it is put back."""
    real = tracker.registry
    tracker.registry = Registry(tracking_uri=NOBODY, artifact_root=None, experiment="tests")
    yield real
    tracker.registry = real


def in_folder(tracker: Tracker, place: str) -> list[Path]:
    return sorted((tracker.journals.folder / place).glob("*"))


def tell_everything(tracker: Tracker, folder: Path) -> str:
    """Record a parent with two children, and of each kind of line at least one."""
    (folder / "plots").mkdir(exist_ok=True)
    (folder / "plots" / "shap.png").write_bytes(b"png")
    (folder / "report.html").write_text("<html>")
    research = tracker.begin("research", kind="research", tags={"profile": "simulated"}, event=stable_id("research", 1))
    research.params({"seed": 7})
    research.inputs([DATASET])
    for number in range(2):
        with research.child(f"fold {number}", kind="fold", event=stable_id("fold", number)) as fold:
            fold.metrics({"rank_ic": 0.1 * number, "undefined": math.nan})
            research.metrics({"fold.rank_ic": 0.1 * number}, step=number)
    research.artifacts(folder / "plots", "shap")
    research.artifacts(folder / "report.html")
    (folder / "report.html").write_text("another run's")
    research.tags({"decision": "promoted"})
    research.end("FINISHED")
    return research.event


def assert_everything_arrived(tracker: Tracker) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=tracker.registry.tracking_uri)
    runs = {run.info.run_name: run for run in stored_runs(tracker.registry)}
    assert sorted(runs) == ["fold 0", "fold 1", "research"]
    assert len(stored_runs(tracker.registry)) == 3
    research = runs["research"]
    assert research.data.params == {"seed": "7"}
    assert research.data.tags["decision"] == "promoted"
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert [point.value for point in client.get_metric_history(research.info.run_id, "fold.rank_ic")] == [0.0, 0.1]
    for number in range(2):
        fold = runs[f"fold {number}"]
        assert fold.data.tags["mlflow.parentRunId"] == research.info.run_id
        assert fold.data.tags[EVENT_TAG] == stable_id("fold", number)
        assert fold.data.metrics["rank_ic"] == 0.1 * number
    (read,) = client.get_run(research.info.run_id).inputs.dataset_inputs
    assert (read.dataset.name, read.dataset.digest) == ("bars", "d" * 12)
    assert read.tags[0].value == "training"
    kept = Path(research.info.artifact_uri.removeprefix("file://"))
    assert (kept / "report.html").read_text() == "<html>"
    assert (kept / "shap" / "shap.png").read_bytes() == b"png"
    assert in_folder(tracker, "open") == []
    assert len(in_folder(tracker, "sent")) == 3


def test_all_that_is_told_arrives(tracker: Tracker, tmp_path: Path) -> None:
    tell_everything(tracker, tmp_path)
    assert_everything_arrived(tracker)


def test_what_mlflow_missed_is_sent_by_a_later_flush(tracker: Tracker, away: Registry, tmp_path: Path) -> None:
    tell_everything(tracker, tmp_path)
    assert len(in_folder(tracker, "open")) == 4  # three journals, and the parent's copies
    told = tracker.flush()
    assert (told.sent, told.left) == (0, 3)
    assert "cannot be reached" in told.reason
    tracker.registry = away
    assert tracker.flush() == type(told)(3, 0, "")
    assert_everything_arrived(tracker)
    assert tracker.flush().sent == 0


def test_an_absent_mlflow_is_said_once_with_the_remedy(
    tracker: Tracker, away: Registry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="ljwx"):
        tell_everything(tracker, tmp_path)
    (said,) = [record.getMessage() for record in caplog.records if record.name == "ljwx.tracking"]
    assert f"MLflow at {NOBODY} cannot be reached" in said
    assert "ljwx tracking flush" in said


def test_sending_everything_again_changes_nothing(tracker: Tracker, tmp_path: Path) -> None:
    """As after a crash between the sending and its mark: the journals say that nothing was sent."""
    tell_everything(tracker, tmp_path)
    for path in in_folder(tracker, "sent"):
        lines = [line for line in path.read_text().splitlines(keepends=True) if '"do": "sent"' not in line]
        if '"files"' not in "".join(lines):  # the copies went once they were sent
            path.write_text("".join(lines))
            path.rename(path.parents[1] / "open" / path.name)
    assert tracker.flush().left == 0
    assert_everything_arrived(tracker)


def test_the_same_event_is_one_run_in_any_process(tracker: Tracker, tmp_path: Path) -> None:
    other = Tracker(tmp_path / "tracking", tracker.registry)
    event = stable_id("trial", "study", 3)
    assert not tracker.recorded(event)
    for one in (tracker, other):
        with one.run("trial 3", kind="trial", event=event) as run:
            run.metrics({"rank_ic": 0.05})
    assert other.recorded(event)
    (found,) = stored_runs(tracker.registry)
    assert (found.info.status, found.data.metrics["rank_ic"]) == ("FINISHED", 0.05)


def test_a_run_whose_journal_is_lost_is_found_again_by_its_tag(tracker: Tracker, tmp_path: Path) -> None:
    event = stable_id("trial", "study", 3)
    with tracker.run("trial 3", kind="trial", event=event):
        pass
    fresh = Tracker(tmp_path / "another-folder", tracker.registry)
    with fresh.run("trial 3", kind="trial", event=event) as run:
        run.metrics({"rank_ic": 0.05})
    (found,) = stored_runs(tracker.registry)
    assert found.data.metrics["rank_ic"] == 0.05


def test_a_run_that_was_deleted_in_mlflow_stays_deleted_and_holds_nothing_up(tracker: Tracker) -> None:
    from mlflow import MlflowClient

    run = tracker.begin("research", kind="research")
    MlflowClient(tracking_uri=tracker.registry.tracking_uri).delete_run(run.run_id)
    run.metrics({"rank_ic": 0.05})
    run.end("FINISHED")
    assert tracker.flush().left == 0
    assert stored_runs(tracker.registry) == []


def emptied(tracker: Tracker, home: Path) -> Tracker:
    """Return the tracker of another process, on an MLflow whose database was lost."""
    return Tracker(tracker.journals.folder, registry_in(home))


def test_a_run_that_mlflow_lost_is_recorded_again_with_its_parent(
    tracker: Tracker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "report.html").write_text("<html>")
    research = tracker.begin("research", kind="research", tags={"profile": "simulated"})
    research.params({"seed": 7})
    research.artifacts(tmp_path / "report.html")
    lost = research.run_id
    with caplog.at_level(logging.WARNING, logger="ljwx"):
        later = emptied(tracker, tmp_path)
        research = later.find(research.event)
        with research.child("fold 2024", kind="fold") as fold:
            fold.metrics({"rank_ic": 0.05})
        research.end("FINISHED")
    runs = {run.info.run_name: run for run in stored_runs(later.registry)}
    assert sorted(runs) == ["fold 2024", "research"]
    assert runs["research"].data.params == {"seed": "7"}
    assert runs["research"].data.tags["profile"] == "simulated"
    assert runs["fold 2024"].data.tags["mlflow.parentRunId"] == runs["research"].info.run_id == research.run_id != lost
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert in_folder(later, "open") == []
    assert [r.getMessage()[:20] for r in caplog.records if r.name == "ljwx.tracking"] == ["MLflow no longer has"]


def test_the_id_of_a_run_that_mlflow_lost_is_that_of_the_one_recorded_again(tracker: Tracker, tmp_path: Path) -> None:
    with tracker.run("research") as run:
        run.metrics({"rank_ic": 0.05})
    later = emptied(tracker, tmp_path)
    found = later.run_id_of(run.event)
    (stored,) = stored_runs(later.registry)
    assert (stored.info.run_id, stored.info.status, stored.data.metrics) == (found, "FINISHED", {"rank_ic": 0.05})


def test_a_run_deleted_for_good_is_recorded_again(tracker: Tracker, registry: Registry) -> None:
    run = tracker.begin("research")
    lost = run.run_id
    gone_for_good(registry, lost)
    run.metrics({"rank_ic": 0.05})
    (stored,) = stored_runs(registry)
    assert stored.info.run_id != lost
    assert stored.data.metrics == {"rank_ic": 0.05}


def test_all_that_was_sent_to_a_lost_database_is_sent_to_the_new_one(tracker: Tracker, tmp_path: Path) -> None:
    tell_everything(tracker, tmp_path)
    assert tracker.flush().sent == 0
    assert emptied(tracker, tmp_path).flush() == Flushed(3, 0, "")
    later = Tracker(tracker.journals.folder, open_registry(SETTINGS, tmp_path))
    assert later.flush() == Flushed(0, 0, "")
    runs = {run.info.run_name: run for run in stored_runs(later.registry)}
    assert sorted(runs) == ["fold 0", "fold 1", "research"]
    assert len(stored_runs(later.registry)) == 3
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert runs["fold 1"].data.metrics["rank_ic"] == 0.1
    assert runs["fold 1"].data.tags["mlflow.parentRunId"] == runs["research"].info.run_id
    assert in_folder(later, "open") == []


def test_nothing_is_sent_again_to_another_experiment_of_the_same_database(tracker: Tracker, tmp_path: Path) -> None:
    tell_everything(tracker, tmp_path)
    assert tracker.flush().sent == 0
    other = open_registry(SETTINGS.model_copy(update={"experiment": "another"}), tmp_path)
    assert Tracker(tracker.journals.folder, other).flush() == Flushed(0, 0, "")
    assert stored_runs(other) == []


def test_times_are_those_of_the_work_not_of_the_sending(registry: Registry, tmp_path: Path) -> None:
    clock = ManualClock(datetime(2026, 1, 5, 10, tzinfo=UTC))
    tracker = Tracker(
        tmp_path / "tracking", Registry(tracking_uri=NOBODY, artifact_root=None, experiment="x"), clock=clock
    )
    with tracker.run("trial", started_at=datetime(2026, 1, 5, 9, tzinfo=UTC)):
        clock.set(datetime(2026, 1, 5, 11, tzinfo=UTC))
    clock.set(datetime(2026, 2, 1, tzinfo=UTC))
    tracker.registry = registry
    assert tracker.flush().sent == 1
    (found,) = stored_runs(registry)
    hour_ms = 3_600_000
    assert found.info.start_time == int(datetime(2026, 1, 5, 9, tzinfo=UTC).timestamp() * 1000)
    assert found.info.end_time - found.info.start_time == 2 * hour_ms


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
def test_a_block_that_raises_ends_failed_and_so_do_its_children(tracker: Tracker, fault: type[BaseException]) -> None:
    def crash() -> None:
        with tracker.run("doomed") as run, run.child("fold"):
            raise fault

    with pytest.raises(fault):
        crash()
    assert [run.info.status for run in stored_runs(tracker.registry)] == ["FAILED", "FAILED"]


def test_a_run_of_a_killed_process_ends_failed_and_one_of_a_living_does_not(tracker: Tracker) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    alive = tracker.begin("alive")
    orphan = tracker.begin("orphan", tags={"ljwx.pid": dead.pid})
    assert tracker.end_abandoned() == [orphan.event]
    assert {run.info.run_name: run.info.status for run in stored_runs(tracker.registry)} == {
        "alive": "RUNNING",
        "orphan": "FAILED",
    }
    orphan.resume()
    assert tracker.end_abandoned() == []
    assert {run.info.status for run in stored_runs(tracker.registry)} == {"RUNNING"}
    alive.end("FINISHED")


def test_a_damaged_journal_keeps_no_abandoned_run_open(tracker: Tracker, caplog: pytest.LogCaptureFixture) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    damaged, orphan = (tracker.begin(name, tags={"ljwx.pid": dead.pid}) for name in ("damaged", "orphan"))
    path = tracker.journals.folder / "open" / f"{damaged.event}.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"do"', b"do", 1))
    with caplog.at_level(logging.WARNING, logger="ljwx"):
        assert tracker.end_abandoned() == [orphan.event]
        assert tracker.end_abandoned() == []
    (said,) = [record.getMessage() for record in caplog.records if record.name == "ljwx.tracking"]
    assert f"line 1 of {path} is damaged" in said
    assert "move the file away" in said


def test_another_value_for_a_recorded_parameter_is_refused_before_it_is_written(tracker: Tracker) -> None:
    run = tracker.begin("x")
    run.params({"seed": 1})
    with pytest.raises(RegistryError, match=r"seed of run .* is '1' and cannot become '2'"):
        run.params({"seed": 2})
    run.params({"seed": 1})
    run.end("FINISHED")
    assert in_folder(tracker, "open") == []


def test_an_artifact_that_does_not_exist_is_named(tracker: Tracker, tmp_path: Path) -> None:
    with tracker.run("x") as run, pytest.raises(RegistryError, match=r"nothing\.html does not exist"):
        run.artifacts(tmp_path / "nothing.html")


def test_a_line_that_a_crash_tore_is_cut_off_and_the_rest_is_kept(tracker: Tracker, away: Registry) -> None:
    run = tracker.begin("x")
    run.metrics({"rank_ic": 0.05})
    (path,) = in_folder(tracker, "open")
    with path.open("ab") as file:
        file.write(b'{"do": "log", "tags": {"hal')
    run.tags({"decision": "refused"})
    run.end("FINISHED")
    tracker.registry = away
    assert tracker.flush().left == 0
    (found,) = stored_runs(away)
    assert (found.data.metrics, found.data.tags["decision"]) == ({"rank_ic": 0.05}, "refused")


def test_what_could_not_be_sent_is_not_counted_as_sent(tracker: Tracker, away: Registry) -> None:
    for name in ("refused", "whole"):
        with tracker.run(name, event=stable_id(name)) as run:
            run.metrics({"rank_ic": 0.05})
    journal = tracker.journals.folder / "open" / f"{stable_id('refused')}.jsonl"
    journal.write_text(journal.read_text().replace("rank_ic", "rank ic?"))  # a name that MLflow refuses
    tracker.registry = away
    told = tracker.flush()
    assert (told.sent, told.left) == (1, 1)
    assert "rank ic?" in told.reason


def test_a_damaged_journal_is_named_and_keeps_no_other_from_being_sent(tracker: Tracker, away: Registry) -> None:
    for name in ("whole", "damaged"):
        with tracker.run(name, event=stable_id(name)):
            pass
    path = tracker.journals.folder / "open" / f"{stable_id('damaged')}.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"do"', b"do", 1))
    tracker.registry = away
    told = tracker.flush()
    assert (told.sent, told.left) == (1, 1)
    assert f"line 1 of {path} is damaged" in told.reason


def test_a_database_that_cannot_be_written_loses_nothing(tracker: Tracker, tmp_path: Path) -> None:
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    database = tmp_path / "mlflow" / "mlflow.db"
    assert tracker.flush().left == 0
    with tracker.run("before"):
        pass

    def read_only(connection: object, _record: object) -> None:
        connection.execute("PRAGMA query_only = ON")  # type: ignore[attr-defined]

    event.listen(Engine, "connect", read_only)  # root may write whatever a file's mode says
    try:
        tracker.registry = Registry(
            tracking_uri=f"sqlite:///{database}?", artifact_root=tmp_path / "mlflow" / "artifacts", experiment="tests"
        )
        tell_everything(tracker, tmp_path)
        told = tracker.flush()
    finally:
        event.remove(Engine, "connect", read_only)
    assert (told.sent, told.left) == (0, 3)
    assert "readonly" in told.reason.replace("-", "").replace(" ", "")
    tracker.registry = Registry(
        tracking_uri=f"sqlite:///{database}", artifact_root=tmp_path / "mlflow" / "artifacts", experiment="tests"
    )
    assert tracker.flush().left == 0
    assert len(stored_runs(tracker.registry)) == 4


FILL_AND_TELL = """
import sys
from pathlib import Path
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.registry import Registry
from ljwx_pipeline.tracking import Tracker
disk = Path(sys.argv[1])
tracker = Tracker(disk / "tracking", Registry(tracking_uri="http://127.0.0.1:9", artifact_root=None, experiment="x"))
run = tracker.begin("x")
run.metrics({"rank_ic": 0.05})
filler = disk / "filler"
try:
    filler.write_bytes(b"x" * 4 * 2**20)
except OSError:
    pass
before = tracker.journals.read(run.event)
for tell in (
    lambda: run.tags({"long": "x" * 8000}),
    lambda: run.artifacts(Path(sys.argv[2])),
    lambda: tracker.begin("y"),
):
    try:
        tell()
        print("told")
    except LakeError as error:
        print(error.fact.partition(" in ")[0], "|", error.remedy)
whole = tracker.journals.read(run.event) == before
print(whole, [p.name for p in (disk / "tracking" / "open").rglob("*") if p.is_file()])
filler.unlink()
run.tags({"long": "x" * 8000})
print(len(tracker.journals.read(run.event).entries))
"""


def test_a_full_disk_is_said_and_leaves_the_journal_whole(tmp_path: Path) -> None:
    if subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no small disk can be mounted here")
    disk, artifact = tmp_path / "disk", tmp_path / "artifact"
    disk.mkdir()
    artifact.write_bytes(b"x" * 100_000)
    mounted = f'mount -t tmpfs -o size=1m none {disk} && exec {sys.executable} -c "$CODE" {disk} {artifact}'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", mounted],
        env=dict(os.environ, CODE=FILL_AND_TELL),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *told, whole, after = done.stdout.splitlines()
    assert (
        told[:2]
        == [
            "what happened cannot be recorded | free some space or correct the folder's permissions and run again; "
            "what was recorded before is unchanged"
        ]
        * 2
    )
    assert re.fullmatch(r"True \['\w+\.jsonl'\]", whole), "no half of a run and no half of a copy stays"
    assert after == "3"


def test_the_folder_that_cannot_be_written_is_a_message(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "tracking").write_text("a file")
    with pytest.raises(LakeError, match="cannot be recorded"):
        Tracker(tmp_path / "tracking", registry).begin("x")


def test_work_told_afterwards_ends_when_it_ended_unless_the_telling_fails(tracker: Tracker) -> None:
    began, ended = datetime(2026, 1, 5, 1, 0, tzinfo=UTC), datetime(2026, 1, 5, 1, 3, tzinfo=UTC)
    with tracker.run("told", started_at=began, ended_at=ended):
        pass
    with (
        pytest.raises(ZeroDivisionError),
        tracker.run("not told", started_at=began, ended_at=ended),
    ):
        raise ZeroDivisionError
    runs = {run.info.run_name: run.info for run in stored_runs(tracker.registry)}
    assert runs["told"].start_time == began.timestamp() * 1000
    assert (runs["told"].end_time, runs["told"].status) == (ended.timestamp() * 1000, "FINISHED")
    assert runs["not told"].status == "FAILED"
    assert runs["not told"].end_time > ended.timestamp() * 1000
