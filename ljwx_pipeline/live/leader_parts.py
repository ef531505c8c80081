"""What is open while a process leads, put together in order and closed with it.

Not here: how it comes to lead (``leadership.py``), what is done with the parts (``process.py``, ``following.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.config import BreakerSettings, LabelSettings, StopSettings
from ljwx_pipeline.live.account_files import ACCOUNT_DIR, EXCHANGE_DIR
from ljwx_pipeline.live.async_journal import AsyncJournal
from ljwx_pipeline.live.brokers.port import Broker
from ljwx_pipeline.live.inbox import Inbox
from ljwx_pipeline.live.journal import Journal
from ljwx_pipeline.live.leadership import Candidate, Place
from ljwx_pipeline.live.model_board import ModelBoard, StagedModels
from ljwx_pipeline.live.order_desk import OrderDesk
from ljwx_pipeline.live.own_exchange import OwnExchange, OwnExchangeSettings
from ljwx_pipeline.live.sleeves.desk import Configured, StrategyDesk
from ljwx_pipeline.live.stage_log import Staging
from ljwx_pipeline.live.trading import FEED_DIR, TradingSettings
from ljwx_pipeline.live.watch import Watch
from ljwx_pipeline.live.watching import Watching, WatchingSettings

#: Whom the market's own model is staged for: every strategy that names no other.
EVERY_STRATEGY = ""
_LONGEST_TICK_S = 600


@dataclass(frozen=True)
class ProcessSettings:
    """What the process needs besides what is traded."""

    trading: TradingSettings
    place: Place
    breakers: BreakerSettings
    stops: StopSettings
    label: LabelSettings
    staging: Staging
    configured: Callable[[], Configured]


@dataclass(frozen=True)
class Connection:
    """The broker that was found, how orders leave for it, and the watch over its market."""

    broker: Broker
    desk: OrderDesk
    watch: Watch


@dataclass
class LeaderParts:
    """What is open while this process leads; ``connection`` from the first one on."""

    candidate: Candidate
    journal: AsyncJournal
    inbox: Inbox
    board: ModelBoard
    watching: Watching
    strategies: StrategyDesk
    exchange: OwnExchange | None
    stack: AsyncExitStack
    connection: Connection | None = None
    #: Stamp of the pack that was followed last.
    followed: bytes | None = None

    def __post_init__(self) -> None:
        self._turn = asyncio.Lock()

    @property
    def models(self) -> StagedModels:
        """The market's own models as they were last adopted: what signals are made by, and what the status tells."""
        return self.board.models_for(EVERY_STRATEGY)

    async def collect(self) -> None:
        """Take in what was spooled."""
        async with self._turn:
            await asyncio.to_thread(self.inbox.collect)

    async def adopt(self) -> None:
        """Take in what waited for a pack to be examined on."""
        async with self._turn:
            await asyncio.to_thread(self.inbox.adopt)


@asynccontextmanager
async def leader_parts(
    settings: ProcessSettings, candidate: Candidate, make_inbox: Callable[[Journal], Inbox], clock: Clock
) -> AsyncIterator[LeaderParts]:
    """Open the parts of the process that ``candidate`` leads.

    Raises
    ------
    LjwxError
        When one of them cannot be opened; those before it are closed again.
    """
    journal = AsyncJournal(candidate.journal.store, candidate.journal.log)
    async with AsyncExitStack() as stack:
        stack.callback(journal.close)
        exchange = None if settings.trading.runner.live.exchange_url else _own_exchange(settings)
        if exchange is not None:
            stack.push_async_callback(exchange.stop)
            exchange.start_soon()
        inbox = make_inbox(candidate.journal)
        board = ModelBoard(
            journal=journal,
            fence=candidate.lease,
            clock=clock,
            staging=settings.staging,
            label=settings.label,
            load=inbox.load,
        )
        strategies = StrategyDesk(journal=journal, epoch=lambda: candidate.lease.epoch, configured=settings.configured)
        await strategies.start()  # first: who trades says whose bundles are taken
        await asyncio.to_thread(inbox.adopt)
        await board.adopt()
        # what is in force now is watched
        watched_by = WatchingSettings(
            settings.trading.runner, settings.breakers, settings.stops, settings.trading.costs
        )
        watching = await Watching.open(
            watched_by, journal=journal, fence=candidate.lease, clock=clock, turn=strategies.turn
        )
        yield LeaderParts(candidate, journal, inbox, board, watching, strategies, exchange, stack)


def _own_exchange(settings: ProcessSettings) -> OwnExchange:
    live_dir, runner = settings.place.live_dir, settings.trading.runner
    return OwnExchange(
        OwnExchangeSettings(
            pack=live_dir / FEED_DIR,
            state=live_dir / ACCOUNT_DIR / EXCHANGE_DIR,
            costs=settings.trading.costs.model_dump(mode="json"),
            capital_fen=runner.capital_fen,
            tick_seconds=runner.live.tick_seconds or _LONGEST_TICK_S,
            host="127.0.0.1",
        )
    )
