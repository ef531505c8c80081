"""One pack followed over one connection: the follower's hooks, and the tasks that stand beside it.

At each close it lets the strategies decide, and only then may the market go on. Not here: what a close asks for
(``close_trading.py``), the stream (``follower.py``), which pack and which connection (``process.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.config import BreakerSettings
from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.brokers.port import Broker, BrokerSilent
from ljwx_pipeline.live.close_books import TradingModel
from ljwx_pipeline.live.close_trading import Close, CloseTrader
from ljwx_pipeline.live.decision import RunnerSettings
from ljwx_pipeline.live.events import ReconciliationFailed, Stage
from ljwx_pipeline.live.followed_signals import FollowedSignals
from ljwx_pipeline.live.follower import BooksDiffer, Follower, Hooks
from ljwx_pipeline.live.from_broker import MessageIntake
from ljwx_pipeline.live.leader_parts import Connection, LeaderParts
from ljwx_pipeline.live.model_board import StagedModels
from ljwx_pipeline.live.progress import Mode
from ljwx_pipeline.live.runner_word import RunnerWord
from ljwx_pipeline.live.sleeves.reading import models_in_force
from ljwx_pipeline.live.tasks import first_of
from ljwx_pipeline.live.trading import PackTrading, pack_stamp
from ljwx_pipeline.trading.exchange_wire import Durable, PhaseName

#: How often feed, clock and what waits are looked at.
WATCH_S = 1.0


class NobodyTrades(LiveError):
    """There is nothing to trade by yet: no bundle was ever deployed."""


class PackChanged(LiveError):
    """The pipeline has put a new pack in place while the one before was being traded."""


@dataclass(frozen=True)
class FollowSettings:
    """What following reads of the configuration, and where the pack lies.

    Parameters
    ----------
    collects_at_close
        Whether a close takes in what was spooled, for want of anybody who does it at every poll: it may take as long
        as a bundle's examination.
    """

    runner: RunnerSettings
    breakers: BreakerSettings
    live_dir: Path
    collects_at_close: bool


class Following:
    """One pack that is followed.

    Parameters
    ----------
    parts, trading, connection
        What is open: of this process, for the pack, and to the broker.
    settings
        The numbers.
    word, ready
        What is said of it, and who is told each time the books agree with the broker's.
    pause
        Waits so many seconds, but not beyond the order to stop.
    """

    def __init__(
        self,
        parts: LeaderParts,
        trading: PackTrading,
        connection: Connection,
        settings: FollowSettings,
        *,
        word: RunnerWord,
        ready: Callable[[], None],
        clock: Clock,
        pause: Callable[[float], Awaitable[None]],
    ) -> None:
        self.signals = FollowedSignals(
            breakers=settings.breakers, clock=clock, journal=parts.journal, fence=parts.candidate.lease
        )
        self._parts = parts
        self._trading = trading
        self._connection = connection
        self._settings = settings
        self._live = settings.runner.live
        self._word = word
        self._ready = ready
        self._pause = pause
        self._models: dict[str, tuple[TradingModel, ...]] = {}
        self._at_work = False
        self._trader = CloseTrader(
            feed=trading.feed,
            settings=settings.runner,
            journal=parts.journal,
            desk=connection.desk,
            models=lambda strategy: self._models.get(strategy.model, ()),
            turn=parts.strategies.turn,
            denials=connection.watch.denials,
            restraint=connection.watch.restraint,
        )

    async def run(self) -> None:
        """Follow until the pack's last close is traded.

        Raises
        ------
        BooksDiffer, PackChanged, NobodyTrades, Deposed, LjwxError
            When following cannot go on; nothing is sent after it.
        """
        await first_of(
            self._follow(),
            self._compare_regularly(),
            self._beat_while_up_to_date(),
            self._watch(),
            self._connection.watch.trade_ticks(),
        )

    async def _follow(self) -> None:
        connection = self._connection
        connection.watch.ticks.tell()  # whoever made signals before, of another pack or a withdrawn model
        if self._live.tick_seconds > 0:
            await self.signals.open(self._parts.models.champion)
            connection.watch.ticks.tell(self.signals.believe)
        hooks = Hooks(
            self._on_close,
            self._on_connected,
            self._on_silent,
            lambda message: self._word.progress.beat(Mode.TRADING, message),
            on_messages=self._on_messages,
            on_ticks=connection.watch.on_ticks,
        )
        follower = Follower(broker=connection.broker, journal=self._parts.journal, desk=connection.desk, hooks=hooks)
        await first_of(follower.follow(_at_the_end(self._trading, self._parts)), self.signals.run())

    # -- the follower's hooks ------------------------------------------------------------------------------------------

    async def _on_close(self, close: Close) -> None:
        with self._working():
            await self._trade(close)
        await self._pause(self._live.seconds_per_session)

    async def _trade(self, close: Close) -> None:
        parts, trading = self._parts, self._trading
        if self._settings.collects_at_close:
            await parts.collect()
        if trading.stamp != await asyncio.to_thread(pack_stamp, self._settings.live_dir):
            raise PackChanged("a new session pack lies there", "it is opened at once")
        models = await parts.journal.read(models_in_force)
        scored = {model: await parts.board.scores(close.session, model) for model in models}
        champions = {model: one.champion for model, one in scored.items() if one.champion is not None}
        if not champions:
            raise NobodyTrades("no model has been deployed yet", "deploy one: run the pipeline")
        await self._word.say(Mode.TRADING, f"session {close.session}")
        trained_to = {model: one.deployed.last_train_session for model, one in champions.items()}
        await parts.watching.before(close, trained_to=trained_to, feed=trading.feed)
        self._models = {model: _trading_models(one) for model, one in scored.items()}
        await self._trader.decide(close)
        # before the market may go on: an order that never arrived is sent in time
        await self._connection.desk.settle_all()
        await self.signals.end(close.session, self._connection.broker, parts.models.champion)
        await self._word.say(Mode.TRADING, f"session {close.session} is done")

    async def _on_connected(self) -> None:
        with self._working():
            await self._connection.watch.on_connected()
            market = await self._connection.broker.clock()
            if market.session is not None and market.phase is not PhaseName.CLOSED:
                await self.signals.begin(market.session)
            await self._word.say(Mode.TRADING, "the books agree with the exchange's")
            self._ready()

    async def _on_messages(self, messages: Sequence[Durable]) -> None:
        with self._working():
            await self._connection.watch.on_messages(messages)
            await self.signals.hear(messages)

    async def _on_silent(self, error: BrokerSilent) -> None:
        with self._working():
            await self._connection.watch.on_silent(error)
            await self._word.say(Mode.OUTAGE, str(error))
            if self._parts.exchange is not None:
                await self._parts.exchange.address()  # one that has died is started again

    @contextmanager
    def _working(self) -> Iterator[None]:
        """Let nothing but what is done within beat for the follower: work that hangs is no market that rests."""
        self._at_work = True
        try:
            yield
        finally:
            self._at_work = False

    # -- tasks beside the follower -------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Look at feed, clock, value and what waits, until cancelled."""
        while True:
            await asyncio.sleep(WATCH_S)
            await self._connection.watch.each_second()

    async def _compare_regularly(self) -> None:
        """Hold the books against the broker's every now and then, and after a request without an answer, for ever.

        Raises
        ------
        BooksDiffer
            When they differ: nothing more is sent.
        """
        desk, watch = self._connection.desk, self._connection.watch
        while True:
            await first_of(asyncio.sleep(self._live.reconcile_seconds), watch.comparison_due())
            since = watch.guard.moment
            try:
                found = await desk.recover()
                if not isinstance(found, ReconciliationFailed):
                    await watch.on_compared(since)
            except BrokerSilent:
                # the stream ends on the same, and says so; where stops wait for a comparison, it is tried again at once
                await asyncio.sleep(WATCH_S)
                continue
            if isinstance(found, ReconciliationFailed):
                raise BooksDiffer.of(self._connection.broker.name, found.differences)

    async def _beat_while_up_to_date(self) -> None:
        """Beat while everything that the broker has said is written down: a market that rests is no stalled loop.

        One that cannot go on rests as quietly, so it is asked, and what hinders it is said.
        """
        broker, hindered = self._connection.broker, False
        while True:
            await asyncio.sleep(self._live.poll_seconds)
            read = await _read_to(self._parts, broker)
            try:
                market, why = await broker.clock(), await broker.hindrance()
            except BrokerSilent:
                continue  # the stream says so, and beats with every try
            if why:
                hindered = True
                stuck = LiveError(f"the exchange does not go on ({why})", "mend what it says: it tries again by itself")
                await self._word.faulted(Mode.HALTED, stuck)
            elif hindered:
                hindered = False
                await self._word.say(Mode.TRADING, "the exchange goes on")
            elif read >= market.last_seq and not self._at_work:
                self._word.beat()


async def nothing_new(parts: LeaderParts, trading: PackTrading, broker: Broker) -> bool:
    """Return whether the market stands at the end of the pack, and nothing was said since the journal read it."""
    try:
        market = await broker.clock()
    except BrokerSilent:
        return False
    return _at_the_end(trading, parts)(market.session, True) and await _read_to(parts, broker) >= market.last_seq


async def _read_to(parts: LeaderParts, broker: Broker) -> int:
    """Return the last message of the broker that is written down."""
    return await parts.journal.read(MessageIntake(parts.journal.log, broker.name).position)


def _at_the_end(trading: PackTrading, parts: LeaderParts) -> Callable[[date | None, bool], bool]:
    """Return what says of a close whether it is the last one to trade.

    The runner's own exchange plays this very pack, and looks for a new one only while it is followed: where it stands
    before the pack's end it is to be followed on. What another exchange plays is not known here.
    """
    end = date.min if parts.exchange is None else trading.feed.sessions[-1]
    return lambda closed, last: closed is not None and last and closed >= end


def _trading_models(models: StagedModels) -> tuple[TradingModel, ...]:
    """Return what trades for the strategies of one model, with which part of their capital."""
    scoring = {Stage.CHAMPION: models.champion, Stage.CANARY: models.canary}
    return tuple(TradingModel(one.stage, one.capital_share_bps, scoring[one.stage]) for one in models.sleeves)
