"""What goes wrong in live trading, one failure a test: crashes, replays, silences, ids that are missing, bad ticks.

The whole list, with what other files hold, is docs/live-failures.md.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from sqlalchemy import func, select

from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.exchange.engine import Exchange
from ljwx_pipeline.live.async_journal import AsyncJournal
from ljwx_pipeline.live.brokers.port import BrokerSilent
from ljwx_pipeline.live.events import OrderDecided, Reconciled
from ljwx_pipeline.live.guard_ticks import SymbolDay, TickDesk
from ljwx_pipeline.live.lease import Lease
from ljwx_pipeline.live.order_desk import OrderDesk
from ljwx_pipeline.live.store import Store
from ljwx_pipeline.live.tables import account_now, fills, orders, positions_now
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.trading.exchange_wire import Durable, Execution, NewOrder, OrderReport, OrderStatus, PhaseName, Tick
from tests.fakes.desk_world import decided, desk_at
from tests.fakes.engine_broker import EngineBroker
from tests.fakes.exchange_process import exchange_process
from tests.fakes.exchange_world import advance_to, opened, write_market
from tests.fakes.journals import empty_store, log_of
from tests.fakes.live_ticks import BREAKERS, SESSION, at, facts, tick

OPTIONS = ("--port", "0", "--speed", "0", "--tick-seconds", "600")
EVERYTHING = 1_000_000


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_market(tmp_path_factory.mktemp("pack") / "feed", symbols=12, feed_sessions=3)


@dataclass
class Running:
    """A desk that was started on the journal of ``folder``."""

    orders: OrderDesk
    journal: AsyncJournal

    async def fills(self) -> list[tuple[str, int]]:
        found = select(fills.c.exec_id, fills.c.shares).order_by(fills.c.exec_id)
        return await self.journal.read(lambda c: [tuple(row) for row in c.execute(found)])

    async def positions(self) -> dict[str, int]:
        found = select(positions_now.c.symbol, positions_now.c.shares)
        return await self.journal.read(lambda c: {row.symbol: row.shares for row in c.execute(found)})

    async def cash_fen(self) -> int:
        return await self.journal.read(lambda c: c.execute(select(account_now.c.cash_fen)).scalar_one())

    async def state(self, identity: str) -> str:
        found = select(orders.c.state).where(orders.c.client_order_id == identity)
        return await self.journal.read(lambda c: c.execute(found).scalar_one())


@asynccontextmanager
async def running(broker: EngineBroker, folder: Path) -> AsyncIterator[Running]:
    """Start a desk on the journal in ``folder``, as it was left there."""
    store = Store(folder / "journal.sqlite") if (folder / "journal.sqlite").exists() else empty_store(folder)
    clock = SystemClock()
    lease = Lease(store, clock, holder="the desk", term_s=3600)
    assert lease.acquire()
    journal = AsyncJournal(store, log_of(store, clock))
    try:
        yield Running(
            OrderDesk(journal=journal, broker=broker, fence=lease, clock=clock, max_order_age_s=3600), journal
        )
    finally:
        journal.close()
        store.close()


def at_any_price(exchange: Exchange, n: int) -> list[OrderDecided]:
    """Purchases that the opening auction of the exchange's first session fills: limits at the upper price limit."""
    session = exchange.market.sessions[0]
    bars = exchange.market.day_bars(session)
    names = [(row, name) for row, name in enumerate(exchange.market.symbols) if bars.close_e4[row] > 0][:n]
    return [
        replace(
            decided(session, session, name, 200),
            execution=Execution.CONTINUOUS,
            limit_price_e4=int(bars.limit_up_e4[row]),
        )
        for row, name in names
    ]


def held_there(exchange: Exchange) -> dict[str, int]:
    return {one.symbol: one.shares for one in exchange.account().positions}


def test_a_warm_restart_with_an_open_position_goes_on_with_it_and_sells_it_once(pack: Path, tmp_path: Path) -> None:
    async def act() -> None:
        with opened(pack, tmp_path / "exchange") as exchange:
            broker = EngineBroker(exchange)
            first, second = exchange.market.sessions[:2]
            async with running(broker, tmp_path) as before:
                advance_to(exchange, first, PhaseName.OPENING_AUCTION)
                assert isinstance(await before.orders.recover(), Reconciled)
                await before.orders.place(at_any_price(exchange, 3))
                advance_to(exchange, first, PhaseName.CLOSED)
                assert isinstance(await before.orders.recover(), Reconciled)
                held = await before.positions()
                assert held == held_there(exchange)
                assert held, "nothing was bought: take another seed"
            async with running(broker, tmp_path) as after:
                assert isinstance(await after.orders.recover(), Reconciled)
                assert await after.positions() == held
                sales = [decided(first, second, name, -shares) for name, shares in held.items()]
                await after.orders.place(sales)
            async with running(broker, tmp_path) as again:
                assert isinstance(await again.orders.recover(), Reconciled)
                advance_to(exchange, second, PhaseName.CLOSED)
                assert isinstance(await again.orders.recover(), Reconciled)
                assert await again.positions() == held_there(exchange)
                sold = [name for name in held if name not in held_there(exchange)]
                assert sold, "nothing could be sold: take another seed"
                assert len(exchange.orders(second)) == len(sales)

    asyncio.run(act())


def test_fills_that_are_replayed_at_a_reconnect_over_lunch_count_once(pack: Path, tmp_path: Path) -> None:
    async def act() -> None:
        with opened(pack, tmp_path / "exchange") as exchange:
            broker = EngineBroker(exchange)
            session = exchange.market.sessions[0]
            async with running(broker, tmp_path) as desk:
                advance_to(exchange, session, PhaseName.OPENING_AUCTION)
                await desk.orders.recover()
                await desk.orders.place(at_any_price(exchange, 3))
                advance_to(exchange, session, PhaseName.LUNCH)
                morning = exchange.messages(0, EVERYTHING)
                await desk.orders.take_in(morning)
                heard = (await desk.fills(), await desk.positions(), await desk.cash_fen())
                assert heard[0], "nothing was filled: take another seed"
                await desk.orders.take_in(morning)
                assert (await desk.fills(), await desk.positions(), await desk.cash_fen()) == heard
            async with running(broker, tmp_path) as again:  # a new process, and the stream from the beginning
                for message in morning:
                    await again.orders.take_in([message])
                assert (await again.fills(), await again.positions(), await again.cash_fen()) == heard
                assert isinstance(await again.orders.recover(), Reconciled)

    asyncio.run(act())


def test_fills_during_a_disconnect_are_read_when_the_connection_is_back(pack: Path, tmp_path: Path) -> None:
    async def act() -> None:
        with opened(pack, tmp_path / "exchange") as exchange:
            session = exchange.market.sessions[0]
            async with running(EngineBroker(exchange), tmp_path) as desk:
                advance_to(exchange, session, PhaseName.OPENING_AUCTION)
                await desk.orders.recover()
                placed = at_any_price(exchange, 3)
                await desk.orders.place(placed)
                advance_to(exchange, session, PhaseName.LUNCH)  # nobody hears it
                assert await desk.fills() == []
                told = exchange.messages(0, EVERYTHING)
                await desk.orders.take_in(told[-1:])  # the first thing that is heard again: all before it is asked for
                assert await desk.positions() == held_there(exchange)
                assert await desk.positions(), "nothing was filled: take another seed"
                assert isinstance(await desk.orders.recover(), Reconciled)
                assert {await desk.state(one.client_order_id) for one in placed} <= {"filled", "partly_filled"}

    asyncio.run(act())


def place_and_wait(address: str, folder: Path, symbols: Sequence[str], says: Connection) -> None:
    async def act() -> None:
        async with desk_at(address, folder) as desk:
            await desk.orders.recover()
            clock = await desk.broker.clock()
            assert clock.next_session is not None
            day = clock.next_session
            await desk.orders.place([decided(day, day, symbol, 200) for symbol in symbols])
            says.send("placed")
            await asyncio.sleep(60)

    asyncio.run(act())


def test_working_orders_of_a_process_that_was_killed_are_known_and_can_be_cancelled(pack: Path, tmp_path: Path) -> None:
    with opened(pack, tmp_path / "symbols") as exchange:
        symbols = exchange.market.symbols[:3]

    async def act(address: str) -> None:
        async with desk_at(address, tmp_path) as desk:
            assert isinstance(await desk.orders.recover(), Reconciled)
            working = select(orders.c.client_order_id, orders.c.state).where(orders.c.is_open == 1)
            found = await desk.journal.read(lambda c: {row.client_order_id: row.state for row in c.execute(working)})
            assert list(found.values()) == ["accepted"] * 3
            theirs = await desk.broker.orders((await desk.broker.clock()).next_session)  # type: ignore[arg-type]
            assert sorted(one.client_order_id for one in theirs) == sorted(found), "each once"
            for identity in found:
                await desk.orders.cancel(identity)
                report = await desk.broker.order(identity)
                assert report is not None
                assert report.state is OrderStatus.CANCELLED
            assert isinstance(await desk.orders.recover(), Reconciled)

    with exchange_process(pack, tmp_path / "exchange", *OPTIONS) as exchange:
        hears, says = multiprocessing.Pipe(duplex=False)
        child = multiprocessing.get_context("fork").Process(
            target=place_and_wait, args=(exchange.said["url"], tmp_path, symbols, says)
        )
        child.start()
        assert hears.poll(30)
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join(30)
        assert child.exitcode == -signal.SIGKILL
        asyncio.run(act(exchange.said["url"]))


class Nameless(EngineBroker):
    """Forgets the exchange's id of an order in its next answers and messages."""

    left = 0

    def _without(self, report: OrderReport) -> OrderReport:
        if self.left == 0:
            return report
        self.left -= 1
        return replace(report, exchange_order_id="")

    async def submit(self, order: NewOrder, *, epoch: int) -> OrderReport:
        return self._without(await super().submit(order, epoch=epoch))

    async def events(self, after: int) -> Sequence[Durable]:
        return [self._without(one) if isinstance(one, OrderReport) else one for one in await super().events(after)]


def test_an_order_that_the_broker_answers_without_an_id_is_unknown_and_asked_about(pack: Path, tmp_path: Path) -> None:
    async def act() -> None:
        with opened(pack, tmp_path / "exchange") as exchange:
            broker = Nameless(exchange)
            session = exchange.market.sessions[0]
            async with running(broker, tmp_path) as desk:
                await desk.orders.recover()
                order = decided(session, session, exchange.market.symbols[0], 200)
                broker.left = 1
                await desk.orders.place([order])
                assert await desk.state(order.client_order_id) == "unknown"
                broker.left = 1
                with pytest.raises(BrokerSilent, match="without an id of its own"):
                    await desk.orders.recover()
                assert isinstance(await desk.orders.recover(), Reconciled)
                assert await desk.state(order.client_order_id) == "accepted"
                assert len(exchange.orders(session)) == 1

    asyncio.run(act())


def test_a_fill_without_an_id_is_not_booked_until_it_has_one(pack: Path, tmp_path: Path) -> None:
    async def act() -> None:
        with opened(pack, tmp_path / "exchange") as exchange:
            session = exchange.market.sessions[0]
            async with running(EngineBroker(exchange), tmp_path) as desk:
                advance_to(exchange, session, PhaseName.OPENING_AUCTION)
                await desk.orders.recover()
                await desk.orders.place(at_any_price(exchange, 2))
                advance_to(exchange, session, PhaseName.LUNCH)
                told = exchange.messages(0, EVERYTHING)
                nameless = [replace(one, exec_id="") if hasattr(one, "exec_id") else one for one in told]
                assert nameless != told, "nothing was filled: take another seed"
                with pytest.raises(BrokerSilent, match="without an id of its own"):
                    await desk.orders.take_in(nameless)
                assert await desk.fills() == []
                await desk.orders.take_in(told)
                assert await desk.positions() == held_there(exchange)
                count = await desk.journal.read(lambda c: c.execute(select(func.count(fills.c.exec_id))).scalar_one())
                assert count == sum(hasattr(one, "exec_id") for one in told)

    asyncio.run(act())


BAD_TICKS = {
    "crossed": tick(90_100, bid_e4=90_200, ask_e4=90_100, at_ns=at("10:00:03")),
    "zero": tick(0, at_ns=at("10:00:03")),
    "negative": tick(-90_100, at_ns=at("10:00:03")),
    "NaN": tick(at_ns=at("10:00:03"), last_e4=float("nan")),
    "out of order": tick(90_100, at_ns=at("09:59:59")),
    "duplicated": tick(at_ns=at("10:00")),
    "future": tick(90_100, at_ns=at("10:00:03") + 10**10),
    "of an unknown symbol": tick(90_100, symbol="Z", at_ns=at("10:00:03")),
    "of yesterday": tick(90_100, at_ns=at("10:00:03") - 86_400 * 10**9),
}


@pytest.mark.parametrize("bad", BAD_TICKS.values(), ids=BAD_TICKS)
def test_a_bad_tick_moves_no_price_is_queued_for_no_stop_and_is_told_to_nobody(bad: Tick) -> None:
    desk = TickDesk(lambda _: {"A": SymbolDay(facts("A"), Board.MAIN, 100, 100)}, BREAKERS, raw_prices=True)
    desk.begin(SESSION, at("09:15"))
    good, told = tick(), []
    assert desk.take([good], at("10:00:03")) == good.at_ns
    assert desk.pop() == good
    desk.tell(told.append)
    assert desk.take([bad], at("10:00:03")) == 0, "it proves no life"
    assert (desk.pop(), told) == (None, [])
    assert (desk.last("A"), desk.price_e4("A")) == (good, good.last_e4)
    assert json.dumps(sorted(desk.suspects())) == "[]"
