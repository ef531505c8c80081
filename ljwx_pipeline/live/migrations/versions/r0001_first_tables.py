"""The tables of the first release, which counted its schema in ``user_version`` (1).

They were SQLite's alone: on PostgreSQL no journal is that old, and there is nothing to make.
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None

_TABLES = """
CREATE TABLE bundles (
    bundle_hash TEXT PRIMARY KEY,
    model_version TEXT NOT NULL,
    last_train_session TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE deployments (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    bundle_hash TEXT NOT NULL REFERENCES bundles (bundle_hash),
    at TEXT NOT NULL
);

CREATE TABLE sessions (
    session TEXT PRIMARY KEY,
    bars_hash TEXT NOT NULL,
    bundle_hash TEXT NOT NULL REFERENCES bundles (bundle_hash),
    state TEXT NOT NULL CHECK (state IN ('decided', 'sent'))
) WITHOUT ROWID;

CREATE TABLE signals (
    session TEXT NOT NULL REFERENCES sessions (session),
    symbol TEXT NOT NULL,
    score REAL NOT NULL,
    bundle_hash TEXT NOT NULL REFERENCES bundles (bundle_hash),
    PRIMARY KEY (session, symbol)
) WITHOUT ROWID;

CREATE TABLE orders (
    client_order_id TEXT PRIMARY KEY,
    session TEXT NOT NULL REFERENCES sessions (session),
    symbol TEXT NOT NULL,
    side TEXT NOT NULL CHECK (side IN ('buy', 'sell')),
    shares INTEGER NOT NULL CHECK (shares > 0),
    rank INTEGER NOT NULL,
    reference_price_e4 INTEGER NOT NULL,
    state TEXT NOT NULL
        CHECK (state IN ('denied', 'intended', 'accepted', 'filled', 'partly_filled', 'unfilled', 'rejected')),
    reason TEXT NOT NULL,
    filled_shares INTEGER NOT NULL DEFAULT 0,
    bundle_hash TEXT NOT NULL REFERENCES bundles (bundle_hash),
    created_at TEXT NOT NULL
) WITHOUT ROWID;

CREATE INDEX orders_by_session ON orders (session);

CREATE INDEX orders_by_state ON orders (state);

CREATE TABLE fills (
    client_order_id TEXT PRIMARY KEY REFERENCES orders (client_order_id),
    session TEXT NOT NULL REFERENCES sessions (session),
    symbol TEXT NOT NULL,
    side TEXT NOT NULL CHECK (side IN ('buy', 'sell')),
    shares INTEGER NOT NULL CHECK (shares > 0),
    price_e4 INTEGER NOT NULL CHECK (price_e4 > 0),
    value_fen INTEGER NOT NULL CHECK (value_fen >= 0),
    commission_fen INTEGER NOT NULL CHECK (commission_fen >= 0),
    stamp_duty_fen INTEGER NOT NULL CHECK (stamp_duty_fen >= 0),
    transfer_fee_fen INTEGER NOT NULL CHECK (transfer_fee_fen >= 0)
) WITHOUT ROWID;

CREATE INDEX fills_by_session ON fills (session);

CREATE TABLE positions (
    session TEXT NOT NULL REFERENCES sessions (session),
    symbol TEXT NOT NULL,
    shares INTEGER NOT NULL CHECK (shares > 0),
    sellable_shares INTEGER NOT NULL,
    held_sessions INTEGER NOT NULL,
    price_e4 INTEGER NOT NULL,
    value_fen INTEGER NOT NULL,
    PRIMARY KEY (session, symbol)
) WITHOUT ROWID;

CREATE TABLE account (
    session TEXT PRIMARY KEY REFERENCES sessions (session),
    cash_fen INTEGER NOT NULL CHECK (cash_fen >= 0),
    equity_fen INTEGER NOT NULL,
    fees_fen INTEGER NOT NULL,
    dividends_fen INTEGER NOT NULL,
    written_off_fen INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE runner (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    mode TEXT NOT NULL,
    simulated INTEGER NOT NULL,
    opening_capital_fen INTEGER NOT NULL,
    bundle_hash TEXT,
    session TEXT,
    sessions_done INTEGER NOT NULL,
    sessions_total INTEGER NOT NULL,
    message TEXT NOT NULL,
    updated_at TEXT NOT NULL
);

CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    kind TEXT NOT NULL,
    session TEXT,
    message TEXT NOT NULL
);

CREATE TRIGGER events_never_change BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;

CREATE TRIGGER events_never_vanish BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'events are append-only'); END
"""


def upgrade() -> None:
    """Make the tables."""
    if op.get_bind().dialect.name == "sqlite":
        for statement in _TABLES.split(";\n\n"):
            op.execute(statement)
