"""The record of one stored version: written last, so that a version without it never happened.

Format 1 named one data file; format 2 lists several, so that new rows are added beside the old ones. Both are read.
Not here: the files' content (``scan.py``) and which versions a partition has (``partition.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from ljwx_pipeline.lake.documents import read_sealed, sealed

FORMAT = 2
PATTERN = "v*.json"


@dataclass(frozen=True)
class DataFile:
    """One Parquet file of a version.

    Parameters
    ----------
    name
        File name in the partition's folder.
    sha256
        Hash of the file's bytes, to notice damage.
    rows
        Number of rows.
    sessions
        First and last ``session_date`` in it; None when it or one of its rows has none, or its manifest does not say.
    """

    name: str
    sha256: str
    rows: int
    sessions: tuple[date, date] | None = None


@dataclass(frozen=True)
class TableVersion:
    """One version of one partition of a table.

    Parameters
    ----------
    table, partition
        What it is a version of.
    version
        1 for the first, growing by one.
    rows
        Number of rows.
    content_hash
        Hash of names, types and values of all rows in order (``content_hash.content_hash``), however many files hold
        them.
    known_at
        Instant (UTC) from which an ``as_of`` read sees it.
    folder
        The partition's folder.
    files
        The data files, whose rows together are the version's.
    columns
        Column names in order.
    """

    table: str
    partition: str
    version: int
    rows: int
    content_hash: str
    known_at: datetime
    folder: Path
    files: tuple[DataFile, ...]
    columns: tuple[str, ...]

    @property
    def paths(self) -> tuple[Path, ...]:
        """The data files' paths."""
        return tuple(self.folder / file.name for file in self.files)

    @property
    def sessions(self) -> tuple[date, date] | None:
        """First and last ``session_date``; None when there is none or a file's is not recorded."""
        spans = [file.sessions for file in self.files if file.rows]
        known = [span for span in spans if span is not None]
        if not known or len(known) < len(spans):
            return None
        return min(first for first, _ in known), max(last for _, last in known)


def manifest_path(folder: Path, version: int) -> Path:
    """Return where the manifest of ``version`` lives."""
    return folder / f"v{version:08d}.json"


def manifest_bytes(version: TableVersion) -> bytes:
    """Return the manifest of ``version`` with a checksum over its own text."""
    return sealed(
        {
            "format": FORMAT,
            "table": version.table,
            "partition": version.partition,
            "version": version.version,
            "rows": version.rows,
            "content_hash": version.content_hash,
            "known_at": version.known_at.isoformat(timespec="microseconds"),
            "files": [_described(file) for file in version.files],
            "columns": list(version.columns),
        }
    )


def read_manifest(path: Path) -> TableVersion:
    """Return the version that ``path`` records.

    Raises
    ------
    LakeError
        When the manifest is damaged or of a newer format.
    FileNotFoundError
        When it is gone.
    """
    body = read_sealed(path, what="manifest", formats=(1, FORMAT))
    if body["format"] == 1:
        body["files"] = [{"name": body["file"], "sha256": body["file_sha256"], "rows": body["rows"]}]
    return TableVersion(
        table=body["table"],
        partition=body["partition"],
        version=body["version"],
        rows=body["rows"],
        content_hash=body["content_hash"],
        known_at=datetime.fromisoformat(body["known_at"]),
        folder=path.parent,
        files=tuple(_data_file(entry) for entry in body["files"]),
        columns=tuple(body["columns"]),
    )


def _described(file: DataFile) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": file.name, "sha256": file.sha256, "rows": file.rows}
    if file.sessions is not None:
        entry["sessions"] = [day.isoformat() for day in file.sessions]
    return entry


def _data_file(entry: dict[str, Any]) -> DataFile:
    days = [date.fromisoformat(text) for text in entry.get("sessions", ())]
    return DataFile(entry["name"], entry["sha256"], entry["rows"], (days[0], days[1]) if days else None)
