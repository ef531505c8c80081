"""The exchange's own journal: messages under one ascending number, and the state they lead to, written together.

One `Change` is one durable transaction: whatever the exchange says was on disk before. The process may die at any
instant; what is read back at the next start is the state after the last change. Not here: what changes (``engine.py``).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.exchange.database import connect, transaction
from ljwx_pipeline.exchange.entries import Entry
from ljwx_pipeline.trading.exchange_wire import (
    OPEN_STATUSES,
    Durable,
    Execution,
    NewOrder,
    OrderStatus,
    PositionReport,
    Side,
    durable_from_json,
    durable_to_json,
)

JOURNAL_NAME = "exchange.sqlite"
#: ``PRAGMA user_version`` of the tables below.
SCHEMA_VERSION = 2

#: Cancellations that came before their orders: such an order is rejected whenever it comes.
_CANCELLED_UNSEEN = "CREATE TABLE cancelled_unseen (client_order_id TEXT PRIMARY KEY) WITHOUT ROWID"
_SCHEMA = (
    """CREATE TABLE messages (
        seq INTEGER PRIMARY KEY,
        body TEXT NOT NULL
    )""",
    """CREATE TABLE orders (
        number INTEGER PRIMARY KEY,
        client_order_id TEXT UNIQUE,
        session TEXT NOT NULL,
        symbol TEXT NOT NULL,
        side TEXT NOT NULL,
        shares INTEGER NOT NULL CHECK (shares > 0),
        rank INTEGER NOT NULL,
        execution TEXT NOT NULL,
        limit_price_e4 INTEGER NOT NULL,
        state TEXT NOT NULL,
        reason TEXT NOT NULL,
        filled_shares INTEGER NOT NULL CHECK (filled_shares BETWEEN 0 AND shares),
        value_fen INTEGER NOT NULL,
        commission_fen INTEGER NOT NULL,
        stamp_duty_fen INTEGER NOT NULL,
        transfer_fee_fen INTEGER NOT NULL,
        seq INTEGER NOT NULL REFERENCES messages (seq),
        at_ns INTEGER NOT NULL
    )""",
    "CREATE INDEX orders_by_session ON orders (session, state)",
    """CREATE TABLE holdings (
        symbol TEXT PRIMARY KEY,
        shares INTEGER NOT NULL CHECK (shares > 0),
        sellable_shares INTEGER NOT NULL CHECK (sellable_shares BETWEEN 0 AND shares),
        held_sessions INTEGER NOT NULL,
        entry_price_e4 INTEGER NOT NULL,
        peak_price_e4 INTEGER NOT NULL,
        last_price_e4 INTEGER NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE standing (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        cash_fen INTEGER NOT NULL CHECK (cash_fen >= 0),
        session TEXT,
        position INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        tick_seconds INTEGER NOT NULL
    )""",
    """CREATE TABLE sessions (
        session TEXT PRIMARY KEY,
        bars_hash TEXT NOT NULL
    ) WITHOUT ROWID""",
    _CANCELLED_UNSEEN,
)


@dataclass(frozen=True)
class Standing:
    """Where the exchange stands.

    Parameters
    ----------
    session, position
        The session that has begun last (None: none yet) and its last step.
    epoch
        The highest that was seen.
    tick_seconds
        Of the timeline that ``position`` counts in.
    """

    cash_fen: int
    session: date | None
    position: int
    epoch: int
    tick_seconds: int


@dataclass
class Change:
    """What one transaction writes; ``None`` and empty lists leave things as they are."""

    messages: list[Durable] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    holdings: tuple[PositionReport, ...] | None = None
    begun: tuple[date, str] | None = None
    cancelled_unseen: list[str] = field(default_factory=list)


class Journal:
    """One exchange's file.

    Parameters
    ----------
    folder
        Its state folder; the file is made when it is missing.
    capital_fen, tick_seconds
        What a new account opens with, and its timeline; those of an old one stay.

    Raises
    ------
    TradingError
        When the file cannot be opened, is damaged, or was written by another version.
    """

    def __init__(self, folder: Path, *, capital_fen: int, tick_seconds: int) -> None:
        self._db = connect(folder / JOURNAL_NAME)
        version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
        if version not in (0, 1, SCHEMA_VERSION):
            self._db.close()
            raise TradingError(
                f"the exchange's journal in {folder} has schema version {version}, this program knows {SCHEMA_VERSION}",
                "run the version that wrote it, or give another --state",
            )
        if version == 0:
            with transaction(self._db) as db:
                for statement in _SCHEMA:
                    db.execute(statement)
                db.execute("INSERT INTO standing VALUES (1, ?, NULL, -1, 0, ?)", (capital_fen, tick_seconds))
                db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        elif version == 1:  # of releases that kept nothing of such cancellations
            with transaction(self._db) as db:
                db.execute(_CANCELLED_UNSEEN)
                db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def write(self, change: Change, standing: Standing) -> None:
        """Make ``change`` and ``standing`` durable together.

        Raises
        ------
        TradingError
            When the disk refuses; nothing has changed.
        """
        with transaction(self._db) as db:
            db.executemany(
                "INSERT INTO messages VALUES (?, ?)",
                [(one.seq, json.dumps(durable_to_json(one), separators=(",", ":"))) for one in change.messages],
            )
            db.executemany(
                f"INSERT OR REPLACE INTO orders VALUES ({', '.join('?' * 18)})",  # noqa: S608 - question marks
                [_order_row(entry) for entry in change.entries],
            )
            if change.holdings is not None:
                db.execute("DELETE FROM holdings")
                db.executemany(
                    "INSERT INTO holdings VALUES (?, ?, ?, ?, ?, ?, ?)",
                    [
                        (
                            *(one.symbol, one.shares, one.sellable_shares, one.held_sessions),
                            *(one.entry_price_e4, one.peak_price_e4, one.last_price_e4),
                        )
                        for one in change.holdings
                    ],
                )
            if change.begun is not None:
                session, bars_hash = change.begun
                db.execute("INSERT INTO sessions VALUES (?, ?)", (session.isoformat(), bars_hash))
            db.executemany(
                "INSERT OR IGNORE INTO cancelled_unseen VALUES (?)", [(one,) for one in change.cancelled_unseen]
            )
            day = None if standing.session is None else standing.session.isoformat()
            db.execute(
                "UPDATE standing SET cash_fen = ?, session = ?, position = ?, epoch = ?, tick_seconds = ?",
                (standing.cash_fen, day, standing.position, standing.epoch, standing.tick_seconds),
            )

    def standing(self) -> Standing:
        """Return where the exchange stands."""
        row = self._db.execute("SELECT * FROM standing").fetchone()
        session = None if row["session"] is None else date.fromisoformat(row["session"])
        return Standing(row["cash_fen"], session, row["position"], row["epoch"], row["tick_seconds"])

    def holdings(self) -> tuple[PositionReport, ...]:
        """Return what the account holds, by symbol."""
        rows = self._db.execute("SELECT * FROM holdings ORDER BY symbol").fetchall()
        return tuple(PositionReport(**dict(row)) for row in rows)

    def sessions(self) -> dict[date, str]:
        """Return the sessions that have begun, with the hashes of their bars."""
        rows = self._db.execute("SELECT * FROM sessions ORDER BY session").fetchall()
        return {date.fromisoformat(row["session"]): row["bars_hash"] for row in rows}

    def last_seq(self) -> int:
        """Return the number of the last message, 0 before the first."""
        return int(self._db.execute("SELECT coalesce(max(seq), 0) FROM messages").fetchone()[0])

    def last_number(self) -> int:
        """Return the number of the last order, 0 before the first."""
        return int(self._db.execute("SELECT coalesce(max(number), 0) FROM orders").fetchone()[0])

    def messages(self, after: int, limit: int) -> list[Durable]:
        """Return the messages that follow ``after``, ``limit`` at most."""
        rows = self._db.execute("SELECT body FROM messages WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit))
        return [durable_from_json(json.loads(row["body"])) for row in rows]

    def entry(self, identity: str) -> Entry | None:
        """Return the order with that client order id or exchange order id, None when there never was one."""
        row = self._db.execute("SELECT * FROM orders WHERE client_order_id = ?", (identity,)).fetchone()
        if row is None and identity[:1] == "X" and identity[1:].isascii() and identity[1:].isdecimal():
            row = self._db.execute("SELECT * FROM orders WHERE number = ?", (int(identity[1:19]),)).fetchone()
        return None if row is None else _entry(row)

    def was_cancelled_unseen(self, client_order_id: str) -> bool:
        """Return whether an order was cancelled before it ever came."""
        found = self._db.execute("SELECT 1 FROM cancelled_unseen WHERE client_order_id = ?", (client_order_id,))
        return found.fetchone() is not None

    def entries(self, session: date | None) -> list[Entry]:
        """Return the orders of ``session``, or of every one, in the order they came."""
        if session is None:
            return _entries(self._db.execute("SELECT * FROM orders ORDER BY number"))
        day = session.isoformat()
        return _entries(self._db.execute("SELECT * FROM orders WHERE session = ? ORDER BY number", (day,)))

    def open_entries(self) -> list[Entry]:
        """Return the orders that may still fill, in the order they came."""
        return _entries(
            self._db.execute(
                "SELECT * FROM orders WHERE state IN (?, ?) ORDER BY number", [state.value for state in OPEN_STATUSES]
            )
        )

    def traded_shares(self, session: date) -> dict[str, int]:
        """Return what limit orders have traded of each symbol on ``session``."""
        rows = self._db.execute(
            "SELECT symbol, sum(filled_shares) AS shares FROM orders "
            "WHERE session = ? AND execution = ? AND filled_shares > 0 GROUP BY symbol",
            (session.isoformat(), Execution.CONTINUOUS.value),
        )
        return {row["symbol"]: row["shares"] for row in rows}


def _order_row(entry: Entry) -> tuple[object, ...]:
    order = entry.order
    return (
        *(entry.number, order.client_order_id or None, order.session.isoformat(), order.symbol, order.side.value),
        *(order.shares, order.rank, order.execution.value, order.limit_price_e4, entry.state.value, entry.reason),
        *(entry.filled_shares, entry.value_fen, entry.commission_fen, entry.stamp_duty_fen, entry.transfer_fee_fen),
        *(entry.seq, entry.at_ns),
    )


def _entries(rows: Iterable[sqlite3.Row]) -> list[Entry]:
    return [_entry(row) for row in rows]


def _entry(row: sqlite3.Row) -> Entry:
    order = NewOrder(
        client_order_id=row["client_order_id"] or "",
        session=date.fromisoformat(row["session"]),
        symbol=row["symbol"],
        side=Side(row["side"]),
        shares=row["shares"],
        rank=row["rank"],
        execution=Execution(row["execution"]),
        limit_price_e4=row["limit_price_e4"],
    )
    return Entry(
        number=row["number"],
        order=order,
        state=OrderStatus(row["state"]),
        reason=row["reason"],
        filled_shares=row["filled_shares"],
        value_fen=row["value_fen"],
        commission_fen=row["commission_fen"],
        stamp_duty_fen=row["stamp_duty_fen"],
        transfer_fee_fen=row["transfer_fee_fen"],
        seq=row["seq"],
        at_ns=row["at_ns"],
    )
