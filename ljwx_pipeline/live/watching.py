"""What watches one leadership of a runner: its guard from the start, its market from the first connection on.

Put together here from the configuration, so that the process only says when. A person is answered as soon as this
process leads: before it has connected, what only looks, forbids or allows works, and nothing can be sent. Not here:
what each part does (``guard.py``, ``watch.py``, ``stop_desk.py``, ``control.py``), tasks (``process.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

from sqlalchemy import Connection, func, select

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.config import BreakerSettings, CostSettings, StopSettings
from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.async_journal import AsyncJournal
from ljwx_pipeline.live.brokers.port import Broker, Fence
from ljwx_pipeline.live.close_trading import Close
from ljwx_pipeline.live.control import HandControl, pulled
from ljwx_pipeline.live.control_api import CloseAsked, KillAsked, ModeAsked, ResetAsked
from ljwx_pipeline.live.control_view import book_view, journal_view
from ljwx_pipeline.live.decision import RunnerSettings, strategy_name
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.guard import Guard, GuardSettings
from ljwx_pipeline.live.guard_ticks import DaysOf, TickDesk
from ljwx_pipeline.live.market_time import MarketTime
from ljwx_pipeline.live.order_desk import OrderDesk
from ljwx_pipeline.live.sleeves.reading import strategies_in_force
from ljwx_pipeline.live.stop_desk import StopDesk
from ljwx_pipeline.live.tables import sessions
from ljwx_pipeline.live.watch import Watch, WatchSettings
from ljwx_pipeline.trading.exits import ExitParams


@dataclass(frozen=True)
class WatchingSettings:
    """The sections that are watched by."""

    runner: RunnerSettings
    breakers: BreakerSettings
    stops: StopSettings
    costs: CostSettings


class Watching:
    """The guard of a journal, and the watch over its market. Satisfies `control_api.Control`.

    Parameters
    ----------
    guard
        Of the journal.
    settings
        The sections.
    journal, fence, clock
        As `Guard` takes them.
    turn
        As `HandControl` takes it.
    """

    def __init__(
        self,
        guard: Guard,
        settings: WatchingSettings,
        *,
        journal: AsyncJournal,
        fence: Fence,
        clock: Clock,
        turn: asyncio.Lock,
    ) -> None:
        self.guard = guard
        self.strategy = strategy_name(settings.runner.strategy)
        self._settings = settings
        self._journal = journal
        self._fence = fence
        self._clock = clock
        self._turn = turn
        self._hand: HandControl | None = None

    @classmethod
    async def open(
        cls, settings: WatchingSettings, *, journal: AsyncJournal, fence: Fence, clock: Clock, turn: asyncio.Lock
    ) -> Watching:
        """Return what watches from here on; raises as `Guard.open`."""
        runner = settings.runner
        guard = await Guard.open(
            journal=journal,
            fence=fence,
            clock=clock,
            settings=GuardSettings(settings.breakers, runner.live.max_bundle_age_days, runner.capital_fen),
            strategies=(strategy_name(runner.strategy),),
        )
        return cls(guard, settings, journal=journal, fence=fence, clock=clock, turn=turn)

    def connect(self, broker: Broker, desk: OrderDesk, days: DaysOf, *, raw_prices: bool) -> Watch:
        """Return the watch over the market of ``broker``, whose time is its own; a person can send from here on.

        Parameters
        ----------
        desk
            How orders leave.
        days, raw_prices
            As `TickDesk` takes them.
        """
        settings, runner = self._settings, self._settings.runner
        ticks = TickDesk(days, settings.breakers, raw_prices=raw_prices)
        stops = StopDesk(
            journal=self._journal,
            fence=self._fence,
            desk=desk,
            guard=self.guard,
            ticks=ticks,
            exits={self.strategy: ExitParams.of(runner.strategy.exits)},
            settings=settings.stops,
            risk=runner.risk,
        )
        watch = Watch(
            guard=self.guard,
            ticks=ticks,
            stops=stops,
            market=MarketTime(self._clock, simulated=True),
            journal=self._journal,
            fence=self._fence,
            broker=broker,
            settings=WatchSettings(settings.breakers, settings.costs, listens=runner.live.tick_seconds > 0),
        )
        self._hand = HandControl(
            watch=watch, journal=self._journal, desk=desk, broker=broker, stops=settings.stops, turn=self._turn
        )
        return watch

    async def before(self, close: Close, *, trained_to: Mapping[str, date], feed: ReplayFeed) -> None:
        """Look at the age of every strategy's model and features before ``close`` is decided; raises as `Guard.follow`.

        Parameters
        ----------
        trained_to
            Last training session of the champion by model, as strategies name it; a strategy without one has no age.
        """
        newest = max((day for day in feed.sessions if day <= close.session), default=date.min)
        features_age = await self._journal.read(partial(_sessions_between, newest, close.session))
        await self.guard.follow()  # strategies that came since are looked at, too
        named = {one.name: one.spec for one in await self._journal.read(strategies_in_force)}
        models = {name: spec.model for name, spec in named.items() if spec is not None}
        for name in self.guard.strategies:
            await self.guard.look_at_features(name, features_age, close.at_ns)
            if models.get(name) in trained_to:
                age_days = (close.session - trained_to[models[name]]).days
                await self.guard.look_at_model(name, age_days, close.at_ns)

    # -- a person's hand -----------------------------------------------------------------------------------------------

    async def standing(self) -> dict[str, Any]:
        """Return how everything stands."""
        if self._hand is not None:
            return await self._hand.standing()
        nothing: dict[str, Any] = {"valuation": None, "stops": [], "ticks": {}, "suspects": [], "market_ns": 0}
        found = await self._journal.read(journal_view)
        return {"source": "runner", **book_view(self.guard.now()), **found, **nothing}

    async def set_mode(self, asked: ModeAsked) -> dict[str, Any]:
        """Set the account or a strategy to a mode; breakers may be stricter."""
        await self.guard.choose(asked.mode, asked.strategy, by=asked.by, reason=asked.reason)
        return book_view(self.guard.now())

    async def kill(self, asked: KillAsked) -> dict[str, Any]:
        """Pull the kill switch; before the first connection nothing can be cancelled, and what is open is named."""
        if self._hand is not None:
            return await self._hand.kill(asked)
        not_written = await pulled(self.guard, asked)
        left = (await self._journal.read(journal_view))["open_orders"]
        why = "this runner has not reached the broker yet"
        return {
            **book_view(self.guard.now()),
            "not_written": not_written,
            "cancelled": [],
            "not_cancelled": {one["client_order_id"]: why for one in left},
        }

    async def reset(self, asked: ResetAsked) -> dict[str, Any]:
        """Reset a breaker."""
        await self.guard.reset(asked.breaker, asked.strategy, by=asked.by, reason=asked.reason)
        return book_view(self.guard.now())

    async def close(self, asked: CloseAsked) -> dict[str, Any]:
        """Close by hand; raises as `HandControl.close`, and before the first connection a `LiveError`."""
        if self._hand is None:
            raise LiveError(
                "this runner has not reached the broker yet", "see `ljwx live status`; close once it trades"
            )
        return await self._hand.close(asked)


def _sessions_between(before: date, last: date, connection: Connection) -> int:
    """Return how many sessions the market has had behind ``before``, ``last`` included."""
    day = sessions.c.session
    counted = select(func.count()).where(day > before.isoformat(), day <= last.isoformat())
    return int(connection.execute(counted).scalar_one())
