"""The log of events and the lease; what the tables of earlier releases held is written into the log.

The log then holds, in the order it happened, what those releases would have written as events; every other table is
derived from it afterwards. Not here: the derived tables, which no migration touches.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_Group = tuple[int, int, list[tuple[str, str, dict[str, Any]]]]
"""Instant in ns, rank among groups of the same instant, and events as (kind, key, body)."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Lines for people that follow from other events.
_DERIVED_NOTES = ("bundle_deployed", "model_withdrawn", "order_denied")
_KEPT_STATES = ("denied", "intended")
_SEND_STATES = (*_KEPT_STATES, "accepted")


def upgrade() -> None:
    """Make log and lease, and fill the log."""
    whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    log = op.create_table(
        "events_log",
        sa.Column("seq", whole, sa.CheckConstraint("seq > 0"), primary_key=True, autoincrement=False),
        sa.Column("at_ns", whole, nullable=False),
        sa.Column("epoch", whole, sa.CheckConstraint("epoch >= 0"), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("session", sa.Text),
        sa.Column("strategy", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("events_log_by_kind", "events_log", ["kind", "seq"])
    op.create_index("events_log_by_key", "events_log", ["key", "seq"])
    lease = op.create_table(
        "lease",
        sa.Column("id", whole, sa.CheckConstraint("id = 1"), primary_key=True, autoincrement=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("epoch", whole, sa.CheckConstraint("epoch >= 0"), nullable=False),
        sa.Column("renewals", whole, sa.CheckConstraint("renewals >= 0"), nullable=False),
        sa.Column("expires_at", sa.Text, nullable=False),
    )
    op.bulk_insert(lease, [{"id": 1, "holder": "", "epoch": 0, "renewals": 0, "expires_at": ""}])
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION events_log_refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'events are append-only'; END $$"
        )
        op.execute(
            "CREATE TRIGGER events_log_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON events_log "
            "FOR EACH STATEMENT EXECUTE FUNCTION events_log_refuse()"
        )
        return
    for verb in ("update", "delete"):
        op.execute(
            f"CREATE TRIGGER events_log_no_{verb} BEFORE {verb} ON events_log "
            "BEGIN SELECT RAISE(ABORT, 'events are append-only'); END"
        )
    rows = list(_log_rows(connection))
    if rows:
        op.bulk_insert(log, rows)


def _log_rows(connection: sa.Connection) -> Iterator[dict[str, Any]]:
    seq = 0
    for at_ns, _, events in heapq.merge(_models(connection), _sessions(connection), _notes(connection)):
        for kind, key, body in events:
            seq += 1
            yield {
                "seq": seq,
                "at_ns": at_ns,
                "epoch": 0,
                "kind": kind,
                "session": body.get("session"),
                "strategy": body.get("strategy", ""),
                "key": key,
                "body": json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":")),
            }


def _rows(connection: sa.Connection, sql: str, **values: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(sa.text(sql), values).mappings()]


def _ns(text: str) -> int:
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1) * 1_000


def _models(connection: sa.Connection) -> Iterator[_Group]:
    """Yield deployments and withdrawals in the order they came, whatever the clock said."""
    found = [
        (row["id"], 0, row)
        for row in _rows(connection, "SELECT d.id, d.at, b.* FROM deployments d JOIN bundles b USING (bundle_hash)")
    ]
    found += [(row["after_deployment"], 1, row) for row in _rows(connection, "SELECT * FROM withdrawals")]
    at_ns = 0
    for _, withdrawn, row in sorted(found, key=lambda one: (one[0], one[1], one[2]["at"])):
        at_ns = max(at_ns, _ns(row["at"]))
        if withdrawn:
            body = {
                "identity": row["id"],
                "strategy": "",
                "model_version": row["model_version"],
                "reason": row["reason"],
            }
            yield at_ns, 0, [("BundleWithdrawn", row["id"], body)]
        else:
            body = {
                "strategy": "",
                "stage": "champion",
                "bundle_hash": row["bundle_hash"],
                "model_version": row["model_version"],
                "last_train_session": row["last_train_session"],
                "capital_share_bps": 10_000,
            }
            yield at_ns, 0, [("BundleStaged", row["bundle_hash"], body)]


def _sessions(connection: sa.Connection) -> Iterator[_Group]:
    """Yield each session: what became of the orders before it, the account after it, its scores and new orders."""
    deployed = _rows(connection, "SELECT bundle_hash, min(at) AS at FROM deployments GROUP BY bundle_hash")
    first_at = {row["bundle_hash"]: _ns(row["at"]) for row in deployed}
    at_ns, before = 0, ""
    for session in _rows(
        connection,
        "SELECT s.*, a.cash_fen, a.equity_fen, a.fees_fen, a.dividends_fen, a.written_off_fen, "
        "(SELECT min(created_at) FROM orders o WHERE o.session = s.session) AS at "
        "FROM sessions s JOIN account a USING (session) ORDER BY session",
    ):
        day = session["session"]
        at_ns = max(at_ns, first_at[session["bundle_hash"]], _ns(session["at"]) if session["at"] else 0)
        decided = _rows(connection, "SELECT * FROM orders WHERE session = :day ORDER BY rank", day=day)
        yield (
            at_ns,
            1,
            [
                *_outcomes(connection, before, at_ns),
                *_fills(connection, day, at_ns),
                _closed(connection, session),
                _scored(connection, session),
                *(_decided(order) for order in decided),
                *(_reported(order, "accepted", at_ns) for order in decided if order["state"] not in _KEPT_STATES),
            ],
        )
        before = day


def _outcomes(connection: sa.Connection, day: str, at_ns: int) -> list[tuple[str, str, dict[str, Any]]]:
    orders = _rows(connection, "SELECT * FROM orders WHERE session = :day ORDER BY rank", day=day)
    return [_reported(order, order["state"], at_ns) for order in orders if order["state"] not in _SEND_STATES]


def _reported(order: dict[str, Any], state: str, at_ns: int) -> tuple[str, str, dict[str, Any]]:
    over = state != "accepted"
    body = {
        "client_order_id": order["client_order_id"],
        "exchange_order_id": "",
        "state": state,
        "reason": order["reason"] if over else "",
        "filled_shares": order["filled_shares"] if over else 0,
        "session_over": over,
        "reported_at_ns": at_ns,
    }
    return "OrderReported", order["client_order_id"], body


def _fills(connection: sa.Connection, day: str, at_ns: int) -> list[tuple[str, str, dict[str, Any]]]:
    fills = _rows(connection, "SELECT * FROM fills WHERE session = :day ORDER BY client_order_id", day=day)
    return [
        (
            "FillReported",
            fill["client_order_id"],
            {
                **fill,
                "exec_id": fill["client_order_id"],
                "exchange_order_id": "",
                "slippage_fen": 0,
                "impact_fen": 0,
                "filled_at_ns": at_ns,
            },
        )
        for fill in fills
    ]


def _closed(connection: sa.Connection, session: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    held = _rows(connection, "SELECT * FROM positions WHERE session = :day ORDER BY symbol", day=session["session"])
    body = {name: session[name] for name in ("session", "bars_hash", "cash_fen", "equity_fen", "fees_fen")}
    body |= {name: session[name] for name in ("dividends_fen", "written_off_fen")}
    body["positions"] = [
        {
            "symbol": one["symbol"],
            "shares": one["shares"],
            "sellable_shares": one["sellable_shares"],
            "held_sessions": one["held_sessions"],
            "entry_price_e4": 0,
            "peak_price_e4": 0,
            "last_price_e4": one["price_e4"],
        }
        for one in held
    ]
    return "SessionClosed", "", body


def _scored(connection: sa.Connection, session: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    scores = _rows(connection, "SELECT symbol, score FROM signals WHERE session = :day", day=session["session"])
    body = {
        "session": session["session"],
        "strategy": "",
        "bundle_hash": session["bundle_hash"],
        "scores": {row["symbol"]: row["score"] for row in scores},
    }
    return "SignalsScored", session["bundle_hash"], body


def _decided(order: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    names = ("client_order_id", "session", "bundle_hash", "symbol", "side", "shares", "rank", "reference_price_e4")
    body = {name: order[name] for name in names}
    body |= {
        "strategy": "",
        "leg": "decide",
        "valid_session": None,
        "execution": "session",
        "limit_price_e4": 0,
        "denial": order["reason"] if order["state"] == "denied" else "",
        "decided_at_ns": _ns(order["created_at"]),
    }
    return "OrderDecided", order["client_order_id"], body


def _notes(connection: sa.Connection) -> Iterator[_Group]:
    """Yield the lines for people, and last what the runner said of itself."""
    at_ns = 0
    for row in _rows(connection, "SELECT * FROM events ORDER BY id"):
        at_ns = max(at_ns, _ns(row["at"]))
        if row["kind"] not in _DERIVED_NOTES:
            body = {"topic": row["kind"], "message": row["message"], "session": row["session"]}
            yield at_ns, 2, [("Noted", row["kind"], body)]
    for row in _rows(connection, "SELECT * FROM runner"):
        names = ("mode", "opening_capital_fen", "bundle_hash", "sessions_done", "sessions_total", "message")
        body = {name: row[name] for name in names}
        body |= {"simulated": bool(row["simulated"]), "current_session": row["session"]}
        yield max(at_ns, _ns(row["updated_at"])), 2, [("RunnerStated", "", body)]
