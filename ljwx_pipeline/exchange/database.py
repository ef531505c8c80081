"""The exchange's SQLite file: every connection durable, every write one explicit transaction.

Not here: which tables exist (``journal.py``).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ljwx_pipeline.errors import TradingError

BUSY_TIMEOUT_S = 15.0


def connect(path: Path) -> sqlite3.Connection:
    """Return a connection with write-ahead log, ``synchronous=FULL`` and foreign keys on.

    Raises
    ------
    TradingError
        When the file cannot be opened, is no database or is damaged.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT_S)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except (OSError, sqlite3.Error) as error:
        raise TradingError(
            f"{path} cannot be opened as the exchange's journal ({error})",
            "check that the folder is writable; restore a damaged file from a backup, or give another --state",
        ) from error
    if found != "ok":
        connection.close()
        raise TradingError(f"{path} is damaged ({found})", "restore it from a backup, or give another --state")
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Run the block as one durable transaction: all of it is on disk when the block ends, or none of it.

    Raises
    ------
    TradingError
        When the disk is full or the file cannot be written; nothing has changed.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            commit(connection)
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    except sqlite3.Error as error:
        raise TradingError(
            f"the exchange's journal refused a write ({error})",
            "free disk space, make its folder writable, or end the process that holds it locked",
        ) from error


def commit(connection: sqlite3.Connection) -> None:
    """Make the open transaction durable; the one place where anything reaches the disk."""
    connection.execute("COMMIT")
