"""kill -9 at every fsync, rename and removal leaves what was there before or what was to be, never a third thing."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.lake import Catalogue, Lake, split_by_month
from ljwx_pipeline.lake.reads import ReadsJournal
from ljwx_pipeline.lake.retention import retain
from tests.lake.crashing import BARS, OPERATIONS

ROOT = Path(__file__).resolve().parents[2]
EARLY = datetime(2024, 1, 1, tzinfo=UTC)


def base_lake(root: Path) -> None:
    """Make a lake with a restated table, one grown by appends, a dataset and a recorded read."""
    lake = Lake(root)
    early = BARS[BARS["session_date"] < "2018-03-01"]
    lake.write_partitions("bars", split_by_month(early.assign(close_cny=1.0)), known_at=EARLY)
    lake.write_partitions("bars", split_by_month(early), known_at=EARLY + timedelta(days=1))
    for number in range(3):
        rows = pd.DataFrame({"id": [number], "value": [float(number)]})
        lake.append("grown", rows, known_at=EARLY + timedelta(days=number), keys=["id"])
    Catalogue(lake).create("first", ["grown"], as_of=EARLY)
    ReadsJournal(lake).record_read("features", "r1", "bars", "h1", EARLY, partitions={"p": "x1"})


def said(root: Path) -> dict[str, str]:
    """Return everything a reader can ask of a lake, each answer apart."""
    lake = Lake(root)
    answers: dict[str, str] = {}
    for table in lake.tables():
        for partition in lake.partitions(table):
            name = partition.folder.name
            for day in (0, 1, 2, 400):
                answers[f"{table}/{name}@{day}"] = _read(lake, table, name, EARLY + timedelta(days=day))
    for dataset in Catalogue(lake).list():
        shown = dataset.as_dict()
        kept = {name: shown[name] for name in ("name", "tables", "references", "tags")}
        answers[f"dataset {dataset.name}"] = json.dumps(kept)
        for table in dataset.tables:
            answers[f"dataset {dataset.name}/{table}"] = Catalogue(lake).read(dataset.name, table).to_csv()
    answers["reads"] = str(sorted({(item.reader, item.run_id) for item in ReadsJournal(lake).reads()}))
    return answers


def _read(lake: Lake, table: str, partition: str, as_of: datetime) -> str:
    try:
        return lake.read(table, as_of=as_of, partitions=[partition]).to_csv(index=False)
    except LakeError as error:
        return error.fact


def killed(tmp_path: Path, operation: str) -> tuple[Path, list[Path]]:
    """Return the lake before ``operation`` and its copies, one for each point it was killed at, the last not killed."""
    base_lake(tmp_path / "base")
    done = subprocess.run(
        [sys.executable, "-m", "tests.lake.crashing", str(tmp_path / "base"), str(tmp_path / "out"), operation],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    copies = sorted((tmp_path / "out").iterdir())
    assert len(copies) > 4, "no point was found to kill at"
    return tmp_path / "base", copies


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_a_kill_at_any_point_leaves_the_old_or_the_new_and_can_be_completed(operation: str, tmp_path: Path) -> None:
    base, copies = killed(tmp_path, operation)
    old, new = said(base), said(copies[-1])
    assert (old == new) == (operation == "compact")
    for copy in copies[:-1]:
        found = said(copy)
        for key, answer in found.items():
            assert answer in (old.get(key), new.get(key)), f"killed at {copy.name}: {key}"
        assert old.keys() & new.keys() <= found.keys()
        if found != new or operation not in ("create", "delete"):  # a dataset is made and removed once
            OPERATIONS[operation](Lake(copy))
        assert said(copy) == new, f"killed at {copy.name}, it cannot be completed"


def test_what_killed_writers_left_is_swept_up_after_an_hour_and_not_before(tmp_path: Path) -> None:
    _, copies = killed(tmp_path, "write")
    leftovers = 0
    for copy in copies[:-1]:
        before, lake = said(copy), Lake(copy)
        now = datetime.now(UTC)
        assert retain(lake, keep_days=100_000, dry_run=False, now=now + timedelta(minutes=50)).files == ()
        removed = retain(lake, keep_days=100_000, dry_run=False, now=now + timedelta(minutes=61))
        leftovers += len(removed.files)
        assert removed.versions == ()
        assert not list(copy.rglob("*.part"))
        assert set(copy.rglob("*.parquet")) == {
            path for table in lake.tables() for version in lake.versions(table) for path in version.paths
        }
        assert said(copy) == before
    assert leftovers > 0
