"""The runner's process on one event loop: it leads or waits, follows the exchange, takes models in, keeps its lease.

Every task runs beside the others and none of them hides another's end: the first that fails ends all, durable state
stays, and the next start goes on from it. A deliberate error (`LjwxError`) stops trading, is noted once and looked at
again at the next poll; whoever was deposed ends. Not here: HTTP (``api.py``), signals and exit codes (``main.py``),
what is open meanwhile (``leader_parts.py``), a followed pack (``following.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import date

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.errors import Deposed, LiveError, LjwxError
from ljwx_pipeline.live.backup_shelf import Retention
from ljwx_pipeline.live.brokers.opening import broker_at
from ljwx_pipeline.live.follower import BooksDiffer
from ljwx_pipeline.live.following import Following, FollowSettings, NobodyTrades, PackChanged, nothing_new
from ljwx_pipeline.live.guard_ticks import SymbolDay, days_of_pack
from ljwx_pipeline.live.inbox import Inbox
from ljwx_pipeline.live.journal import Journal
from ljwx_pipeline.live.leader_parts import Connection, LeaderParts, ProcessSettings, leader_parts
from ljwx_pipeline.live.leadership import Candidate, EpochForgotten, renew
from ljwx_pipeline.live.online.desk import SignalDesk
from ljwx_pipeline.live.order_desk import OrderDesk
from ljwx_pipeline.live.progress import Mode, Progress
from ljwx_pipeline.live.runner_word import RunnerWord, Traded
from ljwx_pipeline.live.sleeves.desk import StrategyDesk
from ljwx_pipeline.live.tasks import first_of
from ljwx_pipeline.live.trading import PackTrading, pack_stamp
from ljwx_pipeline.live.warm_up import compile_kernels
from ljwx_pipeline.live.watching import Watching
from ljwx_pipeline.scoring.bundle import ModelBundle

#: An idle runner says that it is there at most this often: whoever reads the journal tells it from a stopped one.
KEEP_ALIVE_S = 10.0
#: Code of the alert that what arrives cannot be taken in.
INBOX_FAILED = "INBOX_FAILED"
ALL_DONE = "every session of the pack is done"
#: How often a process that waits looks whether it may lead.
STANDBY_LOOK_S = 0.25
#: Seconds after which an order that never reached the broker does not mean any more what it meant.
MAX_ORDER_AGE_S = 60.0


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
    told
        Called with the words for whoever watches the process: that it stands by, and that it takes over.
    """

    def __init__(
        self,
        settings: ProcessSettings,
        *,
        inbox: Callable[[Journal], Inbox],
        progress: Progress,
        clock: Clock,
        ready: Callable[[], None] = lambda: None,
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._live = settings.trading.runner.live
        self._make_inbox = inbox
        self._word = RunnerWord(progress, capital_fen=settings.trading.runner.capital_fen, traded=self._traded)
        self._clock = clock
        self._ready = ready
        self._told = told
        self.epoch = 0
        self._stop = asyncio.Event()
        self._trading: PackTrading | None = None
        self._parts: LeaderParts | None = None
        self._following: Following | None = None

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
        return self._leading().watching

    @property
    def strategies(self) -> StrategyDesk:
        """Who trades the account, to be changed from the event loop; LiveError while this process does not lead."""
        return self._leading().strategies

    @property
    def signals(self) -> SignalDesk | None:
        """Who makes signals of ticks; None while nobody does."""
        return None if self._following is None else self._following.signals.desk

    async def reload(self) -> None:
        """Let the strategies follow the file; a file that is refused is noted in the journal, and nothing changes."""
        try:
            await self.strategies.reload()
        except Deposed:
            raise
        except LjwxError as error:
            self._word.progress.tell(self._word.progress.read().mode, str(error))

    def examine(self, bundle: ModelBundle) -> bool:
        """Refuse a bundle that fails its smoke predictions, from any thread; False while nothing can tell."""
        return self._parts is not None and self._parts.board.examine(bundle)

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
        async with self._candidate() as candidate:
            if not await self._leads(candidate, standby=standby):
                return False
            while (forgotten := await self._lead(candidate, once=once, beside=beside)) is not None:
                await asyncio.to_thread(candidate.lead_above, forgotten.seen)
            return True

    @asynccontextmanager
    async def _candidate(self) -> AsyncIterator[Candidate]:
        capital_fen = self._settings.trading.runner.capital_fen
        candidate = await asyncio.to_thread(Candidate, self._settings.place, self._clock, capital_fen=capital_fen)
        try:
            yield candidate
        except BaseException as error:
            try:
                await asyncio.to_thread(candidate.close)
            except LiveError as kept:
                error.add_note(f"the lease was not given back: {kept}")  # what ended the process is the news
            raise
        await asyncio.to_thread(candidate.close)

    async def _leads(self, candidate: Candidate, *, standby: bool) -> bool:
        stood_by = False
        while not self._stop.is_set():
            try:
                if await asyncio.to_thread(candidate.look):
                    if stood_by:
                        self._told("the other runner has ended: this one trades the account")
                    return True
            except LjwxError as error:
                if not stood_by:
                    raise
                # whoever leads tries the same again, too: whoever waits must be there when it is over
                self._word.progress.beat(Mode.STANDBY, str(error))
                await self._pause(self._live.poll_seconds)
                continue
            if not standby:
                return False
            if not stood_by:
                self._told("another runner trades this account: this one stands by and takes over when that one ends")
            stood_by = True
            self._word.progress.beat(Mode.STANDBY, "another runner trades this account")
            await self._pause(STANDBY_LOOK_S)
        return False

    async def _lead(
        self, candidate: Candidate, *, once: bool, beside: Callable[[], Awaitable[None]] | None
    ) -> EpochForgotten | None:
        """Lead until the end; return why to lead anew under a higher epoch, if that is it, with every task ended."""
        self.epoch = candidate.lease.epoch
        self._word.write_to(candidate.journal)
        self._word.leads()
        self._parts = self._trading = None
        try:
            # the lease is kept from the first moment on: what is opened may take longer than its term
            await first_of(
                renew(candidate.lease, self._word.renewal_hindered),
                self._open_and_trade(candidate, once=once, beside=beside),
            )
        except EpochForgotten as forgotten:
            return forgotten
        return None

    async def _open_and_trade(
        self, candidate: Candidate, *, once: bool, beside: Callable[[], Awaitable[None]] | None
    ) -> None:
        async with leader_parts(self._settings, candidate, self._make_inbox, self._clock) as parts:
            self._parts = parts
            work: list[Awaitable[None]] = [
                self._once(parts, once=True) if once else self._forever(parts),
                self._until_stopped(),
            ]
            if beside is not None:
                work.append(beside())
            await first_of(*work)

    def _leading(self) -> LeaderParts:
        if self._parts is None:
            raise LiveError("this process does not lead", "ask the runner that does")
        return self._parts

    async def _forever(self, parts: LeaderParts) -> None:
        """Trade and poll until cancelled."""
        await first_of(self._trade_forever(parts), self._look_after(parts))

    async def _trade_forever(self, parts: LeaderParts) -> None:
        while True:
            try:
                await self._once(parts)
            except Deposed:
                raise
            except LjwxError as error:
                await self._halt(error)
                self._word.beat()  # it was looked at again
                if isinstance(error, BooksDiffer):
                    await self._pause(self._live.reconcile_seconds)  # each comparison is a line of the journal
            await self._pause(self._live.poll_seconds)

    async def _look_after(self, parts: LeaderParts) -> None:
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
                await self._halt(error)
            await self._pause(self._live.poll_seconds)

    async def _collect(self, parts: LeaderParts) -> None:
        """Take in what has arrived; what hinders that is an alert, and stops nobody from trading by what is there."""
        try:
            await parts.collect()
        except Deposed:
            raise
        except LjwxError as error:
            await asyncio.to_thread(parts.candidate.journal.warn, INBOX_FAILED, str(error))

    async def _once(self, parts: LeaderParts, *, once: bool = False) -> None:
        """Take in what has arrived and trade every session that is due.

        Raises
        ------
        LjwxError
            When trading cannot go on; nothing is sent after it.
        """
        while not await self._pass(parts, once):
            self._trading = None

    async def _pass(self, parts: LeaderParts, once: bool) -> bool:
        """Trade over the pack that lies there; return False when another one was put in place meanwhile."""
        self._word.starting("taking in what has arrived")
        await (parts.collect() if once else self._collect(parts))
        trading = await self._opened(parts)
        await parts.board.adopt()
        if not parts.board.somebody_scores:
            await self._word.say(Mode.WAITING, "no model has been deployed yet")
            return True
        connection = await self._connected(parts, trading)
        ended = self._word.finished and parts.followed == trading.stamp
        if ended and await nothing_new(parts, trading, connection.broker):
            await self._word.say(Mode.FINISHED, ALL_DONE)  # of the model that stands there now
            return True
        parts.followed = trading.stamp
        self._following = self._made(parts, trading, connection, once=once)
        try:
            await self._following.run()
        except BooksDiffer as error:
            await connection.watch.on_books_differ(error.fact)
            raise
        except NobodyTrades as nobody:
            await self._word.say(Mode.WAITING, nobody.fact)
            return True
        except PackChanged:
            return False
        await parts.board.adopt()
        await self._word.say(Mode.FINISHED, ALL_DONE)
        return True

    def _made(self, parts: LeaderParts, trading: PackTrading, connection: Connection, *, once: bool) -> Following:
        settings = self._settings
        followed_by = FollowSettings(
            settings.trading.runner, settings.breakers, settings.place.live_dir, collects_at_close=once
        )
        return Following(
            parts,
            trading,
            connection,
            followed_by,
            word=self._word,
            ready=self._ready,
            clock=self._clock,
            pause=self._pause,
        )

    async def _connected(self, parts: LeaderParts, trading: PackTrading) -> Connection:
        """Return the connection of this leadership, made at the first call.

        Raises
        ------
        EpochForgotten
            When the broker has seen an epoch that is not below this process' own.
        """
        self._word.starting("starting the exchange, comparing the books with it")
        address = self._live.exchange_url if parts.exchange is None else await parts.exchange.address()
        if parts.connection is None:
            broker = broker_at(address, self._live)
            try:
                seen = await broker.highest_epoch()
                if parts.candidate.lease.epoch <= seen:
                    raise EpochForgotten.of(seen)
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
            parts.connection = Connection(broker, desk, watch)
        return parts.connection

    def _days(self, session: date) -> Mapping[str, SymbolDay]:
        return {} if self._trading is None else days_of_pack(self._trading.feed, session)

    async def _opened(self, parts: LeaderParts) -> PackTrading:
        settings, live_dir = self._settings, self._settings.place.live_dir
        stamp = await asyncio.to_thread(pack_stamp, live_dir)
        if self._trading is None or self._trading.stamp != stamp:
            self._trading = None
            self._word.starting("opening the session pack and reckoning its factors")
            trading = await asyncio.to_thread(PackTrading, live_dir, settings.trading)
            self._word.starting("compiling what decides, once for each release")
            await asyncio.to_thread(compile_kernels, trading.feed, settings.trading.runner, settings.trading.costs)
            await asyncio.to_thread(parts.candidate.require_fit, trading.feed)
            differ = await asyncio.to_thread(trading.features_beside, live_dir, settings.trading, settings.breakers)
            for difference in differ:
                await asyncio.to_thread(parts.candidate.journal.record_event, "features_file", difference)
            self._word.starting("loading the model")
            parts.board.attach(trading.factors)
            await parts.adopt()
            self._trading = trading  # last: what was refused on the way is asked again at the next look
        return self._trading

    def _traded(self) -> Traded:
        parts = self._parts
        bundle_hash = None if parts is None else parts.models.trading_hash
        trading = self._trading  # looked at once: this is asked from a thread, and the loop may let go of it meanwhile
        if trading is None:
            return Traded(bundle_hash=bundle_hash)
        feed = trading.feed
        return Traded(feed.pack.manifest.simulated, tuple(feed.sessions), bundle_hash)

    async def _halt(self, error: LjwxError) -> None:
        # waiting for the pipeline's first pack is not a fault
        missing = not pack_stamp(self._settings.place.live_dir)
        await self._word.faulted(Mode.WAITING if missing else Mode.HALTED, error)

    async def _pause(self, seconds: float) -> None:
        """Wait, but not beyond the order to stop."""
        if seconds > 0:
            await first_of(asyncio.sleep(seconds), self._until_stopped())

    async def _until_stopped(self) -> None:
        await self._stop.wait()
