"""Journals for tests: an empty one in a millisecond, and on either kind of database."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from ljwx_pipeline.clock import Clock, ManualClock
from ljwx_pipeline.live.event_log import EventLog
from ljwx_pipeline.live.migrate import migrate
from ljwx_pipeline.live.store import Store
from ljwx_pipeline.live.table_hashes import TableHash, table_hashes
from tests.fakes.journal_events import NOW


@cache
def _template() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "journal.sqlite")
        migrate(store, refuse_backup)
        store.close()
        return store.path.read_bytes()


def refuse_backup(reason: str) -> None:
    raise AssertionError(f"an empty journal has nothing to keep, but a backup was asked for {reason}")


def empty_store(folder: Path) -> Store:
    """Return a new SQLite journal that is up to date."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "journal.sqlite"
    path.write_bytes(_template())
    return Store(path)


def log_of(store: Store, clock: Clock | None = None) -> EventLog:
    return EventLog(store, ManualClock(NOW) if clock is None else clock)


def contents(store: Store, leave_out: Callable[[str], bool] = lambda _: False) -> dict[str, TableHash]:
    """Return the hash of every table but those left out."""
    with store.reading() as connection:
        return {name: one for name, one in table_hashes(connection).items() if not leave_out(name)}
