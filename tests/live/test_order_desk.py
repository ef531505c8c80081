"""The order desk over a real exchange process: nothing lost and nothing doubled, whatever the network does."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.errors import Deposed, LiveError
from ljwx_pipeline.live.brokers.paper_exchange import PaperExchange
from ljwx_pipeline.live.brokers.port import BrokerSilent
from ljwx_pipeline.live.events import Reconciled, ReconciliationFailed
from ljwx_pipeline.live.order_desk import CANCELLED_UNSENT, STALE, OrderDesk
from ljwx_pipeline.live.outstanding import Outstanding
from ljwx_pipeline.live.tables import orders, positions_now
from ljwx_pipeline.session_pack import read_session_pack
from ljwx_pipeline.trading.exchange_wire import PROTOCOL, SERVICE, FaultKind, PhaseName
from ljwx_pipeline.trading.modes import Action, standing
from tests.fakes.desk_world import STRATEGY, Desk, books, decided, desk_at, trade
from tests.fakes.exchange_process import ExchangeProcess, exchange_process
from tests.fakes.exchange_world import write_market

SESSIONS = 4
OPTIONS = ("--port", "0", "--speed", "0", "--tick-seconds", "600", "--allow-faults")


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_market(tmp_path_factory.mktemp("pack") / "feed", feed_sessions=SESSIONS)


@pytest.fixture(scope="module")
def symbols(pack: Path) -> list[str]:
    return sorted(read_session_pack(pack).securities["symbol"])


@pytest.fixture(scope="module")
def undisturbed(pack: Path, symbols: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    folder = tmp_path_factory.mktemp("undisturbed")

    async def day() -> dict[str, object]:
        with exchange_process(pack, folder / "exchange", *OPTIONS) as exchange:
            async with desk_at(exchange.said["url"], folder) as desk:
                await trade(desk, symbols, sessions=SESSIONS)
                await same_as_exchange(desk, exchange)
                return books(desk.store)

    found = asyncio.run(day())
    assert len(found["fills"]) > 10
    return found


async def same_as_exchange(desk: Desk, exchange: ExchangeProcess) -> None:
    """Every order, fill, position and fen is the same on both sides."""
    assert isinstance(await desk.orders.reconcile(), Reconciled)
    statement = await desk.broker.account()
    ours = await desk.journal.read(
        lambda c: {row.symbol: row.shares for row in c.execute(select(positions_now.c.symbol, positions_now.c.shares))}
    )
    assert ours == {one.symbol: one.shares for one in statement.positions}
    found = books(desk.store)
    theirs = [one for one in exchange.messages() if type(one).__name__ == "FillReport"]
    named = [(one.client_order_id or f"external|paper|{one.exchange_order_id}", one) for one in theirs]
    assert sorted((identity, one.shares, one.value_fen) for identity, one in named) == sorted(
        (identity, shares, value) for identity, shares, _, value, _ in found["fills"]
    )


def test_a_quiet_market_ends_in_the_same_books_on_both_sides(undisturbed: dict[str, object]) -> None:
    states = {state for _, state, _, _ in undisturbed["orders"]}
    assert {"filled", "lapsed"} <= states


@pytest.mark.parametrize("kind", [one for one in FaultKind if one is not FaultKind.REJECT_NEXT])
def test_a_fault_of_the_network_changes_nothing_in_the_end(
    kind: FaultKind, pack: Path, symbols: list[str], undisturbed: dict[str, object], tmp_path: Path
) -> None:
    async def day() -> None:
        with exchange_process(pack, tmp_path / "exchange", *OPTIONS) as exchange:
            async with desk_at(exchange.said["url"], tmp_path, timeout_s=0.7) as desk:
                exchange.fault(kind, count=3, seconds=1.0)
                await trade(desk, symbols, sessions=SESSIONS)
                await same_as_exchange(desk, exchange)
                assert books(desk.store) == undisturbed

    asyncio.run(day())


def test_an_exchange_that_is_killed_and_comes_back_is_asked_before_anything_is_sent_again(
    pack: Path, symbols: list[str], undisturbed: dict[str, object], tmp_path: Path
) -> None:
    async def day() -> None:
        with exchange_process(pack, tmp_path / "exchange", *OPTIONS) as first:
            async with desk_at(first.said["url"], tmp_path, timeout_s=2.0) as desk:
                await trade(desk, symbols, sessions=2)
                first.kill()
                with pytest.raises(BrokerSilent):
                    await desk.orders.recover()
        with exchange_process(pack, tmp_path / "exchange", *OPTIONS) as again:
            async with desk_at(again.said["url"], tmp_path) as desk:
                await trade(desk, symbols, sessions=SESSIONS)
                await same_as_exchange(desk, again)
                assert books(desk.store) == undisturbed

    asyncio.run(day())


def test_an_order_stays_accepted_when_the_exchange_s_name_cannot_be_resolved(
    pack: Path, symbols: list[str], tmp_path: Path
) -> None:
    async def day() -> None:
        with exchange_process(pack, tmp_path / "exchange", *OPTIONS) as exchange:
            async with desk_at(exchange.said["url"], tmp_path) as desk:
                await trade(desk, symbols, sessions=1)
                before = books(desk.store)
                assert any(state == "accepted" for _, state, _, _ in before["orders"])
            async with desk_at("http://no-such-host.invalid:1", tmp_path) as lost:
                with pytest.raises(BrokerSilent, match="brought no answer"):
                    await lost.orders.recover()
                assert books(lost.store) == before

    asyncio.run(day())


def test_a_deposed_desk_neither_writes_nor_sends(pack: Path, symbols: list[str], tmp_path: Path) -> None:
    async def day() -> None:
        with exchange_process(pack, tmp_path / "exchange", *OPTIONS) as exchange:
            async with desk_at(exchange.said["url"], tmp_path) as desk:
                await trade(desk, symbols, sessions=1)
                before = exchange.ask("/clock")["last_seq"]
                clock = await desk.broker.clock()
                assert clock.session is not None
                assert clock.next_session is not None
                late = decided(clock.session, clock.next_session, symbols[0], 100)
                late = replace(late, client_order_id="late")
                desk.lease.release()
                async with desk_at(exchange.said["url"], tmp_path, holder="second"):
                    with pytest.raises(Deposed):
                        await desk.orders.place([late])
                assert exchange.ask("/clock")["last_seq"] == before
                assert "late" not in {identity for identity, *_ in books(desk.store)["orders"]}

    asyncio.run(day())


def test_an_exchange_that_saw_a_higher_epoch_refuses_whoever_comes_late(
    pack: Path, symbols: list[str], tmp_path: Path
) -> None:
    async def day() -> None:
        with exchange_process(pack, tmp_path / "exchange", *OPTIONS) as exchange:
            async with desk_at(exchange.said["url"], tmp_path) as desk:
                await trade(desk, symbols, sessions=1)
                clock = await desk.broker.clock()
                assert clock.session is not None
                assert clock.next_session is not None
                order = decided(clock.session, clock.next_session, symbols[0], 100)
                wire = replace_id(order, "too-late")
                with pytest.raises(Deposed, match="higher epoch"):
                    await desk.broker.submit(wire, epoch=0)
                assert await desk.broker.order("too-late") is None

    asyncio.run(day())


def test_an_order_by_hand_is_adopted_with_its_fills(pack: Path, symbols: list[str], tmp_path: Path) -> None:
    async def day() -> None:
        with exchange_process(pack, tmp_path / "exchange", *OPTIONS) as exchange:
            async with desk_at(exchange.said["url"], tmp_path) as desk:
                await trade(desk, symbols, sessions=1)
                clock = await desk.broker.clock()
                assert clock.next_session is not None
                taken = {one.symbol for one in await desk.broker.orders(clock.next_session)}
                free = next(symbol for symbol in symbols if symbol not in taken)
                by_hand = replace_id(decided(clock.next_session, clock.next_session, free, 200), "")
                from ljwx_pipeline.trading.strict_json import to_json

                answer = exchange.http.post("/by-hand", json=to_json(by_hand))
                assert answer.is_success, answer.text
                await trade(desk, symbols, sessions=SESSIONS)
                await same_as_exchange(desk, exchange)
                adopted = await desk.journal.read(
                    lambda c: c.execute(select(orders.c.symbol).where(orders.c.leg == "adopted")).scalars().all()
                )
                assert adopted == [free]

    asyncio.run(day())


def test_an_order_whose_session_is_over_is_not_sent_after_a_reconnect(
    pack: Path, symbols: list[str], tmp_path: Path
) -> None:
    async def day() -> None:
        with exchange_process(pack, tmp_path / "exchange", *OPTIONS) as exchange:
            async with desk_at(exchange.said["url"], tmp_path, timeout_s=1.0) as desk:
                await trade(desk, symbols, sessions=1)
                clock = await desk.broker.clock()
                assert clock.session is not None
                stale = replace(decided(clock.session, clock.session, symbols[0], 100), client_order_id="stale")
                exchange.fault(FaultKind.CUT_AFTER_REQUEST, count=1)
                await desk.orders.place([stale])
                state = await desk.journal.read(
                    lambda c: c.execute(select(orders.c.state).where(orders.c.client_order_id == "stale")).scalar()
                )
                assert state == "unknown"
                await desk.orders.settle()
                row = await desk.journal.read(
                    lambda c: c.execute(
                        select(orders.c.state, orders.c.reason).where(orders.c.client_order_id == "stale")
                    ).one()
                )
                assert tuple(row) == ("lapsed", STALE)
                assert await desk.broker.order("stale") is None

    asyncio.run(day())


def test_books_that_differ_are_told_and_not_overwritten(pack: Path, symbols: list[str], tmp_path: Path) -> None:
    async def day() -> None:
        with exchange_process(pack, tmp_path / "exchange", *OPTIONS) as exchange:
            async with desk_at(exchange.said["url"], tmp_path) as desk:
                await trade(desk, symbols, sessions=2)
                wrong = positions_now.update().values(shares=positions_now.c.shares + 100)
                await desk.journal.write(lambda c: c.execute(wrong).rowcount)
                found = await desk.orders.reconcile()
                assert isinstance(found, ReconciliationFailed)
                assert "shares" in found.differences[0]

    asyncio.run(day())


def test_an_exchange_that_forgot_what_it_said_differs_and_is_no_outage(
    pack: Path, symbols: list[str], tmp_path: Path
) -> None:
    async def day() -> None:
        with exchange_process(pack, tmp_path / "exchange", *OPTIONS) as exchange:
            async with desk_at(exchange.said["url"], tmp_path) as desk:
                await trade(desk, symbols, sessions=1)
        with exchange_process(pack, tmp_path / "begun-anew", *OPTIONS) as exchange:
            async with desk_at(exchange.said["url"], tmp_path) as desk:
                found = await desk.orders.recover()
                assert isinstance(found, ReconciliationFailed)
                assert "it was begun anew or is an older copy" in found.differences[0]

    asyncio.run(day())


def replace_id(order: object, identity: str) -> object:
    from ljwx_pipeline.live.outstanding import new_order

    return replace(new_order(order), client_order_id=identity)


def test_what_answers_there_is_asked_who_it_is(pack: Path, tmp_path: Path) -> None:
    async def day() -> None:
        with exchange_process(pack, tmp_path / "exchange", *OPTIONS) as exchange:
            broker = PaperExchange(exchange.said["url"], timeout_s=5.0)
            await broker.highest_epoch()
            assert (await broker.clock()).phase in (None, *PhaseName)
            await broker.close()

    asyncio.run(day())


@pytest.mark.parametrize(
    "answer",
    [
        {"service": "ljwx-runner", "protocol": PROTOCOL, "epoch": 0},
        {"service": SERVICE, "protocol": PROTOCOL + 1, "epoch": 0},
        {"service": SERVICE, "protocol": PROTOCOL},
        {"service": SERVICE, "protocol": PROTOCOL, "epoch": "7"},
    ],
    ids=str,
)
def test_what_answers_otherwise_than_a_paper_exchange_is_refused(answer: dict[str, object]) -> None:
    async def answers(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = json.dumps(answer).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    async def day() -> None:
        async with await asyncio.start_server(answers, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            broker = PaperExchange(f"http://127.0.0.1:{port}", timeout_s=5.0)
            with pytest.raises(LiveError, match=f"not as '{SERVICE}', protocol {PROTOCOL}, with an epoch"):
                await broker.highest_epoch()
            await broker.close()

    asyncio.run(day())


def test_what_never_left_is_finished_where_the_guard_forbids_it_or_somebody_cancels_it(
    pack: Path, symbols: list[str], tmp_path: Path
) -> None:
    async def day() -> None:
        with exchange_process(pack, tmp_path / "exchange", *OPTIONS) as exchange:
            async with desk_at(exchange.said["url"], tmp_path) as desk:
                await trade(desk, symbols, sessions=1)
                clock = await desk.broker.clock()
                assert clock.session is not None
                assert clock.next_session is not None
                held = {one.symbol for one in (await desk.broker.account()).positions}
                free = [one for one in symbols if one not in held][:3]
                left = [
                    replace(decided(clock.session, clock.next_session, name, 100), client_order_id=f"left|{name}")
                    for name in free
                ]
                denied, cancelled, allowed = (one.client_order_id for one in left)
                await desk.journal.append(left, desk.lease.epoch)
                asked: list[tuple[str, str]] = []
                code = standing((), ()).denial(Action.OPEN)  # breakers whose state is lost count as tripped

                def may_send(one: Outstanding) -> str:
                    asked.append((one.order.client_order_id, one.strategy))
                    return code if one.order.client_order_id == denied else ""

                watched = OrderDesk(
                    journal=desk.journal,
                    broker=desk.broker,
                    fence=desk.lease,
                    clock=SystemClock(),
                    max_order_age_s=60,
                    may_send=may_send,
                )
                await watched.cancel(cancelled)
                assert await watched.settle() == 1
                # once when it is found unsent, and again in the moment before it leaves
                assert sorted(asked) == sorted([(denied, STRATEGY), (allowed, STRATEGY), (allowed, STRATEGY)])
                found = await desk.journal.read(
                    lambda c: {
                        row.client_order_id: (row.state, row.reason, row.is_open)
                        for row in c.execute(select(orders).where(orders.c.client_order_id.like("left|%")))
                    }
                )
                assert found[denied] == ("cancelled", code, 0)
                assert found[cancelled] == ("cancelled", CANCELLED_UNSENT, 0)
                assert found[allowed][0] == "accepted"
                assert await desk.broker.order(denied) is None
                assert await desk.broker.order(cancelled) is None

    asyncio.run(day())
