"""The journal of a runner that trades a session at a time: what it meant, sent, received and holds.

One session is two transactions: ``record_session`` (what the last session did, the new signals, and every order that is
about to be sent) and ``record_sent`` (the broker has them). Between the two the broker is called, and its calls are
idempotent by order id, so that dying anywhere and starting again ends in the same rows.

Everything written is an event of the log (``event_log.py``); everything read comes from the tables that follow from it.
Not here: the tables themselves (``tables.py``), the decisions (``runner.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Select, func, select, update

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.backup_shelf import Retention, surplus
from ljwx_pipeline.live.backups import BACKUPS_DIR, Backups
from ljwx_pipeline.live.event_log import EventLog
from ljwx_pipeline.live.events import (
    AlertRaised,
    BackupMade,
    BundleStaged,
    BundleWithdrawn,
    Event,
    FillReported,
    HeldPosition,
    Noted,
    OrderDecided,
    OrderReported,
    RunnerStated,
    SessionClosed,
    SignalsScored,
    Stage,
    Tier,
    instant_ns,
)
from ljwx_pipeline.live.migrate import migrate
from ljwx_pipeline.live.orders import DecidedOrder, Execution, Leg, OrderIntent, OrderState, SessionClose, Side
from ljwx_pipeline.live.store import Store
from ljwx_pipeline.live.tables import (
    account,
    bundles,
    deployments,
    events,
    fills,
    orders,
    outbox,
    positions,
    runner,
    sessions,
    withdrawals,
)

JOURNAL_NAME = "journal.sqlite"
BACKUP_FAILED = "BACKUP_FAILED"
_ALERT_PAUSE = timedelta(hours=1)
#: The whole of an account's or a strategy's capital.
_ALL_BPS = 10_000


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
    """One process's view of the journal. Each thread opens its own.

    Parameters
    ----------
    place
        The SQLite file, made with its folder when absent; or the URL of a database.
    clock
        Stamps events with the moment they were written.
    epoch
        Of the lease under which this process writes; 0 where nobody ever took one.
    backups_dir
        Where a backup is made before a migration; ``backups`` beside a SQLite file if None.

    Raises
    ------
    LiveError
        When the database cannot be opened, backed up or brought up to date.
    """

    def __init__(self, place: Path | str, clock: Clock, *, epoch: int = 0, backups_dir: Path | None = None) -> None:
        self.store = Store(place)
        self.log = EventLog(self.store, clock)
        self._clock = clock
        self._epoch = epoch
        try:
            folder = backups_dir or self.path.parent / BACKUPS_DIR
            self.backups = Backups(self.store, folder, clock)
            migrate(self.store, self.backups.make)
        except BaseException:
            self.store.close()
            raise

    @property
    def path(self) -> Path:
        """The SQLite file."""
        return self.store.path

    def close(self) -> None:
        """Close the connection; nothing is pending, every write was durable when its method returned."""
        self.store.close()

    # -- reading -------------------------------------------------------------------------------------------------

    def sessions(self) -> dict[date, str]:
        """Return every recorded session with the hash of the bars it was decided on, ascending."""
        rows = self._rows(select(sessions).where(sessions.c.bars_hash.is_not(None)).order_by(sessions.c.session))
        return {date.fromisoformat(row["session"]): row["bars_hash"] for row in rows}

    def unsent_session(self) -> date | None:
        """Return the session whose orders are durable here but perhaps unknown to the broker, if there is one."""
        unsent = select(orders.c.session).where(orders.c.is_open == 1, orders.c.state == OrderState.INTENDED).limit(1)
        rows = self._rows(unsent)
        return date.fromisoformat(rows[0]["session"]) if rows else None

    def open_orders(self) -> tuple[OrderIntent, ...]:
        """Return the orders that are not final, by id."""
        rows = self._rows(select(orders).where(orders.c.is_open == 1).order_by(orders.c.client_order_id))
        return tuple(_intent(row) for row in rows)

    def last_account(self) -> Mapping[str, Any] | None:
        """Return the newest account row; None before the first session."""
        rows = self._rows(select(account).order_by(account.c.session.desc()).limit(1))
        return rows[0] if rows else None

    def account_history(self) -> tuple[list[int], list[int]]:
        """Return equity and cash at the close of every recorded session, fen, oldest first."""
        rows = self._rows(select(account.c.equity_fen, account.c.cash_fen).order_by(account.c.session))
        return [row["equity_fen"] for row in rows], [row["cash_fen"] for row in rows]

    def positions(self, session: date) -> dict[str, int]:
        """Return shares by symbol after ``session``."""
        held = select(positions.c.symbol, positions.c.shares).where(positions.c.session == session.isoformat())
        return {row["symbol"]: row["shares"] for row in self._rows(held.order_by(positions.c.symbol))}

    def order_counts(self) -> dict[str, int]:
        """Return the number of orders by state."""
        state = orders.c.state
        rows = self._rows(select(state, func.count().label("n")).group_by(state).order_by(state))
        return {row["state"]: row["n"] for row in rows}

    def fill_count(self) -> int:
        """Return the number of fills."""
        return int(self._rows(select(func.count().label("n")).select_from(fills))[0]["n"])

    def bundles(self) -> dict[str, DeployedBundle]:
        """Return the accepted bundles by hash, in the order of their last deployment."""
        with self.store.reading() as connection:
            return _bundles_after(connection, 0)

    def tradable_bundles(self) -> dict[str, DeployedBundle]:
        """Return the bundles deployed since the last withdrawal, in that order: the last one is to trade."""
        with self.store.reading() as connection:
            return _tradable_bundles(connection)

    def withdrawn(self) -> WithdrawnModel | None:
        """Return the withdrawal that holds; None when there was none, or a bundle was deployed since."""
        last = select(func.coalesce(func.max(deployments.c.id), 0)).scalar_subquery()
        holds = select(withdrawals).where(withdrawals.c.after_deployment == last)
        rows = self._rows(holds.order_by(withdrawals.c.at.desc()).limit(1))
        return WithdrawnModel(rows[0]["model_version"], rows[0]["reason"], rows[0]["at"]) if rows else None

    def knows_withdrawal(self, identity: str) -> bool:
        """Return whether this withdrawal was taken before."""
        return bool(self._rows(select(withdrawals.c.id).where(withdrawals.c.id == identity)))

    def runner_state(self) -> RunnerState | None:
        """Return what the runner last said of itself; None before its first start."""
        rows = self._rows(select(runner))
        if not rows:
            return None
        row = rows[0]
        return RunnerState(
            mode=row["mode"],
            simulated=bool(row["simulated"]),
            opening_capital_fen=row["opening_capital_fen"],
            bundle_hash=row["bundle_hash"],
            session=row["session"],
            sessions_done=row["sessions_done"],
            sessions_total=row["sessions_total"],
            message=row["message"],
        )

    def _rows(self, statement: Select[Any]) -> list[dict[str, Any]]:
        with self.store.reading() as connection:
            return [dict(row) for row in connection.execute(statement).mappings()]

    # -- writing -------------------------------------------------------------------------------------------------

    def record_bundle(self, bundle: DeployedBundle) -> bool:
        """Store an accepted bundle as the one to trade; return False when it already was that one."""
        staged = BundleStaged(
            strategy="",
            stage=Stage.CHAMPION,
            bundle_hash=bundle.bundle_hash,
            model_version=bundle.model_version,
            last_train_session=bundle.last_train_session,
            capital_share_bps=_ALL_BPS,
        )
        with self.store.writing() as connection:
            if next(reversed(_tradable_bundles(connection)), None) == bundle.bundle_hash:
                return False
            self.log.append_within(connection, [staged], self._epoch)
        return True

    def record_withdrawal(self, identity: str, *, model_version: str, reason: str) -> bool:
        """Store that no model is to trade until the next deployment; return False when this one was taken before."""
        taken = BundleWithdrawn(identity=identity, strategy="", model_version=model_version, reason=reason)
        with self.store.writing() as connection:
            before = self.log.append_within(connection, [], self._epoch)
            return self.log.append_within(connection, [taken], self._epoch) > before

    def append_due(self, due: Callable[[Connection], Sequence[Event]]) -> bool:
        """Append what ``due`` finds in the journal as it stands, in one transaction; return whether it was anything."""
        with self.store.writing() as connection:
            before = self.log.append_within(connection, [], self._epoch)
            return self.log.append_within(connection, due(connection), self._epoch) > before

    def record_event(self, kind: str, message: str, session: date | None = None) -> None:
        """Append one line for people."""
        self._append(Noted(topic=kind, message=message, session=session))

    def record_event_at_most_every(self, pause: timedelta, kind: str, message: str) -> None:
        """Append one line unless the last of its kind is younger than ``pause``; any number of threads may ask."""
        newest = select(events.c.at).where(events.c.kind == kind).order_by(events.c.id.desc()).limit(1)
        with self.store.writing() as connection:
            if self._is_older(connection.execute(newest).scalar(), pause):
                noted = Noted(topic=kind, message=message, session=None)
                self.log.append_within(connection, [noted], self._epoch)

    def record_session(self, record: SessionRecord) -> None:
        """Store a session: fills and outcomes of yesterday's orders, account, signals, the new orders as intents.

        Raises
        ------
        LiveError
            When the session is recorded already, or two of its orders are one: nothing was written.
        """
        identities = [order.intent.client_order_id for order in record.orders]
        if len(set(identities)) < len(identities):
            raise LiveError(
                f"two orders of session {record.session} have the same identity",
                "nothing was written; one strategy asked twice for the same symbol and side",
            )
        with self.store.writing() as connection:
            known = select(sessions.c.session).where(sessions.c.session == record.session.isoformat())
            if connection.execute(known).first() is not None:
                raise LiveError(
                    f"session {record.session} is recorded already", "nothing was written; a session trades once"
                )
            self.log.append_within(connection, _events_of(record, instant_ns(self._clock.now())), self._epoch)

    def record_sent(self, session: date) -> None:
        """Note that the broker holds every order intended at ``session``."""
        intended = select(orders.c.client_order_id).where(
            orders.c.session == session.isoformat(), orders.c.is_open == 1, orders.c.state == OrderState.INTENDED
        )
        now = instant_ns(self._clock.now())
        with self.store.writing() as connection:
            accepted = [
                OrderReported(
                    client_order_id=identity,
                    exchange_order_id="",
                    state=OrderState.ACCEPTED,
                    reason="",
                    filled_shares=0,
                    session_over=False,
                    reported_at_ns=now,
                )
                for identity in connection.execute(intended.order_by(orders.c.rank)).scalars()
            ]
            self.log.append_within(connection, accepted, self._epoch)

    def record_state(self, state: RunnerState) -> None:
        """Replace the runner's own row: its heartbeat and what it is doing."""
        self._append(
            RunnerStated(
                mode=state.mode,
                simulated=state.simulated,
                opening_capital_fen=state.opening_capital_fen,
                bundle_hash=state.bundle_hash,
                current_session=state.session,
                sessions_done=state.sessions_done,
                sessions_total=state.sessions_total,
                message=state.message,
            )
        )

    def keep_alive(self, every_s: float) -> None:
        """Stamp the runner's own row anew once its stamp is ``every_s`` seconds old: an idle runner is no dead one."""
        now = self._clock.now()
        oldest = now - timedelta(seconds=every_s)
        # a stamp from the future is what a clock that was set back leaves
        stamped = runner.c.updated_at.between(oldest.isoformat(), now.isoformat())
        with self.store.writing() as connection:
            connection.execute(update(runner).where(~stamped).values(updated_at=now.isoformat()))

    def back_up_daily(self, retention: Retention) -> None:
        """Make a backup when the newest is a day old, and remove those that ``retention`` does not keep.

        One that fails raises an alert, once an hour, and stops nothing: the journal itself is sound.
        """
        try:
            if not self.backups.is_due():
                return
            made = self.backups.make("daily")
            self.backups.shelf.remove(surplus(self.backups.shelf.listed(), retention, self._clock.now()))
        except LiveError as error:
            self._alert_at_most_every(
                _ALERT_PAUSE, AlertRaised(tier=Tier.WARNING, code=BACKUP_FAILED, message=str(error))
            )
            return
        told = BackupMade(name=made.name, reason=made.reason, upto_seq=made.upto_seq, size_bytes=made.size_bytes)
        self.log.append([told], None)

    def _alert_at_most_every(self, pause: timedelta, alert: AlertRaised) -> None:
        newest = select(outbox.c.at).where(outbox.c.code == alert.code).order_by(outbox.c.id.desc()).limit(1)
        with self.store.writing() as connection:
            if self._is_older(connection.execute(newest).scalar(), pause):
                self.log.append_within(connection, [alert], None)

    def _is_older(self, at: str | None, pause: timedelta) -> bool:
        """Return whether ``at`` lies ``pause`` back; a moment that has not come yet is what a clock set back leaves."""
        age = None if at is None else self._clock.now() - datetime.fromisoformat(at)
        return age is None or not timedelta(0) <= age < pause

    def _append(self, event: Event) -> None:
        self.log.append([event], self._epoch)


def _tradable_bundles(connection: Connection) -> dict[str, DeployedBundle]:
    last = connection.execute(select(func.coalesce(func.max(withdrawals.c.after_deployment), 0))).scalar_one()
    return _bundles_after(connection, int(last))


def _bundles_after(connection: Connection, deployment: int) -> dict[str, DeployedBundle]:
    last = func.max(deployments.c.id)
    deployed = select(deployments.c.bundle_hash, last.label("last")).group_by(deployments.c.bundle_hash)
    newest = deployed.having(last > deployment).subquery()
    joined = select(bundles).join(newest, newest.c.bundle_hash == bundles.c.bundle_hash).order_by(newest.c.last)
    return {
        row.bundle_hash: DeployedBundle(row.bundle_hash, row.model_version, date.fromisoformat(row.last_train_session))
        for row in connection.execute(joined)
    }


def _events_of(record: SessionRecord, now_ns: int) -> list[Event]:
    """Return the session as events: what became of the orders before it, its statement, its scores, its orders."""
    close = record.close
    outcomes = [
        OrderReported(
            client_order_id=one.client_order_id,
            exchange_order_id="",
            state=one.state,
            reason=one.reason,
            filled_shares=one.filled_shares,
            session_over=True,
            reported_at_ns=now_ns,
        )
        for one in close.outcomes
    ]
    filled = [
        FillReported(
            exec_id=fill.client_order_id,  # this broker fills an order once
            client_order_id=fill.client_order_id,
            exchange_order_id="",
            session=record.session,
            symbol=fill.symbol,
            side=fill.side,
            shares=fill.shares,
            price_e4=fill.price_e4,
            value_fen=fill.value_fen,
            commission_fen=fill.commission_fen,
            stamp_duty_fen=fill.stamp_duty_fen,
            transfer_fee_fen=fill.transfer_fee_fen,
            slippage_fen=fill.slippage_fen,
            impact_fen=fill.impact_fen,
            filled_at_ns=now_ns,
        )
        for fill in close.fills
    ]
    closed = SessionClosed(
        session=record.session,
        bars_hash=record.bars_hash,
        cash_fen=close.cash_fen,
        equity_fen=close.equity_fen,
        fees_fen=close.fees_fen,
        dividends_fen=close.dividends_fen,
        written_off_fen=close.written_off_fen,
        positions=tuple(
            HeldPosition(
                symbol=held.symbol,
                shares=held.shares,
                sellable_shares=held.sellable_shares,
                held_sessions=held.held_sessions,
                entry_price_e4=held.entry_price_e4,
                peak_price_e4=held.peak_price_e4,
                last_price_e4=held.price_e4,
            )
            for held in close.positions
        ),
    )
    scored = SignalsScored(
        session=record.session, strategy="", bundle_hash=record.bundle_hash, scores=dict(record.scores)
    )
    decided = [_decided(order, record.bundle_hash, now_ns) for order in record.orders]
    return [*outcomes, *filled, closed, scored, *decided]


def _decided(order: DecidedOrder, bundle_hash: str, now_ns: int) -> OrderDecided:
    intent = order.intent
    return OrderDecided(
        client_order_id=intent.client_order_id,
        strategy="",
        leg=Leg.DECIDE,
        session=intent.session,
        valid_session=None,
        bundle_hash=bundle_hash,
        symbol=intent.symbol,
        side=intent.side,
        shares=intent.shares,
        rank=intent.rank,
        execution=Execution.SESSION,
        limit_price_e4=0,
        reference_price_e4=intent.reference_price_e4,
        denial=order.denial,
        decided_at_ns=now_ns,
    )


def _intent(row: Mapping[str, Any]) -> OrderIntent:
    return OrderIntent(
        client_order_id=row["client_order_id"],
        session=date.fromisoformat(row["session"]),
        symbol=row["symbol"],
        side=Side(row["side"]),
        shares=row["shares"],
        rank=row["rank"],
        reference_price_e4=row["reference_price_e4"],
    )
