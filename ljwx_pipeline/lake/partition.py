"""What one partition's folder remembers: the versions it holds and those that retention removed.

Not here: the rows (``scan.py``), writing (``commit.py``), deciding what to remove (``retention.py``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.lake.documents import read_sealed, sealed
from ljwx_pipeline.lake.manifest import TableVersion, manifest_path, read_manifest

RETIRED = "retired.json"
_RETIRED_FORMAT = 1
_MANIFEST = re.compile(r"^v(\d{8})\.json$")


@dataclass(frozen=True)
class RetiredVersion:
    """What is left of a version whose rows were removed by retention."""

    version: int
    rows: int
    content_hash: str
    known_at: datetime


class Partition:
    """The versions in one folder, read as they are asked for: a long history costs no more than its newest.

    Parameters
    ----------
    folder
        The partition's folder; one that does not exist has no versions.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        names = _names_in(folder)
        self._numbers = sorted(int(found[1]) for name in names if (found := _MANIFEST.match(name)) is not None)
        self.retired: dict[int, RetiredVersion] = {}
        # a gap without a record: retention records a version as retired before it removes the manifest, and did both
        # while the names were read
        if RETIRED in names or self._numbers != list(range(1, len(self._numbers) + 1)):
            with folder_named(folder):
                self.retired = read_retired(folder)
        expected = set(range(1, max([*self._numbers, *self.retired], default=0) + 1))
        missing = expected - set(self._numbers) - set(self.retired)
        if missing:
            raise LakeError(
                f"{folder} has no manifest of version {min(missing)}",
                f"restore it from a backup, or {reload(folder)}",
            )
        self._manifests: dict[int, TableVersion] = {}

    @property
    def exists(self) -> bool:
        """Whether there ever was a version."""
        return bool(self._numbers or self.retired)

    @cached_property
    def versions(self) -> list[TableVersion]:
        """The versions that are there, oldest first."""
        return [found for number in self._numbers if isinstance(found := self._entry(number), TableVersion)]

    @property
    def first_known_at(self) -> datetime | None:
        """When the first version became known, even where retention removed it; None where there never was one."""
        return self._entry(min({*self._numbers, *self.retired})).known_at if self.exists else None

    @property
    def newest(self) -> TableVersion | None:
        """The newest version, which retention never removes."""
        found = self.known_by(None)
        return found if isinstance(found, TableVersion) else None

    def known_by(self, limit: datetime | None) -> TableVersion | RetiredVersion | None:
        """Return the newest version known at ``limit`` (ever, when None)."""
        for number in sorted({*self._numbers, *self.retired}, reverse=True):
            found = self._entry(number)
            if limit is None or found.known_at <= limit:
                return found
        return None

    def _entry(self, number: int) -> TableVersion | RetiredVersion:
        if number in self.retired:
            return self.retired[number]
        if number not in self._manifests:
            with folder_named(self.folder):
                try:
                    self._manifests[number] = read_manifest(manifest_path(self.folder, number))
                except FileNotFoundError:  # retired since the folder was looked at
                    self.retired = read_retired(self.folder)
                    if number in self.retired:
                        return self.retired[number]
                    raise LakeError(f"{self.folder} has lost version {number}", "restore it from a backup") from None
        return self._manifests[number]


def read_retired(folder: Path) -> dict[int, RetiredVersion]:
    """Return what retention removed from ``folder``, by version."""
    try:
        body = read_sealed(folder / RETIRED, what="record", formats=(_RETIRED_FORMAT,))
    except FileNotFoundError:
        return {}
    return {
        entry["version"]: RetiredVersion(
            entry["version"], entry["rows"], entry["content_hash"], datetime.fromisoformat(entry["known_at"])
        )
        for entry in body["versions"]
    }


def retired_bytes(retired: dict[int, RetiredVersion]) -> bytes:
    """Return the record of removed versions."""
    versions = [
        {
            "version": entry.version,
            "rows": entry.rows,
            "content_hash": entry.content_hash,
            "known_at": entry.known_at.isoformat(timespec="microseconds"),
        }
        for _, entry in sorted(retired.items())
    ]
    return sealed({"format": _RETIRED_FORMAT, "versions": versions})


def _names_in(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise LakeError(f"{folder} cannot be read ({error.strerror})", "check the disk and permissions") from error


@contextmanager
def folder_named(folder: Path) -> Iterator[None]:
    """Tell which partition's folder to delete when what it holds cannot be read."""
    try:
        yield
    except LakeError as error:
        raise LakeError(error.fact, f"{error.remedy}; without a backup, {reload(folder)}") from error


def reload(folder: Path) -> str:
    """Return the last remedy for a folder that cannot be read."""
    return f"delete the folder {folder} and load the data again"
