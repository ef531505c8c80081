"""Stops on ticks over a real exchange: triggered once, sold once, by their own orders, after T+1 and over a restart."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from ljwx_pipeline.config import Settings
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.tables import breaker_states, fills, orders, outbox, positions_now, stops_queued
from ljwx_pipeline.session_pack import read_session_pack
from ljwx_pipeline.trading.exchange_wire import Frame, Phase, PhaseName
from ljwx_pipeline.trading.exits import ExitParams
from ljwx_pipeline.trading.stops import StopState
from tests.fakes.exchange_process import exchange_process
from tests.fakes.watched_desk import NO_EXITS, OPTIONS, Watched, limit_buy, watched_at, write_small_pack

#: Whatever is a basis point below what was paid goes; whatever is a session old goes.
AT_ONCE, NEXT_DAY = ExitParams(1, 0, 0, 0), ExitParams(0, 0, 0, 1)
STOP_LEGS = ("stop", "take_profit", "trailing", "time_stop")


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_pack(tmp_path_factory.mktemp("pack") / "feed")


@pytest.fixture(scope="module")
def feed(pack: Path) -> ReplayFeed:
    return ReplayFeed(read_session_pack(pack))


def rows(watched: Watched, table: Any, *where: Any) -> list[Any]:
    with watched.desk.store.reading() as connection:
        return list(connection.execute(select(table).where(*where)).mappings())


async def buy_in_the_morning(watched: Watched, session: date, names: int) -> list[str]:
    """Follow until trading has begun on ``session``, buy at the ask, inside the cage, and wait for the first fill."""
    bought: list[str] = []

    async def until(frame: Frame) -> bool:
        if watched.watch.ticks.session != session:
            return False
        if bought:
            filled = rows(watched, fills, fills.c.session == session.isoformat(), fills.c.side == "buy")
            return bool(filled) or await closed(session)(frame)
        for symbol, day in watched.watch.ticks.days.items():
            tick = watched.watch.ticks.last(symbol)
            if tick is None or not tick.ask_e4 or len(bought) == names:
                continue
            if day.facts.hours.continuous_ns(tick.at_ns) <= 0:
                continue
            bought.append(symbol)
            await watched.desk.orders.place([limit_buy(session, symbol, 200, tick.ask_e4, tick.at_ns)])
        return False

    await watched.follow(until)
    return bought


def closed(session: date) -> Any:
    async def until(frame: Frame) -> bool:
        ended = [one for one in frame.durable if isinstance(one, Phase) and one.phase is PhaseName.CLOSED]
        return any(one.session >= session for one in ended)

    return until


def test_a_stop_right_after_its_fill_waits_for_the_next_opening_and_sells_once(
    tmp_path: Path, pack: Path, feed: ReplayFeed, settings: Settings
) -> None:
    first, second = feed.sessions[0], feed.sessions[1]

    async def act() -> None:
        with exchange_process(pack, tmp_path / "exchange", *OPTIONS) as exchange:
            async with watched_at(exchange.said["url"], tmp_path, feed, settings, AT_ONCE) as watched:
                await watched.connect()
                bought = await buy_in_the_morning(watched, first, 6)
                await watched.follow(closed(first))
                queued = {row["symbol"]: row for row in rows(watched, stops_queued)}
                held = {row["symbol"] for row in rows(watched, positions_now)}
                assert queued, "no name fell below what was paid: take another seed"
                assert set(queued) <= held <= set(bought)
                assert {row["valid_session"] for row in queued.values()} == {second.isoformat()}
                assert all("T_PLUS_1" in row["reason"] or "MARKET_CLOSED" in row["reason"] for row in queued.values())
                assert not rows(watched, orders, orders.c.leg.in_(STOP_LEGS))  # nothing can be sold today
                assert rows(watched, outbox, outbox.c.code.like("STOP_%"))
            # a new process: what had triggered stays so
            async with watched_at(exchange.said["url"], tmp_path, feed, settings, AT_ONCE) as again:
                await again.connect()
                stops = again.watch.stops.stops.values()
                waiting = {one.position.symbol for one in stops if one.state is not StopState.WATCHING}
                assert waiting == set(queued)
                await again.follow(closed(second))
                held = {row["symbol"] for row in rows(again, positions_now)}
                sold = set(queued) - held
                assert sold, "every name was suspended or sealed: take another seed"
                for symbol in sold:
                    of_symbol = rows(again, fills, fills.c.symbol == symbol, fills.c.side == "sell")
                    assert sum(row["shares"] for row in of_symbol) == 200
                    assert {row["client_order_id"].split("|")[-1].split(".")[0] for row in of_symbol} == {"stop"}
                assert not {row["symbol"] for row in rows(again, stops_queued)} & sold

    asyncio.run(act())


def test_a_fill_of_another_order_is_no_stop_s_and_a_new_purchase_has_a_stop_of_its_own(
    tmp_path: Path, pack: Path, feed: ReplayFeed, settings: Settings
) -> None:
    first, second = feed.sessions[0], feed.sessions[1]

    async def act() -> None:
        with exchange_process(pack, tmp_path / "exchange", *OPTIONS) as exchange:
            async with watched_at(exchange.said["url"], tmp_path, feed, settings, NO_EXITS) as watched:
                await watched.connect()
                await buy_in_the_morning(watched, first, 3)
                await watched.follow(closed(first))
            # the rule is switched on over the night: all of it is a session old and goes in the opening auction
            async with watched_at(exchange.said["url"], tmp_path, feed, settings, NEXT_DAY) as watched:
                await watched.connect()
                before = {row["symbol"] for row in rows(watched, positions_now)}
                old = dict(watched.watch.stops.stops)
                assert {opened for _, _, opened in old} == {first}
                bought = await buy_in_the_morning(watched, second, 12)
                again = before & set(bought)
                await watched.follow(closed(second))
                sold = {row["symbol"] for row in rows(watched, fills, fills.c.side == "sell")}
                held = {row["symbol"]: row for row in rows(watched, positions_now)}
                rebought = again & sold & {s for s, row in held.items() if row["held_sessions"] == 0}
                assert rebought, "no name was sold and bought again: take another seed"
                for (_, symbol, opened), stop in watched.watch.stops.stops.items():
                    if symbol in rebought:
                        assert opened == second
                        assert stop.orders == ()  # the old position's order is not its own
                        assert stop.state is StopState.WATCHING
                        assert stop.position.shares == 200
                for row in rows(watched, fills, fills.c.side == "sell"):
                    assert "|time_stop" in row["client_order_id"]
                    assert row["session"] == second.isoformat()

    asyncio.run(act())


def test_a_stop_sends_nothing_while_the_guard_forbids_it_and_says_why(
    tmp_path: Path, pack: Path, feed: ReplayFeed, settings: Settings
) -> None:
    first, second = feed.sessions[0], feed.sessions[1]

    async def act() -> None:
        with exchange_process(pack, tmp_path / "exchange", *OPTIONS) as exchange:
            async with watched_at(exchange.said["url"], tmp_path, feed, settings, NEXT_DAY) as watched:
                await watched.connect()
                await buy_in_the_morning(watched, first, 2)
                await watched.follow(closed(first))
                await watched.watch.guard.kill(by="wu", reason="a test")
                await watched.follow(closed(second))
                assert not rows(watched, orders, orders.c.leg.in_(STOP_LEGS))
                stops = watched.watch.stops.stops.values()
                waits = {stop.wait for stop in stops if stop.state is not StopState.WATCHING}
                assert waits
                assert waits <= {"KILL_SWITCH", "MARKET_CLOSED", "LIMIT_DOWN"}
                kept = rows(watched, breaker_states, breaker_states.c.breaker == "STOP")
                assert kept

    asyncio.run(act())
