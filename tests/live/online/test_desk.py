"""The desk follows an exchange's frames from session to session and says nothing where all adds up."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import numpy as np

from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.live.online.desk import SignalDesk
from ljwx_pipeline.live.online.signals import LiveSignals, Signal
from ljwx_pipeline.live.scorer import BundleScorer
from ljwx_pipeline.trading.exchange_wire import Frame, Phase, PhaseName, Tick
from ljwx_pipeline.trading.strict_json import from_row
from tests.fakes.exchange_world import opened
from tests.fakes.live_ticks import BREAKERS
from tests.fakes.online_world import SPECIAL, mixed_catalogue, online_world


def test_sessions_are_opened_by_their_auction_told_beside_and_closed_without_an_alert(tmp_path: Path) -> None:
    world = online_world(tmp_path, mixed_catalogue())
    scorer = BundleScorer(world.bundle, world.history())
    desk, told = SignalDesk(LiveSignals(scorer, BREAKERS), scorer, SystemClock()), list[Signal]()
    first, second, third = world.feed.sessions[:3]

    async def followed() -> None:
        running = asyncio.create_task(desk.run(told.extend))
        with opened(tmp_path / "feed", tmp_path / "exchange", tick_seconds=600) as exchange:
            read = 0
            for session in (first, second):
                while (exchange.clock(0).session, exchange.clock(0).phase) != (session, PhaseName.CLOSED):
                    ticks = tuple(from_row(Tick, row) for row in exchange.advance(ticks=True))
                    durable = tuple(exchange.messages(read, 1_000))
                    read = exchange.last_seq
                    await desk.take(Frame(1, durable, ticks))
                assert desk.signals.session == session
                scores = {one.symbol: one.score for one in desk.signals.signals()}
                assert set(scores) == set(world.feed.symbols) - {SPECIAL}
                assert await desk.end(exchange.session_bars(session), scorer) == ()
                assert desk.signals.session is None
                await desk.take(Frame(2, (), ticks))  # what comes after the close is nobody's
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    asyncio.run(followed())
    assert {one.session for one in told} == {first, second}
    assert {one.symbol for one in told} == set(world.feed.symbols) - {SPECIAL}
    assert (desk.signals.counts.refused, desk.signals.counts.waiting) == (0, 0)
    assert np.isfinite([one.score for one in told]).all()
    assert third not in {one.session for one in told}


def test_it_is_begun_late_and_once_and_not_on_a_session_that_the_feed_does_not_hold(tmp_path: Path) -> None:
    world = online_world(tmp_path, mixed_catalogue())
    scorer = BundleScorer(world.bundle, world.history())
    desk, session = SignalDesk(LiveSignals(scorer, BREAKERS), scorer, SystemClock()), world.feed.sessions[0]
    last = {name: each[-1] for name, each in world.ticks(session).items()}

    async def followed() -> None:
        await desk.begin(world.feed.history_sessions[-1].date())
        assert desk.signals.session is None
        await desk.begin(session)
        await desk.take(Frame(1, (), tuple(last.values())))
        auction = Phase(1, session, PhaseName.OPENING_AUCTION, min(one.at_ns for one in last.values()))
        await desk.take(Frame(2, (auction,)))
        assert desk.signals.counts.waiting == len(last), "opened again, what had come would be late"
        desk.signals.rescore()
        assert len(desk.signals.signals()) == len(last) - 1
        missing = world.sent_bars(session)
        assert await desk.end(missing, scorer) == ()

    asyncio.run(followed())
