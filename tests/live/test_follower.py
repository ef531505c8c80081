"""The live loop over a real exchange process trades exactly as the backtest does, and goes on after anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import select

from ljwx_pipeline.backtest.engine import run_backtest
from ljwx_pipeline.config import Settings
from ljwx_pipeline.live.events import Reconciled
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.follower import BooksDiffer
from ljwx_pipeline.live.model import Model
from ljwx_pipeline.live.tables import account, orders, signals
from ljwx_pipeline.session_pack import read_session_pack
from ljwx_pipeline.trading.exchange_wire import Frame, Phase, PhaseName
from tests.fakes.desk_world import books, desk_at
from tests.fakes.exchange_process import exchange_process
from tests.fakes.followed import Followed, end_of_pack, stage, until
from tests.fakes.given_scores import BUNDLE, GivenScores, wide_open
from tests.fakes.live_market import live_tables, write_pack
from tests.fakes.sqlite_file import connect

FEED_SESSIONS = 12
OPTIONS = ("--port", "0", "--speed", "0", "--tick-seconds", "600")


@pytest.fixture
def feed(tmp_path: Path) -> ReplayFeed:
    tables = live_tables(seed=1, feed_sessions=FEED_SESSIONS)
    write_pack(tmp_path / "feed", tables, feed_sessions=FEED_SESSIONS, online_features=pd.DataFrame({"symbol": ["x"]}))
    return ReplayFeed(read_session_pack(tmp_path / "feed"))


def test_every_session_through_the_live_loop_equals_the_backtest_to_the_fen(
    tmp_path: Path, feed: ReplayFeed, settings: Settings
) -> None:
    scorer = GivenScores(feed, 1)
    scorer.table[3] = 10.0  # the name that is delisted in the middle: bought, held, written off

    async def run() -> dict[str, list[tuple[object, ...]]]:
        with exchange_process(tmp_path / "feed", tmp_path / "exchange", *OPTIONS) as exchange:
            async with desk_at(exchange.said["url"], tmp_path) as desk:
                await stage(desk, BUNDLE)
                await Followed(desk, feed, wide_open(settings), Model(BUNDLE, scorer)).follower.follow(end_of_pack)
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
    assert expected.written_off_fen.sum() > 0
    for column, name in enumerate(("cash_fen", "equity_fen", "fees_fen", "dividends_fen", "written_off_fen"), start=1):
        np.testing.assert_array_equal([row[column] for row in found["account"]], getattr(expected, name), name)


def test_a_pack_that_grows_is_traded_as_the_backtest_of_the_whole(tmp_path: Path, settings: Settings) -> None:
    tables = live_tables(seed=2, feed_sessions=6)
    online = pd.DataFrame({"symbol": ["x"]})
    write_pack(tmp_path / "whole", tables, feed_sessions=6, online_features=online)
    write_pack(tmp_path / "feed", tables.without(-1), feed_sessions=5, online_features=online)
    whole, short = (ReplayFeed(read_session_pack(tmp_path / name)) for name in ("whole", "feed"))
    scorer = GivenScores(whole, 2)
    model = Model(BUNDLE, scorer)

    async def run() -> dict[str, list[tuple[object, ...]]]:
        with exchange_process(tmp_path / "feed", tmp_path / "exchange", *OPTIONS) as exchange:
            async with desk_at(exchange.said["url"], tmp_path) as desk:
                await stage(desk, BUNDLE)
                await Followed(desk, short, wide_open(settings), model).follower.follow(end_of_pack)
                still_open = select(orders).where(orders.c.is_open == 1)
                waiting = await desk.journal.read(lambda c: c.execute(still_open).all())
                assert {one.valid_session for one in waiting} == {whole.sessions[-1].isoformat()}
                write_pack(tmp_path / "feed", tables, feed_sessions=6, online_features=online)
                await Followed(desk, whole, wide_open(settings), model).follower.follow(until(whole.sessions[-1]))
                stood = await desk.journal.read(
                    lambda c: [tuple(row) for row in c.execute(select(account).order_by(account.c.session))]
                )
                return {"account": stood, **books(desk.store)}

    found = asyncio.run(run())
    expected = run_backtest(
        whole.market,
        scorer.table,
        strategy=wide_open(settings).strategy,
        costs=settings.costs,
        first=whole.sessions[0],
        last=whole.sessions[-1],
    )
    assert any(fill[4] == whole.sessions[-1].isoformat() for fill in found["fills"]), "the last session traded"
    for column, values in ((1, expected.cash_fen), (2, expected.equity_fen), (3, expected.fees_fen)):
        np.testing.assert_array_equal([row[column] for row in found["account"]], values)


def test_without_a_model_nothing_is_decided_and_the_books_go_on(
    tmp_path: Path, feed: ReplayFeed, settings: Settings
) -> None:
    async def run() -> None:
        with exchange_process(tmp_path / "feed", tmp_path / "exchange", *OPTIONS) as exchange:
            async with desk_at(exchange.said["url"], tmp_path) as desk:
                followed = Followed(desk, feed, wide_open(settings), None)
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
                    await stage(desk, BUNDLE)
                    model = Model(BUNDLE, GivenScores(feed, 1))
                    await Followed(desk, feed, wide_open(settings), model).follower.follow(until(stop))
                    found = books(desk.store)
        return found

    last = feed.sessions[5]
    at_once = asyncio.run(run(tmp_path / "once", [last]))
    again = asyncio.run(run(tmp_path / "again", list(feed.sessions[:6])))
    assert again == at_once


def test_a_close_that_a_comparison_heard_of_first_is_decided_all_the_same(
    tmp_path: Path, feed: ReplayFeed, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        with exchange_process(tmp_path / "feed", tmp_path / "exchange", *OPTIONS) as exchange:
            async with desk_at(exchange.said["url"], tmp_path) as desk:
                stream = desk.broker.stream

                async def compared_first(after: int) -> AsyncIterator[Frame]:
                    async for frame in stream(after):
                        if any(isinstance(one, Phase) and one.phase is PhaseName.CLOSED for one in frame.durable):
                            assert isinstance(await desk.orders.recover(), Reconciled)
                        yield frame

                monkeypatch.setattr(desk.broker, "stream", compared_first)
                await stage(desk, BUNDLE)
                followed = Followed(desk, feed, wide_open(settings), Model(BUNDLE, GivenScores(feed, 1)))
                async with asyncio.timeout(30):
                    await followed.follower.follow(until(feed.sessions[3]))
                assert [one.session for one in followed.closes] == list(feed.sessions[:4])

    asyncio.run(run())


def test_books_that_differ_stop_the_loop_before_anything_is_sent(
    tmp_path: Path, feed: ReplayFeed, settings: Settings
) -> None:
    async def run() -> None:
        with exchange_process(tmp_path / "feed", tmp_path / "exchange", *OPTIONS) as exchange:
            async with desk_at(exchange.said["url"], tmp_path) as desk:
                await stage(desk, BUNDLE)
                model = Model(BUNDLE, GivenScores(feed, 1))
                await Followed(desk, feed, wide_open(settings), model).follower.follow(until(feed.sessions[1]))
                sent = exchange.ask("/orders")
                with closing(connect(desk.store.path)) as db:
                    db.execute("UPDATE account_now SET cash_fen = cash_fen + 1")
                again = Followed(desk, feed, wide_open(settings), model)
                with pytest.raises(BooksDiffer, match=r"cash is .* fen here and .* at the broker"):
                    await again.follower.follow(until(feed.sessions[2]))
                assert (again.connected, again.closes, exchange.ask("/orders")) == (0, [], sent)

    asyncio.run(run())
