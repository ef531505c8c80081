"""The record of one stored version: written last, so that a version without it never happened."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.lake.atomic_parquet import write_bytes

FORMAT = 1
PATTERN = "v*.json"


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
        Hash of names, types and values (``content_hash.content_hash``).
    known_at
        Instant (UTC) from which an ``as_of`` read sees it.
    path
        The Parquet file.
    file_sha256
        Hash of that file's bytes, to notice damage.
    columns
        Column names in order.
    """

    table: str
    partition: str
    version: int
    rows: int
    content_hash: str
    known_at: datetime
    path: Path
    file_sha256: str
    columns: tuple[str, ...]


def manifest_path(folder: Path, version: int) -> Path:
    """Return where the manifest of ``version`` lives."""
    return folder / f"v{version:08d}.json"


def write_manifest(version: TableVersion) -> None:
    """Store ``version`` beside its data file, with a checksum over its own text."""
    body = {
        "format": FORMAT,
        "table": version.table,
        "partition": version.partition,
        "version": version.version,
        "rows": version.rows,
        "content_hash": version.content_hash,
        "known_at": version.known_at.isoformat(timespec="microseconds"),
        "file": version.path.name,
        "file_sha256": version.file_sha256,
        "columns": list(version.columns),
    }
    text = json.dumps({**body, "checksum": _checksum(body)}, indent=1, ensure_ascii=False)
    write_bytes(manifest_path(version.path.parent, version.version), text.encode())


def read_manifest(path: Path) -> TableVersion:
    """Return the version that ``path`` records.

    Raises
    ------
    LakeError
        When the manifest is damaged or of a newer format.
    """
    try:
        body: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        checksum = body.pop("checksum")
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise LakeError(f"manifest {path} is damaged ({error})", "restore it from a backup") from error
    if checksum != _checksum(body):
        raise LakeError(f"manifest {path} is damaged: its checksum does not fit", "restore it from a backup")
    if body["format"] != FORMAT:
        raise LakeError(f"manifest {path} has format {body['format']}, not {FORMAT}", "upgrade ljwx-pipeline")
    return TableVersion(
        table=body["table"],
        partition=body["partition"],
        version=body["version"],
        rows=body["rows"],
        content_hash=body["content_hash"],
        known_at=datetime.fromisoformat(body["known_at"]),
        path=path.parent / body["file"],
        file_sha256=body["file_sha256"],
        columns=tuple(body["columns"]),
    )


def _checksum(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
