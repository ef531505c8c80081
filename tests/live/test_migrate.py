"""Whatever release wrote the journal, it is backed up, taken over whole or not at all, and goes on."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from ljwx_pipeline.clock import ManualClock
from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live import store as store_module
from ljwx_pipeline.live.journal import Journal
from ljwx_pipeline.live.migrate import HEAD_NUMBER, migrate
from ljwx_pipeline.live.orders import OrderState
from ljwx_pipeline.live.outstanding import open_orders
from ljwx_pipeline.live.store import Store
from ljwx_pipeline.live.tables import DERIVED, DURABLE, PROJECTION_VERSION
from tests.fakes.journal_events import NOW, noted
from tests.fakes.journals import contents, empty_store, log_of
from tests.fakes.old_journals import BUNDLES, DAYS, old_journal

#: Tables of the earlier releases with the columns that they had, as those are read today.
OLD_COLUMNS = {
    "bundles": "*",
    "signals": "session, symbol, score, bundle_hash",
    "orders": "client_order_id, session, symbol, side, shares, rank, reference_price_e4, state, reason, filled_shares, "
    "bundle_hash, created_at",
    "fills": "client_order_id, session, symbol, side, shares, price_e4, value_fen, commission_fen, stamp_duty_fen, "
    "transfer_fee_fen",
    "positions": "*",
    "account": "*",
    "sessions": "session, bars_hash, bundle_hash",
    "deployments": "id, bundle_hash, at",
    "withdrawals": "id, after_deployment, model_version, reason, at",
    "runner": "*",
    "events": "at, kind, session, message",
}


def old_rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(path)) as db:
        found = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        return {
            table: sorted(map(tuple, db.execute(f"SELECT {columns} FROM {table}")), key=repr)
            for table, columns in OLD_COLUMNS.items()
            if table in found
        }


@pytest.mark.parametrize("version", [1, 2])
def test_a_journal_of_an_earlier_release_is_taken_over_row_for_row(tmp_path: Path, version: int) -> None:
    path = old_journal(tmp_path / "journal.sqlite", version)
    before = old_rows(path)
    journal = Journal(path, ManualClock(NOW))
    after = old_rows(path)
    assert {table: after[table] for table in before} == before
    assert list(journal.sessions()) == [date.fromisoformat(day) for day in DAYS]
    with journal.store.reading() as connection:
        standing = {one.order.client_order_id: one.state for one in open_orders(connection)}
    assert standing == {"f|buy": OrderState.ACCEPTED, "g|buy": OrderState.INTENDED}
    assert list(journal.bundles()) == list(BUNDLES)
    assert (journal.withdrawn() is None) == (version == 1)
    state = journal.runner_state()
    assert state is not None
    assert (state.mode, state.session) == ("finished", DAYS[2])
    journal.close()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (HEAD_NUMBER,), "earlier releases refuse it by this"


def test_what_was_taken_over_follows_from_the_log(tmp_path: Path) -> None:
    journal = Journal(old_journal(tmp_path / "journal.sqlite", 2), ManualClock(NOW))
    grown = contents(journal.store)
    with journal.store.writing() as connection:
        connection.execute(text("UPDATE projection SET version = 0"))
    migrate(journal.store, lambda _: None)
    assert contents(journal.store) == grown
    journal.close()


def test_a_backup_is_made_and_verified_before_anything_changes(tmp_path: Path) -> None:
    path = old_journal(tmp_path / "journal.sqlite", 2)
    before = contents(Store(path))
    journal = Journal(path, ManualClock(NOW))
    (kept,) = journal.backups.shelf.listed()
    assert (kept.reason, kept.revision, kept.upto_seq) == ("before migration 0002 to 0004", "0002", 0)
    assert kept.tables == before
    restored = Store(journal.backups.shelf.require_whole(kept))
    assert contents(restored) == before


def test_without_a_backup_nothing_is_migrated(tmp_path: Path) -> None:
    path = old_journal(tmp_path / "journal.sqlite", 2)
    (tmp_path / "backups").write_text("a file where the folder would be")
    before = old_rows(path)
    with pytest.raises(LiveError, match="no backup could be made"):
        Journal(path, ManualClock(NOW))
    assert old_rows(path) == before
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)


def test_a_new_journal_needs_no_backup_and_opening_it_again_changes_nothing(tmp_path: Path) -> None:
    for _ in range(2):
        journal = Journal(tmp_path / "journal.sqlite", ManualClock(NOW))
        journal.close()
    assert not (tmp_path / "backups").exists()


def test_the_migrations_make_the_durable_tables_that_the_code_knows(tmp_path: Path) -> None:
    store = empty_store(tmp_path)

    def ours(_: object, name: str | None, kind: str, *__: object) -> bool:
        return kind != "table" or (name not in DERIVED.tables and name != "alembic_version")

    with store.reading() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": lambda o, n, k, r, c: ours(o, n, k)})
        assert compare_metadata(context, DURABLE) == []


def test_derived_tables_of_another_version_are_made_anew_after_a_backup(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite", ManualClock(NOW))
    journal.record_event("note", "kept")
    grown = contents(journal.store)
    with journal.store.writing() as connection:
        connection.execute(text(f"UPDATE projection SET version = {PROJECTION_VERSION + 1}"))
        connection.execute(text("DROP TABLE fills"))
    journal.close()
    journal = Journal(tmp_path / "journal.sqlite", ManualClock(NOW))
    assert contents(journal.store) == grown
    assert [kept.reason for kept in journal.backups.shelf.listed()] == ["before the derived tables are made anew"]


def test_derived_tables_behind_the_log_are_made_anew(tmp_path: Path) -> None:
    store = empty_store(tmp_path)
    log_of(store).append([noted(), noted()], 0)
    grown = contents(store)
    with store.writing() as connection:
        connection.execute(text("UPDATE projection SET seq = 1"))
    made: list[str] = []
    migrate(store, made.append)
    assert contents(store) == grown
    assert made


def test_a_journal_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    store = empty_store(tmp_path)
    with store.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0042'"))
    with pytest.raises(LiveError, match="schema version 42, this program knows 4"):
        migrate(store, lambda _: None)


def test_somebody_else_s_database_is_not_written_to(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE holidays (x)")
    with pytest.raises(LiveError, match=r"holds tables \(holidays"):
        Journal(path, ManualClock(NOW))
    assert not (tmp_path / "backups").exists()


def _migrate_and_die(path: Path, die_at: int, *, after: bool) -> None:
    count, commit = -1, store_module.commit

    def deadly(connection: object) -> None:
        nonlocal count
        count += 1
        if count == die_at and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        commit(connection)
        if count == die_at and after:
            os.kill(os.getpid(), signal.SIGKILL)

    store_module.commit = deadly
    Journal(path, ManualClock(NOW)).close()


@pytest.mark.parametrize("after", [False, True])
def test_killed_around_every_commit_of_a_migration_it_ends_the_same(tmp_path: Path, after: bool) -> None:
    whole = Journal(old_journal(tmp_path / "whole" / "journal.sqlite", 2), ManualClock(NOW))
    wanted = contents(whole.store)
    context = multiprocessing.get_context("fork")
    for die_at in range(20):
        path = old_journal(tmp_path / f"{die_at}" / "journal.sqlite", 2)
        process = context.Process(target=_migrate_and_die, args=(path, die_at), kwargs={"after": after})
        process.start()
        process.join(60)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        journal = Journal(path, ManualClock(NOW))
        assert contents(journal.store) == wanted
        kept = journal.backups.shelf.listed()
        assert kept[0].revision == "0002", "there is a backup of what was there before"
        journal.close()
    assert die_at >= 1
