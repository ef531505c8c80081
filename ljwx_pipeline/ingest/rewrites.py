"""A provider that rewrites its history: months of which too many rows came back different wait for a person.

What came back different follows from the versions in the lake and the record of those that were looked at, so an ingest
that was killed at any point leaves it to be seen. The record outlives the ingest that made it: a rewrite blocks until
somebody looked at it, not for one run only. Not here: storing a changed row (``store.py``), which never waits; models
made before it (``assets/restatements.py``); sessions that vanish whole (``lost.py``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.ingest.plan import RAW_BARS
from ljwx_pipeline.ingest.store import changed_days, days_of
from ljwx_pipeline.lake import Lake, TableVersion
from ljwx_pipeline.lake.atomic_parquet import write_bytes
from ljwx_pipeline.lake.partition import Partition
from ljwx_pipeline.lake.store import folders_in, read_versions
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


@dataclass(frozen=True)
class _Record:
    """The newest version of each month that was looked at (None: of none yet), and the rewrites that were noted."""

    looked_at: Mapping[str, int] | None
    noted: tuple[Rewrite, ...]


def begin_ingest(path: Path, lake: Lake) -> None:
    """Record at ``path`` what ``lake`` holds before an ingest stores anything, unless an ingest before did.

    Raises
    ------
    LakeError
        When the record is damaged or cannot be written.
    """
    record = _read(path)
    if record.looked_at is None:
        _write(path, _Record(_newest(lake), record.noted))


def note_rewrites(path: Path, lake: Lake, *, max_frac: float) -> list[Rewrite]:
    """Record at ``path`` the months restated since the last look, with those of earlier ones that still wait.

    A month noted earlier waits while more than ``max_frac`` of it changed: to ingest once with a larger limit confirms
    it.
    """
    record = _read(path)
    waiting = tuple(rewrite for rewrite in record.noted if rewrite.frac > max_frac)
    noted = _joined(waiting, _since(lake, record.looked_at))
    _write(path, _Record(_newest(lake), tuple(noted)))
    return noted


def read_rewrites(path: Path, lake: Lake) -> list[Rewrite]:
    """Return what was noted at ``path``, and what an ingest that did not finish restated since.

    Raises
    ------
    LakeError
        When the record is damaged.
    """
    record = _read(path)
    return _joined(record.noted, _since(lake, record.looked_at))


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


def _joined(noted: tuple[Rewrite, ...], found: Iterator[Rewrite]) -> list[Rewrite]:
    """Return one rewrite a month, the larger where there are two."""
    by_month = {rewrite.month: rewrite for rewrite in noted}
    for rewrite in found:
        before = by_month.get(rewrite.month)
        by_month[rewrite.month] = rewrite if before is None or rewrite.frac > before.frac else before
    return [by_month[month] for month in sorted(by_month)]


def _since(lake: Lake, looked_at: Mapping[str, int] | None) -> Iterator[Rewrite]:
    """Yield the months of which ``lake`` tells held rows otherwise than the version that was looked at did."""
    if looked_at is None:
        return
    for folder in folders_in(lake.table_folder(RAW_BARS)):
        month = Partition(folder)
        newest = month.newest
        number = looked_at.get(folder.name, 1)  # of a month that is new, its first version restates nothing
        if newest is None or newest.version <= number:
            continue
        before = next((version for version in month.versions if version.version == number), None)
        if before is None:  # removed by retention: what cannot be compared is for a person to judge
            yield Rewrite(folder.name, newest.rows, newest.rows, newest.known_at.isoformat())
        elif newest.files[: len(before.files)] != before.files:
            yield from _compared(before, newest)


def _compared(before: TableVersion, now: TableVersion) -> Iterator[Rewrite]:
    held, rows = read_versions([before]), read_versions([now])
    again = rows[days_of(RAW_BARS, rows).isin(days_of(RAW_BARS, held).unique())]
    if changed := len(changed_days(RAW_BARS, held, again)):
        yield Rewrite(now.partition, changed, len(again), now.known_at.isoformat())


def _newest(lake: Lake) -> dict[str, int]:
    newest = {folder.name: Partition(folder).newest for folder in folders_in(lake.table_folder(RAW_BARS))}
    return {month: version.version for month, version in newest.items() if version is not None}


def _read(path: Path) -> _Record:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(kept, list):  # written before versions were looked at
            return _Record(None, tuple(Rewrite(**entry) for entry in kept))
        return _Record(dict(kept["looked_at"]), tuple(Rewrite(**entry) for entry in kept["noted"]))
    except FileNotFoundError:
        return _Record(None, ())
    except (ValueError, TypeError, KeyError) as error:
        raise LakeError(
            f"{path} is damaged ({error})", "look at `ljwx data diff` for what changed, then delete the file"
        ) from None


def _write(path: Path, record: _Record) -> None:
    body = {"looked_at": record.looked_at, "noted": [asdict(rewrite) for rewrite in record.noted]}
    write_bytes(path, json.dumps(body).encode())


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
        remedy if beyond else "read the provider's notice; `ljwx data diff` shows the rows",
    )
