"""Removing what nobody can ask for any more: superseded versions past their time, and files no version lists.

The order keeps a crash harmless: a version is recorded as retired, then its manifest goes, then its files. An ``as_of``
read that would have seen a retired version is refused, never answered with another. Not here: which versions a dataset
keeps (``catalogue.py``).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from ljwx_pipeline.clock import utc_now
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.lake.atomic_parquet import write_bytes
from ljwx_pipeline.lake.catalogue import Catalogue
from ljwx_pipeline.lake.folders import sync_folder
from ljwx_pipeline.lake.manifest import TableVersion, manifest_path
from ljwx_pipeline.lake.partition import RETIRED, Partition, RetiredVersion, read_retired, retired_bytes
from ljwx_pipeline.lake.store import Lake, folders_in

#: A file no version lists may belong to a writer at work until it is this old.
ORPHAN_AGE = timedelta(hours=1)

#: A thousand years: more is a slip of the hand, and soon no date at all.
MOST_DAYS = 365_000


@dataclass(frozen=True)
class Removal:
    """What retention removed or, in a dry run, would remove.

    Parameters
    ----------
    versions
        Table, partition, version and instant of each version.
    files
        Files below the lake's root, with the orphans of dead writers.
    size_bytes
        What the files hold.
    kept_for_datasets
        Versions past their time that stay because a dataset pins them.
    dry_run
        Whether nothing was touched.
    """

    versions: tuple[tuple[str, str, int, datetime], ...]
    files: tuple[str, ...]
    size_bytes: int
    kept_for_datasets: int
    dry_run: bool

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        names = ("table", "partition", "version", "known_at")
        versions = [dict(zip(names, (*entry[:3], entry[3].isoformat()), strict=True)) for entry in self.versions]
        return {**asdict(self), "versions": versions, "files": list(self.files)}


def retain(lake: Lake, *, keep_days: float, dry_run: bool = True, now: datetime | None = None) -> Removal:
    """Remove versions superseded more than ``keep_days`` ago, then files nothing refers to.

    Every ``as_of`` read of the last ``keep_days`` days stays possible, as does every read of a dataset; the newest
    version of a partition always stays.

    Parameters
    ----------
    lake
        The lake to clear.
    keep_days
        Days for which a version stays after a newer one became known.
    dry_run
        Say what would be removed and remove nothing.
    now
        The present; the clock's when None.

    Raises
    ------
    LakeError
        When ``keep_days`` is negative or beyond a thousand years, a manifest is damaged, or a writer holds a table.
    """
    if not 0 <= keep_days <= MOST_DAYS:
        raise LakeError(f"keep_days is {keep_days}", f"give a number of days, zero to {MOST_DAYS}")
    if not lake.root.is_dir():  # nothing to clear, and nothing to make a folder for
        return Removal((), (), 0, 0, dry_run)
    present = (now or utc_now()).astimezone(UTC)
    before = present - timedelta(days=keep_days)
    versions: list[tuple[str, str, int, datetime]] = []
    files: list[tuple[Path, int]] = []
    pinned_count = 0
    catalogue = Catalogue(lake)
    with catalogue.lock():  # no dataset is made of a version while it goes
        pins = catalogue.pins()
        for table in folders_in(lake.root):
            with lake.lock(table.name):
                for partition in map(Partition, folders_in(table)):
                    superseded = _superseded(partition, before)
                    pinned = [item for item in superseded if _pin_of(item) in pins]
                    retired = [item for item in superseded if _pin_of(item) not in pins]
                    pinned_count += len(pinned)
                    versions += [(*_pin_of(item), item.known_at) for item in retired]
                    files += _clear(partition, retired, present, dry_run=dry_run)
    return Removal(
        versions=tuple(versions),
        files=tuple(str(path.relative_to(lake.root)) for path, _ in files),
        size_bytes=sum(size for _, size in files),
        kept_for_datasets=pinned_count,
        dry_run=dry_run,
    )


def _superseded(partition: Partition, before: datetime) -> list[TableVersion]:
    there = partition.versions
    return [old for old, new in pairwise(there) if new.known_at < before]


def _pin_of(version: TableVersion) -> tuple[str, str, int]:
    return (version.table, version.partition, version.version)


def _clear(
    partition: Partition, retired: list[TableVersion], present: datetime, *, dry_run: bool
) -> list[tuple[Path, int]]:
    """Retire versions of one partition and return the files that went, with their sizes."""
    folder = partition.folder
    gone = {version.version for version in retired} | set(partition.retired)
    listed = {file.name for version in partition.versions if version.version not in gone for file in version.files}
    freed = {file.name for version in retired for file in version.files} - listed
    manifests = [path for number in sorted(gone) if (path := manifest_path(folder, number)).exists()]
    data = [path for path in sorted(folder.iterdir()) if path.name in freed or _is_orphan(path, listed, present)]
    found = [(path, path.stat().st_size) for path in (*manifests, *data)]
    if dry_run or not found:
        return found
    if retired:
        entries = [RetiredVersion(item.version, item.rows, item.content_hash, item.known_at) for item in retired]
        record = read_retired(folder) | {entry.version: entry for entry in entries}
        write_bytes(folder / RETIRED, retired_bytes(record))
    for paths in (manifests, data):
        for path in paths:
            path.unlink(missing_ok=True)
        sync_folder(folder)
    return found


def _is_orphan(path: Path, listed: set[str], present: datetime) -> bool:
    if path.name in listed or path.suffix not in (".parquet", ".part"):
        return False
    try:
        changed = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except FileNotFoundError:
        return False
    return present - changed > ORPHAN_AGE
