"""The runner's process on one event loop: it leads or waits, follows the exchange, takes models in, keeps its lease.

Every task runs beside the others and none of them hides another's end: the first that fails ends all, durable state
stays, and the next start goes on from it. A deliberate error (`LjwxError`) stops trading, is noted once and looked at
again at the next poll; whoever was deposed ends. Not here: HTTP (``api.py``), signals and exit codes (``main.py``),
what a close asks for (``close_trading.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import date

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.config import BreakerSettings, LabelSettings, StopSettings
from ljwx_pipeline.errors import Deposed, LiveError, LjwxError
from ljwx_pipeline.live.account_files import ACCOUNT_DIR, EXCHANGE_DIR
from ljwx_pipeline.live.async_journal import AsyncJournal
from ljwx_pipeline.live.backup_shelf import Retention
from ljwx_pipeline.live.brokers.paper_exchange import PaperExchange
from ljwx_pipeline.live.brokers.port import BrokerSilent, required_epoch
from ljwx_pipeline.live.close_trading import Close, CloseTrader, StagedModel
from ljwx_pipeline.live.events import Noted, ReconciliationFailed, Stage
from ljwx_pipeline.live.feature_file import FEATURES_DIR, read_features
from ljwx_pipeline.live.follower import BooksDiffer, Follower, Hooks
from ljwx_pipeline.live.from_broker import MessageIntake
from ljwx_pipeline.live.guard_ticks import SymbolDay, days_of_pack
from ljwx_pipeline.live.inbox import Inbox
from ljwx_pipeline.live.journal import Journal, RunnerState
from ljwx_pipeline.live.leadership import Candidate, Place, renew
from ljwx_pipeline.live.model_board import ModelBoard, StagedModels
from ljwx_pipeline.live.online.cross_check import features_alerts
from ljwx_pipeline.live.online.desk import SignalDesk
from ljwx_pipeline.live.online.signals import LiveSignals
from ljwx_pipeline.live.order_desk import OrderDesk
from ljwx_pipeline.live.own_exchange import OwnExchange, OwnExchangeSettings
from ljwx_pipeline.live.progress import Heartbeat, Mode, Progress
from ljwx_pipeline.live.scorer import BundleScorer
from ljwx_pipeline.live.sleeves.desk import Configured, StrategyDesk
from ljwx_pipeline.live.stage_log import Staging
from ljwx_pipeline.live.trading import FEED_DIR, PackTrading, TradingSettings, pack_stamp
from ljwx_pipeline.live.watch import Watch
from ljwx_pipeline.live.watching import Watching, WatchingSettings
from ljwx_pipeline.scoring.bundle import ModelBundle
from ljwx_pipeline.trading.exchange_wire import Durable, PhaseName

#: An idle runner says that it is there at most this often: whoever reads the journal tells it from a stopped one.
KEEP_ALIVE_S = 10.0
#: How often a process that waits looks whether it may lead.
STANDBY_LOOK_S = 0.25
#: How often feed, clock and what waits are looked at.
WATCH_S = 1.0
#: Seconds after which an order that never reached the broker does not mean any more what it meant.
MAX_ORDER_AGE_S = 60.0
_LONGEST_TICK_S = 600
#: Whom the runner's one model is staged for.
EVERY_STRATEGY = ""


class NobodyTrades(LiveError):
    """There is nothing to trade by yet: no bundle was ever deployed."""


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


class LiveProcess:
    """One runner.

    Parameters
    ----------
    settings
        All of its settings.
    inbox
        Makes an inbox that notes what it does in a journal.
    progress
        Beats go there.
    clock
        Every instant comes from it.
    ready
        Called each time the books were found to agree with the exchange's.
    """

    def __init__(
        self,
        settings: ProcessSettings,
        *,
        inbox: Callable[[Journal], Inbox],
        progress: Progress,
        clock: Clock,
        ready: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._live = settings.trading.runner.live
        self._make_inbox = inbox
        self._progress = progress
        self._clock = clock
        self._ready = ready
        self.epoch = 0
        self._stop = asyncio.Event()
        self._trading: PackTrading | None = None
        self._board: ModelBoard | None = None
        self._before_fault: Heartbeat | None = None
        self.signals: SignalDesk | None = None
        self._watching: Watching | None = None
        self._strategies: StrategyDesk | None = None
        self._said: RunnerState | None = None
        self._last_fault = ""

    def stop(self) -> None:
        """Ask the process to end; what is durable stays so."""
        self._stop.set()

    @property
    def control(self) -> Watching:
        """What a person asks of this process while it leads.

        Raises
        ------
        LiveError
            Before it leads.
        """
        if self._watching is None:
            raise LiveError("this process does not lead", "ask the runner that does")
        return self._watching

    @property
    def strategies(self) -> StrategyDesk:
        """Who trades the account, to be changed from the event loop; LiveError while this process does not lead."""
        if self._strategies is None:
            raise LiveError("this process does not trade the account", "ask the runner that does")
        return self._strategies

    async def reload(self) -> None:
        """Let the strategies follow the file; a file that is refused is noted in the journal, and nothing changes."""
        try:
            await self.strategies.reload()
        except Deposed:
            raise
        except LjwxError as error:
            self._progress.beat(self._progress.read().mode, str(error))

    def examine(self, bundle: ModelBundle) -> bool:
        """Refuse a bundle that fails its smoke predictions, from any thread; False while nothing can tell."""
        return self._board is not None and self._board.examine(bundle)

    async def run(
        self, *, once: bool, beside: Callable[[], Awaitable[None]] | None = None, standby: bool = True
    ) -> bool:
        """Lead, trade, and return whether this process ever led.

        Parameters
        ----------
        once
            Trade what is there and return; without it, until `stop`.
        beside
            What else runs while this process leads, the HTTP interface: its end ends the process.
        standby
            Whether to wait while another process leads.

        Raises
        ------
        Deposed
            When another process has taken over.
        LjwxError
            With ``once``: when trading cannot go on.
        """
        capital_fen = self._settings.trading.runner.capital_fen
        candidate = await asyncio.to_thread(Candidate, self._settings.place, self._clock, capital_fen=capital_fen)
        try:
            if not await self._leads(candidate, standby=standby):
                return False
            async with self._parts(candidate) as parts:
                work: list[Awaitable[None]] = [
                    renew(candidate.lease, self._renewal_hindered),
                    self._once(parts) if once else self._forever(parts),
                    self._until_stopped(),
                ]
                if beside is not None:
                    work.append(beside())
                await first_of(*work)
            return True
        finally:
            await asyncio.to_thread(candidate.close)

    def _renewal_hindered(self, why: str) -> None:
        """Say what hinders the lease's renewal, and that nothing does any more."""
        if why:
            self._before_fault = self._before_fault or self._progress.read()
            self._progress.beat(Mode.HALTED, why)
        elif self._before_fault is not None:
            self._progress.beat(self._before_fault.mode, self._before_fault.message)
            self._before_fault = None

    async def _leads(self, candidate: Candidate, *, standby: bool) -> bool:
        while not self._stop.is_set():
            if await asyncio.to_thread(candidate.look):
                self.epoch = candidate.lease.epoch
                return True
            if not standby:
                return False
            self._progress.beat(Mode.STANDBY, "another runner trades this account")
            await self._pause(STANDBY_LOOK_S)
        return False

    @asynccontextmanager
    async def _parts(self, candidate: Candidate) -> AsyncIterator[_Parts]:
        journal = AsyncJournal(candidate.journal.store, candidate.journal.log)
        async with AsyncExitStack() as stack:
            stack.callback(journal.close)
            exchange = None if self._live.exchange_url else self._own_exchange()
            if exchange is not None:
                stack.push_async_callback(exchange.stop)
            inbox = self._make_inbox(candidate.journal)
            await asyncio.to_thread(inbox.adopt)
            board = ModelBoard(
                journal=journal,
                fence=candidate.lease,
                clock=self._clock,
                staging=self._settings.staging,
                label=self._settings.label,
                load=inbox.load,
            )
            self._board = board
            await board.adopt()
            strategies = StrategyDesk(
                journal=journal, epoch=lambda: candidate.lease.epoch, configured=self._settings.configured
            )
            await strategies.start()
            self._strategies = strategies
            watching = await self._opened_watch(candidate, journal)  # it watches who is in force now
            self._watching = watching
            yield _Parts(candidate, journal, inbox, board, watching, strategies, exchange, stack)

    async def _opened_watch(self, candidate: Candidate, journal: AsyncJournal) -> Watching:
        settings = self._settings
        watched_by = WatchingSettings(
            settings.trading.runner, settings.breakers, settings.stops, settings.trading.costs
        )
        return await Watching.open(watched_by, journal=journal, fence=candidate.lease, clock=self._clock)

    def _own_exchange(self) -> OwnExchange:
        live_dir = self._settings.place.live_dir
        return OwnExchange(
            OwnExchangeSettings(
                pack=live_dir / FEED_DIR,
                state=live_dir / ACCOUNT_DIR / EXCHANGE_DIR,
                costs=self._settings.trading.costs.model_dump(mode="json"),
                capital_fen=self._settings.trading.runner.capital_fen,
                tick_seconds=self._live.tick_seconds or _LONGEST_TICK_S,
                host="127.0.0.1",
            )
        )

    async def _forever(self, parts: _Parts) -> None:
        """Trade and poll until cancelled."""
        await first_of(self._trade_forever(parts), self._look_after(parts))

    async def _trade_forever(self, parts: _Parts) -> None:
        while True:
            try:
                await self._once(parts)
            except Deposed:
                raise
            except BooksDiffer as error:
                await self._halt(parts, error)
                await self._pause(self._live.reconcile_seconds)  # each comparison is a line of the journal
            except LjwxError as error:
                await self._halt(parts, error)
            await self._pause(self._live.poll_seconds)

    async def _look_after(self, parts: _Parts) -> None:
        """Say that this process is there, take in what arrives, keep backups: at every poll, until cancelled."""
        retention = Retention(self._live.backup_keep_days, self._live.backup_keep_months)
        journal = parts.candidate.journal
        while True:
            try:
                await asyncio.to_thread(journal.keep_alive, KEEP_ALIVE_S)
                await self._collect(parts)
                await asyncio.to_thread(journal.back_up_daily, retention)
            except Deposed:
                raise
            except LjwxError as error:
                await self._halt(parts, error)
            await self._pause(self._live.poll_seconds)

    async def _once(self, parts: _Parts) -> None:
        """Take in what has arrived and trade every session that is due.

        Raises
        ------
        LjwxError
            When trading cannot go on; nothing is sent after it.
        """
        while not await self._pass(parts):
            self._trading = None

    async def _pass(self, parts: _Parts) -> bool:
        """Trade over the pack that lies there; return False when another one was put in place meanwhile."""
        await self._collect(parts)
        trading = await self._opened(parts)
        await parts.board.adopt()
        if parts.models.champion is None:
            await self._say(parts, Mode.WAITING, "no model has been deployed yet")
            return True
        connected = await self._connected(parts, trading)
        if await self._nothing_new(parts, connected, trading):
            self._progress.beat(Mode.FINISHED, self._progress.read().message)
            return True
        try:
            await first_of(
                self._follow(parts, trading, connected),
                self._compare_regularly(connected),
                self._beat_while_up_to_date(parts, connected.broker),
                self._watch(connected.watch),
                connected.watch.trade_ticks(),
            )
        except BooksDiffer as error:
            await connected.watch.on_books_differ(error.fact)
            raise
        except NobodyTrades as nobody:
            await self._say(parts, Mode.WAITING, nobody.fact)
            return True
        except PackChanged:
            return False
        await parts.board.adopt()
        await self._say(parts, Mode.FINISHED, "every session of the pack is done")
        return True

    async def _follow(self, parts: _Parts, trading: PackTrading, connected: _Connected) -> None:
        watching, watch = parts.watching, connected.watch
        self.signals = signals = await self._signals(parts, watch)
        trader = CloseTrader(
            feed=trading.feed,
            settings=self._settings.trading.runner,
            journal=parts.journal,
            desk=connected.desk,
            models=lambda _: parts.staged,
            turn=parts.strategies.turn,
            denials=watch.denials,
            restraint=watch.restraint,
        )

        async def on_close(close: Close) -> None:
            await self._collect(parts)
            if trading.stamp != await asyncio.to_thread(pack_stamp, self._settings.place.live_dir):
                raise PackChanged("a new session pack lies there", "it is opened at once")
            scored = await parts.board.scores(close.session)
            if scored.champion is None:
                raise NobodyTrades("no model has been deployed yet", "deploy one: run the pipeline")
            await self._say(parts, Mode.TRADING, f"session {close.session}")
            await watching.before(close, trained_to=scored.champion.deployed.last_train_session, feed=trading.feed)
            parts.staged = _staged(scored)
            await trader.decide(close)
            # before the market may go on: an order that never arrived is sent in time
            await connected.desk.settle_all()
            await self._end_signals(parts, connected, close.session)
            await self._say(parts, Mode.TRADING, f"session {close.session} is done")
            await self._pause(self._live.seconds_per_session)

        async def on_connected() -> None:
            await watch.on_connected()
            market = await connected.broker.clock()
            if signals is not None and market.session is not None and market.phase is not PhaseName.CLOSED:
                await signals.begin(market.session)
            await self._say(parts, Mode.TRADING, "the books agree with the exchange's")
            self._ready()

        async def on_messages(messages: Sequence[Durable]) -> None:
            await watch.on_messages(messages)
            if signals is not None:
                await signals.hear(messages)

        async def on_silent(error: BrokerSilent) -> None:
            await watch.on_silent(error)
            await self._say(parts, Mode.OUTAGE, str(error))
            if parts.exchange is not None:
                await parts.exchange.address()  # one that has died is started again

        hooks = Hooks(
            on_close,
            on_connected,
            on_silent,
            lambda message: self._progress.beat(Mode.TRADING, message),
            on_messages=on_messages,
            on_ticks=watch.on_ticks,
        )
        follower = Follower(broker=connected.broker, journal=parts.journal, desk=connected.desk, hooks=hooks)
        follow = follower.follow(_at_the_end_of(trading, parts))
        await (follow if signals is None else first_of(follow, signals.run(lambda _: None)))

    async def _signals(self, parts: _Parts, watch: Watch) -> SignalDesk | None:
        """Return what makes signals of ticks by the champion; None while it has no voice, or ticks are not sent."""
        champion = parts.models.champion
        watch.ticks.tell(lambda _: None)  # whoever made signals before, of another pack or a withdrawn model
        if self._live.tick_seconds == 0 or champion is None or not isinstance(champion.scorer, BundleScorer):
            return None
        made = await asyncio.to_thread(LiveSignals, champion.scorer, self._settings.breakers)
        desk = SignalDesk(made, champion.scorer, self._clock)
        watch.ticks.tell(desk.believe)
        return desk

    async def _end_signals(self, parts: _Parts, connected: _Connected, session: date) -> None:
        """Close the session of the signals by its official bars; what differed is noted for people."""
        champion = parts.models.champion
        if self.signals is None or champion is None or not isinstance(champion.scorer, BundleScorer):
            return
        alerts = await self.signals.end(await connected.broker.bars(session), champion.scorer)
        if alerts:
            notes = [Noted(topic="online_signals", message=one, session=session) for one in alerts]
            await parts.journal.append(notes, required_epoch(parts.candidate.lease))

    async def _watch(self, watch: Watch) -> None:
        """Look at feed, clock, value and what waits, until cancelled."""
        while True:
            await asyncio.sleep(WATCH_S)
            await watch.each_second()

    async def _compare_regularly(self, connected: _Connected) -> None:
        """Hold the books against the broker's every now and then, and after a request without an answer, for ever.

        Raises
        ------
        BooksDiffer
            When they differ: nothing more is sent.
        """
        watch = connected.watch
        while True:
            await first_of(asyncio.sleep(self._live.reconcile_seconds), watch.comparison_due())
            since = watch.guard.moment
            try:
                found = await connected.desk.recover()
                if not isinstance(found, ReconciliationFailed):
                    await watch.on_compared(since)
            except BrokerSilent:
                # the stream ends on the same, and says so; where stops wait for a comparison, it is tried again at once
                await asyncio.sleep(WATCH_S)
                continue
            if isinstance(found, ReconciliationFailed):
                raise BooksDiffer(
                    f"the books differ: {'; '.join(found.differences)}",
                    "find out which one is right; nothing is sent until both hold the same",
                )

    async def _beat_while_up_to_date(self, parts: _Parts, broker: PaperExchange) -> None:
        """Beat while everything that the broker has said is written down: a market that rests is no stalled loop."""
        intake = MessageIntake(parts.journal.log, broker.name)
        while True:
            await asyncio.sleep(self._live.poll_seconds)
            read = await parts.journal.read(intake.position)
            try:
                market = await broker.clock()
            except BrokerSilent:
                continue  # the stream says so, and beats with every try
            if read >= market.last_seq:
                beat = self._progress.read()
                self._progress.beat(beat.mode, beat.message)

    async def _nothing_new(self, parts: _Parts, connected: _Connected, trading: PackTrading) -> bool:
        """Return whether the market stands at the end of the pack, where it was left, and nothing was said since."""
        if self._said is None or self._said.mode != Mode.FINISHED or parts.finished_with != trading.stamp:
            parts.finished_with = trading.stamp
            return False
        try:
            market = await connected.broker.clock()
        except BrokerSilent:
            return False
        if not _at_the_end_of(trading, parts)(market.session, True):
            return False
        read = await parts.journal.read(MessageIntake(parts.journal.log, connected.broker.name).position)
        return read >= market.last_seq

    async def _connected(self, parts: _Parts, trading: PackTrading) -> _Connected:
        address = self._live.exchange_url if parts.exchange is None else await parts.exchange.address()
        if parts.connected is None:
            broker = PaperExchange(address, timeout_s=self._live.answer_seconds, ticks=self._live.tick_seconds > 0)
            try:
                seen = await broker.require_protocol()
                await asyncio.to_thread(parts.candidate.lead_above, seen)
                self.epoch = parts.candidate.lease.epoch
                await broker.lead(self.epoch)  # before anything is asked: whoever led until now can send no more
            except BaseException:
                await broker.close()
                raise
            parts.stack.push_async_callback(broker.close)
            desk = OrderDesk(
                journal=parts.journal,
                broker=broker,
                fence=parts.candidate.lease,
                clock=self._clock,
                max_order_age_s=MAX_ORDER_AGE_S,
                may_send=parts.watching.guard.may_send,
            )
            raw = trading.feed.pack.manifest.adjustment == "raw"
            watch = parts.watching.connect(broker, desk, self._days, raw_prices=raw)
            parts.connected = _Connected(broker, desk, watch)
        return parts.connected

    def _days(self, session: date) -> Mapping[str, SymbolDay]:
        return {} if self._trading is None else days_of_pack(self._trading.feed, session)

    async def _collect(self, parts: _Parts) -> None:
        async with parts.turn:
            await asyncio.to_thread(parts.inbox.collect)

    async def _opened(self, parts: _Parts) -> PackTrading:
        stamp = await asyncio.to_thread(pack_stamp, self._settings.place.live_dir)
        if self._trading is None or self._trading.stamp != stamp:
            self._trading = None
            trading = await asyncio.to_thread(PackTrading, self._settings.place.live_dir, self._settings.trading)
            await asyncio.to_thread(parts.candidate.require_fit, trading.feed)
            for difference in await asyncio.to_thread(self._features_beside, trading):
                await asyncio.to_thread(parts.candidate.journal.record_event, "features_file", difference)
            parts.board.attach(trading.factors)
            async with parts.turn:
                await asyncio.to_thread(parts.inbox.adopt)  # what waited for a pack to be examined on
            self._trading = trading  # last: what was refused on the way is asked again at the next look
        return self._trading

    def _features_beside(self, trading: PackTrading) -> tuple[str, ...]:
        """Return what the pipeline's features file says otherwise than the runner's own factors, if there is one."""
        folder = self._settings.place.live_dir / FEATURES_DIR
        if not folder.is_dir():
            return ()
        catalogue = self._settings.trading.catalogue
        reading = read_features(
            folder,
            decided=trading.feed.pack.last_research_session,
            sessions=trading.feed.sessions,
            factor_hash=catalogue.version_hash,
            factors=catalogue.names,
            settings=self._settings.breakers,
        )
        if reading.features is None or reading.features.session != trading.factors.at:
            return reading.notes
        return (*reading.notes, *features_alerts(reading.features, trading.factors))

    async def _pause(self, seconds: float) -> None:
        """Wait, but not beyond the order to stop."""
        if seconds > 0:
            await first_of(asyncio.sleep(seconds), self._until_stopped())

    async def _until_stopped(self) -> None:
        await self._stop.wait()

    async def _say(self, parts: _Parts, mode: Mode, message: str) -> None:
        """Beat; make the journal's own row say the same if it does not yet."""
        self._last_fault = ""
        await asyncio.to_thread(self._record, parts, mode, message)

    def _record(self, parts: _Parts, mode: Mode, message: str) -> None:
        journal = parts.candidate.journal
        withdrawn = journal.withdrawn()
        text = message if withdrawn is None else f"{message}; {withdrawn.sentence()}"
        sessions = journal.sessions()
        trading = self._trading
        last = max(sessions, default=None)
        ahead = () if trading is None else [day for day in trading.feed.sessions if last is None or day > last]
        state = RunnerState(
            mode=mode.value,
            simulated=trading is not None and trading.feed.pack.manifest.simulated,
            opening_capital_fen=self._settings.trading.runner.capital_fen,
            bundle_hash=parts.models.trading_hash,
            session=None if last is None else last.isoformat(),
            sessions_done=len(sessions),
            sessions_total=len(sessions) + len(ahead),
            message=text,
        )
        if state != self._said:
            journal.record_state(state)
            self._said = state
        self._progress.beat(mode, text)

    async def _halt(self, parts: _Parts, error: LjwxError) -> None:
        fault = str(error)
        # waiting for the pipeline's first pack is not a fault
        missing = not pack_stamp(self._settings.place.live_dir)
        mode = Mode.WAITING if missing else Mode.HALTED
        self._progress.beat(mode, fault)
        if fault == self._last_fault:
            return
        try:
            await asyncio.to_thread(parts.candidate.journal.record_event, mode.value, fault)
            await asyncio.to_thread(self._record, parts, mode, fault)
        except Deposed:
            raise
        except LjwxError as unwritable:
            # a full disk keeps even this from being noted: /health says it, and it is noted once there is room
            self._progress.beat(mode, f"{fault}; {unwritable}")
            return
        self._last_fault = fault


class PackChanged(LiveError):
    """The pipeline has put a new pack in place while the one before was being traded."""


@dataclass(frozen=True)
class _Connected:
    broker: PaperExchange
    desk: OrderDesk
    watch: Watch


@dataclass
class _Parts:
    """What is open while this process leads."""

    candidate: Candidate
    journal: AsyncJournal
    inbox: Inbox
    board: ModelBoard
    watching: Watching
    strategies: StrategyDesk
    exchange: OwnExchange | None
    stack: AsyncExitStack

    def __post_init__(self) -> None:
        self.turn = asyncio.Lock()
        self.connected: _Connected | None = None
        self.staged: tuple[StagedModel, ...] = ()
        self.finished_with: bytes | None = None

    @property
    def models(self) -> StagedModels:
        """The models as they were last adopted."""
        return self.board.models_for(EVERY_STRATEGY)


def _staged(models: StagedModels) -> tuple[StagedModel, ...]:
    """Return what trades for every strategy, with which part of its capital."""
    scoring = {Stage.CHAMPION: models.champion, Stage.CANARY: models.canary}
    return tuple(StagedModel(one.stage, one.capital_share_bps, scoring[one.stage]) for one in models.sleeves)


async def first_of(*work: Awaitable[None]) -> None:
    """Run all of ``work`` until the first is done or fails; the others are cancelled and waited for."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for result in ended:
        if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
            raise result


def _at_the_end_of(trading: PackTrading, parts: _Parts) -> Callable[[date | None, bool], bool]:
    """Return what says of a close whether it is the last one to trade.

    The runner's own exchange plays this very pack, and looks for a new one only while it is followed: where it stands
    before the pack's end it is to be followed on. What another exchange plays is not known here.
    """
    end = trading.feed.sessions[-1] if parts.exchange is not None else date.min
    return lambda closed, last: closed is not None and last and closed >= end
