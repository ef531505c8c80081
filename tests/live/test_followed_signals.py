"""What goes wrong with the signals is noted, and nothing of it reaches whoever trades."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.live import followed_signals
from ljwx_pipeline.live.async_journal import AsyncJournal
from ljwx_pipeline.live.followed_signals import TOPIC, FollowedSignals
from ljwx_pipeline.live.lease import Lease
from ljwx_pipeline.live.model import Model, SilentScorer
from ljwx_pipeline.live.tables import events
from tests.fakes.given_scores import BUNDLE
from tests.fakes.journals import empty_store, log_of
from tests.fakes.live_ticks import BREAKERS, tick


def test_signals_that_fail_are_noted_and_trading_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Breaking(SilentScorer):
        """A model whose signals cannot be made: it has no history."""

    monkeypatch.setattr(followed_signals, "BundleScorer", Breaking)
    store, clock = empty_store(tmp_path), SystemClock()
    lease = Lease(store, clock)
    assert lease.acquire()
    journal = AsyncJournal(store, log_of(store, clock))

    async def noted() -> list[Any]:
        return list(await journal.read(lambda connection: connection.execute(select(events.c.kind, events.c.message))))

    async def act() -> None:
        signals = FollowedSignals(breakers=BREAKERS, clock=clock, journal=journal, fence=lease)
        running = asyncio.create_task(signals.run())
        await signals.open(Model(BUNDLE, Breaking(1)))
        assert signals.desk is None
        signals.believe(tick())
        while not (found := await noted()):
            assert not running.done()
            await asyncio.sleep(0.01)
        ((kind, message),) = found
        assert kind == TOPIC
        assert message.startswith("no signals until the pack is followed anew: AttributeError")
        assert not running.done(), "it stands beside the follower: its end would be the follower's"
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(asyncio.wait_for(act(), 20))
    journal.close()
    store.close()
