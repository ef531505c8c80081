"""A provider that rewrites its history: months of which too many rows came back different wait for a person.

The record outlives the ingest that made it: a rewrite blocks until somebody looked at it, not for one run only.
Not here: noticing a changed row (``store.py``), which never waits; models made before it (``assets/restatements.py``).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.ingest.store import StoredMonth
from ljwx_pipeline.lake.atomic_parquet import write_bytes
from ljwx_pipeline.quality.results import CheckResult

#: Months that a verdict names.
NAMED = 3


@dataclass(frozen=True)
class Rewrite:
    """A month that came back different.

    Parameters
    ----------
    month
        Partition of ``raw_bars``.
    restated_rows, held_rows
        Rows that came, went or changed, and rows of the sessions that were held before.
    known_at
        Instant (UTC) of the version that says otherwise, ISO 8601.
    """

    month: str
    restated_rows: int
    held_rows: int
    known_at: str

    @property
    def frac(self) -> float:
        """Share of the month's rows that changed, one at most."""
        return min(self.restated_rows / max(self.held_rows, 1), 1.0)


def note_rewrites(path: Path, restated: Sequence[StoredMonth], *, max_frac: float) -> list[Rewrite]:
    """Record at ``path`` the months the last ingest restated, with those of earlier ones that still wait.

    A month of an earlier ingest waits while more than ``max_frac`` of it changed: to ingest once with a larger limit
    confirms it.
    """
    waiting = {rewrite.month: rewrite for rewrite in read_rewrites(path) if rewrite.frac > max_frac}
    for month in restated:
        held = month.version.rows - month.added_rows
        found = Rewrite(month.month, month.restated_rows, held, month.version.known_at.isoformat())
        before = waiting.get(found.month)
        waiting[found.month] = found if before is None or found.frac > before.frac else before
    noted = [waiting[name] for name in sorted(waiting)]
    if noted or path.exists():
        write_bytes(path, json.dumps([asdict(rewrite) for rewrite in noted]).encode())
    return noted


def read_rewrites(path: Path) -> list[Rewrite]:
    """Return what ``note_rewrites`` recorded at ``path``; nothing where it never did.

    Raises
    ------
    LakeError
        When the record is damaged.
    """
    try:
        return [Rewrite(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError) as error:
        raise LakeError(
            f"{path} is damaged ({error})", "look at `ljwx data diff` for what changed, then delete the file"
        ) from None


def history_not_restated(noted: Sequence[Rewrite], *, max_frac: float) -> CheckResult:
    """Return the verdict on what ``read_rewrites`` gives: shown when held rows came back different.

    An ``error`` while more than ``max_frac`` of a month did: another unit or another adjustment looks like that.
    """
    beyond = [rewrite for rewrite in noted if rewrite.frac > max_frac]
    named = beyond or noted
    said = ", ".join(f"{item.restated_rows:,} of {item.held_rows:,} rows of {item.month[:7]}" for item in named[:NAMED])
    others = f" and {len(named) - NAMED} more months" if len(named) > NAMED else ""
    remedy = (
        f"More than {max_frac:g} of a month: look with `ljwx data diff`; to accept it, load once with "
        "`--set quality.max_restated_frac=1`"
    )
    return CheckResult(
        "bars.history_not_restated",
        not noted,
        "error" if beyond else "warn",
        {
            "restated_rows": sum(item.restated_rows for item in noted),
            "months": len(noted),
            "months_beyond_limit": len(beyond),
        },
        f"{said}{others} came back different" if noted else "no held row came back different",
        remedy if beyond else "",
    )
