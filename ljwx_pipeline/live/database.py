"""SQLite as the runner uses it: every connection durable, every write one explicit transaction, a schema version.

Not here: which tables exist (``journal.py``, ``paper_broker.py``).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ljwx_pipeline.errors import LiveError

BUSY_TIMEOUT_MS = 15_000


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        # the base class itself is what the library raises for a damaged file; its subclasses mean other things
        if type(error) is not sqlite3.DatabaseError:
            raise
        raise LiveError(
            f"{path} cannot be opened or read: the file is damaged ({error})",
            "restore it from a backup, or move the market's live folder away and run `ljwx run` again",
        ) from error


class _Cursor(sqlite3.Cursor):
    """A cursor that says which file is damaged."""

    path: Path

    def execute(self, *args: Any) -> _Cursor:
        with _damage_named(self.path):
            super().execute(*args)
        return self

    def executemany(self, *args: Any) -> _Cursor:
        with _damage_named(self.path):
            super().executemany(*args)
        return self

    def fetchone(self) -> Any:
        with _damage_named(self.path):
            return super().fetchone()

    def fetchall(self) -> list[Any]:
        with _damage_named(self.path):
            return super().fetchall()

    def __next__(self) -> Any:
        with _damage_named(self.path):
            return super().__next__()


class _Connection(sqlite3.Connection):
    """A connection whose cursors know the path of their file."""

    path: Path

    def cursor(self, *_: Any) -> Any:
        made = super().cursor(_Cursor)
        made.path = self.path
        return made

    def execute(self, *args: Any) -> Any:
        return self.cursor().execute(*args)

    def executemany(self, *args: Any) -> Any:
        return self.cursor().executemany(*args)


def connect(path: Path) -> sqlite3.Connection:
    """Return a connection with write-ahead log, ``synchronous=FULL`` and foreign keys on.

    ``synchronous`` and ``foreign_keys`` belong to the connection, not to the file, so no connection may be made in any
    other way. Transactions are explicit (see `transaction`).

    Raises
    ------
    LiveError
        When the file cannot be opened or is no database.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT_MS / 1000, factory=_Connection)
        connection.path = path
        connection.row_factory = sqlite3.Row
        connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
    except (OSError, sqlite3.Error) as error:
        raise LiveError(
            f"{path} cannot be opened as a SQLite database ({error})",
            "check that the folder is writable; restore a damaged file from a backup, or move it away to start anew",
        ) from error
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Run the block as one durable transaction: all of it is on disk when the block ends, or none of it."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            commit(connection)
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    except sqlite3.OperationalError as error:
        raise LiveError(
            f"the runner's database refused a write ({error})",
            "free disk space, make its folder writable, or end the process that holds it locked",
        ) from error


def commit(connection: sqlite3.Connection) -> None:
    """Make the open transaction durable; the one place where anything reaches the disk."""
    connection.execute("COMMIT")


def migrate(connection: sqlite3.Connection, migrations: Sequence[str], what: str) -> None:
    """Bring the schema to the last of ``migrations``; ``PRAGMA user_version`` counts those applied.

    Raises
    ------
    LiveError
        When the file was written by a newer version of this program.
    """
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > len(migrations):
        raise LiveError(
            f"the {what} has schema version {version}, this program knows {len(migrations)}",
            "run the version that wrote it, or upgrade",
        )
    if version == len(migrations):
        return
    with transaction(connection):
        # another process may have migrated between the look and the lock
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        for script in migrations[version:]:
            for statement in script.split(";\n\n"):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version={len(migrations)}")
