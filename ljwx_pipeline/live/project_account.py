"""What follows from events about cash, positions and sessions.

Between two statements of the broker, cash and positions are reckoned from fills and bookings; a statement replaces
them. Every function returns whether it changed anything. Not here: the orders that the fills belong to
(``project_orders.py``).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.events import (
    Booked,
    FillReported,
    HeldPosition,
    Reconciled,
    ReconciliationFailed,
    Recorded,
    SessionClosed,
    SessionOpened,
    SignalsScored,
    StreamRead,
)
from ljwx_pipeline.live.project_notes import add_note
from ljwx_pipeline.live.tables import (
    account,
    account_now,
    bookings,
    positions,
    positions_now,
    reconciliations,
    sessions,
    signals,
    streams,
)
from ljwx_pipeline.trading.exchange_wire import Side
from ljwx_pipeline.units import E4_PER_FEN

_CASH = select(account_now.c.cash_fen)
_SET_CASH = update(account_now).values(cash_fen=bindparam("cash"))
_HELD = select(positions_now).where(positions_now.c.symbol == bindparam("of"))
_DROP_HELD = delete(positions_now).where(positions_now.c.symbol == bindparam("of"))
_ADD_HELD = insert(positions_now)


def book_fill(connection: Connection, fill: FillReported) -> None:
    """Move cash and position by one fill that is new."""
    fees = fill.commission_fen + fill.stamp_duty_fen + fill.transfer_fee_fen
    bought = fill.side is Side.BUY
    _add_cash(connection, -fill.value_fen - fees if bought else fill.value_fen - fees)
    held = _held(connection, fill.symbol)
    shares = held["shares"]
    if bought:
        if shares > 0:
            paid = held["entry_price_e4"] * shares + fill.price_e4 * fill.shares
            held["entry_price_e4"] = paid // (shares + fill.shares)
        else:
            held["entry_price_e4"] = fill.price_e4
        held["shares"] += fill.shares
    else:
        held["shares"] -= fill.shares
        held["sellable_shares"] -= fill.shares
    held["last_price_e4"] = fill.price_e4
    _hold(connection, held)


def booked(connection: Connection, recorded: Recorded, event: Booked) -> bool:  # noqa: ARG001
    """Book what changed the account without a trade, once."""
    row = {
        "booking_id": event.booking_id,
        "session": event.session.isoformat(),
        "symbol": event.symbol,
        "reason": event.reason,
        "cash_fen": event.cash_fen,
        "shares": event.shares,
        "booked_at_ns": event.booked_at_ns,
    }
    known = select(bookings).where(bookings.c.booking_id == event.booking_id)
    before = connection.execute(known).mappings().first()
    if before is not None:
        if dict(before) != row:
            raise LiveError(
                f"booking {event.booking_id} is {dict(before)} in the journal and {row} now",
                "nothing was written; reconcile before trading goes on",
            )
        return False
    connection.execute(insert(bookings), row)
    _add_cash(connection, event.cash_fen)
    if event.shares:
        held = _held(connection, event.symbol)
        held["shares"] += event.shares
        held["sellable_shares"] += event.shares
        _hold(connection, held)
    return True


def session_opened(connection: Connection, recorded: Recorded, event: SessionOpened) -> bool:  # noqa: ARG001
    """Begin the session: what was held before it can be sold, and is a session older."""
    day = event.session.isoformat()
    if connection.execute(select(sessions.c.session).where(sessions.c.session == day)).first() is not None:
        return False
    connection.execute(insert(sessions), {"session": day, "bars_hash": None, "bundle_hash": None})
    held = positions_now.c
    connection.execute(update(positions_now).values(sellable_shares=held.shares, held_sessions=held.held_sessions + 1))
    return True


def session_closed(connection: Connection, recorded: Recorded, event: SessionClosed) -> bool:  # noqa: ARG001
    """End the session and take over the broker's statement; the same statement again changes nothing."""
    day = event.session.isoformat()
    stated = {
        "session": day,
        "cash_fen": event.cash_fen,
        "equity_fen": event.equity_fen,
        "fees_fen": event.fees_fen,
        "dividends_fen": event.dividends_fen,
        "written_off_fen": event.written_off_fen,
    }
    begun = connection.execute(select(sessions).where(sessions.c.session == day)).mappings().first()
    if begun is not None and begun["bars_hash"] is not None:
        before = connection.execute(select(account).where(account.c.session == day)).mappings().one()
        if dict(before) != stated or begun["bars_hash"] != event.bars_hash:
            raise LiveError(
                f"session {day} is closed with {dict(before)} in the journal, and with {stated} now",
                "nothing was written; reconcile before trading goes on",
            )
        return False
    if begun is None:
        connection.execute(insert(sessions), {"session": day, "bars_hash": event.bars_hash, "bundle_hash": None})
    else:
        connection.execute(update(sessions).where(sessions.c.session == day).values(bars_hash=event.bars_hash))
    connection.execute(insert(account), stated)
    if event.positions:
        connection.execute(insert(positions), [_closed_position(day, held) for held in event.positions])
    _replace(connection, event.cash_fen, event.positions)
    return True


def signals_scored(connection: Connection, recorded: Recorded, event: SignalsScored) -> bool:  # noqa: ARG001
    """Add the scores of one strategy and session."""
    day = event.session.isoformat()
    rows = [
        {"session": day, "strategy": event.strategy, "symbol": symbol, "score": score, "bundle_hash": event.bundle_hash}
        for symbol, score in event.scores.items()
    ]
    if rows:
        connection.execute(insert(signals), rows)
    connection.execute(update(sessions).where(sessions.c.session == day).values(bundle_hash=event.bundle_hash))
    return True


def stream_read(connection: Connection, recorded: Recorded, event: StreamRead) -> bool:  # noqa: ARG001
    """Move the place in the broker's stream forward, never back."""
    read = _read_up_to(connection, event.broker)
    if read is None:
        connection.execute(insert(streams), {"broker": event.broker, "exchange_seq": event.exchange_seq})
    elif read < event.exchange_seq:
        connection.execute(
            update(streams).where(streams.c.broker == event.broker).values(exchange_seq=event.exchange_seq)
        )
    else:
        return False
    return True


def reconciled(connection: Connection, recorded: Recorded, event: Reconciled) -> bool:
    """Take over the broker's statement: orders may leave again."""
    read = _read_up_to(connection, event.broker) or 0
    if read != event.exchange_seq:
        raise LiveError(
            f"the statement of {event.broker} is of its message {event.exchange_seq}, its stream was read up to {read}",
            "nothing was written; read the stream up to the statement, then ask for it again",
        )
    _replace(connection, event.cash_fen, event.positions)
    _state_reconciliation(connection, recorded, event.broker, holds=True, said=event.explained)
    for line in event.explained[:1]:
        more = f" (and {len(event.explained) - 1} more)" if len(event.explained) > 1 else ""
        add_note(connection, recorded, "difference_explained", f"{event.broker}: {line}{more}", event.session)
    return True


def reconciliation_failed(connection: Connection, recorded: Recorded, event: ReconciliationFailed) -> bool:
    """Note that journal and broker differ: no order leaves."""
    _state_reconciliation(connection, recorded, event.broker, holds=False, said=event.differences)
    message = f"{event.broker}: {'; '.join(event.differences)}"
    add_note(connection, recorded, "reconciliation_failed", message, event.session)
    return True


def _state_reconciliation(
    connection: Connection, recorded: Recorded, broker: str, *, holds: bool, said: tuple[str, ...]
) -> None:
    connection.execute(delete(reconciliations).where(reconciliations.c.broker == broker))
    row = {"broker": broker, "holds": int(holds), "differences": "\n".join(said), "at": recorded.at}
    connection.execute(insert(reconciliations), row)


def _closed_position(day: str, held: HeldPosition) -> dict[str, Any]:
    return {
        "session": day,
        "symbol": held.symbol,
        "shares": held.shares,
        "sellable_shares": held.sellable_shares,
        "held_sessions": held.held_sessions,
        "price_e4": held.last_price_e4,
        "value_fen": held.shares * held.last_price_e4 // E4_PER_FEN,
    }


def _read_up_to(connection: Connection, broker: str) -> int | None:
    return connection.execute(select(streams.c.exchange_seq).where(streams.c.broker == broker)).scalar()


def _add_cash(connection: Connection, fen: int) -> None:
    cash = connection.execute(_CASH).scalar()
    if cash is None:
        # an account that nobody has stated yet: reckoned from 0 until somebody does
        connection.execute(insert(account_now), {"id": 1, "cash_fen": fen})
    else:
        connection.execute(_SET_CASH, {"cash": cash + fen})


def _held(connection: Connection, symbol: str) -> dict[str, Any]:
    row = connection.execute(_HELD, {"of": symbol}).mappings().first()
    if row is not None:
        return dict(row)
    empty = dict.fromkeys((column.name for column in positions_now.columns), 0)
    return {**empty, "symbol": symbol}


def _hold(connection: Connection, held: dict[str, Any]) -> None:
    connection.execute(_DROP_HELD, {"of": held["symbol"]})
    if held["shares"] or held["sellable_shares"]:
        connection.execute(_ADD_HELD, held)


def _replace(connection: Connection, cash_fen: int, held: Iterable[HeldPosition]) -> None:
    connection.execute(delete(account_now))
    connection.execute(insert(account_now), {"id": 1, "cash_fen": cash_fen})
    connection.execute(delete(positions_now))
    rows = [{column.name: getattr(one, column.name) for column in positions_now.columns} for one in held]
    if rows:
        connection.execute(_ADD_HELD, rows)
