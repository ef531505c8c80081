"""What follows from events about models, strategies, breakers, modes and the runner itself.

Every function returns whether it changed anything.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table, and_, delete, func, insert, select

from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.events import (
    BackupMade,
    BreakerMoved,
    BreakerReset,
    BreakerTripped,
    BundleReleased,
    BundleStaged,
    BundleWithdrawn,
    CandidateJudged,
    ModeChanged,
    ModelScored,
    Recorded,
    RunnerStated,
    StopQueued,
    StrategyChanged,
    TickQuarantined,
)
from ljwx_pipeline.live.project_notes import add_note
from ljwx_pipeline.live.tables import (
    breaker_states,
    breakers,
    bundles,
    deployments,
    modes,
    runner,
    stages,
    stops_queued,
    strategies,
    withdrawals,
)


def bundle_staged(connection: Connection, recorded: Recorded, event: BundleStaged) -> bool:
    """Note the deployment and let the bundle take its stage; it holds one stage of a strategy at a time."""
    known = select(bundles).where(bundles.c.bundle_hash == event.bundle_hash)
    if connection.execute(known).first() is None:
        row = {
            "bundle_hash": event.bundle_hash,
            "model_version": event.model_version,
            "last_train_session": event.last_train_session.isoformat(),
        }
        connection.execute(insert(bundles), row)
    connection.execute(
        delete(stages).where(stages.c.strategy == event.strategy, stages.c.bundle_hash == event.bundle_hash)
    )
    staged = {
        "strategy": event.strategy,
        "stage": event.stage,
        "bundle_hash": event.bundle_hash,
        "capital_share_bps": event.capital_share_bps,
        "at": recorded.at,
    }
    _put(connection, stages, staged)
    connection.execute(insert(deployments), {"id": _deployments(connection) + 1, **staged})
    named = f"version {event.model_version}, bundle {event.bundle_hash[:12]}"
    of = f" of {event.strategy}" if event.strategy else ""
    stage = f" as {event.stage}{of}" if of or event.stage != "champion" else ""
    add_note(connection, recorded, "bundle_deployed", named + stage)
    return True


def bundle_withdrawn(connection: Connection, recorded: Recorded, event: BundleWithdrawn) -> bool:
    """Empty every stage of the strategy; a withdrawal counts once."""
    known = select(withdrawals.c.id).where(withdrawals.c.id == event.identity)
    if connection.execute(known).first() is not None:
        return False
    row = {
        "id": event.identity,
        "after_deployment": _deployments(connection),
        "strategy": event.strategy,
        "model_version": event.model_version,
        "reason": event.reason,
        "at": recorded.at,
    }
    connection.execute(insert(withdrawals), row)
    connection.execute(delete(stages).where(stages.c.strategy == event.strategy))
    why = f": {event.reason}" if event.reason else ""
    add_note(connection, recorded, "model_withdrawn", f"version {event.model_version}{why}")
    return True


def bundle_released(connection: Connection, recorded: Recorded, event: BundleReleased) -> bool:
    """Empty the stage, if the bundle holds it."""
    held = (
        stages.c.strategy == event.strategy,
        stages.c.stage == event.stage,
        stages.c.bundle_hash == event.bundle_hash,
    )
    if connection.execute(select(stages).where(*held)).first() is None:
        return False
    connection.execute(delete(stages).where(*held))
    of = f" of {event.strategy}" if event.strategy else ""
    message = f"bundle {event.bundle_hash[:12]} is {event.stage}{of} no more: {event.reason}"
    add_note(connection, recorded, "bundle_released", message, event.session)
    return True


def model_scored(connection: Connection, recorded: Recorded, event: ModelScored) -> bool:  # noqa: ARG001
    """Keep it in the log alone: the table of signals holds what is traded."""
    return True


def candidate_judged(connection: Connection, recorded: Recorded, event: CandidateJudged) -> bool:  # noqa: ARG001
    """Keep it in the log alone."""
    return True


def strategy_changed(connection: Connection, recorded: Recorded, event: StrategyChanged) -> bool:
    """Replace what holds for the strategy."""
    row = {
        "strategy": event.strategy,
        "state": event.state,
        "settings": event.settings,
        "capital_share_bps": event.capital_share_bps,
        "by": event.by,
        "at": recorded.at,
    }
    _put(connection, strategies, row)
    add_note(connection, recorded, "strategy_changed", f"{event.strategy} is {event.state}, by {event.by}")
    return True


def stop_queued(connection: Connection, recorded: Recorded, event: StopQueued) -> bool:
    """Queue the stop until an order of its leg is decided."""
    row = {
        "strategy": event.strategy,
        "symbol": event.symbol,
        "leg": event.leg,
        "shares": event.shares,
        "valid_session": event.valid_session.isoformat(),
        "reason": event.reason,
    }
    _put(connection, stops_queued, row)
    message = f"{event.leg} of {event.shares} {event.symbol} waits for {event.valid_session}: {event.reason}"
    add_note(connection, recorded, "stop_queued", message)
    return True


def breaker_tripped(connection: Connection, recorded: Recorded, event: BreakerTripped) -> bool:
    """Trip the breaker: it stays so until it is reset, by whatever process starts next."""
    row = {
        "breaker": event.breaker,
        "scope": event.scope,
        "tripped": 1,
        "session": None if event.session is None else event.session.isoformat(),
        "value": event.value,
        "limit": event.limit,
        "reason": event.reason,
        "by": "",
        "at": recorded.at,
    }
    _put(connection, breakers, row)
    named = f"{event.breaker} {event.scope}".strip()
    message = f"{named}: {event.value}, limit {event.limit}: {event.reason}"
    add_note(connection, recorded, "breaker_tripped", message, event.session)
    return True


def breaker_reset(connection: Connection, recorded: Recorded, event: BreakerReset) -> bool:
    """Set the breaker back.

    Raises
    ------
    LiveError
        When it never tripped: whoever resets it means another one.
    """
    known = select(breakers).where(breakers.c.breaker == event.breaker, breakers.c.scope == event.scope)
    before = connection.execute(known).mappings().first()
    if before is None:
        raise LiveError(
            f"breaker {event.breaker!r} of {event.scope or 'everything'!r} never tripped",
            "nothing was written; reset one that the journal holds as tripped",
        )
    _put(
        connection,
        breakers,
        {**before, "tripped": 0, "reason": event.reason, "by": event.by, "at": recorded.at},
    )
    named = f"{event.breaker} {event.scope}".strip()
    add_note(connection, recorded, "breaker_reset", f"{named}, by {event.by}: {event.reason}")
    return True


def breaker_moved(connection: Connection, recorded: Recorded, event: BreakerMoved) -> bool:  # noqa: ARG001
    """Replace what the breaker counts."""
    _put(connection, breaker_states, {"breaker": event.breaker, "scope": event.scope, "state": event.state})
    return True


def mode_changed(connection: Connection, recorded: Recorded, event: ModeChanged) -> bool:
    """Replace what the runner, or the strategy, may do."""
    row = {"scope": event.scope, "mode": event.mode, "by": event.by, "reason": event.reason, "at": recorded.at}
    _put(connection, modes, row)
    named = f"{event.scope or 'the runner'} is {event.mode}"
    add_note(connection, recorded, "mode_changed", f"{named}, by {event.by}: {event.reason}")
    return True


def tick_quarantined(connection: Connection, recorded: Recorded, event: TickQuarantined) -> bool:  # noqa: ARG001
    """Keep it in the log alone: a market in disorder must not fill the page that people read."""
    return True


def backup_made(connection: Connection, recorded: Recorded, event: BackupMade) -> bool:
    """Tell people."""
    add_note(connection, recorded, "backup_made", f"{event.name}, {event.reason}, up to event {event.upto_seq}")
    return True


def runner_stated(connection: Connection, recorded: Recorded, event: RunnerStated) -> bool:
    """Replace the runner's own row."""
    row = {
        "id": 1,
        "mode": event.mode,
        "simulated": int(event.simulated),
        "opening_capital_fen": event.opening_capital_fen,
        "bundle_hash": event.bundle_hash,
        "session": event.current_session,
        "sessions_done": event.sessions_done,
        "sessions_total": event.sessions_total,
        "message": event.message,
        "updated_at": recorded.at,
    }
    _put(connection, runner, row)
    return True


def _deployments(connection: Connection) -> int:
    return int(connection.execute(select(func.coalesce(func.max(deployments.c.id), 0))).scalar_one())


def _put(connection: Connection, table: Table, row: dict[str, Any]) -> None:
    """Add ``row``, in place of the one of the same key."""
    connection.execute(delete(table).where(and_(*(column == row[column.name] for column in table.primary_key))))
    connection.execute(insert(table), row)
