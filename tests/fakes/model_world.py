"""A runner's models without its broker: pack, signed bundles, inbox, journal, lease and board; and models that fail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select

from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.config import Settings, registered_model
from ljwx_pipeline.factors.alpha158 import alpha158
from ljwx_pipeline.live.async_journal import AsyncJournal
from ljwx_pipeline.live.event_codec import from_json
from ljwx_pipeline.live.events import EVENTS, Event
from ljwx_pipeline.live.factor_history import FactorHistory, PastSession
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.inbox import Accepted, Inbox
from ljwx_pipeline.live.journal import Journal
from ljwx_pipeline.live.lease import Lease
from ljwx_pipeline.live.model_board import ModelBoard
from ljwx_pipeline.live.scorer import predicted
from ljwx_pipeline.live.stage_log import Staging
from ljwx_pipeline.live.tables import events_log
from ljwx_pipeline.scoring.bundle import ModelBundle
from ljwx_pipeline.scoring.model import Member, Model, Prediction, linear_text
from tests.fakes.bundles import tiny_booster
from tests.fakes.journals import empty_store, log_of
from tests.fakes.live_home import Home, live_settings

WIDTH = len(alpha158().names)


def linear(seed: int, sign: float = 1.0) -> Model:
    """A linear model of seeded coefficients; ``sign`` -1 ranks the other way round, 0 says one number."""
    coefficients = sign * np.random.default_rng(seed).standard_normal(WIDTH)
    text = linear_text(np.zeros(WIDTH), np.ones(WIDTH), coefficients, intercept=0.0, clip=3.0)
    return Model((Member("m.json", "linear"),), {"m.json": text})


def boosted(seed: int) -> Model:
    """A booster of five rounds, which may say one number of every name, and a linear model beside it."""
    members = (Member("all.txt", weight=0.5), Member("all.json", "linear", weight=0.5))
    texts = {"all.txt": tiny_booster(factors=WIDTH, seed=seed), "all.json": linear(100 + seed).texts["m.json"]}
    return Model(members, texts)


class Faulty:
    """A model that does what its bundle's does, until it is told to fail."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.fault = ""

    def predict(self, features: np.ndarray, groups: np.ndarray | None = None) -> Prediction:
        said = self._model.predict(features, groups)
        if self.fault == "raises":
            raise RuntimeError("no luck today")
        if self.fault == "exits":
            raise SystemExit(3)
        if self.fault == "hangs":
            time.sleep(3.0)
        scores = said.score
        if self.fault == "says nothing":
            scores[: len(scores) // 2] = np.nan
        if self.fault == "overflows":
            scores[0] = np.inf
        if self.fault == "says one number":
            scores[:] = 0.25
        return said


class World:
    """One market's models."""

    def __init__(self, home: Home, folder: Path, settings: Settings, **changed: Any) -> None:
        self.home, self.live = home, folder / "live"
        self.live.mkdir(parents=True)
        self.settings = live_settings(settings)
        self.rules = settings.live.stages.model_copy(update=changed)
        self.label = settings.label.model_copy(update={"entry_lag_sessions": 1, "horizon_sessions": 1})
        self.feed = ReplayFeed.open(home.live / "feed")
        self.sessions = self.feed.sessions
        self.model_name = registered_model(settings)
        self.staging = Staging({"": self.model_name}, self.rules)
        self.clock = SystemClock()
        self.store = empty_store(folder)
        self.lease = Lease(self.store, self.clock, holder="first", term_s=3600.0)
        assert self.lease.acquire()
        self.sync = Journal(self.store.path, self.clock, epoch=self.lease.epoch)
        self.faulty: dict[str, Faulty] = {}
        self.journal: AsyncJournal | None = None
        self.board, self.inbox = self.started()

    def started(self, *, pack: bool = True) -> tuple[ModelBoard, Inbox]:
        """A board and an inbox as a process makes them that has just started."""
        if self.journal is not None:
            self.journal.close()
        self.journal = AsyncJournal(self.store, log_of(self.store, self.clock))
        self.board = ModelBoard(
            journal=self.journal,
            fence=self.lease,
            clock=self.clock,
            staging=self.staging,
            label=self.label,
            load=self._load,
        )
        self.inbox = Inbox(
            live_dir=self.live,
            keys_dir=self.home.keys,
            factor_hash=alpha158().version_hash,
            model_name=self.model_name,
            journal=self.sync,
            clock=self.clock,
            staging=self.staging,
            examine=self.board.examine,
        )
        if pack:
            self.board.attach(self.factors())
        return self.board, self.inbox

    def factors(self) -> FactorHistory:
        return FactorHistory(self.feed, alpha158(), self.settings.universe, benchmark="")

    def bundle(self, model: Model, **changed: Any) -> Path:
        return self.home.bundle(model=model, **changed)

    def push(self, bundle: Path, version: str) -> Accepted:
        return self.inbox.receive(*self.home.request(bundle, version))

    def loads_faulty(self, bundle: Path, model: Model) -> Faulty:
        """The model that the board is given for ``bundle``, which can be told to fail."""
        return self.faulty.setdefault(bundle.name, Faulty(model))

    def scored_alone(self, bundle: Path, session: date) -> np.ndarray:
        """What the bundle says of a session by the factors of the whole history at once."""
        return predicted(self.inbox.load(bundle.name), _past(self)[session]).score

    def logged(self, *kinds: type[Event]) -> list[Event]:
        wanted = {kind.__name__ for kind in kinds}
        with self.store.reading() as connection:
            rows = connection.execute(select(events_log.c.kind, events_log.c.body).order_by(events_log.c.seq)).all()
        return [from_json(EVENTS[row.kind], row.body) for row in rows if row.kind in wanted]

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run ``work`` in an event loop of its own."""
        return asyncio.run(work)

    def _load(self, bundle_hash: str) -> ModelBundle:
        bundle = self.inbox.load(bundle_hash)
        faulty = self.faulty.get(bundle_hash)
        return bundle if faulty is None else replace(bundle, model=faulty)  # type: ignore[arg-type]

    def close(self) -> None:
        self.journal.close()
        self.sync.close()
        self.store.close()


_PAST: dict[Path, dict[date, PastSession]] = {}


def _past(world: World) -> dict[date, PastSession]:
    if world.home.home not in _PAST:
        first, last = world.sessions[0], world.sessions[-1]
        past = world.factors().past(first - timedelta(days=1), last, "none")
        _PAST[world.home.home] = dict(zip(world.sessions, past, strict=True))
    return _PAST[world.home.home]
