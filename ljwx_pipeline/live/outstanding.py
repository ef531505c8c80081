"""Open orders as the desk knows them: as they are decided, as the journal holds them, and as a broker's list differs.

Not here: sending, asking and cancelling (``order_desk.py``), what open orders weigh in the limits
(``working_orders.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, RowMapping, select

from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.events import OrderDecided, SleeveWant
from ljwx_pipeline.live.orders import Leg, OrderState
from ljwx_pipeline.live.sleeves.netting import ACCOUNT
from ljwx_pipeline.live.tables import orders, sleeve_wants
from ljwx_pipeline.trading.exchange_wire import OPEN_STATUSES, Execution, NewOrder, OrderReport, Side


@dataclass(frozen=True)
class Outstanding:
    """An open order of this runner: what it says, whose it is, and how often it was handed to the connection.

    ``behind`` names the sleeves that share it; empty where it is of ``strategy`` alone.
    """

    order: NewOrder
    strategy: str
    leg: Leg
    state: OrderState
    sent_times: int
    decided_at_ns: int
    behind: tuple[str, ...] = ()


def sale_decided(
    order: NewOrder, *, strategy: str, leg: Leg, session: date, reference_price_e4: int, decided_at_ns: int
) -> OrderDecided:
    """Return ``order``, a sale that no model asked for, as it is decided at ``session``."""
    return OrderDecided(
        client_order_id=order.client_order_id,
        strategy=strategy,
        leg=leg,
        session=session,
        valid_session=order.session,
        bundle_hash=None,
        symbol=order.symbol,
        side=Side.SELL,
        shares=order.shares,
        rank=order.rank,
        execution=order.execution,
        limit_price_e4=order.limit_price_e4,
        reference_price_e4=reference_price_e4,
        denial="",
        decided_at_ns=decided_at_ns,
    )


def about_to_leave(one: OrderDecided, wants: Sequence[SleeveWant]) -> Outstanding:
    """Return an order that was decided, with the sleeves of ``wants`` that share it, as it is sent the first time.

    Raises
    ------
    LiveError
        When it does not say the session that it is good for.
    """
    return Outstanding(
        order=new_order(one),
        state=OrderState.INTENDED,
        sent_times=1,
        decided_at_ns=one.decided_at_ns,
        strategy=one.strategy,
        leg=one.leg,
        behind=tuple(want.sleeve for want in wants if want.client_order_id == one.client_order_id),
    )


def new_order(one: OrderDecided) -> NewOrder:
    """Return what the broker is told of an order that was decided; raises as `about_to_leave`."""
    if one.valid_session is None:
        raise LiveError(
            f"order {one.client_order_id} says no session that it is good for", "decide orders with their session"
        )
    return NewOrder(
        client_order_id=one.client_order_id,
        session=one.valid_session,
        symbol=one.symbol,
        side=one.side,
        shares=one.shares,
        rank=one.rank,
        execution=one.execution,
        limit_price_e4=one.limit_price_e4,
    )


def open_orders(connection: Connection) -> list[Outstanding]:
    """Return the orders that may still trade, the first decided first."""
    found = connection.execute(
        select(orders).where(orders.c.is_open == 1).order_by(orders.c.decided_at_ns, orders.c.rank)
    )
    return [_outstanding(row, _behind(connection, row)) for row in found.mappings().all()]


def _behind(connection: Connection, row: RowMapping) -> tuple[str, ...]:
    """Return the sleeves that an order which several share is for."""
    if row["strategy"] != ACCOUNT:
        return ()
    wants = select(sleeve_wants.c.sleeve).where(
        sleeve_wants.c.session == row["session"],
        sleeve_wants.c.symbol == row["symbol"],
        sleeve_wants.c.client_order_id == row["client_order_id"],
    )
    return tuple(connection.execute(wants.order_by(sleeve_wants.c.sleeve)).scalars())


def unsettled(connection: Connection) -> list[Outstanding]:
    """Return those of `open_orders` that may or may not be at the broker."""
    return [one for one in open_orders(connection) if one.state in (OrderState.INTENDED, OrderState.UNKNOWN)]


def _outstanding(row: RowMapping, behind: tuple[str, ...]) -> Outstanding:
    return Outstanding(
        order=NewOrder(
            client_order_id=row["client_order_id"],
            session=date.fromisoformat(row["valid_session"] or row["session"]),
            symbol=row["symbol"],
            side=Side(row["side"]),
            shares=row["shares"],
            rank=row["rank"],
            execution=Execution(row["execution"]),
            limit_price_e4=row["limit_price_e4"],
        ),
        strategy=row["strategy"],
        leg=Leg(row["leg"]),
        state=OrderState(row["state"]),
        sent_times=row["sent_times"],
        decided_at_ns=row["decided_at_ns"],
        behind=behind,
    )


def order_differences(connection: Connection, theirs: Mapping[str, OrderReport]) -> list[str]:
    """Return how the open orders of both sides differ; what the stream has told already is no difference."""
    rows = connection.execute(select(orders).where(orders.c.exchange_order_id != "", orders.c.is_open == 1)).mappings()
    ours = {row["exchange_order_id"]: row for row in rows}
    working = {identity: one for identity, one in theirs.items() if one.state in OPEN_STATUSES}
    found = [
        f"order {row['client_order_id']} is {row['state']} here and "
        f"{theirs[identity].state if identity in theirs else 'unknown'} at the broker"
        for identity, row in ours.items()
        if identity not in working
    ]
    found += [
        f"order {identity} ({one.side} {one.shares} {one.symbol}) works at the broker and not here"
        for identity, one in working.items()
        if identity not in ours
    ]
    found += [
        f"order {ours[identity]['client_order_id']} has {ours[identity]['filled_shares']} shares filled here and "
        f"{one.filled_shares} at the broker"
        for identity, one in working.items()
        if identity in ours and ours[identity]["filled_shares"] != one.filled_shares
    ]
    return sorted(found)
