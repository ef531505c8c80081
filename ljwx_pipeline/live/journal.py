"""The journal: what the runner meant, sent, received and holds, durable in one SQLite file.

One session is two transactions: ``record_session`` (what the last session did, the new signals, and every order that is
about to be sent) and ``record_sent`` (the broker has them). Between the two the broker is called, and its calls are
idempotent by order id, so that dying anywhere and starting again ends in the same rows.

Not here: the tables themselves (``schema.py``), the decisions (``runner.py``).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.live.database import connect, migrate, transaction
from ljwx_pipeline.live.orders import OPEN_STATES, DecidedOrder, Fill, OrderIntent, OrderState, SessionClose, Side
from ljwx_pipeline.live.schema import MIGRATIONS

JOURNAL_NAME = "journal.sqlite"


@dataclass(frozen=True)
class DeployedBundle:
    """A bundle the runner accepted: its hash, the registry's version and the last session it was trained on."""

    bundle_hash: str
    model_version: str
    last_train_session: date


@dataclass(frozen=True)
class WithdrawnModel:
    """What was withdrawn, why, and when the runner took it: no model trades until another bundle is deployed."""

    model_version: str
    reason: str
    at: str

    def sentence(self) -> str:
        """Return it as people read it."""
        at = datetime.fromisoformat(self.at).isoformat(timespec="seconds")
        return f"no model: version {self.model_version} withdrawn at {at}{f' ({self.reason})' if self.reason else ''}"


@dataclass(frozen=True)
class RunnerState:
    """The single row that says what the runner is doing; shown by the console."""

    mode: str
    simulated: bool
    opening_capital_fen: int
    bundle_hash: str | None
    session: str | None
    sessions_done: int
    sessions_total: int
    message: str


@dataclass(frozen=True)
class SessionRecord:
    """Everything one session adds to the journal at its close."""

    session: date
    bars_hash: str
    bundle_hash: str
    close: SessionClose
    scores: Mapping[str, float]
    orders: Sequence[DecidedOrder]


class Journal:
    """One connection to the journal. Each thread opens its own.

    Parameters
    ----------
    path
        The SQLite file; made with its folder when absent.
    clock
        Stamps rows with the moment they were written.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self._clock = clock
        self._db = connect(path)
        migrate(self._db, MIGRATIONS, "journal")

    def close(self) -> None:
        """Close the connection; nothing is pending, every write was durable when its method returned."""
        self._db.close()

    # -- reading -------------------------------------------------------------------------------------------------

    def sessions(self) -> dict[date, str]:
        """Return every recorded session with the hash of the bars it was decided on, ascending."""
        rows = self._db.execute("SELECT session, bars_hash FROM sessions ORDER BY session")
        return {date.fromisoformat(row["session"]): row["bars_hash"] for row in rows}

    def unsent_session(self) -> date | None:
        """Return the session whose orders are durable here but perhaps unknown to the broker, if there is one."""
        row = self._db.execute("SELECT session FROM sessions WHERE state = 'decided'").fetchone()
        return None if row is None else date.fromisoformat(row["session"])

    def open_orders(self) -> tuple[OrderIntent, ...]:
        """Return the orders that are not final, by id."""
        rows = self._db.execute("SELECT * FROM orders WHERE state IN (?, ?) ORDER BY client_order_id", OPEN_STATES)
        return tuple(_intent(row) for row in rows)

    def last_account(self) -> sqlite3.Row | None:
        """Return the newest account row; None before the first session."""
        row: sqlite3.Row | None = self._db.execute("SELECT * FROM account ORDER BY session DESC LIMIT 1").fetchone()
        return row

    def account_history(self) -> tuple[list[int], list[int]]:
        """Return equity and cash at the close of every recorded session, fen, oldest first."""
        rows = self._db.execute("SELECT equity_fen, cash_fen FROM account ORDER BY session").fetchall()
        return [int(row["equity_fen"]) for row in rows], [int(row["cash_fen"]) for row in rows]

    def positions(self, session: date) -> dict[str, int]:
        """Return shares by symbol after ``session``."""
        rows = self._db.execute("SELECT symbol, shares FROM positions WHERE session = ?", (session.isoformat(),))
        return {row["symbol"]: int(row["shares"]) for row in rows}

    def order_counts(self) -> dict[str, int]:
        """Return the number of orders by state."""
        rows = self._db.execute("SELECT state, count(*) AS n FROM orders GROUP BY state ORDER BY state")
        return {row["state"]: int(row["n"]) for row in rows}

    def fill_count(self) -> int:
        """Return the number of fills."""
        return int(self._db.execute("SELECT count(*) FROM fills").fetchone()[0])

    def bundles(self) -> dict[str, DeployedBundle]:
        """Return the accepted bundles by hash, in the order of their last deployment."""
        return self._bundles_after(0)

    def tradable_bundles(self) -> dict[str, DeployedBundle]:
        """Return the bundles deployed since the last withdrawal, in that order: the last one is to trade."""
        last = self._db.execute("SELECT coalesce(max(after_deployment), 0) FROM withdrawals").fetchone()
        return self._bundles_after(int(last[0]))

    def withdrawn(self) -> WithdrawnModel | None:
        """Return the withdrawal that holds; None when there was none, or a bundle was deployed since."""
        row = self._db.execute(
            "SELECT model_version, reason, at FROM withdrawals "
            "WHERE after_deployment = (SELECT coalesce(max(id), 0) FROM deployments) ORDER BY at DESC LIMIT 1"
        ).fetchone()
        return None if row is None else WithdrawnModel(row["model_version"], row["reason"], row["at"])

    def knows_withdrawal(self, identity: str) -> bool:
        """Return whether this withdrawal was taken before."""
        return self._db.execute("SELECT 1 FROM withdrawals WHERE id = ?", (identity,)).fetchone() is not None

    def _bundles_after(self, deployment: int) -> dict[str, DeployedBundle]:
        rows = self._db.execute(
            "SELECT b.* FROM bundles b JOIN deployments d USING (bundle_hash) GROUP BY b.bundle_hash "
            "HAVING max(d.id) > ? ORDER BY max(d.id)",
            (deployment,),
        )
        return {
            row["bundle_hash"]: DeployedBundle(
                row["bundle_hash"], row["model_version"], date.fromisoformat(row["last_train_session"])
            )
            for row in rows
        }

    def runner_state(self) -> RunnerState | None:
        """Return what the runner last said of itself; None before its first start."""
        row = self._db.execute("SELECT * FROM runner WHERE id = 1").fetchone()
        if row is None:
            return None
        return RunnerState(
            mode=row["mode"],
            simulated=bool(row["simulated"]),
            opening_capital_fen=int(row["opening_capital_fen"]),
            bundle_hash=row["bundle_hash"],
            session=row["session"],
            sessions_done=int(row["sessions_done"]),
            sessions_total=int(row["sessions_total"]),
            message=row["message"],
        )

    # -- writing -------------------------------------------------------------------------------------------------

    def record_bundle(self, bundle: DeployedBundle) -> bool:
        """Store an accepted bundle as the one to trade; return False when it already was that one."""
        with transaction(self._db) as db:
            if next(reversed(self.tradable_bundles()), None) == bundle.bundle_hash:
                return False
            db.execute(
                "INSERT INTO bundles VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (bundle.bundle_hash, bundle.model_version, bundle.last_train_session.isoformat()),
            )
            db.execute("INSERT INTO deployments (bundle_hash, at) VALUES (?, ?)", (bundle.bundle_hash, self._now()))
            self._event("bundle_deployed", f"version {bundle.model_version}, bundle {bundle.bundle_hash[:12]}")
        return True

    def record_withdrawal(self, identity: str, *, model_version: str, reason: str) -> bool:
        """Store that no model is to trade until the next deployment; return False when this one was taken before."""
        with transaction(self._db) as db:
            if self.knows_withdrawal(identity):
                return False
            db.execute(
                "INSERT INTO withdrawals SELECT ?, coalesce(max(id), 0), ?, ?, ? FROM deployments",
                (identity, model_version, reason, self._now()),
            )
            self._event("model_withdrawn", f"version {model_version}{f': {reason}' if reason else ''}")
        return True

    def record_event(self, kind: str, message: str, session: date | None = None) -> None:
        """Append one event."""
        with transaction(self._db):
            self._event(kind, message, session)

    def record_event_at_most_every(self, pause: timedelta, kind: str, message: str) -> None:
        """Append one event unless the last of its kind is younger than ``pause``; any number of threads may ask."""
        with transaction(self._db):
            last = self._db.execute("SELECT at FROM events WHERE kind = ? ORDER BY id DESC LIMIT 1", (kind,)).fetchone()
            age = None if last is None else self._clock.now() - datetime.fromisoformat(last["at"])
            if age is None or not timedelta(0) <= age < pause:
                self._event(kind, message)

    def record_session(self, record: SessionRecord) -> None:
        """Store a session: fills and outcomes of yesterday's orders, account, signals, the new orders as intents."""
        day = record.session.isoformat()
        close = record.close
        with transaction(self._db) as db:
            state = "decided" if any(not order.denial for order in record.orders) else "sent"
            db.execute("INSERT INTO sessions VALUES (?, ?, ?, ?)", (day, record.bars_hash, record.bundle_hash, state))
            db.executemany(
                "UPDATE orders SET state = ?, reason = ?, filled_shares = ? WHERE client_order_id = ?",
                [(o.state, o.reason, o.filled_shares, o.client_order_id) for o in close.outcomes],
            )
            db.executemany(
                "INSERT INTO fills VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [_fill_row(fill, day) for fill in close.fills],
            )
            db.executemany(
                "INSERT INTO positions VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (day, p.symbol, p.shares, p.sellable_shares, p.held_sessions, p.price_e4, p.value_fen)
                    for p in close.positions
                ],
            )
            db.execute(
                "INSERT INTO account VALUES (?, ?, ?, ?, ?, ?)",
                (day, close.cash_fen, close.equity_fen, close.fees_fen, close.dividends_fen, close.written_off_fen),
            )
            db.executemany(
                "INSERT INTO signals VALUES (?, ?, ?, ?)",
                [(day, symbol, score, record.bundle_hash) for symbol, score in record.scores.items()],
            )
            self._insert_orders(record)

    def _insert_orders(self, record: SessionRecord) -> None:
        now = self._now()
        rows = []
        for decided in record.orders:
            order, state = decided.intent, OrderState.DENIED if decided.denial else OrderState.INTENDED
            rows.append(
                (
                    order.client_order_id,
                    order.session.isoformat(),
                    order.symbol,
                    order.side,
                    order.shares,
                    order.rank,
                    order.reference_price_e4,
                    state,
                    decided.denial,
                    record.bundle_hash,
                    now,
                )
            )
            if decided.denial:
                message = f"{order.side} {order.shares} {order.symbol}: {decided.denial}"
                self._event("order_denied", message, record.session)
        self._db.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?)", rows)

    def record_sent(self, session: date) -> None:
        """Note that the broker holds every order intended at ``session``."""
        day = session.isoformat()
        with transaction(self._db) as db:
            db.execute(
                "UPDATE orders SET state = ? WHERE session = ? AND state = ?",
                (OrderState.ACCEPTED, day, OrderState.INTENDED),
            )
            db.execute("UPDATE sessions SET state = 'sent' WHERE session = ?", (day,))

    def record_state(self, state: RunnerState) -> None:
        """Replace the runner's own row: its heartbeat and what it is doing."""
        with transaction(self._db) as db:
            db.execute(
                "INSERT OR REPLACE INTO runner VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    state.mode,
                    int(state.simulated),
                    state.opening_capital_fen,
                    state.bundle_hash,
                    state.session,
                    state.sessions_done,
                    state.sessions_total,
                    state.message,
                    self._now(),
                ),
            )

    def keep_alive(self, every_s: float) -> None:
        """Stamp the runner's own row anew once its stamp is ``every_s`` seconds old: an idle runner is no dead one."""
        now = self._clock.now()
        oldest = now - timedelta(seconds=every_s)
        # a stamp from the future is what a clock that was set back leaves
        self._db.execute(
            "UPDATE runner SET updated_at = ? WHERE updated_at NOT BETWEEN ? AND ?",
            (now.isoformat(), oldest.isoformat(), now.isoformat()),
        )

    def _event(self, kind: str, message: str, session: date | None = None) -> None:
        day = None if session is None else session.isoformat()
        self._db.execute(
            "INSERT INTO events (at, kind, session, message) VALUES (?, ?, ?, ?)", (self._now(), kind, day, message)
        )

    def _now(self) -> str:
        return self._clock.now().isoformat()


def _fill_row(fill: Fill, day: str) -> tuple[str | int, ...]:
    return (
        fill.client_order_id,
        day,
        fill.symbol,
        fill.side,
        fill.shares,
        fill.price_e4,
        fill.value_fen,
        fill.commission_fen,
        fill.stamp_duty_fen,
        fill.transfer_fee_fen,
    )


def _intent(row: sqlite3.Row) -> OrderIntent:
    return OrderIntent(
        client_order_id=row["client_order_id"],
        session=date.fromisoformat(row["session"]),
        symbol=row["symbol"],
        side=Side(row["side"]),
        shares=int(row["shares"]),
        rank=int(row["rank"]),
        reference_price_e4=int(row["reference_price_e4"]),
    )
