"""SQLite as the runner uses it: every connection durable, every write one explicit transaction, a schema version.

Not here: which tables exist (``journal.py``, ``paper_broker.py``).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ljwx_pipeline.errors import LiveError

BUSY_TIMEOUT_MS = 15_000


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
        connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT_MS / 1000)
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
