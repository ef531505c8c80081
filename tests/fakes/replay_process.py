"""The whole runner in a process of its own that can be made to die by SIGKILL at any commit, before or after it.

Only the scores are given (drawn from a seed), so that a process is up at once; lease, journal, broker, gate and kernels
are the real ones.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import date
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from sqlalchemy import select

from ljwx_pipeline.config import Settings, load_settings
from ljwx_pipeline.exchange.main import ServeSettings, serve
from ljwx_pipeline.exchange.opening import ExchangeSettings
from ljwx_pipeline.live import leader_parts, process, store
from ljwx_pipeline.live.async_journal import AsyncJournal
from ljwx_pipeline.live.brokers.port import Fence
from ljwx_pipeline.live.events import BundleStaged, Stage
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.intervals import IntervalEnds
from ljwx_pipeline.live.main import run_replay
from ljwx_pipeline.live.model import Model
from ljwx_pipeline.live.model_board import StagedModels
from ljwx_pipeline.live.stages import Sleeve
from ljwx_pipeline.live.tables import bundles
from ljwx_pipeline.live.trading import FEED_DIR, PackTrading, TradingSettings, pack_stamp
from tests.fakes.given_scores import BUNDLE

CONFIG = Path(__file__).resolve().parents[2] / "ljwx.toml"
TICK_SECONDS = 600
STAGED = BundleStaged(
    strategy="",
    stage=Stage.CHAMPION,
    bundle_hash=BUNDLE.bundle_hash,
    model_version=BUNDLE.model_version,
    last_train_session=BUNDLE.last_train_session,
    capital_share_bps=10_000,
)


class SeededScores:
    """Scores that depend on the session alone."""

    def __init__(self, feed: ReplayFeed) -> None:
        self._feed = feed

    def scores(self, session: date) -> np.ndarray:
        return np.random.default_rng(session.toordinal()).normal(size=len(self._feed.symbols))

    def interval_ends(self, session: date) -> IntervalEnds:
        raise AssertionError(f"nobody abstains, and still the intervals of {session} were asked for")


class SeededTrading(PackTrading):
    """What is open for a pack, traded by seeded scores: no factor is computed."""

    def __init__(self, live_dir: Path, settings: TradingSettings) -> None:
        self.stamp = pack_stamp(live_dir)
        self.feed = ReplayFeed.open(live_dir / FEED_DIR)
        self.factors = SimpleNamespace(feed=self.feed)


class SeededBoard:
    """One champion of seeded scores, staged once a journal."""

    def __init__(self, *, journal: AsyncJournal, fence: Fence, **_: object) -> None:
        self._journal = journal
        self._fence = fence
        self._feed: ReplayFeed | None = None

    def attach(self, factors: SimpleNamespace) -> None:
        self._feed = factors.feed

    async def adopt(self) -> None:
        if not await self._journal.read(lambda connection: connection.execute(select(bundles)).all()):
            await self._journal.append([STAGED], self._fence.epoch)

    @property
    def somebody_scores(self) -> bool:
        return self._feed is not None

    def models_for(self, strategy: str) -> StagedModels:
        champion = None if self._feed is None else Model(BUNDLE, SeededScores(self._feed))
        return StagedModels(champion, None, None, (Sleeve(strategy, Stage.CHAMPION, BUNDLE.bundle_hash, 10_000),))

    async def scores(self, session: date, strategy: str = "") -> StagedModels:
        assert self._feed is not None
        assert session in self._feed.sessions
        return self.models_for(strategy)


def seeded_settings(exchange_url: str = "", *, seconds_per_session: float = 0.0) -> Settings:
    """The shipped settings with a strategy that trades much in a few names."""
    settings = load_settings(config_file=CONFIG, profile="simulated", environ={})
    live = {
        "exchange_url": exchange_url,
        "seconds_per_session": seconds_per_session,
        "max_bundle_age_days": 3650,
        "poll_seconds": 0.05,
    }
    changes = {
        "strategy": {"top_k": 12, "n_drop": 3, "min_hold_sessions": 1},
        "live": live,
    }
    return settings.model_copy(
        update={name: getattr(settings, name).model_copy(update=change) for name, change in changes.items()}
    )


def replay(
    home: Path,
    exchange_url: str = "",
    *,
    die_at: int | None = None,
    after: bool = False,
    seconds_per_session: float = 0.0,
) -> None:
    """Trade the pack in ``home`` to its end; with ``die_at``, be killed at that commit, counted from 0."""
    if die_at is not None:
        _arm(die_at, after=after)
    process.PackTrading = SeededTrading
    leader_parts.ModelBoard = SeededBoard
    settings = seeded_settings(exchange_url, seconds_per_session=seconds_per_session)
    account = run_replay(home, settings, keys_dir=home / "keys")
    assert account.mode == "finished"


def serve_exchange(pack: Path, state: Path, told: Connection) -> None:
    """Serve the market of ``pack`` until a signal; its address goes to ``told``."""
    settings = seeded_settings()
    capital_fen = round(settings.strategy.capital_cny * 100)
    serve(
        pack,
        state,
        ExchangeSettings(settings.costs, capital_fen, tick_seconds=TICK_SECONDS),
        ServeSettings(host="127.0.0.1", port=0, speed=0.0, allow_faults=False),
        ready=lambda opened: told.send(f"http://127.0.0.1:{opened.port}"),
    )


def _arm(die_at: int, *, after: bool) -> None:
    count = -1

    def armed(commit: Callable[[Any], None]) -> Callable[[Any], None]:
        def deadly(connection: Any) -> None:
            nonlocal count
            count += 1
            if count == die_at and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            commit(connection)
            if count == die_at and after:
                os.kill(os.getpid(), signal.SIGKILL)

        return deadly

    store.commit = armed(store.commit)
