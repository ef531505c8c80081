"""What a broker says, written down: each durable message becomes events, in its order, once.

One batch of messages is one transaction. A message that was taken in before changes nothing; one that is missing is
refused, because what follows from it would be missing too. A statement of the account is held against what the journal
has reckoned at that very message: equal, or trading stops. Not here: asking the broker (``order_desk.py``), the derived
tables (``projections.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, func, select

from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.brokers.port import BrokerSilent
from ljwx_pipeline.live.event_log import EventLog
from ljwx_pipeline.live.events import (
    Booked,
    Event,
    FillReported,
    HeldPosition,
    OrderAdopted,
    OrderReported,
    Reconciled,
    ReconciliationFailed,
    SessionClosed,
    SessionOpened,
    StreamRead,
)
from ljwx_pipeline.live.orders import REOPENED, OrderState
from ljwx_pipeline.live.tables import (
    account_now,
    bookings,
    fills,
    orders,
    positions,
    positions_now,
    reconciliations,
    streams,
)
from ljwx_pipeline.session_pack import bars_hash
from ljwx_pipeline.trading.exchange_wire import (
    OPEN_STATUSES,
    AccountReport,
    Booking,
    BookingKind,
    Durable,
    FillReport,
    OrderReport,
    Phase,
    PhaseName,
    Reason,
    SessionBars,
)
from ljwx_pipeline.units import E4_PER_FEN

#: Orders that somebody else placed have an id of ours made of the broker's.
EXTERNAL = "external"


@dataclass(frozen=True)
class Taken:
    """What a batch brought: how the account differs, if it does, from what the broker states.

    ``reopened`` says that orders work at the broker which were ended here: they are to be cancelled.
    """

    differences: tuple[str, ...]
    reopened: bool = False


class MessageIntake:
    """Writes one broker's messages into one journal.

    Parameters
    ----------
    log
        The journal's log.
    broker
        The broker's name: its stream has one place in the journal.
    """

    def __init__(self, log: EventLog, broker: str) -> None:
        self._log = log
        self._broker = broker

    def position(self, connection: Connection) -> int:
        """Return the last message that was taken in; 0 before the first."""
        read = select(streams.c.exchange_seq).where(streams.c.broker == self._broker)
        return int(connection.execute(read).scalar() or 0)

    def take_in(
        self, connection: Connection, messages: Sequence[Durable], bars: Mapping[date, SessionBars], epoch: int
    ) -> Taken:
        """Write ``messages`` down within the writing transaction of ``connection``.

        Parameters
        ----------
        bars
            The official bars of every session whose end is among the messages.
        epoch
            Of the lease that the caller holds.

        Raises
        ------
        BrokerSilent
            When an order or a fill comes without the broker's id; nothing may be committed then.
        LiveError
            When a message is missing or contradicts what is known: as above.
        """
        read = self.position(connection)
        differences: list[str] = []
        for message in messages:
            if message.seq <= read:
                continue
            if message.seq != read + 1:
                raise LiveError(
                    f"{self._broker} sent message {message.seq} after {read}",
                    "nothing was written; the messages in between are asked for again",
                )
            read = message.seq
            self._append(connection, self._events(connection, message, bars), epoch)
            self._append(connection, [StreamRead(broker=self._broker, exchange_seq=read)], epoch)
            if isinstance(message, AccountReport):
                compared = self.compared(connection, message)
                self._append(connection, [compared], epoch)
                differences += compared.differences if isinstance(compared, ReconciliationFailed) else ()
        working = any(isinstance(one, OrderReport) and one.state in OPEN_STATUSES for one in messages)
        reopened = working and bool(reopened_orders(connection))
        return Taken(tuple(differences), reopened)

    def compared(
        self, connection: Connection, statement: AccountReport, more: Iterable[str] = ()
    ) -> Reconciled | ReconciliationFailed:
        """Return how the broker's statement stands to what is reckoned here, at the same message.

        The first statement that a journal ever hears opens its books and is taken as it is.

        Parameters
        ----------
        more
            Differences that were found elsewhere, in the orders.
        """
        known = connection.execute(
            select(reconciliations.c.broker).where(reconciliations.c.broker == self._broker)
        ).first()
        differences = [*more, *(() if known is None else _account_differences(connection, statement))]
        if differences:
            return ReconciliationFailed(broker=self._broker, session=statement.session, differences=tuple(differences))
        return Reconciled(
            broker=self._broker,
            exchange_seq=statement.seq,
            session=statement.session,
            orders=_count(connection, orders.c.client_order_id),
            fills=_count(connection, fills.c.exec_id),
            cash_fen=statement.cash_fen,
            positions=tuple(
                HeldPosition(
                    symbol=one.symbol,
                    shares=one.shares,
                    sellable_shares=one.sellable_shares,
                    held_sessions=one.held_sessions,
                    entry_price_e4=one.entry_price_e4,
                    peak_price_e4=one.peak_price_e4,
                    last_price_e4=one.last_price_e4,
                )
                for one in statement.positions
            ),
            explained=() if known is not None else ("the broker's first statement opens the books",),
        )

    def reported(self, connection: Connection, message: OrderReport) -> list[Event]:
        """Return the events of an order's report; an order that nobody here placed is adopted first.

        A BrokerSilent when it comes without the broker's id: nothing could be held against it later.
        """
        if not message.exchange_order_id:
            raise _nameless(self._broker, message)
        by = (
            orders.c.client_order_id == message.client_order_id
            if message.client_order_id
            else orders.c.exchange_order_id == message.exchange_order_id
        )
        ours = connection.execute(select(orders.c.client_order_id).where(by)).scalar()
        # an order that the exchange refuses because it was cancelled here before it came there has failed in nothing
        late = message.reason == Reason.CANCELLED_BEFORE_ARRIVAL
        identity = ours or message.client_order_id or f"{EXTERNAL}|{self._broker}|{message.exchange_order_id}"
        adopted: list[Event] = []
        if ours is None:
            adopted.append(
                OrderAdopted(
                    client_order_id=identity,
                    exchange_order_id=message.exchange_order_id,
                    session=message.session,
                    symbol=message.symbol,
                    side=message.side,
                    shares=message.shares,
                    execution=message.execution,
                    limit_price_e4=0,
                    adopted_at_ns=message.at_ns,
                )
            )
        return [
            *adopted,
            OrderReported(
                client_order_id=identity,
                exchange_order_id=message.exchange_order_id,
                state=OrderState.CANCELLED if late else OrderState(message.state),
                reason=message.reason,
                filled_shares=message.filled_shares,
                session_over=False,
                reported_at_ns=message.at_ns,
            ),
        ]

    def _append(self, connection: Connection, events: Sequence[Event], epoch: int) -> None:
        self._log.append_within(connection, events, epoch)

    def _events(self, connection: Connection, message: Durable, bars: Mapping[date, SessionBars]) -> list[Event]:
        match message:
            case OrderReport():
                return self.reported(connection, message)
            case FillReport():
                if not message.exec_id:
                    raise _nameless(self._broker, message)
                return [_fill(message)]
            case Booking():
                return [
                    Booked(
                        booking_id=f"{self._broker}:{message.seq}",
                        session=message.session,
                        symbol=message.symbol,
                        reason=message.kind.value,
                        cash_fen=message.cash_fen,
                        shares=message.shares,
                        booked_at_ns=message.at_ns,
                    )
                ]
            case Phase() if message.phase is PhaseName.OPENING_AUCTION:
                return [SessionOpened(session=message.session)]
            case Phase() if message.phase is PhaseName.CLOSED:
                return [_closed(connection, message.session, bars[message.session])]
        return []


def _nameless(broker: str, message: OrderReport | FillReport) -> BrokerSilent:
    return BrokerSilent(
        f"{broker} told of {message.side} {message.shares} {message.symbol} without an id of its own",
        "nothing was written; it is asked again: what has no id cannot be told from another one",
    )


def reopened_orders(connection: Connection) -> list[str]:
    """Return the orders that work at the broker although they were ended here."""
    still_open = select(orders.c.client_order_id, orders.c.reason).where(orders.c.is_open == 1)
    return sorted(row.client_order_id for row in connection.execute(still_open) if row.reason.startswith(REOPENED))


def _fill(message: FillReport) -> FillReported:
    return FillReported(
        exec_id=message.exec_id,
        client_order_id=message.client_order_id,
        exchange_order_id=message.exchange_order_id,
        session=message.session,
        symbol=message.symbol,
        side=message.side,
        shares=message.shares,
        price_e4=message.price_e4,
        value_fen=message.value_fen,
        commission_fen=message.commission_fen,
        stamp_duty_fen=message.stamp_duty_fen,
        transfer_fee_fen=message.transfer_fee_fen,
        slippage_fen=message.slippage_fen,
        impact_fen=message.impact_fen,
        filled_at_ns=message.at_ns,
    )


def _closed(connection: Connection, session: date, bars: SessionBars) -> SessionClosed:
    """Return the session's end as the journal has reckoned it, valued at the official closes."""
    closes = {bar.symbol: bar.close_e4 for bar in bars.bars}
    held = []
    for row in connection.execute(select(positions_now).order_by(positions_now.c.symbol)).mappings():
        values = dict(row)
        values["last_price_e4"] = closes.get(row["symbol"]) or row["last_price_e4"]
        held.append(HeldPosition(**values))
    cash = int(connection.execute(select(account_now.c.cash_fen)).scalar() or 0)
    day = session.isoformat()
    fees = select(
        func.coalesce(func.sum(fills.c.commission_fen + fills.c.stamp_duty_fen + fills.c.transfer_fee_fen), 0)
    )
    today = bookings.c.session == day
    dividends = select(func.coalesce(func.sum(bookings.c.cash_fen), 0)).where(
        today, bookings.c.reason == BookingKind.DIVIDEND
    )
    # a name that is written off brings no cash: what is lost is what it was worth at the close before
    gone = select(bookings.c.symbol).where(today, bookings.c.reason == BookingKind.WRITE_OFF)
    before = select(func.max(positions.c.session)).where(positions.c.session < day).scalar_subquery()
    written_off = select(func.coalesce(func.sum(positions.c.value_fen), 0)).where(
        positions.c.session == before, positions.c.symbol.in_(gone)
    )
    return SessionClosed(
        session=session,
        bars_hash=bars_hash(bars.bars),
        cash_fen=cash,
        equity_fen=cash + sum(one.shares * one.last_price_e4 // E4_PER_FEN for one in held),
        fees_fen=int(connection.execute(fees.where(fills.c.session == day)).scalar_one()),
        dividends_fen=int(connection.execute(dividends).scalar_one()),
        written_off_fen=int(connection.execute(written_off).scalar_one()),
        positions=tuple(held),
    )


def _account_differences(connection: Connection, statement: AccountReport) -> list[str]:
    found = []
    cash = int(connection.execute(select(account_now.c.cash_fen)).scalar() or 0)
    if cash != statement.cash_fen:
        found.append(f"cash is {cash} fen here and {statement.cash_fen} at the broker")
    names = (positions_now.c.symbol, positions_now.c.shares, positions_now.c.sellable_shares)
    ours = {symbol: (shares, sellable) for symbol, shares, sellable in connection.execute(select(*names))}
    theirs = {one.symbol: (one.shares, one.sellable_shares) for one in statement.positions}
    for symbol in sorted(ours.keys() | theirs.keys()):
        mine, other = ours.get(symbol, (0, 0)), theirs.get(symbol, (0, 0))
        if mine != other:
            found.append(
                f"{symbol} is {mine[0]} shares ({mine[1]} sellable) here and {other[0]} ({other[1]}) at the broker"
            )
    return found


def _count(connection: Connection, column: object) -> int:
    return int(connection.execute(select(func.count(column))).scalar_one())  # type: ignore[arg-type]
