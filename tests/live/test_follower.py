"""The live loop over a real exchange process trades exactly as the backtest does, and goes on after anything."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import select

from ljwx_pipeline.backtest.engine import run_backtest
from ljwx_pipeline.config import Settings
from ljwx_pipeline.live.brokers.port import BrokerSilent
from ljwx_pipeline.live.close_trading import Close, CloseTrader
from ljwx_pipeline.live.decision import Decider
from ljwx_pipeline.live.events import BundleStaged, Stage
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.follower import Follower, Hooks
from ljwx_pipeline.live.runner import Model
from ljwx_pipeline.live.tables import account, signals
from ljwx_pipeline.session_pack import read_session_pack
from tests.fakes.desk_world import Desk, books, desk_at
from tests.fakes.exchange_process import exchange_process
from tests.fakes.live_market import live_tables, write_pack
from tests.live.test_runner import BUNDLE, GivenScores, wide_open

FEED_SESSIONS = 12
OPTIONS = ("--port", "0", "--speed", "0", "--tick-seconds", "600")


@pytest.fixture
def feed(tmp_path: Path) -> ReplayFeed:
    tables = live_tables(seed=1, feed_sessions=FEED_SESSIONS)
    write_pack(tmp_path / "feed", tables, feed_sessions=FEED_SESSIONS, online_features=pd.DataFrame({"symbol": ["x"]}))
    return ReplayFeed(read_session_pack(tmp_path / "feed"))


class Followed:
    """A follower that trades given scores, and what its hooks were told."""

    def __init__(self, desk: Desk, feed: ReplayFeed, settings: Settings, scorer: GivenScores) -> None:
        self.silent: list[str] = []
        self.connected = 0
        self.model: Model | None = Model(BUNDLE, scorer)
        self.trader = CloseTrader(
            "topk-dropout",
            feed=feed,
            decider=Decider(feed, wide_open(settings)),
            journal=desk.journal,
            desk=desk.orders,
            model=lambda: self.model,
        )
        hooks = Hooks(self.on_close, self.on_connected, self.on_silent, lambda _: None)
        self.follower = Follower(broker=desk.broker, journal=desk.journal, desk=desk.orders, hooks=hooks)

    async def on_close(self, close: Close) -> None:
        await self.trader.decide(close)

    async def on_connected(self) -> None:
        self.connected += 1

    async def on_silent(self, error: BrokerSilent) -> None:
        self.silent.append(error.fact)


async def stage(desk: Desk) -> None:
    """Give the journal the bundle that the scores are said to be of."""
    staged = BundleStaged(
        strategy="",
        stage=Stage.CHAMPION,
        bundle_hash=BUNDLE.bundle_hash,
        model_version=BUNDLE.model_version,
        last_train_session=BUNDLE.last_train_session,
        capital_share_bps=10_000,
    )
    await desk.journal.append([staged], desk.lease.epoch)


def until(session: date) -> object:
    return lambda closed, _: closed is not None and closed >= session


def end_of_pack(closed: date | None, last: bool) -> bool:
    return closed is not None and last


def test_every_session_through_the_live_loop_equals_the_backtest_to_the_fen(
    tmp_path: Path, feed: ReplayFeed, settings: Settings
) -> None:
    scorer = GivenScores(feed, 1)

    async def run() -> dict[str, list[tuple[object, ...]]]:
        with exchange_process(tmp_path / "feed", tmp_path / "exchange", *OPTIONS) as exchange:
            async with desk_at(exchange.said["url"], tmp_path) as desk:
                await stage(desk)
                await Followed(desk, feed, settings, scorer).follower.follow(end_of_pack)
                stood = await desk.journal.read(
                    lambda c: [tuple(row) for row in c.execute(select(account).order_by(account.c.session))]
                )
                return {"account": stood, **books(desk.store)}

    found = asyncio.run(run())
    expected = run_backtest(
        feed.market,
        scorer.table,
        strategy=wide_open(settings).strategy,
        costs=settings.costs,
        first=feed.sessions[0],
        last=feed.sessions[-1],
    )
    assert len(found["fills"]) > 20
    for column, values in ((1, expected.cash_fen), (2, expected.equity_fen), (3, expected.fees_fen)):
        np.testing.assert_array_equal([row[column] for row in found["account"]], values)
    np.testing.assert_array_equal([row[4] for row in found["account"]], expected.dividends_fen)


def test_without_a_model_nothing_is_decided_and_the_books_go_on(
    tmp_path: Path, feed: ReplayFeed, settings: Settings
) -> None:
    async def run() -> None:
        with exchange_process(tmp_path / "feed", tmp_path / "exchange", *OPTIONS) as exchange:
            async with desk_at(exchange.said["url"], tmp_path) as desk:
                followed = Followed(desk, feed, settings, GivenScores(feed, 1))
                followed.model = None
                await followed.follower.follow(until(feed.sessions[2]))
                assert await desk.journal.read(lambda c: len(c.execute(select(account)).all())) == 3
                assert not await desk.journal.read(lambda c: c.execute(select(signals)).all())

    asyncio.run(run())


def test_stopped_after_each_session_and_started_again_it_ends_in_the_same_books(
    tmp_path: Path, feed: ReplayFeed, settings: Settings
) -> None:
    async def run(folder: Path, stops: list[date]) -> dict[str, list[tuple[object, ...]]]:
        with exchange_process(tmp_path / "feed", folder / "exchange", *OPTIONS) as exchange:
            for stop in stops:
                async with desk_at(exchange.said["url"], folder) as desk:
                    await stage(desk)
                    await Followed(desk, feed, settings, GivenScores(feed, 1)).follower.follow(until(stop))
                    found = books(desk.store)
        return found

    last = feed.sessions[5]
    at_once = asyncio.run(run(tmp_path / "once", [last]))
    again = asyncio.run(run(tmp_path / "again", list(feed.sessions[:6])))
    assert again == at_once
