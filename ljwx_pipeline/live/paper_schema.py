"""The paper broker's own tables; nothing else reads them. Conventions as in ``schema.py``."""

from __future__ import annotations

_FIRST = """
CREATE TABLE orders (
    client_order_id TEXT PRIMARY KEY,
    decided_session TEXT NOT NULL,
    symbol TEXT NOT NULL,
    shares INTEGER NOT NULL CHECK (shares <> 0),
    rank INTEGER NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    filled_shares INTEGER NOT NULL,
    closed_session TEXT
) WITHOUT ROWID;

CREATE INDEX orders_by_closed_session ON orders (closed_session);

CREATE TABLE fills (
    client_order_id TEXT PRIMARY KEY REFERENCES orders (client_order_id),
    session TEXT NOT NULL,
    shares INTEGER NOT NULL,
    price_e4 INTEGER NOT NULL,
    value_fen INTEGER NOT NULL,
    commission_fen INTEGER NOT NULL,
    stamp_duty_fen INTEGER NOT NULL,
    transfer_fee_fen INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE book (
    session TEXT PRIMARY KEY,
    cash_fen INTEGER NOT NULL CHECK (cash_fen >= 0),
    equity_fen INTEGER NOT NULL,
    dividends_fen INTEGER NOT NULL,
    written_off_fen INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE holdings (
    session TEXT NOT NULL REFERENCES book (session),
    symbol TEXT NOT NULL,
    shares INTEGER NOT NULL CHECK (shares > 0),
    sellable_shares INTEGER NOT NULL,
    held_sessions INTEGER NOT NULL,
    last_price_e4 INTEGER NOT NULL,
    PRIMARY KEY (session, symbol)
) WITHOUT ROWID
"""

#: What accounts opened earlier did not record stands as 0: not known for prices, and truly 0 for the amounts, as
#: neither impact nor rights existed and slippage was counted in the price alone.
_PRICES_OF_POSITIONS = """
ALTER TABLE holdings ADD COLUMN entry_price_e4 INTEGER NOT NULL DEFAULT 0;

ALTER TABLE holdings ADD COLUMN peak_price_e4 INTEGER NOT NULL DEFAULT 0;

ALTER TABLE fills ADD COLUMN slippage_fen INTEGER NOT NULL DEFAULT 0;

ALTER TABLE fills ADD COLUMN impact_fen INTEGER NOT NULL DEFAULT 0;

ALTER TABLE book ADD COLUMN rights_paid_fen INTEGER NOT NULL DEFAULT 0
"""

MIGRATIONS = (_FIRST, _PRICES_OF_POSITIONS)
