"""The failures of runs from the command line: Dagster knows of none that ended before its run began.

Not here: failures of scheduled runs, which Dagster shows.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ljwx_pipeline.lake.atomic_parquet import write_bytes

#: So many are kept.
KEPT = 100


@dataclass(frozen=True)
class Failure:
    """One failed command: the instant (ISO, UTC), what was run, and the message that a person was told."""

    at: str
    profile: str
    job: str
    message: str


def record_failure(home: Path, failure: Failure) -> None:
    """Add a failure to those of ``home``; the oldest beyond ``KEPT`` go.

    Raises
    ------
    LakeError
        When the disk is full or the folder cannot be written.
    """
    kept: Sequence[Failure] = [*last_failures(home, KEPT - 1), failure]
    write_bytes(_file(home), "".join(json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in kept).encode())


def last_failures(home: Path, count: int) -> list[Failure]:
    """Return the newest ``count`` failures, oldest first; lines that are damaged are left out."""
    try:
        lines = _file(home).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []  # none was ever recorded
    found = []
    for line in lines:
        try:
            found.append(Failure(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return found[-count:]


def _file(home: Path) -> Path:
    return home / "logs" / "failures.jsonl"
