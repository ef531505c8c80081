"""The lines that people read: what happened, in words, in the order it happened."""

from __future__ import annotations

from datetime import date

from sqlalchemy import Connection, insert

from ljwx_pipeline.live.events import AlertRaised, Noted, Recorded
from ljwx_pipeline.live.tables import events, outbox

_ADD_NOTE = insert(events)
_ADD_ALERT = insert(outbox)


def add_note(connection: Connection, recorded: Recorded, topic: str, message: str, session: date | None = None) -> None:
    """Add the one line of an event."""
    day = None if session is None else session.isoformat()
    row = {"id": recorded.seq, "at": recorded.at, "kind": topic, "session": day, "message": message}
    connection.execute(_ADD_NOTE, row)


def noted(connection: Connection, recorded: Recorded, event: Noted) -> bool:
    """Add the note."""
    add_note(connection, recorded, event.topic, event.message, event.session)
    return True


def alert_raised(connection: Connection, recorded: Recorded, event: AlertRaised) -> bool:
    """Add the row of the outbox, and the line about it."""
    row = {"id": recorded.seq, "tier": event.tier, "code": event.code, "message": event.message, "at": recorded.at}
    connection.execute(_ADD_ALERT, row)
    add_note(connection, recorded, "alert", f"{event.tier}: {event.message}")
    return True
