"""Bring a journal's schema to this release: migrate the durable tables, then derive the others anew.

All of it is one transaction, and before it a backup is made and verified; without one nothing is migrated. Files of
releases that counted their schema in ``user_version`` are taken over. Not here: the revisions
(``migrations/versions``), what a backup is (``backups.py``).
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, func, inspect, select, text

from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.event_log import read_events
from ljwx_pipeline.live.projections import derive, standing
from ljwx_pipeline.live.store import Store
from ljwx_pipeline.live.tables import PROJECTION_VERSION, events_log

#: The newest revision, and the number that ``user_version`` holds of it, by which earlier releases refuse the file.
HEAD, HEAD_NUMBER = "0004", 4
#: Revisions by the number that earlier releases counted.
_COUNTED = {1: "0001", 2: "0002"}
_SCRIPTS = "ljwx_pipeline:live/migrations"


def migrate(store: Store, back_up: Callable[[str], object]) -> None:
    """Make ``store`` a journal of this release, whatever release wrote it; an empty database becomes an empty journal.

    Parameters
    ----------
    back_up
        Makes a verified backup for the reason given, or raises; called before anything that holds rows is changed.

    Raises
    ------
    LiveError
        When a newer release wrote it, it is no journal, no backup could be made, or a revision failed: it is then as it
        was before.
    """
    with store.reading() as connection:
        before = revision_of(connection, store.name)
        if before == HEAD and _derived(connection):
            return
    if before is not None:
        what = f"migration {before} to {HEAD}" if before != HEAD else "the derived tables are made anew"
        back_up(f"before {what}")
    with store.writing() as connection:
        # another process may have migrated between the look and the lock
        if revision_of(connection, store.name) != HEAD:
            _upgrade(connection)
        elif _derived(connection):
            return
        derive(connection, read_events(connection))
        if store.is_sqlite:
            connection.execute(text(f"PRAGMA user_version={HEAD_NUMBER}"))


def revision_of(connection: Connection, name: str) -> str | None:
    """Return the revision of a journal's schema; None for an empty database.

    Raises
    ------
    LiveError
        When it is of a newer release, or no journal at all.
    """
    tables = set(inspect(connection).get_table_names())
    number = 0
    if connection.dialect.name == "sqlite":
        number = int(connection.execute(text("PRAGMA user_version")).scalar_one())
    if "alembic_version" in tables:
        revision = str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())
        if revision > HEAD:
            raise _newer(name, int(revision))
        return revision
    if number > HEAD_NUMBER:
        raise _newer(name, number)
    if not tables and number == 0:
        return None
    if number not in _COUNTED:
        raise LiveError(
            f"{name} holds tables ({', '.join(sorted(tables)[:3])} ...) that are no journal's",
            "name another file or database: the runner never writes into somebody else's",
        )
    return _COUNTED[number]


def _newer(name: str, number: int) -> LiveError:
    return LiveError(
        f"the journal {name} has schema version {number}, this program knows {HEAD_NUMBER}",
        "run the version that wrote it, or upgrade",
    )


def _derived(connection: Connection) -> bool:
    """Return whether the derived tables are of this release and stand at the end of the log."""
    last = connection.execute(select(func.coalesce(func.max(events_log.c.seq), 0))).scalar_one()
    return standing(connection) == (PROJECTION_VERSION, last)


def _upgrade(connection: Connection) -> None:
    # only a database that is not up to date needs Alembic, which costs a quarter of a second to import
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", _SCRIPTS)
    config.attributes["connection"] = connection
    try:
        counted = revision_of(connection, "journal")
        if counted is not None and not inspect(connection).has_table("alembic_version"):
            command.stamp(config, counted)
        command.upgrade(config, HEAD)
    except CommandError as error:
        raise LiveError(
            f"the journal could not be migrated ({error})", "run the release that wrote it; nothing was changed"
        ) from error
