"""What follows from events about orders and fills: states that only move forward, fills that count once.

Every function writes what ``recorded`` changes and returns whether it changed anything. Not here: cash and positions
(``project_account.py``).
"""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.events import (
    FillReported,
    OrderAdopted,
    OrderDecided,
    OrderReported,
    OrderSent,
    OrderUnknown,
    Recorded,
)
from ljwx_pipeline.live.orders import OPEN_STATES, REOPENED, Leg, OrderState
from ljwx_pipeline.live.project_account import book_fill
from ljwx_pipeline.live.project_notes import add_note
from ljwx_pipeline.live.tables import fills, orders, stops_queued

Row = dict[str, Any]

#: A state gives way only to one further on; all final ones stand at the same place.
_PLACE = {state: place for place, state in enumerate(OPEN_STATES)}
_FINAL = len(_PLACE)
#: How the runner ends an order that it believes never arrived.
_ENDED_UNSEEN = (OrderState.CANCELLED, OrderState.LAPSED, OrderState.REJECTED)

_ORDER = select(orders).where(orders.c.client_order_id == bindparam("id"))
_ORDER_BY_EXCHANGE_ID = select(orders).where(orders.c.exchange_order_id == bindparam("id"))
_FILL = select(fills).where(fills.c.exec_id == bindparam("id"))
_FILLED = select(func.coalesce(func.sum(fills.c.shares), 0)).where(fills.c.client_order_id == bindparam("id"))
_ADD_ORDER = insert(orders)
_ADD_FILL = insert(fills)
_CHANGED = ("state", "reason", "filled_shares", "exchange_order_id", "is_open", "sent_times", "sent_at_ns")
_CHANGE_ORDER = (
    update(orders)
    .where(orders.c.client_order_id == bindparam("id"))
    .values({name: bindparam(f"new_{name}") for name in _CHANGED})
)
_DROP_STOP = delete(stops_queued).where(
    stops_queued.c.strategy == bindparam("of_strategy"),
    stops_queued.c.symbol == bindparam("of_symbol"),
    stops_queued.c.leg == bindparam("of_leg"),
)
#: What a second decision under the same id must not differ in.
_DECIDED = (
    *("session", "symbol", "side", "shares", "rank", "reference_price_e4", "bundle_hash", "strategy", "leg"),
    *("valid_session", "execution", "limit_price_e4", "decided_at_ns"),
)


def order_decided(connection: Connection, recorded: Recorded, event: OrderDecided) -> bool:
    """Add the order; a stop that waited for this is no longer queued."""
    row = {
        "client_order_id": event.client_order_id,
        "session": event.session.isoformat(),
        "symbol": event.symbol,
        "side": event.side,
        "shares": event.shares,
        "rank": event.rank,
        "reference_price_e4": event.reference_price_e4,
        "state": OrderState.DENIED if event.denial else OrderState.INTENDED,
        "reason": event.denial,
        "filled_shares": 0,
        "bundle_hash": event.bundle_hash,
        "created_at": recorded.at,
        "strategy": event.strategy,
        "leg": event.leg,
        "valid_session": None if event.valid_session is None else event.valid_session.isoformat(),
        "execution": event.execution,
        "limit_price_e4": event.limit_price_e4,
        "exchange_order_id": "",
        "is_open": int(not event.denial),
        "sent_times": 0,
        "decided_at_ns": event.decided_at_ns,
        "sent_at_ns": None,
    }
    before = _one(connection, _ORDER, event.client_order_id)
    if before is not None:
        _require_same(before, row, _DECIDED, f"order {event.client_order_id}")
        if (before["state"] == OrderState.DENIED) != bool(event.denial):
            raise _conflict(f"order {event.client_order_id}", before["state"], row["state"])
        return False
    connection.execute(_ADD_ORDER, row)
    if event.denial:
        add_note(
            connection,
            recorded,
            "order_denied",
            f"{event.side} {event.shares} {event.symbol}: {event.denial}",
            event.session,
        )
    elif event.leg is not Leg.DECIDE:
        stop = {"of_strategy": event.strategy, "of_symbol": event.symbol, "of_leg": event.leg}
        connection.execute(_DROP_STOP, stop)
    return True


def order_adopted(connection: Connection, recorded: Recorded, event: OrderAdopted) -> bool:
    """Add an order that somebody else placed; it is open until the broker reports otherwise."""
    row = {
        "client_order_id": event.client_order_id,
        "session": event.session.isoformat(),
        "symbol": event.symbol,
        "side": event.side,
        "shares": event.shares,
        "rank": 0,
        "reference_price_e4": 0,
        "state": OrderState.ACCEPTED,
        "reason": "",
        "filled_shares": 0,
        "bundle_hash": None,
        "created_at": recorded.at,
        "strategy": "",
        "leg": Leg.ADOPTED,
        "valid_session": event.session.isoformat(),
        "execution": event.execution,
        "limit_price_e4": event.limit_price_e4,
        "exchange_order_id": event.exchange_order_id,
        "is_open": 1,
        "sent_times": 0,
        "decided_at_ns": event.adopted_at_ns,
        "sent_at_ns": None,
    }
    before = _one(connection, _ORDER_BY_EXCHANGE_ID, event.exchange_order_id)
    if before is not None:
        _require_same(before, row, ("client_order_id", *_DECIDED), f"order {event.exchange_order_id}")
        return False
    connection.execute(_ADD_ORDER, row)
    add_note(
        connection,
        recorded,
        "order_adopted",
        f"{event.side} {event.shares} {event.symbol}, {event.exchange_order_id}",
        event.session,
    )
    return True


def order_sent(connection: Connection, recorded: Recorded, event: OrderSent) -> bool:  # noqa: ARG001
    """Count the sending; whether it arrived is not known by it."""
    before = _known(connection, event.client_order_id)
    _require_open(before, "sent")
    return _change(
        connection, before, {**before, "sent_times": before["sent_times"] + 1, "sent_at_ns": event.sent_at_ns}
    )


def order_unknown(connection: Connection, recorded: Recorded, event: OrderUnknown) -> bool:  # noqa: ARG001
    """Note that nobody knows whether the order arrived, unless the broker has already said so."""
    before = _known(connection, event.client_order_id)
    return _change(connection, before, _forward(before, OrderState.UNKNOWN, event.reason))


def order_reported(connection: Connection, recorded: Recorded, event: OrderReported) -> bool:
    """Move the order forward to what the broker said; an older report changes nothing.

    An order that was ended here as one that never arrived is opened again when the broker's first word is that it
    works.
    """
    before = _of_broker(connection, event.client_order_id, event.exchange_order_id)
    if _arrived_after_all(before, event):
        after = {**before, "state": event.state, "reason": f"{REOPENED}: {before['reason']}"}
        after["is_open"] = int(event.state in _PLACE)
        text = f"{before['client_order_id']} was {before['state']} ({before['reason']}) and is {event.state}"
        add_note(connection, recorded, "order_reopened", text, date.fromisoformat(before["session"]))
    else:
        after = _forward(before, event.state, event.reason)
    after["filled_shares"] = max(before["filled_shares"], event.filled_shares)
    if after["filled_shares"] > before["shares"]:
        raise _too_many(before, after["filled_shares"])
    if event.exchange_order_id:
        if before["exchange_order_id"] not in ("", event.exchange_order_id):
            name = f"exchange id of order {before['client_order_id']}"
            raise _conflict(name, before["exchange_order_id"], event.exchange_order_id)
        after["exchange_order_id"] = event.exchange_order_id
    if event.session_over:
        after["is_open"] = 0
    return _change(connection, before, after)


def fill_reported(connection: Connection, recorded: Recorded, event: FillReported) -> bool:  # noqa: ARG001
    """Book a fill once, on its order, on cash and on the position."""
    order = _of_broker(connection, event.client_order_id, event.exchange_order_id)
    row = {
        "exec_id": event.exec_id,
        "client_order_id": order["client_order_id"],
        "session": event.session.isoformat(),
        "symbol": event.symbol,
        "side": event.side,
        "shares": event.shares,
        "price_e4": event.price_e4,
        "value_fen": event.value_fen,
        "commission_fen": event.commission_fen,
        "stamp_duty_fen": event.stamp_duty_fen,
        "transfer_fee_fen": event.transfer_fee_fen,
        "slippage_fen": event.slippage_fen,
        "impact_fen": event.impact_fen,
        "filled_at_ns": event.filled_at_ns,
    }
    before = _one(connection, _FILL, event.exec_id)
    if before is not None:
        _require_same(before, row, tuple(row), f"fill {event.exec_id}")
        return False
    _require_same(order, row, ("symbol", "side"), f"fill {event.exec_id} and its order")
    connection.execute(_ADD_FILL, row)
    filled = max(
        order["filled_shares"], int(connection.execute(_FILLED, {"id": order["client_order_id"]}).scalar_one())
    )
    if filled > order["shares"]:
        raise _too_many(order, filled)
    whole = filled == order["shares"]
    after = _forward(order, OrderState.FILLED if whole else OrderState.PARTLY_FILLED, "")
    after["filled_shares"] = filled
    _change(connection, order, after)
    book_fill(connection, event)
    return True


def _forward(before: Row, state: OrderState, reason: str) -> Row:
    """Return the order in ``state`` where that is further on than where it stands, else as it is."""
    if state in (OrderState.DENIED, OrderState.INTENDED):
        raise LiveError(
            f"the broker is said to have reported order {before['client_order_id']} as {state}",
            "nothing was written; only the runner itself decides that",
        )
    if not before["is_open"] or _PLACE.get(state, _FINAL) <= _PLACE[before["state"]]:
        return dict(before)
    if state in _PLACE and before["reason"].startswith(REOPENED):
        reason = before["reason"]  # it still works although it was ended here
    return {**before, "state": state, "reason": reason, "is_open": int(state in _PLACE)}


def _arrived_after_all(before: Row, event: OrderReported) -> bool:
    """Return whether the broker's first word contradicts that the order never arrived."""
    unseen = not before["is_open"] and before["exchange_order_id"] == "" and before["state"] in _ENDED_UNSEEN
    return unseen and event.exchange_order_id != "" and (event.state in _PLACE or event.filled_shares > 0)


def _change(connection: Connection, before: Row, after: Row) -> bool:
    if after == before:
        return False
    new = {f"new_{name}": after[name] for name in _CHANGED}
    connection.execute(_CHANGE_ORDER, {"id": before["client_order_id"], **new})
    return True


def _of_broker(connection: Connection, client_order_id: str, exchange_order_id: str) -> Row:
    if client_order_id:
        return _known(connection, client_order_id)
    found = _one(connection, _ORDER_BY_EXCHANGE_ID, exchange_order_id)
    if found is None:
        raise _unknown_order(exchange_order_id)
    return found


def _known(connection: Connection, client_order_id: str) -> Row:
    found = _one(connection, _ORDER, client_order_id)
    if found is None:
        raise _unknown_order(client_order_id)
    return found


def _one(connection: Connection, statement: Any, identity: str) -> Row | None:
    row = connection.execute(statement, {"id": identity}).mappings().first()
    return None if row is None else dict(row)


def _require_same(before: Row, now: Row, names: tuple[str, ...], what: str) -> None:
    for name in names:
        if before[name] != now[name]:
            raise _conflict(f"{name} of {what}", before[name], now[name])


def _require_open(order: Row, what: str) -> None:
    if not order["is_open"]:
        raise LiveError(
            f"order {order['client_order_id']} was to be {what}, but is {order['state']}",
            "nothing was written; an order that is final never leaves again",
        )


def _conflict(what: str, was: object, now: object) -> LiveError:
    return LiveError(
        f"{what} is {was!r} in the journal and {now!r} now", "nothing was written; reconcile before trading goes on"
    )


def _too_many(order: Row, filled: int) -> LiveError:
    return LiveError(
        f"{filled} shares are said to be filled of order {order['client_order_id']} over {order['shares']}",
        "nothing was written; reconcile before trading goes on",
    )


def _unknown_order(identity: str) -> LiveError:
    return LiveError(
        f"the journal holds no order {identity!r}",
        "nothing was written; ask the broker for it and adopt it (OrderAdopted) before its fills",
    )
