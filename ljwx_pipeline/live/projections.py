"""The derived tables follow from the log: one function an event, called as it is appended and when it is read again.

Whether appended yesterday or derived anew today, the same events give the same rows; nothing here reads a clock or
anything outside the database. Not here: what each event does (``project_*.py``), the tables (``tables.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Connection, insert, inspect, select, text, update

from ljwx_pipeline.live import events as e
from ljwx_pipeline.live import project_account, project_control, project_notes, project_orders, project_sleeves
from ljwx_pipeline.live.events import Event, Recorded
from ljwx_pipeline.live.tables import DERIVED, DURABLE, PROJECTION_VERSION, projection

#: Writes what the event changes and returns whether it changed anything.
Apply = Callable[[Connection, Recorded, Any], bool]

_APPLY: dict[type[Event], Apply] = {
    e.OrderDecided: project_orders.order_decided,
    e.OrderSent: project_orders.order_sent,
    e.OrderUnknown: project_orders.order_unknown,
    e.OrderReported: project_orders.order_reported,
    e.OrderAdopted: project_orders.order_adopted,
    e.FillReported: project_orders.fill_reported,
    e.Booked: project_account.booked,
    e.SessionOpened: project_account.session_opened,
    e.SessionClosed: project_account.session_closed,
    e.SignalsScored: project_account.signals_scored,
    e.StreamRead: project_account.stream_read,
    e.Reconciled: project_account.reconciled,
    e.ReconciliationFailed: project_account.reconciliation_failed,
    e.BundleStaged: project_control.bundle_staged,
    e.BundleWithdrawn: project_control.bundle_withdrawn,
    e.BundleReleased: project_control.bundle_released,
    e.ModelScored: project_control.model_scored,
    e.CandidateJudged: project_control.candidate_judged,
    e.StrategyChanged: project_control.strategy_changed,
    e.StopQueued: project_control.stop_queued,
    e.BreakerTripped: project_control.breaker_tripped,
    e.BreakerReset: project_control.breaker_reset,
    e.BreakerMoved: project_control.breaker_moved,
    e.ModeChanged: project_control.mode_changed,
    e.TickQuarantined: project_control.tick_quarantined,
    e.RunnerStated: project_control.runner_stated,
    e.BackupMade: project_control.backup_made,
    e.AlertRaised: project_notes.alert_raised,
    e.Noted: project_notes.noted,
    e.SleevesDecided: project_sleeves.sleeves_decided,
    e.SleevesSettled: project_sleeves.sleeves_settled,
}

_STANDING = select(projection.c.version, projection.c.seq)
_MOVE = update(projection)


def apply(connection: Connection, recorded: Recorded) -> bool:
    """Write what ``recorded`` changes in the derived tables; return whether it changed anything.

    Raises
    ------
    LiveError
        When it contradicts what is known: the transaction it is in must not be committed.
    """
    return _APPLY[type(recorded.event)](connection, recorded, recorded.event)


def standing(connection: Connection) -> tuple[int, int]:
    """Return the version of the derived tables, and the event they stand at; (0, 0) where there are none."""
    if not inspect(connection).has_table(projection.name):
        return 0, 0
    row = connection.execute(_STANDING).one()
    return int(row.version), int(row.seq)


def move_to(connection: Connection, seq: int) -> None:
    """Note that the derived tables stand at event ``seq``."""
    connection.execute(_MOVE, {"seq": seq})


def derive(connection: Connection, log: Iterable[Recorded]) -> int:
    """Make every derived table anew from ``log`` and return the seq they then stand at."""
    _drop_derived(connection)
    DERIVED.create_all(connection)
    connection.execute(insert(projection), {"id": 1, "version": PROJECTION_VERSION, "seq": 0})
    seq = 0
    for recorded in log:
        apply(connection, recorded)
        seq = recorded.seq
    move_to(connection, seq)
    return seq


def _drop_derived(connection: Connection) -> None:
    """Drop whatever is not durable: earlier releases had other derived tables."""
    kept = {*DURABLE.tables, "alembic_version"}
    found = inspect(connection)
    foreign = {table: found.get_foreign_keys(table) for table in found.get_table_names() if table not in kept}
    left = {table: {one["referred_table"] for one in keys} - {table} for table, keys in foreign.items()}
    quoted = connection.dialect.identifier_preparer.quote
    while left:
        pointed_at = set().union(*left.values())
        for table in sorted(set(left) - pointed_at):
            connection.execute(text(f"DROP TABLE {quoted(table)}"))
            del left[table]
