"""An order that the exchange sees only after the runner ended it: refused there, or opened again and cancelled here."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from sqlalchemy import select

from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.live.async_journal import AsyncJournal
from ljwx_pipeline.live.brokers.port import BrokerSilent
from ljwx_pipeline.live.close_trading import Close
from ljwx_pipeline.live.events import OrderDecided, Reconciled, ReconciliationFailed
from ljwx_pipeline.live.follower import Follower, Hooks
from ljwx_pipeline.live.lease import Lease
from ljwx_pipeline.live.order_desk import OrderDesk
from ljwx_pipeline.live.orders import REOPENED
from ljwx_pipeline.live.tables import events, orders
from ljwx_pipeline.trading.exchange_wire import ClockReport, Durable, Execution, Frame, OrderStatus, PhaseName
from tests.fakes.desk_world import decided
from tests.fakes.engine_broker import EngineBroker, Loss
from tests.fakes.exchange_world import advance_to, opened, write_market
from tests.fakes.journals import empty_store, log_of


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_market(tmp_path_factory.mktemp("pack") / "feed", symbols=8, feed_sessions=3)


@dataclass
class Slow:
    """A desk at an exchange whose network may be slow, and an order for the exchange's first session."""

    desk: OrderDesk
    broker: EngineBroker
    journal: AsyncJournal
    order: OrderDecided
    denials: list[str]

    async def row(self) -> tuple[str, str, int, int]:
        """State, reason, whether it is open and what was filled of the order."""
        columns = (orders.c.state, orders.c.reason, orders.c.is_open, orders.c.filled_shares)
        found = await self.journal.read(
            lambda c: c.execute(select(*columns).where(orders.c.client_order_id == self.order.client_order_id)).one()
        )
        return tuple(found)

    async def send_late(self) -> None:
        """Place the order so that its request is still under way, and nobody knows."""
        self.broker.losses = [Loss.LATE]
        await self.desk.place([self.order])
        assert (await self.row())[0] == "unknown"

    def theirs(self) -> OrderStatus:
        return self.broker.exchange.order(self.order.client_order_id).state


@asynccontextmanager
async def slow_desk(pack: Path, folder: Path, *, forgetful: bool) -> AsyncIterator[Slow]:
    with opened(pack, folder / "exchange") as exchange:
        session = exchange.market.sessions[0]
        order = decided(session, session, exchange.market.symbols[0], 200)
        store = empty_store(folder)
        lease = Lease(store, SystemClock(), holder="the desk", term_s=3600)
        assert lease.acquire()
        journal = AsyncJournal(store, log_of(store, SystemClock()))
        broker = EngineBroker(exchange, forgetful=forgetful)
        denials: list[str] = []
        desk = OrderDesk(
            journal=journal,
            broker=broker,
            fence=lease,
            clock=SystemClock(),
            max_order_age_s=3600,
            may_send=lambda _: denials[-1] if denials else "",
        )
        try:
            yield Slow(desk, broker, journal, order, denials)
        finally:
            journal.close()
            store.close()


@pytest.mark.parametrize("forgetful", [False, True], ids=["an exchange that keeps it", "a broker that forgets it"])
@pytest.mark.parametrize("how", ["cancelled", "denied", "stale"])
def test_an_order_that_arrives_after_it_was_ended_here_never_works_on(
    how: str, forgetful: bool, pack: Path, tmp_path: Path
) -> None:
    async def act() -> None:
        async with slow_desk(pack, tmp_path, forgetful=forgetful) as slow:
            if how == "stale":  # a limit order that was decided too long ago to be sent again
                exchange, session = slow.broker.exchange, slow.order.session
                advance_to(exchange, session, PhaseName.OPENING_AUCTION)
                bars = exchange.market.day_bars(session)
                limit_e4 = int(bars.pre_close_e4[exchange.market.rows[slow.order.symbol]]) // 100 * 100
                slow.order = replace(slow.order, execution=Execution.CONTINUOUS, limit_price_e4=limit_e4)
            await slow.send_late()
            if how == "cancelled":
                await slow.desk.cancel(slow.order.client_order_id)
            else:
                slow.denials += ["KILL_SWITCH"] if how == "denied" else []
                await slow.desk.settle()
            state, reason, is_open, _ = await slow.row()
            assert (state, is_open) == ("lapsed" if how == "stale" else "cancelled", 0)
            slow.broker.late_ones_arrive()
            assert slow.theirs() is (OrderStatus.ACCEPTED if forgetful else OrderStatus.REJECTED)
            assert isinstance(await slow.desk.recover(), Reconciled)
            if forgetful:
                assert slow.theirs() is OrderStatus.CANCELLED
                assert (await slow.row())[:3] == ("cancelled", "", 0)
                noted = select(events.c.message).where(events.c.kind == "order_reopened")
                (told,) = await slow.journal.read(lambda c: c.execute(noted).scalars().all())
                assert reason in told
            else:
                assert await slow.row() == (state, reason, 0, 0)
            assert isinstance(await slow.desk.recover(), Reconciled)

    asyncio.run(act())


def test_an_order_that_a_person_cancels_while_it_is_asked_about_is_not_sent_again(pack: Path, tmp_path: Path) -> None:
    async def act() -> None:
        async with slow_desk(pack, tmp_path, forgetful=True) as slow:
            slow.broker.losses = [Loss.REQUEST]
            await slow.desk.place([slow.order])
            assert (await slow.row())[0] == "unknown"
            clock = slow.broker.clock

            async def a_person_is_quicker() -> ClockReport:
                slow.broker.clock = clock  # type: ignore[method-assign]
                await slow.desk.cancel(slow.order.client_order_id)
                return await clock()

            slow.broker.clock = a_person_is_quicker  # type: ignore[method-assign]
            assert await slow.desk.settle() == 0
            assert (await slow.row())[::2] == ("cancelled", 0)
            assert slow.broker.exchange.orders(None) == []

    asyncio.run(act())


def test_an_order_that_was_opened_again_stays_marked_until_it_is_cancelled(pack: Path, tmp_path: Path) -> None:
    async def act() -> None:
        async with slow_desk(pack, tmp_path, forgetful=True) as slow:
            await slow.send_late()
            await slow.desk.cancel(slow.order.client_order_id)
            slow.broker.late_ones_arrive()
            taken = await slow.desk.take_in(slow.broker.exchange.messages(0, 100))
            assert taken.reopened
            state, reason, is_open, _ = await slow.row()
            assert (state, is_open) == ("accepted", 1)
            assert reason.startswith(REOPENED)
            slow.broker.losses = [Loss.REQUEST]
            with pytest.raises(BrokerSilent):
                await slow.desk.settle()
            assert (await slow.row())[2] == 1, "nobody knows whether it was cancelled: it stays open and is tried again"
            await slow.desk.settle()
            assert slow.theirs() is OrderStatus.CANCELLED
            assert (await slow.row())[:3] == ("cancelled", "", 0)

    asyncio.run(act())


def test_what_was_filled_before_it_could_be_cancelled_again_is_in_the_books(pack: Path, tmp_path: Path) -> None:
    async def act() -> None:
        async with slow_desk(pack, tmp_path, forgetful=True) as slow:
            await slow.send_late()
            await slow.desk.cancel(slow.order.client_order_id)
            slow.broker.late_ones_arrive()
            advance_to(slow.broker.exchange, slow.order.session, PhaseName.CLOSED)
            assert isinstance(await slow.desk.recover(), Reconciled)
            theirs = slow.broker.exchange.order(slow.order.client_order_id)
            state, _, is_open, filled = await slow.row()
            assert (state, is_open, filled) == (theirs.state, 0, theirs.filled_shares)
            assert filled == slow.order.shares

    asyncio.run(act())


class Streaming(EngineBroker):
    """Streams what the exchange has said so far, once, and then nothing more."""

    async def stream(self, after: int) -> AsyncIterator[Frame]:
        yield Frame(1, tuple(self.exchange.messages(after, 100)))
        raise BrokerSilent("the stream ended", "ask again")


class Heard(Exception):
    """The stream has ended."""


def test_whoever_follows_the_stream_cancels_it_as_soon_as_it_is_told(pack: Path, tmp_path: Path) -> None:
    async def act() -> None:
        async with slow_desk(pack, tmp_path, forgetful=True) as slow:
            await slow.send_late()
            await slow.desk.cancel(slow.order.client_order_id)
            broker = Streaming(slow.broker.exchange, forgetful=True)

            async def on_connected() -> None:
                slow.broker.late_ones_arrive()

            async def on_close(close: Close) -> None:
                raise AssertionError(f"nothing closes: {close}")

            async def on_silent(error: BrokerSilent) -> None:
                raise Heard

            hooks = Hooks(on_close, on_connected, on_silent, lambda _: None)
            follower = Follower(broker=broker, journal=slow.journal, desk=slow.desk, hooks=hooks)
            with pytest.raises(Heard):
                await follower.follow()
            assert slow.theirs() is OrderStatus.CANCELLED
            assert (await slow.row())[:3] == ("cancelled", "", 0)

    asyncio.run(act())


def test_nothing_is_sent_again_to_an_exchange_that_was_put_back_to_an_older_copy(pack: Path, tmp_path: Path) -> None:
    async def act() -> None:
        async with slow_desk(pack, tmp_path, forgetful=False) as slow:
            exchange, (session, later, *_) = slow.broker.exchange, slow.broker.exchange.market.sessions
            shutil.copytree(tmp_path / "exchange", tmp_path / "older copy")
            advance_to(exchange, session, PhaseName.OPENING_AUCTION)
            assert isinstance(await slow.desk.recover(), Reconciled)
            order = decided(session, later, slow.order.symbol, 200)
            slow.broker.losses = [Loss.REPLY]
            await slow.desk.place([order])
            advance_to(exchange, later, PhaseName.CLOSED)
            assert exchange.order(order.client_order_id).state is OrderStatus.FILLED
            with opened(pack, tmp_path / "older copy") as older:
                slow.broker.exchange = older
                found = await slow.desk.recover()
                assert not older.orders(None)
                assert isinstance(found, ReconciliationFailed)
                assert "begun anew or is an older copy" in found.differences[0]
                with pytest.raises(BrokerSilent, match="begun anew or is an older copy"):
                    await slow.desk.settle()
                assert not older.orders(None)
                state = select(orders.c.state).where(orders.c.client_order_id == order.client_order_id)
                assert await slow.journal.read(lambda c: c.execute(state).scalar_one()) == "unknown"

    asyncio.run(act())


@pytest.mark.parametrize("what", ["cancelled", "sent"])
def test_an_order_that_is_moved_while_the_books_are_compared_is_no_difference(
    what: str, pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act() -> None:
        async with slow_desk(pack, tmp_path, forgetful=False) as slow:
            if what == "cancelled":
                await slow.desk.place([slow.order])
            ask, moved = slow.broker.events, list[bool]()

            async def overtaken(after: int) -> Sequence[Durable]:
                said = await ask(after)
                if not moved:  # behind the broker's word for its account, its orders and its messages
                    moved.append(True)
                    if what == "cancelled":
                        await slow.desk.cancel(slow.order.client_order_id)
                    else:
                        await slow.desk.place([slow.order])
                return said

            monkeypatch.setattr(slow.broker, "events", overtaken)
            assert isinstance(await slow.desk.recover(), Reconciled)
            assert (await slow.row())[0] == ("cancelled" if what == "cancelled" else "accepted")

    asyncio.run(act())
