"""A replay in a process of its own that can be made to die by SIGKILL at any of its commits, before or after it.

Only the scores are given (drawn from a seed), so that a process is up in milliseconds; journal, broker, gate and
kernels are the real ones.
"""

from __future__ import annotations

import os
import signal
import sqlite3
from datetime import date
from pathlib import Path

import numpy as np

from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.config import load_settings
from ljwx_pipeline.live import database
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.journal import DeployedBundle, Journal
from ljwx_pipeline.live.paper_broker import PaperBroker
from ljwx_pipeline.live.runner import Model, Runner, RunnerSettings
from ljwx_pipeline.session_pack import read_session_pack

BUNDLE = DeployedBundle("b" * 64, "1", date(2018, 1, 31))
CONFIG = Path(__file__).resolve().parents[2] / "ljwx.toml"


class SeededScores:
    """Scores that depend on the session alone."""

    def __init__(self, feed: ReplayFeed) -> None:
        self._feed = feed

    def scores(self, session: date) -> np.ndarray:
        return np.random.default_rng(session.toordinal()).normal(size=len(self._feed.symbols))


def replay(folder: Path, pack: Path, *, die_at: int | None = None, after: bool = False, pace_s: float = 0.0) -> None:
    """Replay ``pack`` into ``folder``; with ``die_at``, be killed at that commit, counted from 0."""
    if die_at is not None:
        _arm(die_at, after=after)
    settings = load_settings(config_file=CONFIG, profile="simulated", environ={})
    strategy = settings.strategy.model_copy(update={"top_k": 12, "n_drop": 3, "min_hold_sessions": 1})
    chosen = RunnerSettings(strategy, settings.risk, settings.live, settings.uncertainty)
    feed = ReplayFeed(read_session_pack(pack))
    journal = Journal(folder / "journal.sqlite", SystemClock())
    journal.record_bundle(BUNDLE)
    broker = PaperBroker(
        folder / "broker.sqlite", market=feed.market, costs=settings.costs, capital_fen=chosen.capital_fen
    )
    runner = Runner(journal=journal, feed=feed, broker=broker, settings=chosen)
    runner.recover()
    for session in runner.pending():
        runner.step(session, Model(BUNDLE, SeededScores(feed)))
        if pace_s:
            signal.sigtimedwait([], pace_s)


def _arm(die_at: int, *, after: bool) -> None:
    count = -1
    commit = database.commit

    def deadly(connection: sqlite3.Connection) -> None:
        nonlocal count
        count += 1
        if count == die_at and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        commit(connection)
        if count == die_at and after:
            os.kill(os.getpid(), signal.SIGKILL)

    database.commit = deadly
