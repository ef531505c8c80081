"""What the sleeves need of the journal: who trades, the books, and what happened since they were written.

Reads of one state of the journal; nothing is decided and nothing written here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, func, select

from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.event_codec import from_json
from ljwx_pipeline.live.events import (
    HeldPosition,
    SessionClosed,
    SignalsScored,
    SleeveBook,
    SleeveHolding,
    SleeveWant,
    StrategyState,
)
from ljwx_pipeline.live.sleeves.attribution import Moved, OrderTotal, SessionRecord
from ljwx_pipeline.live.sleeves.strategies import InForce
from ljwx_pipeline.live.tables import (
    account,
    account_now,
    bookings,
    events_log,
    fills,
    orders,
    positions_now,
    sleeve_accounts,
    sleeve_closes,
    sleeve_holdings,
    sleeve_wants,
    strategies,
)
from ljwx_pipeline.trading.exchange_wire import Side

_HOLDING = ("symbol", "shares", "held_sessions", "entry_price_e4", "peak_price_e4", "last_price_e4", "value_fen")
_BOOK = ("share_bps", "cash_fen", "equity_fen", "owes_fen", "moved_fen")
#: Official closes of a session by symbol, 1e-4 CNY, of what traded.
Closes = Callable[[date], Mapping[str, int]]


@dataclass(frozen=True)
class PastClose:
    """A sleeve at an earlier close."""

    equity_fen: int
    cash_fen: int
    moved_fen: int


def strategies_in_force(connection: Connection) -> tuple[InForce, ...]:
    """Return every strategy that the journal knows, by name, removed ones too."""
    rows = connection.execute(select(strategies).order_by(strategies.c.strategy)).mappings()
    return tuple(
        InForce(row["strategy"], StrategyState(row["state"]), row["capital_share_bps"], row["settings"], row["by"])
        for row in rows
    )


def models_in_force(connection: Connection) -> tuple[str, ...]:
    """Return the models that somebody trades by, by name: empty for the market's, which an account begins with."""
    there = [one.spec for one in strategies_in_force(connection) if one.state is not StrategyState.REMOVED]
    return tuple(sorted({spec.model for spec in there if spec is not None})) or ("",)


def last_books(connection: Connection) -> tuple[date | None, tuple[SleeveBook, ...]]:
    """Return the newest books by name, and the session that they are of; None before the first."""
    day = connection.execute(select(func.max(sleeve_accounts.c.session))).scalar()
    if day is None:
        return None, ()
    held: dict[str, list[SleeveHolding]] = {}
    by_symbol = select(sleeve_holdings).order_by(sleeve_holdings.c.sleeve, sleeve_holdings.c.symbol)
    for row in connection.execute(by_symbol).mappings():
        held.setdefault(row["sleeve"], []).append(SleeveHolding(**{name: row[name] for name in _HOLDING}))
    of_day = select(sleeve_accounts).where(sleeve_accounts.c.session == day).order_by(sleeve_accounts.c.sleeve)
    books = tuple(
        SleeveBook(
            sleeve=row["sleeve"],
            holdings=tuple(held.get(row["sleeve"], ())),
            **{name: row[name] for name in _BOOK},
        )
        for row in connection.execute(of_day).mappings()
    )
    return date.fromisoformat(day), books


def records_since(connection: Connection, after: date | None, upto: date, closes: Closes) -> tuple[SessionRecord, ...]:
    """Return what happened in each session behind ``after`` up to ``upto``, which has just closed.

    Without ``after``, of ``upto`` alone: an account that has no books yet begins with what it holds now.
    """
    days = select(account.c.session).where(account.c.session <= upto.isoformat()).order_by(account.c.session)
    if after is not None:
        days = days.where(account.c.session > after.isoformat())
    found = [str(day) for day in connection.execute(days).scalars()]
    if after is None:
        found = found[-1:]
    return tuple(_record(connection, date.fromisoformat(day), closes) for day in found)


def close_of(session: date, connection: Connection) -> SessionClosed:
    """Return the close of ``session`` as the log states it.

    Raises
    ------
    LiveError
        When the log holds no such close.
    """
    kind = (events_log.c.kind == SessionClosed.__name__) & (events_log.c.session == session.isoformat())
    body = connection.execute(select(events_log.c.body).where(kind).order_by(events_log.c.seq.desc()).limit(1)).scalar()
    if body is None:
        raise LiveError(
            f"the journal holds no close of {session}", "nothing is decided without one; reconcile with the broker"
        )
    closed: SessionClosed = from_json(SessionClosed, body)
    return closed


def was_decided(connection: Connection, session: date, sleeves: tuple[str, ...]) -> bool:
    """Return whether the close of ``session`` was decided, by this release or by one that knew no sleeves."""
    day = session.isoformat()
    if connection.execute(select(sleeve_closes).where(sleeve_closes.c.session == day)).first() is not None:
        return True
    scored = select(events_log.c.seq).where(
        events_log.c.kind == SignalsScored.__name__,
        events_log.c.session == day,
        events_log.c.strategy.in_(sleeves),
    )
    return connection.execute(scored.limit(1)).first() is not None


def history(connection: Connection, sleeve: str, before: date) -> tuple[PastClose, ...]:
    """Return the sleeve at every close before ``before``, oldest first."""
    rows = connection.execute(
        select(sleeve_accounts.c.equity_fen, sleeve_accounts.c.cash_fen, sleeve_accounts.c.moved_fen)
        .where(sleeve_accounts.c.sleeve == sleeve, sleeve_accounts.c.session < before.isoformat())
        .order_by(sleeve_accounts.c.session)
    )
    return tuple(PastClose(*row) for row in rows)


def session_so_far(connection: Connection, session: date) -> SessionRecord:
    """Return what has happened in ``session``, which is under way: no close is known, and nothing was crossed yet."""
    held = connection.execute(select(positions_now).order_by(positions_now.c.symbol)).mappings()
    cash_fen = int(connection.execute(select(account_now.c.cash_fen)).scalar() or 0)
    return _happened(connection, session, {}, cash_fen, tuple(HeldPosition(**row) for row in held))


def _record(connection: Connection, session: date, closes: Closes) -> SessionRecord:
    closed = close_of(session, connection)
    return _happened(connection, session, closes(session), closed.cash_fen, closed.positions)


def _happened(
    connection: Connection,
    session: date,
    closes_e4: Mapping[str, int],
    cash_fen: int,
    positions: tuple[HeldPosition, ...],
) -> SessionRecord:
    day = session.isoformat()
    booked = select(bookings).where(bookings.c.session == day).order_by(bookings.c.booked_at_ns, bookings.c.booking_id)
    wanted = select(sleeve_wants).where(sleeve_wants.c.valid_session == day)
    return SessionRecord(
        session=session,
        moved=tuple(
            Moved(row["symbol"], row["cash_fen"], row["shares"]) for row in connection.execute(booked).mappings()
        ),
        totals=_totals(connection, day),
        wants=tuple(
            SleeveWant(
                sleeve=row["sleeve"],
                symbol=row["symbol"],
                side=Side(row["side"]),
                shares=row["shares"],
                crossed_shares=row["crossed_shares"],
                client_order_id=row["client_order_id"],
                lot_step=row["lot_step"],
                denial=row["denial"],
            )
            for row in connection.execute(
                wanted.order_by(sleeve_wants.c.session, sleeve_wants.c.sleeve, sleeve_wants.c.symbol)
            ).mappings()
        ),
        closes_e4=closes_e4,
        cash_fen=cash_fen,
        positions=positions,
    )


def _totals(connection: Connection, day: str) -> tuple[OrderTotal, ...]:
    of_order = (
        select(
            fills.c.client_order_id,
            orders.c.strategy,
            fills.c.symbol,
            fills.c.side,
            func.sum(fills.c.shares).label("shares"),
            func.sum(fills.c.shares * fills.c.price_e4).label("amount_e4"),
            func.sum(fills.c.value_fen).label("value_fen"),
            func.sum(fills.c.commission_fen + fills.c.stamp_duty_fen + fills.c.transfer_fee_fen).label("fees_fen"),
        )
        .join(orders, orders.c.client_order_id == fills.c.client_order_id)
        .where(fills.c.session == day)
        .group_by(fills.c.client_order_id, orders.c.strategy, fills.c.symbol, fills.c.side)
        .order_by(fills.c.client_order_id)
    )
    return tuple(
        OrderTotal(
            client_order_id=row["client_order_id"],
            strategy=row["strategy"],
            symbol=row["symbol"],
            side=Side(row["side"]),
            shares=int(row["shares"]),
            amount_e4=int(row["amount_e4"]),
            value_fen=int(row["value_fen"]),
            fees_fen=int(row["fees_fen"]),
        )
        for row in connection.execute(of_order).mappings()
    )
