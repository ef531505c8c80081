"""A close is traded however long its decision takes: no lease that ran out and no silence meanwhile denies it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import select

from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.config import Settings
from ljwx_pipeline.live import order_desk
from ljwx_pipeline.live import watch as watch_module
from ljwx_pipeline.live.brokers.port import BrokerSilent, LeaseLapsed
from ljwx_pipeline.live.close_books import TradingModel
from ljwx_pipeline.live.close_trading import Close, CloseTrader
from ljwx_pipeline.live.decision import Decider
from ljwx_pipeline.live.events import Reconciled, Stage
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.lease import Lease
from ljwx_pipeline.live.model import Model
from ljwx_pipeline.live.orders import OrderIntent
from ljwx_pipeline.live.risk_gate import Restraint
from ljwx_pipeline.live.tables import orders, outbox
from ljwx_pipeline.live.tasks import first_of
from ljwx_pipeline.live.watch import Watch
from ljwx_pipeline.live.watching import Watching, WatchingSettings
from ljwx_pipeline.session_pack import read_session_pack
from tests.fakes.desk_world import Desk, desk_at
from tests.fakes.exchange_process import exchange_process
from tests.fakes.followed import Followed, stage, until
from tests.fakes.given_scores import BUNDLE, GivenScores, wide_open
from tests.fakes.live_market import live_tables, write_pack

TERM_S = 0.4
LONGER_S = 1.0


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pack") / "feed"
    online = pd.DataFrame({"symbol": ["x"]})
    write_pack(folder, live_tables(seed=0, feed_sessions=3), feed_sessions=3, online_features=online)
    return folder


class SlowScores(GivenScores):
    """Scores that take longer than the lease's term."""

    def scores(self, session: date) -> np.ndarray:
        time.sleep(LONGER_S)
        return super().scores(session)


class Guarded(Followed):
    """A follower whose closes a real guard watches, as the runner's are; ``before`` is done as the close is judged."""

    def __init__(
        self,
        desk: Desk,
        feed: ReplayFeed,
        settings: Settings,
        watch: Watch,
        model: Model,
        before: Callable[[], Awaitable[None] | None],
    ) -> None:
        super().__init__(desk, feed, wide_open(settings), model)
        self.watch = watch
        self.before = before

        async def restraint(close: Close) -> Restraint:
            if (asked := self.before()) is not None:
                await asked
            return await watch.restraint(close)

        self.trader = CloseTrader(
            feed=feed,
            settings=wide_open(settings),
            journal=desk.journal,
            desk=desk.orders,
            models=lambda _: [TradingModel(Stage.CHAMPION, 10_000, model)],
            turn=asyncio.Lock(),
            denials=watch.denials,
            restraint=restraint,
        )

    async def on_connected(self) -> None:
        await self.watch.on_connected()


@asynccontextmanager
async def guarded(
    pack: Path,
    folder: Path,
    settings: Settings,
    *,
    scorer: type[GivenScores] = GivenScores,
    before: Callable[[], Awaitable[None] | None] = lambda: None,
) -> AsyncIterator[tuple[Desk, Guarded]]:
    feed, runner = ReplayFeed(read_session_pack(pack)), wide_open(settings)
    with exchange_process(pack, folder / "exchange", "--seed", "1", "--speed", "0") as exchange:
        async with desk_at(exchange.said["url"], folder, term_s=TERM_S) as desk:
            await stage(desk, BUNDLE)
            watching = await Watching.open(
                WatchingSettings(runner, settings.breakers, settings.stops, settings.costs),
                journal=desk.journal,
                fence=desk.lease,
                clock=SystemClock(),
                turn=asyncio.Lock(),
            )
            watch = watching.connect(desk.broker, desk.orders, lambda _: {}, raw_prices=False)
            yield desk, Guarded(desk, feed, settings, watch, Model(BUNDLE, scorer(feed, 0)), before)


async def renewing(lease: Lease) -> None:
    """Renew the lease as the runner does; each time takes a while, as on a machine that has much to do."""
    while True:
        await asyncio.sleep(TERM_S / 4)
        await asyncio.sleep(TERM_S / 8)
        await asyncio.to_thread(lease.renew)


def found_orders(desk: Desk) -> list[tuple[str, str]]:
    with desk.store.reading() as connection:
        return [tuple(row) for row in connection.execute(select(orders.c.state, orders.c.reason))]


@pytest.mark.slow
@pytest.mark.parametrize("where", ["scoring", "deciding", "on the event loop"])
def test_a_decision_that_takes_longer_than_the_lease_s_term_is_sent_and_not_denied(
    pack: Path, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def blocks() -> None:
        if where == "on the event loop":
            time.sleep(LONGER_S)

    if where == "deciding":
        intents = Decider.intents

        def slow(self: Decider, *given: object) -> tuple[OrderIntent, ...]:
            time.sleep(LONGER_S)
            return intents(self, *given)

        monkeypatch.setattr(Decider, "intents", slow)

    async def run() -> None:
        scorer = SlowScores if where == "scoring" else GivenScores
        async with guarded(pack, tmp_path, settings, scorer=scorer, before=blocks) as (desk, followed):
            first = ReplayFeed(read_session_pack(pack)).sessions[0]
            await first_of(renewing(desk.lease), followed.follower.follow(until(first)))
            await desk.orders.settle_all()
            found = found_orders(desk)
            assert found
            assert {state for state, _ in found} == {"accepted"}, found

    asyncio.run(run())


@pytest.mark.slow
def test_without_the_lease_a_close_stays_to_be_decided_and_is_alerted_once(
    pack: Path, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_desk, "_RENEWAL_LOOKS", 2)

    async def run() -> None:
        async with guarded(pack, tmp_path, settings) as (desk, followed):
            first = ReplayFeed(read_session_pack(pack)).sessions[0]
            desk.lease.renew()
            await followed.on_connected()
            close = await _first_close(desk, followed)
            assert close.session == first
            await asyncio.sleep(TERM_S)
            for _ in range(2):
                with pytest.raises(LeaseLapsed, match="was not renewed in time"):
                    await followed.trader.decide(close)
            assert found_orders(desk) == []
            with desk.store.reading() as connection:
                told = [tuple(row) for row in connection.execute(select(outbox.c.tier, outbox.c.code))]
            assert told == [("critical", "NO_LEASE")]
            desk.lease.renew()
            assert await followed.trader.decide(close)
            assert {state for state, _ in found_orders(desk)} == {"accepted"}

    asyncio.run(run())


def test_a_request_without_an_answer_just_before_a_close_is_judged_denies_nothing_once_the_books_were_compared(
    pack: Path, tmp_path: Path, settings: Settings
) -> None:
    async def run() -> None:
        async with guarded(pack, tmp_path, settings) as (desk, followed):
            watch = followed.watch
            followed.before = lambda: watch.on_unanswered(BrokerSilent("no answer", "wait"))

            async def compares() -> None:
                while True:
                    await watch.comparison_due()
                    since = watch.guard.moment
                    assert isinstance(await desk.orders.recover(), Reconciled)
                    await watch.on_compared(since)

            first = ReplayFeed(read_session_pack(pack)).sessions[0]
            await first_of(renewing(desk.lease), compares(), followed.follower.follow(until(first)))
            await desk.orders.settle_all()
            assert {state for state, _ in found_orders(desk)} == {"accepted"}, found_orders(desk)

    asyncio.run(run())


def test_while_the_broker_does_not_answer_a_close_stays_to_be_decided(
    pack: Path, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "ANSWERED_S", 0.2)

    async def run() -> None:
        async with guarded(pack, tmp_path, settings) as (desk, followed):
            desk.lease.renew()
            await followed.on_connected()
            close = await _first_close(desk, followed)
            await followed.watch.on_silent(BrokerSilent("the stream has ended", "wait"))
            desk.lease.renew()
            with pytest.raises(BrokerSilent, match="a close is to be decided"):
                await followed.trader.decide(close)
            assert found_orders(desk) == []
            await followed.on_connected()
            desk.lease.renew()
            assert await followed.trader.decide(close)
            assert {state for state, _ in found_orders(desk)} == {"accepted"}

    asyncio.run(run())


async def _first_close(desk: Desk, followed: Guarded) -> Close:
    """Follow to the first close without deciding it."""
    closes: list[Close] = []

    async def seen(close: Close) -> bool:
        closes.append(close)
        return True

    decide, followed.trader.decide = followed.trader.decide, seen  # type: ignore[method-assign]
    await first_of(renewing(desk.lease), followed.follower.follow(lambda closed, _: closed is not None))
    followed.trader.decide = decide  # type: ignore[method-assign]
    return closes[-1]
