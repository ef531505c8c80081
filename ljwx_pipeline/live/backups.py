"""Backups of the journal, made while it is written to, and verified by restoring them before they count.

Each is restored to a scratch place, checked, and every table's hash compared with the journal's at the instant of the
backup. Not here: the folder they lie in (``backup_shelf.py``), how a file or a PostgreSQL database is copied
(``backup_copies.py``), going back to one (``restore.py``).
"""

from __future__ import annotations

import hashlib
import os
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, func, inspect, select

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.backup_copies import Copies, copies_of, restored
from ljwx_pipeline.live.backup_shelf import DRAFT, Backup, Shelf, sha256_of
from ljwx_pipeline.live.migrate import revision_of
from ljwx_pipeline.live.store import Store
from ljwx_pipeline.live.table_hashes import TableHash, Told, table_hashes
from ljwx_pipeline.live.tables import events_log

BACKUPS_DIR = "backups"
#: Twice the journal is written (backup and scratch), and a little more.
_ROOM_FACTOR = 2.2
_DAILY = timedelta(days=1)


class Backups:
    """Makes the backups of one journal.

    Parameters
    ----------
    store
        The journal's database, of any revision.
    folder
        Where they lie; made with the first one.
    """

    def __init__(self, store: Store, folder: Path, clock: Clock) -> None:
        self.shelf = Shelf(folder)
        self._store = store
        self._clock = clock

    def make(self, reason: str, told: Told = lambda *_: None) -> Backup:
        """Make a backup, verify it and return it; the journal is read and written meanwhile.

        Raises
        ------
        LiveError
            When it cannot be made, or restoring it does not give the journal's rows: nothing is left of it.
        """
        folder, at = self.shelf.folder, self._clock.now()
        copies = copies_of(self._store.url)
        draft = folder / f"journal-{at:%Y%m%dT%H%M%S%fZ}{copies.suffix}{DRAFT}"
        try:
            with self.shelf.alone():
                self._require_room()
                try:
                    return self._made(draft, copies, at, reason, told)
                finally:
                    draft.unlink(missing_ok=True)
        except OSError as error:
            raise LiveError(
                f"no backup could be made in {folder} ({error.strerror or error})",
                "free disk space there and make the folder writable; the journal itself is untouched",
            ) from error

    def _made(self, draft: Path, copies: Copies, at: datetime, reason: str, told: Told) -> Backup:
        with self._store.reading() as connection:
            revision = revision_of(connection, self._store.name)
            if revision is None:
                raise LiveError(f"{self._store.name} is empty", "there is nothing to keep yet")
            tables = table_hashes(connection, told)
            seq, last_event = log_end(connection)
            copies.write(connection, draft)
        name = draft.name.removesuffix(DRAFT)
        with restored(copies, draft, self.shelf.folder, "scratch") as again, again.reading() as connection:
            _require_equal(tables, table_hashes(connection, told), name)
        size_bytes, sha256 = draft.stat().st_size, sha256_of(draft)
        made = Backup(name, at.isoformat(), reason, revision, seq, last_event, size_bytes, sha256, tables)
        self.shelf.add(draft, made)
        return made

    def is_due(self, every: timedelta = _DAILY) -> bool:
        """Return whether no backup is as young as ``every``; one of the future, of a clock set back since, is none."""
        now = self._clock.now()
        return not any(timedelta(0) <= now - kept.instant < every for kept in self.shelf.listed())

    def _require_room(self) -> None:
        if not self._store.is_sqlite:
            return
        used = sum(path.stat().st_size for path in self._store.path.parent.glob(f"{self._store.path.name}*"))
        room = os.statvfs(self.shelf.folder)
        free, wanted = room.f_bavail * room.f_frsize, int(used * _ROOM_FACTOR)
        if free < wanted:
            raise LiveError(
                f"{self.shelf.folder} has {free:,} bytes free, a verified backup of the journal needs {wanted:,}",
                "free some space, or thin the backups out: `ljwx live backups --retain --yes`",
            )


def log_end(connection: Connection, seq: int | None = None) -> tuple[int, str]:
    """Return the last event's seq and hash, or those of event ``seq``; 0 and nothing where there is none."""
    if not inspect(connection).has_table(events_log.name):
        return 0, ""
    last = select(func.max(events_log.c.seq)).scalar_subquery() if seq is None else seq
    row = connection.execute(select(events_log).where(events_log.c.seq == last)).first()
    return (0, "") if row is None else (row.seq, hashlib.sha256(repr(tuple(row)).encode()).hexdigest())


def _require_equal(tables: dict[str, TableHash], again: dict[str, TableHash], name: str) -> None:
    differ = sorted(table for table in {*tables, *again} if tables.get(table) != again.get(table))
    if differ:
        raise LiveError(
            f"the backup {name} does not restore to what the journal holds: {', '.join(differ)} differ",
            "it was thrown away; look at the disk, then make another one",
        )
