"""A provider that rewrites its history: months of which too many rows came back different wait for a person.

The record outlives the ingest that made it: a rewrite blocks until somebody looked at it, not for one run only.
Not here: noticing a changed row (``store.py``), which never waits; models made before it (``assets/restatements.py``);
sessions that vanish whole (``lost.py``).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.ingest.plan import RAW_BARS
from ljwx_pipeline.ingest.store import StoredMonth
from ljwx_pipeline.lake import Lake
from ljwx_pipeline.lake.atomic_parquet import write_bytes
from ljwx_pipeline.lake.partition import Partition
from ljwx_pipeline.lake.store import read_versions


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


def vanished_symbols(lake: Lake, noted: Sequence[Rewrite]) -> tuple[set[str], int]:
    """Return the symbols that had bars in a noted month and have none in it any more, and how many had some.

    A month whose version before the rewrite was removed by retention cannot say.
    """
    gone: set[str] = set()
    had: set[str] = set()
    for rewrite in noted:
        versions = Partition(lake.partition_folder(RAW_BARS, rewrite.month)).versions
        before = [item for item in versions if item.known_at < datetime.fromisoformat(rewrite.known_at)]
        if before:
            earlier, now = (
                set(read_versions([item], columns=["symbol"])["symbol"]) for item in (before[-1], versions[-1])
            )
            had |= earlier
            gone |= earlier - now
    return gone, len(had)
