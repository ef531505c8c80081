"""Runs one operation on copies of a lake and kills it at every point where it touches the disk.

``python -m tests.lake.crashing BASE OUT OPERATION``: copies ``BASE`` to ``OUT/N`` and runs ``OPERATION`` there in a
child that dies by SIGKILL before or after an fsync, rename, truncation or removal, whichever is the ``N``-th such
moment; the last copy is of a run that was not killed. Forked, so that the libraries are loaded once.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ljwx_pipeline.lake import Catalogue, Lake, split_by_month
from ljwx_pipeline.lake.compaction import compact
from ljwx_pipeline.lake.reads import ReadsJournal
from ljwx_pipeline.lake.retention import retain
from tests.fakes.bars import random_bars

LATER = datetime(2024, 6, 1, tzinfo=UTC)
BARS = random_bars(symbols=3, sessions=50)
RESTATED = BARS.assign(close_cny=BARS["close_cny"] + 1)

#: What is run on each copy.
OPERATIONS: dict[str, Callable[[Lake], object]] = {
    "write": lambda lake: lake.write_partitions("bars", split_by_month(RESTATED), known_at=LATER),
    "append": lambda lake: lake.append(
        "bars", BARS[BARS["session_date"] >= "2018-03-01"], partition="2018-02-01", known_at=LATER
    ),
    "compact": lambda lake: compact(lake, "grown", "all"),
    "retain": lambda lake: retain(lake, keep_days=0, dry_run=False, now=LATER + timedelta(days=365)),
    "create": lambda lake: Catalogue(lake).create("second", ["bars"]),
    "delete": lambda lake: Catalogue(lake).delete("first"),
    "record": lambda lake: ReadsJournal(lake).record_read("features", "r2", "bars", "h2", partitions={"p": "x2"}),
}


def main(base: Path, out: Path, operation: str) -> int:
    """Kill the operation at point 0, 1, 2, ... until one run finishes."""
    return killed_at_every_point(base, out, lambda copy: OPERATIONS[operation](Lake(copy)))


def killed_at_every_point(base: Path, out: Path, operation: Callable[[Path], object]) -> int:
    """Run ``operation`` on copies of ``base`` below ``out``, each killed a point later; return the last one's code."""
    out.mkdir()
    for point in range(10_000):
        copy = out / f"{point:04d}"
        shutil.copytree(base, copy)
        child = os.fork()
        if child == 0:
            _die_at(point)
            operation(copy)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            return os.waitstatus_to_exitcode(status)
    return 1


def _die_at(point: int) -> None:
    reached = 0

    def here() -> None:
        nonlocal reached
        if reached == point:
            os.kill(os.getpid(), signal.SIGKILL)
        reached += 1

    def watched(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            here()
            answer = real(*arguments, **options)
            here()
            return answer

        return call

    os.fsync = watched(os.fsync)
    os.replace = watched(os.replace)  # pathlib looks these up when it is called
    os.unlink = watched(os.unlink)
    os.truncate = watched(os.truncate)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
