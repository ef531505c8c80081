"""A follower of a desk that trades the closes by a model that was given to it, and what its hooks were told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import date

from ljwx_pipeline.live.brokers.port import BrokerSilent
from ljwx_pipeline.live.close_books import TradingModel
from ljwx_pipeline.live.close_trading import Close, CloseTrader
from ljwx_pipeline.live.decision import RunnerSettings
from ljwx_pipeline.live.events import BundleStaged, Stage
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.follower import Follower, Hooks
from ljwx_pipeline.live.journal import DeployedBundle
from ljwx_pipeline.live.model import Model
from tests.fakes.desk_world import Desk

Done = Callable[[date | None, bool], bool]


class Followed:
    """A follower that trades by ``model``; None: there is none."""

    def __init__(self, desk: Desk, feed: ReplayFeed, settings: RunnerSettings, model: Model | None) -> None:
        self.silent: list[str] = []
        self.connected = 0
        self.closes: list[Close] = []
        self.model = model
        self.trader = CloseTrader(
            feed=feed,
            settings=settings,
            journal=desk.journal,
            desk=desk.orders,
            models=lambda _: [TradingModel(Stage.CHAMPION, 10_000, self.model)],
            turn=asyncio.Lock(),
        )
        hooks = Hooks(self.on_close, self.on_connected, self.on_silent, lambda _: None)
        self.follower = Follower(broker=desk.broker, journal=desk.journal, desk=desk.orders, hooks=hooks)

    async def on_close(self, close: Close) -> None:
        await self.trader.decide(close)
        self.closes.append(close)

    async def on_connected(self) -> None:
        self.connected += 1

    async def on_silent(self, error: BrokerSilent) -> None:
        self.silent.append(error.fact)


async def stage(desk: Desk, bundle: DeployedBundle) -> None:
    """Give the journal the bundle that the scores are said to be of."""
    staged = BundleStaged(
        strategy="",
        stage=Stage.CHAMPION,
        bundle_hash=bundle.bundle_hash,
        model_version=bundle.model_version,
        last_train_session=bundle.last_train_session,
        capital_share_bps=10_000,
    )
    await desk.journal.append([staged], desk.lease.epoch)


def until(session: date) -> Done:
    """Be done at the close of ``session``."""
    return lambda closed, _: closed is not None and closed >= session


def end_of_pack(closed: date | None, last: bool) -> bool:
    """Be done at the last close there is."""
    return closed is not None and last
