"""The journal's tables, on SQLite and PostgreSQL alike.

Two kinds. The durable ones (``DURABLE``) are the truth: the log of events and the lease; migrations change them. The
derived ones (``DERIVED``) follow from the log and can be made anew from it at any time; a change to them raises
`PROJECTION_VERSION`. Dates and instants are ISO text, ``_at_ns`` UTC epoch nanoseconds, prices 1e-4 CNY, money fen.
Not here: what is written into them (``event_log.py``, ``projections.py``, ``lease.py``).
"""

from __future__ import annotations

from sqlalchemy import (
    DDL,
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    event,
    text,
)

from ljwx_pipeline.live.orders import OrderState
from ljwx_pipeline.trading.exchange_wire import Side

#: Raise it with any change of the derived tables or of what is written into them: journals are then derived anew.
PROJECTION_VERSION = 4

DURABLE = MetaData()
DERIVED = MetaData()

#: Whole numbers of 64 bits; only under this name does SQLite take one as the row's own key.
_BIG = BigInteger().with_variant(Integer(), "sqlite")


def _whole(name: str, rule: str = "", *, key: bool = False, optional: bool = False) -> Column[int]:
    checks = [CheckConstraint(f"{name} {rule}")] if rule else []
    return Column(name, _BIG, *checks, primary_key=key, nullable=optional, autoincrement=False)


def _words(
    name: str, reference: str = "", *, among: tuple[str, ...] = (), key: bool = False, optional: bool = False
) -> Column[str]:
    foreign = [ForeignKey(reference)] if reference else []
    said = ", ".join(f"'{word}'" for word in among)
    checks = [CheckConstraint(f"{name} IN ({said})")] if among else []
    return Column(name, Text, *foreign, *checks, primary_key=key, nullable=optional)


def _side() -> Column[str]:
    return _words("side", among=tuple(Side))


def _never_changes(table: Table, message: str) -> None:
    """Let the database itself refuse to change or remove a row of ``table``."""
    for verb in ("update", "delete"):
        on_sqlite = (
            f"CREATE TRIGGER {table.name}_no_{verb} BEFORE {verb} ON {table.name} "
            f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
        )
        _after_create(table, on_sqlite, "sqlite")
    on_postgres = (
        f"CREATE OR REPLACE FUNCTION {table.name}_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{message}'; END $$",
        f"CREATE TRIGGER {table.name}_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table.name} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table.name}_refuse()",
    )
    for statement in on_postgres:
        _after_create(table, statement, "postgresql")


def _after_create(table: Table, statement: str, dialect: str) -> None:
    ddl = DDL(statement)  # type: ignore[no-untyped-call]
    event.listen(table, "after_create", ddl.execute_if(dialect=dialect))


# -- durable ---------------------------------------------------------------------------------------------------------

events_log = Table(
    "events_log",
    DURABLE,
    _whole("seq", "> 0", key=True),
    _whole("at_ns"),
    _whole("epoch", ">= 0"),
    _words("kind"),
    _words("session", optional=True),
    _words("strategy"),
    _words("key"),
    _words("body"),
    Index("events_log_by_kind", "kind", "seq"),
    Index("events_log_by_key", "key", "seq"),
)
_never_changes(events_log, "events are append-only")

lease = Table(
    "lease",
    DURABLE,
    _whole("id", "= 1", key=True),
    _words("holder"),
    _whole("epoch", ">= 0"),
    _whole("renewals", ">= 0"),
    _words("expires_at"),
)

#: Which derived tables stand here, and up to which event.
projection = Table("projection", DERIVED, _whole("id", "= 1", key=True), _whole("version"), _whole("seq", ">= 0"))

# -- derived: models and strategies ----------------------------------------------------------------------------------

bundles = Table(
    "bundles",
    DERIVED,
    _words("bundle_hash", key=True),
    _words("model_version"),
    _words("last_train_session"),
    sqlite_with_rowid=False,
)
deployments = Table(
    "deployments",
    DERIVED,
    _whole("id", key=True),
    _words("bundle_hash", "bundles.bundle_hash"),
    _words("strategy"),
    _words("stage"),
    _whole("capital_share_bps", "BETWEEN 0 AND 10000"),
    _words("at"),
)
stages = Table(
    "stages",
    DERIVED,
    _words("strategy", key=True),
    _words("stage", key=True),
    _words("bundle_hash", "bundles.bundle_hash"),
    _whole("capital_share_bps", "BETWEEN 0 AND 10000"),
    _words("at"),
    sqlite_with_rowid=False,
)
withdrawals = Table(
    "withdrawals",
    DERIVED,
    _words("id", key=True),
    _whole("after_deployment"),
    _words("strategy"),
    _words("model_version"),
    _words("reason"),
    _words("at"),
    sqlite_with_rowid=False,
)
strategies = Table(
    "strategies",
    DERIVED,
    _words("strategy", key=True),
    _words("state"),
    _words("settings"),
    _whole("capital_share_bps", "BETWEEN 0 AND 10000"),
    _words("by"),
    _words("at"),
    sqlite_with_rowid=False,
)

# -- derived: sessions and what happened in them ---------------------------------------------------------------------

sessions = Table(
    "sessions",
    DERIVED,
    _words("session", key=True),
    _words("bars_hash", optional=True),
    _words("bundle_hash", "bundles.bundle_hash", optional=True),
    sqlite_with_rowid=False,
)
signals = Table(
    "signals",
    DERIVED,
    _words("session", key=True),
    _words("strategy", key=True),
    _words("symbol", key=True),
    Column("score", Double, nullable=False),
    _words("bundle_hash", "bundles.bundle_hash"),
    sqlite_with_rowid=False,
)
orders = Table(
    "orders",
    DERIVED,
    _words("client_order_id", key=True),
    _words("session"),
    _words("symbol"),
    _side(),
    _whole("shares", "> 0"),
    _whole("rank"),
    _whole("reference_price_e4"),
    _words("state", among=tuple(OrderState)),
    _words("reason"),
    _whole("filled_shares", ">= 0"),
    _words("bundle_hash", "bundles.bundle_hash", optional=True),
    _words("created_at"),
    _words("strategy"),
    _words("leg"),
    _words("valid_session", optional=True),
    _words("execution"),
    _whole("limit_price_e4", ">= 0"),
    _words("exchange_order_id"),
    _whole("is_open", "IN (0, 1)"),
    _whole("sent_times", ">= 0"),
    _whole("decided_at_ns"),
    _whole("sent_at_ns", optional=True),
    sqlite_with_rowid=False,
)
Index("orders_by_session", orders.c.session)
Index("orders_open", orders.c.session, sqlite_where=text("is_open = 1"), postgresql_where=text("is_open = 1"))
Index(
    "orders_by_exchange_id",
    orders.c.exchange_order_id,
    unique=True,
    sqlite_where=text("exchange_order_id <> ''"),
    postgresql_where=text("exchange_order_id <> ''"),
)
fills = Table(
    "fills",
    DERIVED,
    _words("exec_id", key=True),
    _words("client_order_id", "orders.client_order_id"),
    _words("session"),
    _words("symbol"),
    _side(),
    _whole("shares", "> 0"),
    _whole("price_e4", "> 0"),
    _whole("value_fen", ">= 0"),
    _whole("commission_fen", ">= 0"),
    _whole("stamp_duty_fen", ">= 0"),
    _whole("transfer_fee_fen", ">= 0"),
    _whole("slippage_fen"),
    _whole("impact_fen"),
    _whole("filled_at_ns"),
    Index("fills_by_session", "session"),
    Index("fills_by_order", "client_order_id"),
    sqlite_with_rowid=False,
)
bookings = Table(
    "bookings",
    DERIVED,
    _words("booking_id", key=True),
    _words("session"),
    _words("symbol"),
    _words("reason"),
    _whole("cash_fen"),
    _whole("shares"),
    _whole("booked_at_ns"),
    sqlite_with_rowid=False,
)
positions = Table(
    "positions",
    DERIVED,
    _words("session", key=True),
    _words("symbol", key=True),
    _whole("shares", "> 0"),
    _whole("sellable_shares"),
    _whole("held_sessions"),
    _whole("price_e4"),
    _whole("value_fen"),
    sqlite_with_rowid=False,
)
account = Table(
    "account",
    DERIVED,
    _words("session", key=True),
    _whole("cash_fen", ">= 0"),
    _whole("equity_fen"),
    _whole("fees_fen"),
    _whole("dividends_fen"),
    _whole("written_off_fen"),
    sqlite_with_rowid=False,
)

# -- derived: what holds now -----------------------------------------------------------------------------------------

#: Shares may stand below zero for as long as a sale is known and the purchase before it is not yet.
positions_now = Table(
    "positions_now",
    DERIVED,
    _words("symbol", key=True),
    _whole("shares"),
    _whole("sellable_shares"),
    _whole("held_sessions"),
    _whole("entry_price_e4"),
    _whole("peak_price_e4"),
    _whole("last_price_e4"),
    sqlite_with_rowid=False,
)
account_now = Table("account_now", DERIVED, _whole("id", "= 1", key=True), _whole("cash_fen"))
streams = Table("streams", DERIVED, _words("broker", key=True), _whole("exchange_seq", ">= 0"), sqlite_with_rowid=False)
reconciliations = Table(
    "reconciliations",
    DERIVED,
    _words("broker", key=True),
    _whole("holds", "IN (0, 1)"),
    _words("differences"),
    _words("at"),
    sqlite_with_rowid=False,
)
stops_queued = Table(
    "stops_queued",
    DERIVED,
    _words("strategy", key=True),
    _words("symbol", key=True),
    _words("leg", key=True),
    _whole("shares", "> 0"),
    _words("valid_session"),
    _words("reason"),
    sqlite_with_rowid=False,
)
breakers = Table(
    "breakers",
    DERIVED,
    _words("breaker", key=True),
    _words("scope", key=True),
    _whole("tripped", "IN (0, 1)"),
    _words("session", optional=True),
    _words("value"),
    _words("limit"),
    _words("reason"),
    _words("by"),
    _words("at"),
    sqlite_with_rowid=False,
)
breaker_states = Table(
    "breaker_states",
    DERIVED,
    _words("breaker", key=True),
    _words("scope", key=True),
    _words("state"),
    sqlite_with_rowid=False,
)
modes = Table(
    "modes",
    DERIVED,
    _words("scope", key=True),
    _words("mode"),
    _words("by"),
    _words("reason"),
    _words("at"),
    sqlite_with_rowid=False,
)

# -- derived: sleeves ------------------------------------------------------------------------------------------------

#: Each sleeve's book after each session; nobody's has the empty name.
sleeve_accounts = Table(
    "sleeve_accounts",
    DERIVED,
    _words("session", key=True),
    _words("sleeve", key=True),
    _whole("share_bps", "BETWEEN 0 AND 10000"),
    _whole("cash_fen"),
    _whole("equity_fen"),
    _whole("owes_fen"),
    _whole("moved_fen"),
    sqlite_with_rowid=False,
)
#: What the sleeves hold after the newest session that was settled.
sleeve_holdings = Table(
    "sleeve_holdings",
    DERIVED,
    _words("sleeve", key=True),
    _words("symbol", key=True),
    _whole("shares", "> 0"),
    _whole("held_sessions"),
    _whole("entry_price_e4"),
    _whole("peak_price_e4"),
    _whole("last_price_e4"),
    _whole("value_fen"),
    sqlite_with_rowid=False,
)
#: The closes that were decided for all sleeves at once, and what each of them wanted.
sleeve_closes = Table(
    "sleeve_closes", DERIVED, _words("session", key=True), _words("valid_session"), sqlite_with_rowid=False
)
sleeve_wants = Table(
    "sleeve_wants",
    DERIVED,
    _words("session", key=True),
    _words("sleeve", key=True),
    _words("symbol", key=True),
    _words("valid_session"),
    _side(),
    _whole("shares", "> 0"),
    _whole("crossed_shares", ">= 0"),
    _words("client_order_id"),
    _whole("lot_step", "> 0"),
    _words("denial"),
    Index("sleeve_wants_by_valid_session", "valid_session"),
    sqlite_with_rowid=False,
)

# -- derived: what people read ---------------------------------------------------------------------------------------

runner = Table(
    "runner",
    DERIVED,
    _whole("id", "= 1", key=True),
    _words("mode"),
    _whole("simulated", "IN (0, 1)"),
    _whole("opening_capital_fen"),
    _words("bundle_hash", optional=True),
    _words("session", optional=True),
    _whole("sessions_done"),
    _whole("sessions_total"),
    _words("message"),
    _words("updated_at"),
)
outbox = Table(
    "outbox", DERIVED, _whole("id", key=True), _words("tier"), _words("code"), _words("message"), _words("at")
)
events = Table(
    "events",
    DERIVED,
    _whole("id", key=True),
    _words("at"),
    _words("kind"),
    _words("session", optional=True),
    _words("message"),
    Index("events_by_kind", "kind", "id"),
)
_never_changes(events, "events are append-only")
