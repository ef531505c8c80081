"""A desk over a real exchange process, watched: guard, ticks and stops as the runner wires them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

import pandas as pd

from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.config import Settings
from ljwx_pipeline.live.control import HandControl
from ljwx_pipeline.live.events import OrderDecided, Reconciled
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.from_broker import MessageIntake
from ljwx_pipeline.live.guard import Guard, GuardSettings
from ljwx_pipeline.live.guard_ticks import TickDesk, days_of_pack
from ljwx_pipeline.live.market_time import MarketTime
from ljwx_pipeline.live.orders import Leg
from ljwx_pipeline.live.stop_desk import StopDesk
from ljwx_pipeline.live.watch import Watch, WatchSettings
from ljwx_pipeline.trading.exchange_wire import Execution, Frame, Side
from ljwx_pipeline.trading.exits import ExitParams
from tests.fakes.desk_world import STRATEGY, Desk, desk_at
from tests.fakes.live_market import live_tables, write_pack

NO_EXITS = ExitParams(0, 0, 0, 0)
OPTIONS = ("--port", "0", "--speed", "0", "--tick-seconds", "600", "--allow-faults")


def write_small_pack(folder: Path) -> Path:
    """Write the pack of a small violent market of five sessions and return its folder."""
    tables = live_tables(symbols=12, sessions=80, seed=3, feed_sessions=5)
    write_pack(folder, tables, feed_sessions=5, online_features=pd.DataFrame({"symbol": ["x"]}))
    return folder


@dataclass
class Watched:
    """A desk and all that watches it."""

    desk: Desk
    watch: Watch
    control: HandControl
    feed: ReplayFeed
    #: Held by whoever closes, or decides a close.
    turn: asyncio.Lock

    async def connect(self) -> None:
        assert isinstance(await self.desk.orders.recover(), Reconciled)
        await self.watch.on_connected()
        await self.watch.trade_queued()

    async def follow(self, until: Callable[[Frame], Awaitable[bool]]) -> None:
        """Follow the stream as the runner does, until ``until`` says so of a frame that was dealt with."""
        after = await self.desk.journal.read(MessageIntake(self.desk.journal.log, self.desk.broker.name).position)
        async for frame in self.desk.broker.stream(after):
            await self.desk.orders.take_in(frame.durable)
            await self.watch.on_messages(frame.durable)
            self.watch.on_ticks(frame.ticks)
            await self.watch.trade_queued()
            await self.watch.each_second()
            await self.watch.trade_queued()
            if await until(frame):
                return


@asynccontextmanager
async def watched_at(
    address: str,
    folder: Path,
    feed: ReplayFeed,
    settings: Settings,
    exits: ExitParams = NO_EXITS,
    strategies: tuple[str, ...] = (STRATEGY,),
) -> AsyncIterator[Watched]:
    """A watched desk whose journal lies in ``folder``, connected."""
    clock = SystemClock()
    async with desk_at(address, folder) as desk:
        guard = await Guard.open(
            journal=desk.journal,
            fence=desk.lease,
            clock=clock,
            settings=GuardSettings(
                settings.breakers, settings.live.max_bundle_age_days, round(settings.strategy.capital_cny * 100)
            ),
            strategies=strategies,
        )
        ticks = TickDesk(partial(days_of_pack, feed), settings.breakers, raw_prices=True)
        stops = StopDesk(
            journal=desk.journal,
            fence=desk.lease,
            desk=desk.orders,
            guard=guard,
            ticks=ticks,
            exits={STRATEGY: exits},
            settings=settings.stops.model_copy(update={"on_ticks": True}),
            risk=settings.risk,
        )
        watch = Watch(
            guard=guard,
            ticks=ticks,
            stops=stops,
            market=MarketTime(clock, simulated=True),
            journal=desk.journal,
            fence=desk.lease,
            broker=desk.broker,
            settings=WatchSettings(settings.breakers, settings.costs),
        )
        turn = asyncio.Lock()
        control = HandControl(
            watch=watch, journal=desk.journal, desk=desk.orders, broker=desk.broker, stops=settings.stops, turn=turn
        )
        yield Watched(desk, watch, control, feed, turn)


def limit_buy(session: date, symbol: str, shares: int, limit_e4: int, at_ns: int) -> OrderDecided:
    """A purchase against the ticks of ``session``."""
    return OrderDecided(
        client_order_id=f"{STRATEGY}|1|{symbol}|{session}|buy|decide",
        strategy=STRATEGY,
        leg=Leg.DECIDE,
        session=session,
        valid_session=session,
        bundle_hash=None,
        symbol=symbol,
        side=Side.BUY,
        shares=shares,
        rank=0,
        execution=Execution.CONTINUOUS,
        limit_price_e4=limit_e4,
        reference_price_e4=limit_e4,
        denial="",
        decided_at_ns=at_ns,
    )
