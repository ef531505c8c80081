"""Orders out, answers in: durable before it leaves, asked about before it leaves again.

The life of an order here: decided and about to be sent, both durable in one transaction; sent; the answer written down.
Silence makes it unknown, and an unknown order is asked about until the broker says where it stands or that it never
was; only then, and only while it still means what it meant, is it sent again. Start-up, a connection that came back and
the regular look are the same path: `OrderDesk.recover`. Not here: what is decided (``trading/``), what may be sent
(``risk_gate.py``), which orders are open (``outstanding.py``), what messages mean (``from_broker.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from sqlalchemy import Connection

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.live.async_journal import AsyncJournal
from ljwx_pipeline.live.brokers.port import (
    Broker,
    BrokerSilent,
    Fence,
    FencedBroker,
    LeaseLapsed,
    OrderRefused,
    required_epoch,
)
from ljwx_pipeline.live.events import (
    Event,
    OrderDecided,
    OrderReported,
    OrderSent,
    OrderUnknown,
    Reconciled,
    ReconciliationFailed,
    SleevesDecided,
    instant_ns,
)
from ljwx_pipeline.live.from_broker import MessageIntake, Taken, reopened_orders
from ljwx_pipeline.live.orders import OrderState
from ljwx_pipeline.live.outstanding import Outstanding, about_to_leave, open_orders, order_differences, unsettled
from ljwx_pipeline.trading.exchange_wire import (
    AccountReport,
    ClockReport,
    Durable,
    Execution,
    OrderReport,
    Phase,
    PhaseName,
)
from ljwx_pipeline.units import NS_PER_S

#: Orders on their way at once.
_SENT_AT_ONCE = 8
#: How often, and how long apart, an overdue renewal of the lease is waited for before nothing is sent.
_RENEWAL_LOOKS, _RENEWAL_LOOK_S = 120, 0.05
_FIRST_SETTLING_WAIT_S, _LONGEST_SETTLING_WAIT_S = 0.05, 5.0
#: How often a statement may be overtaken by new messages before the look is given up until the next one.
_STATEMENTS = 20
#: Why an order that was never at the broker is not sent any more.
STALE = "STALE_BEFORE_SENT"
MALFORMED = "REFUSED_AS_MALFORMED"
CANCELLED_UNSENT = "CANCELLED_BEFORE_SENT"


class OrderDesk:
    """One journal's orders at one broker, from one event loop.

    Parameters
    ----------
    journal, broker, fence, clock
        Where it writes, whom it asks, what says that it may, and the time.
    max_order_age_s
        A continuous order that did not reach the broker is not sent again once it is older than this.
    may_send
        Asked just before an order leaves, and before one that never reached the broker is sent again: the code that
        denies it, empty where it may.
    """

    def __init__(
        self,
        *,
        journal: AsyncJournal,
        broker: Broker,
        fence: Fence,
        clock: Clock,
        max_order_age_s: float,
        may_send: Callable[[Outstanding], str] = lambda _: "",
    ) -> None:
        self._journal = journal
        self._broker = broker
        self._fenced = FencedBroker(broker, fence)
        self._fence = fence
        self._clock = clock
        self._max_age_ns = round(max_order_age_s * NS_PER_S)
        self._may_send = may_send
        self._intake = MessageIntake(journal.log, broker.name)
        self._turn = asyncio.Lock()
        self._settling = asyncio.Lock()
        self._under_way: dict[str, asyncio.Event] = {}
        self._answers = 0  # of the broker to requests, which move orders beside its stream

    async def place(self, decided: Sequence[OrderDecided], beside: Sequence[Event] = ()) -> None:
        """Make ``decided`` durable together with ``beside``, then send what was not denied.

        Returns when every order was answered or is unknown; an unknown one is settled by `settle`.

        Raises
        ------
        Deposed
            When another runner has taken over: what has not left stays.
        LeaseLapsed
            As `held_epoch`: nothing was written and nothing sent.
        LiveError
            When the journal refuses: nothing was sent.
        """
        epoch, now = await self.held_epoch(), self._now_ns()
        going = [one for one in decided if not one.denial]
        sent = [OrderSent(client_order_id=one.client_order_id, fencing_epoch=epoch, sent_at_ns=now) for one in going]
        with self._on_their_way(one.client_order_id for one in going):
            await self._journal.append([*beside, *decided, *sent], epoch)
            wants = [want for event in beside if isinstance(event, SleevesDecided) for want in event.wants]
            await self._send_all([about_to_leave(one, wants) for one in going])

    async def held_epoch(self) -> int:
        """Return the epoch once the lease is surely held; after a long computation its renewal may be due just now.

        Raises
        ------
        Deposed
            When another runner has taken over.
        LeaseLapsed
            When it was not renewed while it was waited for.
        """
        for _ in range(_RENEWAL_LOOKS):
            if self._fence.epoch and self._fence.holds():
                break
            await asyncio.sleep(_RENEWAL_LOOK_S)
        return required_epoch(self._fence)

    async def cancel(self, client_order_id: str) -> None:
        """Ask the broker to cancel what is left of an order; one that it never saw is finished here.

        Raises
        ------
        BrokerSilent, LeaseLapsed
            When it was not asked, or did not answer: the order stands as it stood.
        """
        under_way = self._under_way.get(client_order_id)
        if under_way is not None:  # it can be cancelled once it has arrived
            await under_way.wait()
        await self._cancelled(client_order_id, OrderState.CANCELLED, CANCELLED_UNSENT)

    async def take_in(self, messages: Sequence[Durable]) -> Taken:
        """Write the broker's messages down; those missing before them are asked for first.

        Raises
        ------
        BrokerSilent
            When what is missing, or the bars of a session that ended, cannot be had, or what was said lacks an id:
            nothing was written.
        """
        if not messages:
            return Taken(())
        async with self._turn:
            read = await self._journal.read(self._intake.position)
            if messages[0].seq > read + 1:
                messages = await self._broker.events(read)
            return await self._take_in(messages)

    async def recover(self) -> Reconciled | ReconciliationFailed:
        """Settle what is unknown, read what was missed, hold the books against the broker's.

        What turns out to work there although it was ended here is cancelled. Nothing is sent to a broker that does not
        know any more what it said.

        Raises
        ------
        BrokerSilent
            When the broker does not answer: nothing may be opened until this has succeeded.
        """
        market, forgotten = await self._market()
        if forgotten:
            return await self._failed(market, forgotten)
        await self.settle()
        found = await self.reconcile()
        if await self._journal.read(reopened_orders):
            await self.settle()
        return found

    async def settle(self) -> int:
        """Find out about every order that may or may not be at the broker; return how many were sent again.

        An order that works at the broker although it was ended here, because its request came late, is cancelled.
        One that is on its way right now is left to whoever sends it.

        Raises
        ------
        BrokerSilent
            When the broker does not answer, or has forgotten what it said; what was not asked about stays unknown.
        """
        async with self._settling:
            return await self._settle()

    async def _settle(self) -> int:
        for identity in await self._journal.read(reopened_orders):
            await self._cancelled(identity, OrderState.CANCELLED, CANCELLED_UNSENT)
        again: list[Outstanding] = []
        market: ClockReport | None = None
        for one in await self._journal.read(unsettled):
            if one.order.client_order_id in self._under_way:
                continue
            report = await self._broker.order(one.order.client_order_id) if one.sent_times else None
            if report is not None:
                await self._write_report(report)
                continue
            if market is None:
                market, forgotten = await self._market()
                if forgotten:  # it may have filled what it does not know any more
                    raise BrokerSilent(f"{self._broker.name} forgot what it said: {forgotten}", "compare the books")
            denial = self._may_send(one)
            if denial:
                await self._cancelled(one.order.client_order_id, OrderState.CANCELLED, denial)
            elif self._still_means_it(one, market):
                again.append(one)
            else:
                await self._cancelled(one.order.client_order_id, OrderState.LAPSED, STALE)
        if not again:
            return 0
        with self._on_their_way(one.order.client_order_id for one in again):
            going = await self._journal.write(partial(self._sent_again, again, self._fence.epoch, self._now_ns()))
            await self._send_all(going)
        return len(going)

    def _sent_again(
        self, asked_about: Sequence[Outstanding], epoch: int, now_ns: int, connection: Connection
    ) -> list[Outstanding]:
        """Write down that what is still open of ``asked_about`` leaves again, and return it."""
        # a person may have cancelled one, or the stream told of it, while the others were asked about
        left = {one.order.client_order_id for one in unsettled(connection)}
        going = [one for one in asked_about if one.order.client_order_id in left]
        identities = [one.order.client_order_id for one in going]
        sent = [OrderSent(client_order_id=one, fencing_epoch=epoch, sent_at_ns=now_ns) for one in identities]
        self._journal.log.append_within(connection, sent, epoch)
        return going

    async def settle_all(self) -> None:
        """Settle until nothing is unknown any more, with growing waits; raises as `settle`."""
        for wait_s in _settling_waits():
            await self.settle()
            if not await self._journal.read(unsettled):
                return
            await asyncio.sleep(wait_s)

    async def reconcile(self) -> Reconciled | ReconciliationFailed:
        """Hold orders, fills, positions and cash against the broker's, all as of one message of its stream.

        Raises
        ------
        BrokerSilent
            When the broker does not answer, or says something new faster than it can be compared.
        """
        async with self._turn:
            for _ in range(_STATEMENTS):
                answers = self._answers
                statement = await self._broker.account()
                theirs = await self._orders_of_open_sessions()
                read = await self._journal.read(self._intake.position)
                await self._take_in(await self._broker.events(read))
                read = await self._journal.read(self._intake.position)
                if read != statement.seq:
                    market, forgotten = await self._market()
                    if forgotten:
                        return await self._failed(market, forgotten)
                    continue  # it said something meanwhile: the statement is of another moment
                if answers != self._answers:
                    continue  # an order was sent or cancelled meanwhile: what the broker's orders were is no longer so
                return await self._journal.write(partial(self._compare, statement, theirs, self._fence.epoch))
        raise BrokerSilent(
            f"{self._broker.name} said something new during each of {_STATEMENTS} comparisons of the account",
            "it is compared again; trade less often, or compare at lunch or after the close",
        )

    async def _market(self) -> tuple[ClockReport, str]:
        """Return where the market stands, and how the broker has said less than was read here; empty if it has not."""
        read = await self._journal.read(self._intake.position)  # first: what is read later was said later
        market = await self._broker.clock()
        if market.last_seq >= read:
            return market, ""
        told = f"{market.last_seq} is its last message and {read} were read here: it was begun anew or is an older copy"
        return market, told

    async def _failed(self, market: ClockReport, told: str) -> ReconciliationFailed:
        failed = ReconciliationFailed(broker=self._broker.name, session=market.session, differences=(told,))
        await self._journal.append([failed], self._fence.epoch)
        return failed

    def _compare(
        self, statement: AccountReport, theirs: Mapping[str, OrderReport], epoch: int, connection: Connection
    ) -> Reconciled | ReconciliationFailed:
        found = self._intake.compared(connection, statement, order_differences(connection, theirs))
        self._journal.log.append_within(connection, [found], epoch)
        return found

    async def _take_in(self, messages: Sequence[Durable]) -> Taken:
        ended = [one.session for one in messages if isinstance(one, Phase) and one.phase is PhaseName.CLOSED]
        bars = {session: await self._broker.bars(session) for session in ended}
        epoch = self._fence.epoch
        return await self._journal.write(lambda connection: self._intake.take_in(connection, messages, bars, epoch))

    async def _orders_of_open_sessions(self) -> dict[str, OrderReport]:
        sessions = {one.order.session for one in await self._journal.read(open_orders)}
        market = await self._broker.clock()
        sessions |= {day for day in (market.session, market.next_session) if day is not None}
        return {
            one.exchange_order_id: one for session in sorted(sessions) for one in await self._broker.orders(session)
        }

    @contextmanager
    def _on_their_way(self, identities: Iterable[str]) -> Iterator[None]:
        """Let whoever cancels one of these orders wait until it was sent."""
        sent = asyncio.Event()
        mine = dict.fromkeys(identities, sent)
        self._under_way.update(mine)
        try:
            yield
        finally:
            for identity in mine:
                self._under_way.pop(identity, None)
            sent.set()

    async def _send_all(self, new: Sequence[Outstanding]) -> None:
        at_once = asyncio.Semaphore(_SENT_AT_ONCE)

        async def one(order: Outstanding) -> None:
            async with at_once:
                await self._send(order)

        # not a group of tasks: the first thing that goes wrong must not cancel sends that are on their way
        for done in await asyncio.gather(*(one(order) for order in new), return_exceptions=True):
            if isinstance(done, BaseException):
                raise done

    async def _send(self, one: Outstanding) -> None:
        identity = one.order.client_order_id
        denial = self._may_send(one)
        if denial:  # a breaker or a person was quicker: it never leaves
            await self._append(self._final(identity, OrderState.CANCELLED, denial))
            return
        try:
            await self._write_report(await self._fenced.submit(one.order))
        except (BrokerSilent, LeaseLapsed) as error:
            await self._append(OrderUnknown(client_order_id=identity, reason=error.fact))
        except OrderRefused as error:
            await self._append(self._final(identity, OrderState.REJECTED, f"{MALFORMED}: {error.fact}"))

    async def _write_report(self, report: OrderReport) -> None:
        epoch = self._fence.epoch
        self._answers += 1
        await self._journal.write(
            lambda connection: self._journal.log.append_within(
                connection, self._intake.reported(connection, report), epoch
            )
        )

    async def _cancelled(self, client_order_id: str, state: OrderState, reason: str) -> None:
        """Cancel an order; where the broker never saw it, it ends here in ``state`` for ``reason``."""
        # a request that is still under way somewhere must find it cancelled; one that never left finds nothing
        report = await self._fenced.cancel(client_order_id)
        if report is None:
            await self._append(self._final(client_order_id, state, reason))
        else:
            await self._write_report(report)

    async def _append(self, event: Event) -> None:
        self._answers += 1
        await self._journal.append([event], self._fence.epoch)

    def _final(self, client_order_id: str, state: OrderState, reason: str) -> OrderReported:
        return OrderReported(
            client_order_id=client_order_id,
            exchange_order_id="",
            state=state,
            reason=reason,
            filled_shares=0,
            session_over=True,
            reported_at_ns=self._now_ns(),
        )

    def _still_means_it(self, one: Outstanding, market: ClockReport) -> bool:
        """Return whether an order that the broker never saw is still what was decided."""
        if market.session is not None and one.order.session < market.session:
            return False
        if one.order.execution is Execution.CONTINUOUS:
            return market.at_ns - one.decided_at_ns <= self._max_age_ns
        return not (market.session == one.order.session and market.phase is PhaseName.CLOSED)

    def _now_ns(self) -> int:
        return instant_ns(self._clock.now())


def _settling_waits() -> Iterator[float]:
    wait_s = _FIRST_SETTLING_WAIT_S
    while True:
        yield wait_s
        wait_s = min(2 * wait_s, _LONGEST_SETTLING_WAIT_S)
