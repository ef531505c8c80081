"""Importing this trades a tiny market, so that processes forked afterwards find every kernel and module loaded."""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path

import numpy as np

from ljwx_pipeline.live.decision import Decider, DecidingModel, Portfolio
from ljwx_pipeline.live.feed import ReplayFeed
from tests.fakes.exchange_crash import play_and_die
from tests.fakes.exchange_world import write_market
from tests.fakes.given_scores import BUNDLE, wide_open
from tests.fakes.replay_process import seeded_settings

for _module in ("uvicorn", "uvicorn.protocols.http.auto", "uvicorn.protocols.websockets.auto", "uvicorn.loops.auto"):
    importlib.import_module(_module)
for _module in ("ljwx_pipeline.exchange.api", "ljwx_pipeline.exchange.stream", "ljwx_pipeline.live.process"):
    importlib.import_module(_module)

# no event loop and no thread may run here: they would not survive the fork
with tempfile.TemporaryDirectory() as _folder:
    _pack = write_market(Path(_folder) / "feed", symbols=8, feed_sessions=2)
    play_and_die(_pack, Path(_folder) / "state")
    _feed = ReplayFeed.open(_pack)
    Decider(_feed, wide_open(seeded_settings())).orders(
        _feed.sessions[0],
        Portfolio((), 10**9, 10**9, {}, (), ()),
        np.arange(len(_feed.symbols), dtype=np.float64),
        None,
        DecidingModel(BUNDLE.model_version, BUNDLE.last_train_session),
    )
