"""The journal's database, SQLite or PostgreSQL: durable connections, all-or-nothing writes, errors that say what to do.

Not here: which tables there are (``tables.py``), how they are brought up to date (``migrate.py``).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from ljwx_pipeline.errors import JournalDamaged, LiveError

#: How long a write waits for another process's, seconds.
LOCK_WAIT_S = 15.0
_MS_PER_S = 1000


class Store:
    """One database of the runner; any number of threads may use it.

    Parameters
    ----------
    place
        A SQLite file, made with its folder when absent, or an SQLAlchemy URL: ``postgresql+psycopg2://``, ``sqlite://``.
    lock_wait_s
        How long a write waits for another process's before it is an error.

    Raises
    ------
    LiveError
        When there is no such database, or it cannot be opened.
    """

    def __init__(self, place: Path | str, *, lock_wait_s: float = LOCK_WAIT_S) -> None:
        self.url = database_url(place)
        self.lock_wait_s = lock_wait_s
        #: How errors and people name it; without its password.
        self.name = self.url.database or "" if self.is_sqlite else self.url.render_as_string(hide_password=True)
        if self.is_sqlite:
            self._make_folder()
        self._engine = _engine(self.url, lock_wait_s)
        with self.reading():
            pass

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file."""
        return self.url.get_backend_name() == "sqlite"

    @property
    def path(self) -> Path:
        """The SQLite file.

        Raises
        ------
        LiveError
            When it is no file.
        """
        if not self.is_sqlite:
            raise LiveError(f"{self.name} is no file", "say where its backups are to lie")
        return Path(str(self.url.database))

    def close(self) -> None:
        """Close every connection; nothing is pending, every write was durable when its block ended."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield a connection that sees one state of the database for as long as the block lasts.

        Raises
        ------
        LiveError
            When the database cannot be read.
        """
        with told(self.name), self._engine.connect() as bare:
            snapshot = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
            yield bare.execution_options(**snapshot)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Run the block as one durable transaction: all of it is on disk when the block ends, or none of it.

        Raises
        ------
        LiveError
            When the database refuses; after a lost connection it says that nobody knows whether it was stored.
        """
        with told(self.name), self._engine.connect() as bare:
            connection = bare.execution_options(ljwx_writes=True)
            connection.begin()
            try:
                yield connection
                commit(connection)
            except BaseException:
                connection.rollback()
                raise

    def _make_folder(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LiveError(
                f"{self.path.parent} cannot be made ({error.strerror})", "make the folder writable or set LJWX_HOME"
            ) from None


def commit(connection: Connection) -> None:
    """Make the open transaction durable; the one place where anything of the journal reaches the disk."""
    connection.commit()


def database_url(place: Path | str) -> URL:
    """Return the URL of a SQLite file or of ``[live] database_url``.

    Raises
    ------
    LiveError
        For a text that is no URL, or of a database that the runner does not know.
    """
    if isinstance(place, Path):
        return URL.create("sqlite", database=str(place))
    try:
        url = make_url(place)
        if url.get_backend_name() in ("sqlite", "postgresql"):
            url.get_dialect()
            return url
    except (ArgumentError, NoSuchModuleError):
        pass  # the error below says the same, without the password that is in the text
    raise LiveError(
        "live.database_url names no database that the runner knows",
        "write postgresql+psycopg2://USER@HOST:PORT/DATABASE, or leave it empty for a SQLite file",
    )


def _engine(url: URL, lock_wait_s: float) -> Engine:
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, connect_args={"timeout": lock_wait_s})

        @event.listens_for(engine, "connect")
        def prepare(connection: sqlite3.Connection, _: Any) -> None:
            # transactions are begun below: the driver's own way would let a reader become a writer half-way
            connection.isolation_level = None
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
                connection.execute(f"PRAGMA {pragma}")

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            writes = connection.get_execution_options().get("ljwx_writes", False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

        return engine
    wait_ms = int(lock_wait_s * _MS_PER_S)
    return create_engine(
        url,
        connect_args={
            "connect_timeout": max(1, int(lock_wait_s)),
            # whatever the server's own setting: a commit that returned is on disk
            "options": f"-c synchronous_commit=on -c lock_timeout={wait_ms} -c timezone=UTC",
        },
    )


@contextmanager
def told(name: str) -> Iterator[None]:
    """Turn what the database says into a `LiveError` with its remedy."""
    try:
        yield
    except IntegrityError as error:
        raise LiveError(
            f"{name} refused a row that contradicts others ({error.orig})",
            "nothing was written; the runner's own account of events is wrong: reconcile before trading goes on",
        ) from error
    except DBAPIError as error:
        fact, remedy = reason = _reason(error)
        kind = JournalDamaged if reason is _DAMAGED else LiveError
        raise kind(f"{name} {fact} ({error.orig})", remedy) from error
    except SQLAlchemyError as error:
        raise LiveError(f"{name} could not be used ({error})", "nothing was written; look at the database") from error


_RESTORE = "restore it with `ljwx live restore`, or move it away to start anew"
_SPACE = ("is on a full disk", "nothing was written; free disk space: a runner goes on by itself, repeat a command")
_READ_ONLY = ("is read-only", "nothing was written; make file and folder writable for the runner's user")
_LOCKED = ("is held locked by another process", "nothing was written; end whatever holds it, then try again")
_DAMAGED = ("cannot be opened or read: the file is damaged", _RESTORE)
_ELSE = ("refused", "nothing was written; look at the database's own log")
_OF_SQLITE = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_FULL: _SPACE,
    sqlite3.SQLITE_IOERR: ("could not be written or read", "nothing was written; look at the disk and its free space"),
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "check that the folder is there and writable"),
}
_OF_POSTGRES = {"55P03": _LOCKED, "25006": _READ_ONLY, "53100": _SPACE, "XX001": _DAMAGED, "XX002": _DAMAGED}


def _reason(error: DBAPIError) -> tuple[str, str]:
    if isinstance(error.orig, sqlite3.Error):
        # the low byte is the kind, the rest says more of it
        return _OF_SQLITE.get(getattr(error.orig, "sqlite_errorcode", 0) & 0xFF, _ELSE)
    if error.connection_invalidated:
        return (
            "lost the connection",
            "whether the last write was stored is unknown: open the journal again and look before anything is sent",
        )
    return _OF_POSTGRES.get(getattr(error.orig, "pgcode", None) or "", _ELSE)
