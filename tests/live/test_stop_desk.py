"""Stops on ticks over a real exchange: triggered once, sold once, by their own orders, after T+1 and over a restart."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from ljwx_pipeline.config import ExitSettings, Settings
from ljwx_pipeline.live.events import SleeveBook, SleevesSettled, StrategyChanged, StrategyState
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.from_broker import MessageIntake
from ljwx_pipeline.live.order_desk import CANCELLED_UNSENT
from ljwx_pipeline.live.sleeves.attribution import carry
from ljwx_pipeline.live.sleeves.book import Books
from ljwx_pipeline.live.sleeves.reading import last_books, records_since
from ljwx_pipeline.live.sleeves.strategies import Schedule, StrategySpec
from ljwx_pipeline.live.stop_books import Watched as WatchedPosition
from ljwx_pipeline.live.stop_desk import restored
from ljwx_pipeline.live.tables import breaker_states, fills, orders, outbox, positions_now, stops_queued
from ljwx_pipeline.session_pack import read_session_pack
from ljwx_pipeline.trading.exchange_wire import FaultKind, Frame, Phase, PhaseName
from ljwx_pipeline.trading.exits import ExitParams
from ljwx_pipeline.trading.stops import HeldByStrategy, Stop, StopState
from ljwx_pipeline.trading.strict_json import to_json
from tests.fakes.desk_world import STRATEGY
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


async def buy_in_the_morning(
    watched: Watched, session: date, names: int, strategies: tuple[str, ...] = (STRATEGY,)
) -> list[str]:
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
            one = limit_buy(session, symbol, 200, tick.ask_e4, tick.at_ns)
            identities = {name: one.client_order_id.replace(STRATEGY, name) for name in strategies}
            await watched.desk.orders.place(
                [replace(one, client_order_id=identity, strategy=name) for name, identity in identities.items()]
            )
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


def test_frames_are_read_while_a_stop_s_order_is_on_its_way_to_a_slow_broker(
    tmp_path: Path, pack: Path, feed: ReplayFeed, settings: Settings
) -> None:
    first = feed.sessions[0]

    async def act() -> None:
        with exchange_process(pack, tmp_path / "exchange", *OPTIONS) as exchange:
            async with watched_at(exchange.said["url"], tmp_path, feed, settings, NEXT_DAY) as watched:
                await watched.connect()
                await buy_in_the_morning(watched, first, 2)
                await watched.follow(closed(first))
                exchange.fault(FaultKind.DELAY, count=1, seconds=1.0)
                trading = asyncio.create_task(watched.watch.trade_ticks())
                try:
                    slow = await _followed_until_an_order_was_answered(watched)
                finally:
                    trading.cancel()
                assert slow["frames"] >= 3
                assert slow["with messages"] >= 1
                assert slow["longest_s"] < 0.6
                sent = {(row["state"], row["reason"]) for row in rows(watched, orders, orders.c.leg.in_(STOP_LEGS))}
                answered = {one for one in sent if one[0] != "intended"}
                assert answered
                # the market waits for nobody: what comes after its session's close is refused, the next one's goes out
                assert answered <= {
                    ("accepted", ""),
                    ("partly_filled", ""),
                    ("filled", ""),
                    ("rejected", "MARKET_CLOSED"),
                    ("rejected", "STALE_SESSION"),
                }

    asyncio.run(act())


async def _followed_until_an_order_was_answered(watched: Watched) -> dict[str, float]:
    """Follow as the runner does; return what was read while the first stop's order was not answered yet."""
    seen = {"frames": 0.0, "with messages": 0.0, "longest_s": 0.0}
    after = await watched.desk.journal.read(MessageIntake(watched.desk.journal.log, watched.desk.broker.name).position)
    async for frame in watched.desk.broker.stream(after):
        await watched.desk.orders.take_in(frame.durable)
        began_s = time.monotonic()
        await watched.watch.on_messages(frame.durable)
        seen["longest_s"] = max(seen["longest_s"], time.monotonic() - began_s)
        watched.watch.on_ticks(frame.ticks)
        await asyncio.sleep(0.01)
        sent = rows(watched, orders, orders.c.leg.in_(STOP_LEGS))
        if any(row["state"] == "intended" for row in sent):
            seen["frames"] += 1
            seen["with messages"] += bool(frame.durable)
        elif sent:
            break
    return seen


def in_force(name: str, settings: Settings, share_bps: int, exits: ExitSettings) -> StrategyChanged:
    own = settings.strategy.model_copy(update={"exits": exits, "min_hold_sessions": 1})
    spec = StrategySpec(name, share_bps, "", "", Schedule.CLOSE, paused=False, strategy=own)
    return StrategyChanged(
        strategy=name,
        state=StrategyState.ACTIVE,
        settings=spec.settings_json(),
        capital_share_bps=share_bps,
        by="ljwx.toml",
    )


def test_a_stop_of_one_strategy_sells_that_strategy_s_shares_alone(
    tmp_path: Path, pack: Path, feed: ReplayFeed, settings: Settings
) -> None:
    first, second = feed.sessions[0], feed.sessions[1]
    none = settings.strategy.exits
    after_one = none.model_copy(update={"max_hold_sessions": 1})

    async def act() -> None:
        with exchange_process(pack, tmp_path / "exchange", *OPTIONS) as exchange:
            url, names = exchange.said["url"], ("core", "fast")
            async with watched_at(url, tmp_path, feed, settings, strategies=names) as watched:
                journal, epoch = watched.desk.journal, watched.desk.lease.epoch
                trading = [in_force("core", settings, 6_000, after_one), in_force("fast", settings, 3_000, none)]
                empty = [
                    SleeveBook(sleeve=name, share_bps=0, cash_fen=0, equity_fen=0, owes_fen=0, moved_fen=0, holdings=())
                    for name in ("", *names)
                ]
                settled_before = SleevesSettled(session=first - timedelta(days=1), books=tuple(empty))
                await journal.append([*trading, settled_before], epoch)
                await watched.connect()
                await buy_in_the_morning(watched, first, 4, names)
                await watched.follow(closed(first))
                bought = await settle(watched, first)
                both = [symbol for symbol in bought["core"] if symbol in bought["fast"]]
                assert both, "no name was filled for both: take another seed"
                await watched.follow(closed(second))
                sold = rows(watched, fills, fills.c.side == "sell")
                made = rows(watched, orders, orders.c.leg.in_(STOP_LEGS))
                assert sold, "every name was suspended or sealed: take another seed"
                assert {row["strategy"] for row in made} == {"core"}
                left = await settle(watched, second)
                assert left["fast"] == bought["fast"]
                for symbol in {row["symbol"] for row in sold}:
                    assert sum(row["shares"] for row in sold if row["symbol"] == symbol) <= bought["core"][symbol]
                assert any(symbol not in left["core"] for symbol in both)

    asyncio.run(act())


async def settle(watched: Watched, session: date) -> Mapping[str, dict[str, int]]:
    """Settle the sleeves' books of ``session`` as its close does; return shares by sleeve and symbol."""
    before, stated = await watched.desk.journal.read(last_books)
    found = await watched.desk.journal.read(lambda c: records_since(c, before, session, lambda _: {}))
    books = Books(stated)
    for record in found:
        carry(books, record)
    await watched.desk.journal.append([SleevesSettled(session=session, books=books.stated())], watched.desk.lease.epoch)
    return {name: {one: books.shares(name, one) for one in books.symbols_of(name)} for name in ("core", "fast")}


HELD = HeldByStrategy("core", "7", "600000.SH", date(2025, 3, 3), 1_000, 3, 100_000, 110_000)
FIRST_ID = "core|7|600000.SH|2025-03-06|sell|stop"


def kept(**changed: object) -> Any:
    """Return the position with its stop as the journal keeps it: its first order is out."""
    stop = Stop(
        HELD, StopState.WORKING, leg="stop", triggered_at_ns=1, trigger_price_e4=95_000, order_id=FIRST_ID,
        order_limit_e4=94_000, orders=(FIRST_ID,),
    )  # fmt: skip
    row = {
        "client_order_id": FIRST_ID, "exchange_order_id": "", "symbol": HELD.symbol, "side": "sell", "shares": 1_000,
        "execution": "continuous", "limit_price_e4": 94_000, "session": "2025-03-06", "valid_session": "2025-03-06",
        "state": "cancelled", "reason": CANCELLED_UNSENT, "filled_shares": 0, "is_open": 0, "decided_at_ns": 1,
    }  # fmt: skip
    text = json.dumps({**to_json(stop), "unsent_id": ""})  # as an earlier release wrote it
    return WatchedPosition(HELD, "core", AT_ONCE, 1_000, 0, text, ({**row, **changed},))


def test_an_order_that_was_cancelled_before_it_arrived_is_over_and_the_next_has_another_id(settings: Settings) -> None:
    stop = restored(kept(), settings.stops)
    assert (stop.state, stop.wait, stop.order_id) == (StopState.WAITING, CANCELLED_UNSENT, "")
    assert stop.orders == (FIRST_ID,)


def test_a_stop_whose_order_works_after_all_sends_no_second_one(settings: Settings) -> None:
    one = kept()
    waiting = restored(one, settings.stops)
    text = json.dumps(to_json(waiting))
    late = restored(replace(one, text=text, made=({**one.made[0], "state": "accepted", "is_open": 1},)), settings.stops)
    assert (late.state, late.order_id, late.order_limit_e4) == (StopState.WORKING, FIRST_ID, 94_000)
