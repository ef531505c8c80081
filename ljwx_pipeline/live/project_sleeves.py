"""What follows from events about sleeves: what each of them wanted, and what each holds after each session.

Every function returns whether it changed anything. Not here: how the books come about (``sleeves/``).
"""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import Connection, delete, insert, select

from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.events import Recorded, SleevesDecided, SleevesSettled
from ljwx_pipeline.live.tables import sleeve_accounts, sleeve_closes, sleeve_holdings, sleeve_wants

_BOOK = ("share_bps", "cash_fen", "equity_fen", "owes_fen", "moved_fen")


def sleeves_decided(connection: Connection, recorded: Recorded, event: SleevesDecided) -> bool:  # noqa: ARG001
    """Add what the sleeves wanted; a close is decided once."""
    day, valid = event.session.isoformat(), event.valid_session.isoformat()
    known = select(sleeve_closes.c.session).where(sleeve_closes.c.session == day)
    if connection.execute(known).first() is not None:
        raise _twice(f"the close of {day} is decided")
    connection.execute(insert(sleeve_closes), {"session": day, "valid_session": valid})
    if event.wants:
        rows = [{"session": day, "valid_session": valid, **asdict(one)} for one in event.wants]
        connection.execute(insert(sleeve_wants), rows)
    return True


def sleeves_settled(connection: Connection, recorded: Recorded, event: SleevesSettled) -> bool:  # noqa: ARG001
    """Add the books of one session, which are then the newest."""
    day = event.session.isoformat()
    later = select(sleeve_accounts.c.session).where(sleeve_accounts.c.session >= day).limit(1)
    if connection.execute(later).first() is not None:
        raise _twice(f"the sleeves' books of {day} or of a later session are written")
    rows = [
        {"session": day, "sleeve": book.sleeve, **{name: getattr(book, name) for name in _BOOK}} for book in event.books
    ]
    if rows:
        connection.execute(insert(sleeve_accounts), rows)
    connection.execute(delete(sleeve_holdings))
    held = [{"sleeve": book.sleeve, **asdict(one)} for book in event.books for one in book.holdings]
    if held:
        connection.execute(insert(sleeve_holdings), held)
    return True


def _twice(what: str) -> LiveError:
    return LiveError(f"{what} already", "nothing was written; a close is settled and decided once")
