"""Journals as the first releases left them: made with those releases' own statements and rows."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from ljwx_pipeline.live.migrations.versions import r0001_first_tables, r0002_withdrawals

BUNDLES = ("1" * 64, "2" * 64)
DAYS = ("2025-11-03", "2025-11-04", "2025-11-05")
_AT = "2025-11-0{day}T07:0{minute}:00+00:00"


def old_journal(path: Path, version: int) -> Path:
    """Write a journal of ``user_version`` 1 or 2 with three sessions and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA foreign_keys=ON")
        for statement in r0001_first_tables._TABLES.split(";\n\n"):
            db.execute(statement)
        if version == 2:
            db.execute(r0002_withdrawals._TABLE)
        _fill(db, version)
        db.execute(f"PRAGMA user_version={version}")
    return path


def _at(day: int, minute: int = 0) -> str:
    return _AT.format(day=day, minute=minute)


def _fill(db: sqlite3.Connection, version: int) -> None:
    for number, bundle in enumerate(BUNDLES, 1):
        db.execute("INSERT INTO bundles VALUES (?, ?, '2025-10-31')", (bundle, str(number)))
        db.execute("INSERT INTO deployments (bundle_hash, at) VALUES (?, ?)", (bundle, _at(2, number)))
        db.execute(
            "INSERT INTO events (at, kind, message) VALUES (?, 'bundle_deployed', ?)",
            (
                _at(2, number),
                f"version {number}, bundle {bundle[:12]}",
            ),
        )
    one, two = BUNDLES
    for day, bundle in zip(DAYS, (one, one, two), strict=True):
        db.execute("INSERT INTO sessions VALUES (?, ?, ?, 'sent')", (day, f"bars-{day}", bundle))
        db.executemany(
            "INSERT INTO signals VALUES (?, ?, ?, ?)", [(day, "S1.SIM", 0.25, bundle), (day, "S2.SIM", -0.1, bundle)]
        )
    orders = [
        ("a|buy", DAYS[0], "S1.SIM", "buy", 300, 0, 100_000, "partly_filled", "PARTICIPATION", 200, one, _at(3, 5)),
        ("b|buy", DAYS[0], "S2.SIM", "buy", 100, 1, 50_000, "unfilled", "LIMIT_LOCKED", 0, one, _at(3, 5)),
        ("c|buy", DAYS[0], "S3.SIM", "buy", 900, 2, 90_000, "denied", "FAT_FINGER", 0, one, _at(3, 5)),
        ("d|sell", DAYS[1], "S1.SIM", "sell", 200, 0, 101_000, "filled", "", 200, one, _at(4, 5)),
        ("e|buy", DAYS[1], "S2.SIM", "buy", 100, 1, 50_000, "rejected", "LATE", 0, one, _at(4, 5)),
        ("f|buy", DAYS[2], "S2.SIM", "buy", 100, 0, 51_000, "accepted", "", 0, two, _at(5, 5)),
        ("g|buy", DAYS[2], "S1.SIM", "buy", 100, 1, 51_000, "intended", "", 0, two, _at(5, 5)),
    ]
    db.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", orders)
    db.execute(
        "INSERT INTO events (at, kind, session, message) VALUES (?, 'order_denied', ?, ?)",
        (
            _at(3, 5),
            DAYS[0],
            "buy 900 S3.SIM: FAT_FINGER",
        ),
    )
    fills = [
        ("a|buy", DAYS[1], "S1.SIM", "buy", 200, 100_500, 201_000, 500, 0, 2),
        ("d|sell", DAYS[2], "S1.SIM", "sell", 200, 101_500, 203_000, 500, 101, 2),
    ]
    db.executemany("INSERT INTO fills VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", fills)
    db.execute("INSERT INTO positions VALUES (?, 'S1.SIM', 200, 0, 0, 101000, 202000)", (DAYS[1],))
    db.executemany(
        "INSERT INTO account VALUES (?, ?, ?, ?, ?, ?)",
        [
            (DAYS[0], 1_000_000, 1_000_000, 0, 0, 0),
            (DAYS[1], 798_498, 1_000_498, 502, 0, 0),
            (DAYS[2], 1_000_895, 1_000_895, 603, 0, 0),
        ],
    )
    db.execute("INSERT INTO events (at, kind, message) VALUES (?, 'model_trades', 'version 2')", (_at(4, 9),))
    if version == 2:
        db.execute("INSERT INTO withdrawals VALUES ('w1', 2, '2', 'drift', ?)", (_at(5, 8),))
        db.execute(
            "INSERT INTO events (at, kind, message) VALUES (?, 'model_withdrawn', 'version 2: drift')", (_at(5, 8),)
        )
    db.execute(
        "INSERT INTO runner VALUES (1, 'finished', 1, 1000000, ?, ?, 3, 3, 'done', ?)", (two, DAYS[2], _at(5, 9))
    )
