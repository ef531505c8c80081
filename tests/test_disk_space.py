"""A full disk: which one, how much room, what may go; and what was stored before is whole."""

from __future__ import annotations

import errno
import json
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from ljwx_pipeline.cli import build_parser
from ljwx_pipeline.disk_space import full_disk, write_refused
from ljwx_pipeline.errors import EnvironmentFault, LakeError

ROOT = Path(__file__).resolve().parent.parent
FILL_AND_WRITE = """
import json, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from ljwx_pipeline.disk_space import full_disk
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.lake import Lake, split_by_month
from tests.fakes.bars import random_bars

home, bars = Path(sys.argv[1]), random_bars(symbols=10, sessions=60)
lake, now, filler = Lake(home / "lake"), datetime(2024, 1, 1, tzinfo=UTC), home / "filler"
lake.write_partitions("bars", split_by_month(bars), known_at=now)
with filler.open("wb", buffering=0) as file:
    try:
        while True:
            file.write(b"x" * 4096)
    except OSError:
        pass
restated = split_by_month(bars.assign(close_cny=bars["close_cny"] + 1))
try:
    lake.write_partitions("bars", restated, known_at=now + timedelta(days=1))
    told = None
except LakeError as error:
    told = str(full_disk(error, home, profile="simulated", overrides={}))
unchanged = lake.read("bars").equals(bars) and not list(home.rglob("*.part"))
filler.unlink()
lake.write_partitions("bars", restated, known_at=now + timedelta(days=1))
print(json.dumps([told, unchanged, len(lake.versions("bars")), len(lake.partitions("bars"))]))
"""


def told(error: BaseException, home: Path, **overrides: object) -> EnvironmentFault | None:
    return full_disk(error, home, profile="folder", overrides=overrides)


def no_room(filename: Path) -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(filename))


def test_a_full_disk_is_told_wherever_it_was_noticed(tmp_path: Path) -> None:
    wrapped = LakeError("x.parquet cannot be written", "free some space")
    wrapped.__cause__ = no_room(tmp_path / "markets" / "x.parquet")
    for error in (no_room(tmp_path / "x"), wrapped, sqlite3.OperationalError("database or disk is full")):
        found = told(error, tmp_path)
        assert found is not None
        assert str(tmp_path) in found.fact
        assert " free of " in found.fact
        assert "nothing is half-written" in found.remedy


def test_the_commands_it_names_are_commands_for_the_same_market(tmp_path: Path) -> None:
    found = told(no_room(tmp_path / "x"), tmp_path, **{"folder.data": "my bars.csv"})
    assert found is not None
    words = shlex.split(found.remedy.split("`")[1])[1:]
    arguments = build_parser().parse_args([*words, "--yes", "--checked"])
    assert (arguments.profile, arguments.data, arguments.keep_days) == ("folder", "my bars.csv", 30.0)


def test_another_disk_is_not_emptied_of_the_lakes_versions(tmp_path: Path) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second disk to name")
    found = told(no_room(other / "x"), tmp_path)
    assert found is not None
    assert str(other) in found.fact
    assert "retain" not in found.remedy


def test_other_faults_are_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    for error in (PermissionError(errno.EACCES, "denied"), sqlite3.OperationalError("disk I/O error"), ValueError()):
        assert told(error, tmp_path) is None


def test_that_the_disk_took_no_more_is_known_from_an_error_and_from_what_quotes_one(tmp_path: Path) -> None:
    quoted = ValueError(f"failures while downloading:\n[Errno {errno.ENOSPC}] No space left on device: 'a' -> 'b'")
    wrapped = LakeError("it cannot be fetched", "mend it")
    wrapped.__cause__ = quoted
    assert (
        write_refused(quoted) == write_refused(wrapped) == write_refused(no_room(tmp_path)) == os.strerror(errno.ENOSPC)
    )
    assert write_refused(OSError(errno.EFBIG, "File too large")) == "File too large"
    assert write_refused(sqlite3.OperationalError("database or disk is full")) == "database or disk is full"
    found = told(wrapped, tmp_path)
    assert found is not None
    assert str(tmp_path) in found.fact
    for error in (
        PermissionError(errno.EACCES, "denied"),
        ValueError("[Errno 2] No such file"),
        ConnectionError("refused"),
    ):
        assert write_refused(error) is None


def test_on_a_disk_that_fills_up_the_lake_stays_whole_and_goes_on_after_it_has_room(tmp_path: Path) -> None:
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("no small disk can be mounted here")
    mounted = f'mount -t tmpfs -o size=2m none {tmp_path} && exec {sys.executable} -c "$CODE" {tmp_path}'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", mounted],
        cwd=ROOT,
        env=dict(os.environ, CODE=FILL_AND_WRITE),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said, unchanged, versions, partitions = json.loads(done.stdout)
    assert f"the disk of {tmp_path} is full" in said
    assert "0 B free of 2.0 MiB" in said
    assert unchanged
    assert versions == 2 * partitions
