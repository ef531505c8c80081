"""A journal's database as one file and back: SQLite's own online backup, or pg_dump and pg_restore.

Not here: when backups are made, how they are verified and kept (``backups.py``).
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Protocol, cast

from sqlalchemy import URL, Connection, create_engine, text

from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.backup_shelf import make_durable
from ljwx_pipeline.live.store import Store, database_url, told

_PAGES_AT_ONCE = 4_096
#: A dump of a journal takes seconds; one that does not end must not hold the runner's start for ever.
_TOOL_S = 3_600.0

#: A SQLite file, or the URL of a database.
Place = Path | str


class Copies(Protocol):
    """How one kind of database becomes a file and comes back."""

    suffix: str

    def write(self, connection: Connection, path: Path) -> None:
        """Write what ``connection`` sees to ``path``."""
        ...

    def made(self, into: Place) -> AbstractContextManager[Place]:
        """Yield the place of a new, empty database, which is ``into`` after the block and gone if that fails.

        Raises
        ------
        LiveError
            When ``into`` exists: nothing is ever written over another journal.
        """
        ...

    def fill(self, path: Path, place: Place) -> None:
        """Fill the new database from the file that `write` wrote."""
        ...

    def scratch(self, folder: Path, name: str) -> Place:
        """Return where a database may stand for a moment, after removing what stood there."""
        ...

    def drop(self, place: Place) -> None:
        """Remove the database, if it is there."""
        ...


def copies_of(url: URL) -> Copies:
    """Return how the database at ``url`` is copied."""
    return _SqliteCopies() if url.get_backend_name() == "sqlite" else _PostgresCopies(url)


@contextmanager
def restored(copies: Copies, path: Path, folder: Path, name: str) -> Iterator[Store]:
    """Yield a database restored from ``path`` and found whole; it is gone after the block.

    Raises
    ------
    LiveError
        When it cannot be restored, or is not whole.
    """
    scratch = copies.scratch(folder, name)
    try:
        with copies.made(scratch) as place:
            copies.fill(path, place)
        store = Store(scratch)
        try:
            require_sound(store)
            yield store
        finally:
            store.close()
    finally:
        copies.drop(scratch)


def require_sound(store: Store) -> None:
    """Raise ``LiveError`` for a SQLite file that is damaged; PostgreSQL answers for itself."""
    if not store.is_sqlite:
        return
    with store.reading() as connection:
        found = connection.execute(text("PRAGMA integrity_check")).scalars().all()
        broken = connection.execute(text("PRAGMA foreign_key_check")).all()
    if found != ["ok"] or broken:
        raise LiveError(
            f"{store.name} is not whole ({'; '.join(found[:3])}; {len(broken)} rows point at rows that are not there)",
            "look at the disk; restore from another backup with `ljwx live restore`",
        )


class _SqliteCopies:
    suffix = ".sqlite"

    def write(self, connection: Connection, path: Path) -> None:
        # the copy runs inside the transaction of `connection`: it is the state whose hashes were taken
        source = cast("sqlite3.Connection", connection.connection.driver_connection)
        try:
            with closing(sqlite3.connect(path)) as target:
                source.backup(target, pages=_PAGES_AT_ONCE)
                target.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
        except sqlite3.Error as error:
            raise LiveError(
                f"the backup {path} could not be written ({error})",
                "free disk space there and make the folder writable; the journal itself is untouched",
            ) from error

    @contextmanager
    def made(self, into: Place) -> Iterator[Place]:
        target = Path(into)
        if target.exists():
            raise LiveError(f"{target} exists", "name a new file: nothing is ever restored over another one")
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            yield draft
            make_durable(draft, target)
        except OSError as error:
            raise LiveError(
                f"{target} cannot be written ({error.strerror or error})", "free disk space, or name another folder"
            ) from error
        finally:
            self.drop(draft)

    def fill(self, path: Path, place: Place) -> None:
        shutil.copyfile(path, place)

    def scratch(self, folder: Path, name: str) -> Place:
        place = folder / f"{name}{self.suffix}"
        self.drop(place)
        return place

    def drop(self, place: Place) -> None:
        path = Path(place)
        for suffix in ("", "-wal", "-shm", "-journal"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)


class _PostgresCopies:
    """Through the server's own tools, which read the password where psycopg2 does: PGPASSWORD or ~/.pgpass."""

    suffix = ".pgdump"

    def __init__(self, url: URL) -> None:
        self._url = url

    def write(self, connection: Connection, path: Path) -> None:
        snapshot = connection.execute(text("SELECT pg_export_snapshot()")).scalar_one()
        _run("pg_dump", self._url, "--format=custom", "--no-owner", f"--snapshot={snapshot}", f"--file={path}")

    @contextmanager
    def made(self, into: Place) -> Iterator[Place]:
        target = database_url(into)
        with self._administration() as connection:
            known = text("SELECT 1 FROM pg_database WHERE datname = :name")
            if connection.execute(known, {"name": target.database}).first() is not None:
                raise LiveError(
                    f"database {target.database} exists", "name a new one: nothing is ever restored over another one"
                )
            connection.execute(text(f"CREATE DATABASE {_quoted(connection, target)}"))
        try:
            yield into
        except BaseException:
            self.drop(into)
            raise

    def fill(self, path: Path, place: Place) -> None:
        options = ("--no-owner", "--exit-on-error", "--single-transaction", str(path))
        _run("pg_restore", database_url(place), *options)

    def scratch(self, folder: Path, name: str) -> Place:  # noqa: ARG002 - it stands on the server
        place = self._url.set(database=f"{self._url.database}_{name}").render_as_string(hide_password=False)
        self.drop(place)
        return place

    def drop(self, place: Place) -> None:
        with self._administration() as connection:
            connection.execute(text(f"DROP DATABASE IF EXISTS {_quoted(connection, database_url(place))}"))

    @contextmanager
    def _administration(self) -> Iterator[Connection]:
        engine = create_engine(self._url, isolation_level="AUTOCOMMIT")
        try:
            with told(self._url.render_as_string()), engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()


def _quoted(connection: Connection, url: URL) -> str:
    return connection.dialect.identifier_preparer.quote(str(url.database))


def _run(tool: str, url: URL, *options: str) -> None:
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{tool}"), reverse=True)
    program = next((str(place) for place in places), None) or shutil.which(tool)
    if program is None:
        raise LiveError(
            f"{tool} is not installed here: no backup of the journal can be made or restored",
            "install the PostgreSQL client of the server's version or a newer one",
        )
    where = {"--host": url.host, "--port": url.port, "--username": url.username, "--dbname": url.database}
    named = [f"{option}={value}" for option, value in where.items() if value is not None]
    command = [program, *named, "--no-password", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TOOL_S, check=False)  # noqa: S603
    if done.returncode != 0:
        raise LiveError(
            f"{tool} ended with {done.returncode} ({done.stderr.strip()[-500:]})",
            "mend what it says; the user of live.database_url needs CREATEDB, for backups are verified by restoring",
        )
