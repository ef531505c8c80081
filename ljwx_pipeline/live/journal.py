"""The journal for whoever looks at it or notes something: bundles, withdrawals, the runner's own row, lines for people.

Everything written is an event of the log (``event_log.py``); everything read comes from the tables that follow from it.
Not here: the tables themselves (``tables.py``), orders and what comes back of them (``order_desk.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Select, func, literal, select, update

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.backup_shelf import Retention, surplus
from ljwx_pipeline.live.backups import BACKUPS_DIR, Backups
from ljwx_pipeline.live.event_log import EventLog
from ljwx_pipeline.live.events import (
    AlertRaised,
    BackupMade,
    Event,
    Noted,
    RunnerStated,
    Tier,
)
from ljwx_pipeline.live.migrate import migrate
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
#: A session that was traded, in ``sessions``.
_RECORDED = sessions.c.bars_hash.is_not(None)


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


class Journal:
    """One process's view of the journal; its threads may share it, each call is a transaction of its own connection.

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

    def write_as(self, epoch: int) -> None:
        """Write under ``epoch`` from now on: that of the lease this process took."""
        self._epoch = epoch

    # -- reading -------------------------------------------------------------------------------------------------

    def sessions(self) -> dict[date, str]:
        """Return every recorded session with the hash of the bars it was decided on, ascending."""
        rows = self._rows(select(sessions).where(_RECORDED).order_by(sessions.c.session))
        return {date.fromisoformat(row["session"]): row["bars_hash"] for row in rows}

    def sessions_done(self) -> tuple[int, date | None]:
        """Return how many sessions are recorded, and the last of them; None before the first."""
        counted = select(func.count(), func.max(sessions.c.session)).where(_RECORDED)
        with self.store.reading() as connection:
            count, last = connection.execute(counted).one()
        return count, None if last is None else date.fromisoformat(last)

    def last_account(self) -> Mapping[str, Any] | None:
        """Return the newest account row; None before the first session."""
        rows = self._rows(select(account).order_by(account.c.session.desc()).limit(1))
        return rows[0] if rows else None

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

    def bundles(self, line: str | None = None) -> dict[str, DeployedBundle]:
        """Return the accepted bundles by hash, in the order of their last deployment: of ``line``, or of all."""
        with self.store.reading() as connection:
            last = func.max(deployments.c.id)
            deployed = select(deployments.c.bundle_hash, last.label("last")).group_by(deployments.c.bundle_hash)
            if line is not None:
                deployed = deployed.where(deployments.c.strategy == line)
            newest = deployed.subquery()
            joined = select(bundles).join(newest, newest.c.bundle_hash == bundles.c.bundle_hash)
            rows = connection.execute(joined.order_by(newest.c.last)).all()
        return {
            row.bundle_hash: DeployedBundle(
                row.bundle_hash, row.model_version, date.fromisoformat(row.last_train_session)
            )
            for row in rows
        }

    def withdrawn(self, line: str = "") -> WithdrawnModel | None:
        """Return the withdrawal that holds for ``line``, the market's own model if not named.

        None when there was none, or a bundle was deployed to it since.
        """
        newest = select(func.coalesce(func.max(deployments.c.id), 0)).where(deployments.c.strategy == line)
        of_line = withdrawals.c.strategy == line
        holds = select(withdrawals).where(of_line, withdrawals.c.after_deployment >= newest.scalar_subquery())
        rows = self._rows(holds.order_by(withdrawals.c.at.desc()).limit(1))
        return WithdrawnModel(rows[0]["model_version"], rows[0]["reason"], rows[0]["at"]) if rows else None

    def last_arrival(self, line: str) -> tuple[str, str] | None:
        """Return hash and instant of what ``line`` was told last, no hash of a withdrawal; None where nothing was."""
        told = [
            select(deployments.c.bundle_hash, deployments.c.at).where(deployments.c.strategy == line),
            select(literal("").label("bundle_hash"), withdrawals.c.at).where(withdrawals.c.strategy == line),
        ]
        newest = [self._rows(one.order_by(one.selected_columns.at.desc()).limit(1)) for one in told]
        found = [(row["bundle_hash"], row["at"]) for rows in newest for row in rows]
        return max(found, key=lambda one: datetime.fromisoformat(one[1]), default=None)

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
            self.warn(BACKUP_FAILED, str(error))
            return
        told = BackupMade(name=made.name, reason=made.reason, upto_seq=made.upto_seq, size_bytes=made.size_bytes)
        self.log.append([told], None)

    def warn(self, code: str, message: str) -> None:
        """Raise an alert of ``code`` unless the last one is younger than an hour; it needs no lease."""
        newest = select(outbox.c.at).where(outbox.c.code == code).order_by(outbox.c.id.desc()).limit(1)
        with self.store.writing() as connection:
            if self._is_older(connection.execute(newest).scalar(), _ALERT_PAUSE):
                alert = AlertRaised(tier=Tier.WARNING, code=code, message=message)
                self.log.append_within(connection, [alert], None)

    def _is_older(self, at: str | None, pause: timedelta) -> bool:
        """Return whether ``at`` lies ``pause`` back; a moment that has not come yet is what a clock set back leaves."""
        age = None if at is None else self._clock.now() - datetime.fromisoformat(at)
        return age is None or not timedelta(0) <= age < pause

    def _append(self, event: Event) -> None:
        self.log.append([event], self._epoch)
