"""The folder of a journal's backups: a file each and, written last, a manifest; which are there, whole, to be kept.

Not here: making one (``backups.py``), going back to one (``restore.py``).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.table_hashes import TableHash

DRAFT = ".draft"
_LOCK = ".lock"
_MANIFEST = ".json"
_FORMAT = 1
_READ_AT_ONCE = 1 << 20
_DAY = timedelta(days=1)
_LONGEST_MONTH_DAYS = 31


@dataclass(frozen=True)
class Backup:
    """One verified backup.

    Parameters
    ----------
    name
        Of its file in the backups' folder.
    at
        Instant it was made, ISO, UTC.
    revision
        Of the journal's schema.
    upto_seq, last_event
        The last event in it (0 of a journal that had no log yet), and that event's hash: a journal that went another
        way since, because it was restored, has another one there.
    sha256
        Of the file.
    tables
        Rows and hash of every table in it.
    """

    name: str
    at: str
    reason: str
    revision: str
    upto_seq: int
    last_event: str
    size_bytes: int
    sha256: str
    tables: dict[str, TableHash]

    @property
    def instant(self) -> datetime:
        """When it was made."""
        return datetime.fromisoformat(self.at)


@dataclass(frozen=True)
class Retention:
    """Which backups are kept: all younger than a day, the newest of each of ``days``, the newest of each of ``months``.

    The newest one of all is always kept.
    """

    days: int
    months: int


class Shelf:
    """The backups that lie in one folder.

    Parameters
    ----------
    folder
        It may not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the folder for one making or restoring at a time, and clear what a killed one left; others wait.

        Raises
        ------
        LiveError
            When the folder cannot be made or written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / _LOCK).open("a", encoding="ascii")
        except OSError as error:
            raise LiveError(
                f"no backup could be made in {self.folder} ({error.strerror or error})",
                "make the folder writable; the journal itself is untouched",
            ) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for left in self.folder.glob(f"*{DRAFT}"):
                left.unlink()
            yield

    def listed(self) -> tuple[Backup, ...]:
        """Return the backups, oldest first; a file without a manifest is none.

        Raises
        ------
        LiveError
            When a manifest is damaged: somebody has to look before it is relied on or thinned out.
        """
        return tuple(sorted(map(_read_manifest, self.folder.glob(f"*{_MANIFEST}")), key=lambda one: (one.at, one.name)))

    def require_whole(self, backup: Backup) -> Path:
        """Return the backup's file, after comparing it with its manifest.

        Raises
        ------
        LiveError
            When it is missing or not as it was written.
        """
        path = self.folder / backup.name
        if not path.is_file() or sha256_of(path) != backup.sha256:
            what = "is not as it was written" if path.is_file() else "is missing"
            raise LiveError(
                f"the backup {path} {what}",
                f"move it and {path.name}{_MANIFEST} away: another one, or the log, is then restored from",
            )
        return path

    def add(self, draft: Path, backup: Backup) -> None:
        """Put ``draft`` on the shelf as ``backup``; it counts once its manifest stands beside it."""
        make_durable(draft, self.folder / backup.name)
        manifest = self.folder / f"{backup.name}{_MANIFEST}"
        written = manifest.with_name(f"{manifest.name}{DRAFT}")
        written.write_text(json.dumps({"format": _FORMAT, **asdict(backup)}, indent=2) + "\n", encoding="utf-8")
        make_durable(written, manifest)

    def remove(self, backups: Sequence[Backup]) -> None:
        """Remove ``backups``, each manifest first: half-way it is no backup rather than a broken one."""
        for backup in backups:
            try:
                (self.folder / f"{backup.name}{_MANIFEST}").unlink(missing_ok=True)
                (self.folder / backup.name).unlink(missing_ok=True)
            except OSError as error:
                raise LiveError(
                    f"the backup {backup.name} could not be removed ({error.strerror})", "make its folder writable"
                ) from error


def surplus(backups: Sequence[Backup], retention: Retention, now: datetime) -> tuple[Backup, ...]:
    """Return those of ``backups`` (oldest first) that ``retention`` does not keep at ``now``."""
    kept = {backups[-1].name} if backups else set()
    newest: dict[str, str] = {}
    for backup in backups:
        age = now - backup.instant
        if age < _DAY:
            kept.add(backup.name)
        if age < retention.days * _DAY:
            newest[f"{backup.instant:%Y-%m-%d}"] = backup.name
        if age < retention.months * _LONGEST_MONTH_DAYS * _DAY:
            newest[f"{backup.instant:%Y-%m}"] = backup.name
    kept |= set(newest.values())
    return tuple(backup for backup in backups if backup.name not in kept)


def sha256_of(path: Path) -> str:
    """Return the hash of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_AT_ONCE):
            digest.update(block)
    return digest.hexdigest()


def make_durable(draft: Path, path: Path) -> None:
    """Give ``draft`` its name once its bytes are on disk; after a crash it is there whole, or not at all."""
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read_manifest(path: Path) -> Backup:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found.pop("format") == _FORMAT:
            tables = {name: TableHash(**one) for name, one in found.pop("tables").items()}
            return Backup(**found, tables=tables)
        why = "it is of another release"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = str(error) or type(error).__name__
    raise LiveError(f"the manifest {path} cannot be read ({why})", "move it and its backup away if nobody can mend it")
