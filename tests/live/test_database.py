"""Every connection is durable; the schema has a version; a transaction is all or nothing."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.database import connect, migrate, transaction

TABLE = "CREATE TABLE t (x INTEGER NOT NULL)"


def test_every_connection_is_durable_and_checks_foreign_keys(tmp_path: Path) -> None:
    for _ in range(2):
        db = connect(tmp_path / "a.sqlite")
        found = {name: db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "foreign_keys")}
        assert found == {"synchronous": 2, "foreign_keys": 1}
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_a_failing_transaction_leaves_nothing(tmp_path: Path) -> None:
    db = connect(tmp_path / "a.sqlite")
    db.execute(TABLE)
    with pytest.raises(sqlite3.IntegrityError), transaction(db):
        db.executemany("INSERT INTO t VALUES (?)", [(1,), (None,)])
    assert db.execute("SELECT count(*) FROM t").fetchone()[0] == 0
    with transaction(db):
        db.execute("INSERT INTO t VALUES (1)")
    assert connect(tmp_path / "a.sqlite").execute("SELECT count(*) FROM t").fetchone()[0] == 1


def test_migrations_are_applied_once_and_in_order(tmp_path: Path) -> None:
    db = connect(tmp_path / "a.sqlite")
    migrate(db, (TABLE,), "file")
    migrate(db, (TABLE, "ALTER TABLE t ADD COLUMN y INTEGER;\n\nCREATE INDEX i ON t (y)"), "file")
    migrate(db, (TABLE, "this would fail"), "file")
    assert [row["name"] for row in db.execute("PRAGMA table_info(t)")] == ["x", "y"]
    assert db.execute("PRAGMA user_version").fetchone()[0] == 2


def test_a_file_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    db = connect(tmp_path / "a.sqlite")
    db.execute("PRAGMA user_version=7")
    with pytest.raises(LiveError, match="schema version 7, this program knows 1"):
        migrate(db, (TABLE,), "journal")


def test_what_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.sqlite").write_bytes(b"not a database, and long enough to be looked at" * 40)
    with pytest.raises(LiveError, match=r"a\.sqlite cannot be opened"):
        connect(tmp_path / "a.sqlite")


def test_a_refused_write_says_what_to_do(tmp_path: Path) -> None:
    db = connect(tmp_path / "a.sqlite")
    db.execute(TABLE)
    db.execute("PRAGMA query_only=ON")
    with pytest.raises(LiveError, match="refused a write"), transaction(db):
        db.execute("INSERT INTO t VALUES (1)")


@pytest.mark.parametrize("statement", ["SELECT count(*), max(x) FROM t", "INSERT INTO t VALUES (1)", "SELECT x FROM t"])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "a.sqlite"
    db = connect(path)
    db.execute(TABLE)
    with transaction(db):
        db.executemany("INSERT INTO t VALUES (?)", [(x,) for x in range(20_000)])
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xa5" * (len(data) - 4096))
    db = connect(path)
    with pytest.raises(LiveError, match=r"a\.sqlite .* is damaged .* run `ljwx run` again"), transaction(db):
        db.execute(statement).fetchall()
