"""Keeps the guard informed: every message, tick, second and outage of one broker goes through here, in one order.

Whoever follows the broker calls these and nothing of the parts. A tick is judged, built into bars and queued before
anything trades on it; a durable message is folded in before the next is asked for. An outage forbids at once and is
lifted by what proves its end: a comparison of the books lifts what a request without an answer raised, the stream read
again what the stream's end raised. Not here: what each part decides (``guard.py``, ``guard_ticks.py``,
``stop_desk.py``), what a person asks for (``control.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, select

from ljwx_pipeline.config import BreakerSettings, CostSettings
from ljwx_pipeline.live.async_journal import AsyncJournal
from ljwx_pipeline.live.brokers.port import Broker, BrokerSilent, Fence
from ljwx_pipeline.live.close_trading import Close, Denials
from ljwx_pipeline.live.events import HeldPosition
from ljwx_pipeline.live.guard import Guard
from ljwx_pipeline.live.guard_ticks import TickDesk
from ljwx_pipeline.live.market_time import MarketTime
from ljwx_pipeline.live.risk_gate import Restraint
from ljwx_pipeline.live.stop_desk import StopDesk
from ljwx_pipeline.live.tables import account_now, positions_now
from ljwx_pipeline.live.valuation import Valuation, valuation
from ljwx_pipeline.trading.exchange_wire import Durable, Phase, PhaseName, Tick
from ljwx_pipeline.trading.modes import Action, Condition

#: What a request without an answer leaves unknown; a comparison of the books that succeeds ends it.
UNANSWERED = (Condition.BROKER_UNREACHABLE, Condition.NOT_RECONCILED)
#: What the end of the stream leaves unknown; the stream read again after a comparison ends it.
OUTAGE = (*UNANSWERED, Condition.EXCHANGE_UNREACHABLE)
#: How long, and how often, a close that is to be judged looks whether the broker answers again.
ANSWERED_S, _ANSWER_LOOK_S = 10.0, 0.05


@dataclass(frozen=True)
class WatchSettings:
    """What the watch reads of the configuration.

    Parameters
    ----------
    listens
        Whether ticks are asked for. Without them no feed falls silent, and between two closes the account is worth what
        it was at the last one.
    """

    breakers: BreakerSettings
    costs: CostSettings
    listens: bool = True


class Watch:
    """One broker's messages, ticks and silences, for one event loop.

    Parameters
    ----------
    guard, ticks, stops
        Whom it informs.
    market
        The market's time.
    journal, fence, broker
        Where it reads the books and writes what was in quarantine, under which lease, and who is asked for the time.
    settings
        The numbers.
    """

    def __init__(
        self,
        *,
        guard: Guard,
        ticks: TickDesk,
        stops: StopDesk,
        market: MarketTime,
        journal: AsyncJournal,
        fence: Fence,
        broker: Broker,
        settings: WatchSettings,
    ) -> None:
        self.guard = guard
        self.ticks = ticks
        self.stops = stops
        self.market = market
        self._journal = journal
        self._fence = fence
        self._broker = broker
        self._settings = settings
        self._next_session: date | None = None
        self._books: tuple[int, list[HeldPosition]] = (0, [])
        self._reading = False
        self._wake = asyncio.Event()
        self._stops_changed = self._stops_due = False
        self._unanswered = asyncio.Event()
        self._turn = asyncio.Lock()

    @property
    def next_session(self) -> date | None:
        """The session after the one under way; None where the market knows no more."""
        return self._next_session

    # -- the follower's hooks ------------------------------------------------------------------------------------------

    async def on_connected(self) -> None:
        """Know again what an outage left unknown: the books agree and the stream is read. For the follower alone.

        Raises
        ------
        BrokerSilent
            When the broker falls silent again: nothing was lifted.
        Deposed, LiveError
            As `Guard.follow`.
        """
        await self._know_again(OUTAGE, self.guard.moment)

    async def on_compared(self, since: int) -> None:
        """Know again what requests without an answer left unknown: the books agree. Raises as `on_connected`.

        Parameters
        ----------
        since
            `Guard.moment` before the comparison was begun: what went wrong during it stays wrong.
        """
        await self._know_again(UNANSWERED, since)
        if Condition.BROKER_UNREACHABLE not in self.guard.book.wrong:
            self._unanswered.clear()

    async def _know_again(self, conditions: Sequence[Condition], since: int) -> None:
        clock = await self._broker.clock()
        self.market.saw(clock.at_ns)
        self._next_session = clock.next_session
        if clock.session is not None and clock.phase is not PhaseName.CLOSED:
            self._begin(clock.session)
        await self._read_books()
        await self.guard.is_well(*conditions, since=since)
        self._look_at_stops(changed=True)

    async def on_silent(self, error: BrokerSilent) -> None:
        """Let nothing new leave while the stream is not read; the account is valued by the last good prices."""
        await self.guard.went_wrong(*OUTAGE, why=error.fact)

    async def on_unanswered(self, error: BrokerSilent) -> None:
        """Let nothing new leave after a request without an answer, until the books were compared, which is due."""
        self._unanswered.set()
        await self.guard.went_wrong(*UNANSWERED, why=error.fact)

    async def comparison_due(self) -> None:
        """Return once a request went without an answer and the books were not compared since."""
        await self._unanswered.wait()

    async def on_books_differ(self, why: str) -> None:
        """Let nothing leave while journal and broker hold different books, until a comparison succeeds."""
        await self.guard.went_wrong(Condition.NOT_RECONCILED, why=why)

    async def on_messages(self, messages: Sequence[Durable]) -> None:
        """Fold in durable messages that were taken in; call it before the frame's ticks, and before the next frame.

        Stops are told that something has changed, and are read again by whoever trades them: no order is waited for.

        Raises
        ------
        BrokerSilent
            When the next session cannot be asked for.
        Deposed, LiveError
            As `Guard.follow`.
        """
        if not messages:
            return
        self._reading = True  # until the books are read again, prices and shares may be of two sessions
        for one in messages:
            self.market.saw(one.at_ns)
            if isinstance(one, Phase) and one.phase is PhaseName.OPENING_AUCTION:
                self._begin(one.session)
                self._next_session = (await self._broker.clock()).next_session
        await self._read_books()
        self._look_at_stops(changed=True)

    def on_ticks(self, ticks: Sequence[Tick]) -> None:
        """Judge a frame's ticks, build bars and queue what is believed; nothing is awaited and nothing is written."""
        believed_ns = self.ticks.take(ticks, self.market.judging_ns())
        if believed_ns:
            self.market.saw(believed_ns)
            self.market.heard_tick()
            self._wake.set()

    async def restraint(self, close: Close) -> Restraint:
        """Return what denies the account's orders decided at ``close``: for `CloseTrader`'s ``restraint``.

        Not a lease that has just run out, nor a request that has just gone without an answer: a close is decided once,
        its desk waits until the lease is renewed, and here it is waited until the books were compared.

        Raises
        ------
        BrokerSilent
            When the broker does not answer again meanwhile: nothing is judged, ask again after the reconnection.
        """
        await self._answers_again()
        suspects = self.ticks.suspects()
        return await self.guard.restraint("", close.valid_session, close.at_ns, suspects, asks_lease=False)

    async def _answers_again(self) -> None:
        for _ in range(round(ANSWERED_S / _ANSWER_LOOK_S)):
            if self.guard.book.wrong.keys().isdisjoint(OUTAGE):
                return
            await asyncio.sleep(_ANSWER_LOOK_S)
        raise BrokerSilent(
            f"the broker has not answered for {ANSWERED_S:.0f} s, and a close is to be decided",
            "nothing was decided; it is, once the books agree",
        )

    async def denials(self, strategy: str, close: Close) -> Denials:
        """Return what a strategy's own breakers and mode deny it at ``close``: for `CloseTrader`'s ``denials``."""
        session = close.valid_session
        return Denials(
            await self.guard.own_denial(strategy, session, Action.OPEN),
            await self.guard.own_denial(strategy, session, Action.REDUCE),
        )

    # -- tasks beside the follower -------------------------------------------------------------------------------------

    async def trade_ticks(self) -> None:
        """Trade stops until cancelled: a task of its own, so that a slow broker holds up no stream.

        Raises
        ------
        Deposed, LiveError
            As `StopDesk.on_tick`.
        """
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self.trade_queued()

    async def trade_queued(self) -> int:
        """Trade stops on what is due and on every tick queued now; return how many. Raises as `trade_ticks`."""
        traded = 0
        async with self._turn:
            await self._trade_due()
            while (tick := self.ticks.pop()) is not None:
                traded += 1
                await self._trade_due()  # what was held may have changed while an order was on its way
                try:
                    await self.stops.on_tick(tick, self.market.now_ns())
                except BrokerSilent as error:
                    await self.on_unanswered(error)
        return traded

    async def each_second(self, theirs_ns: int = 0) -> None:
        """Look at feed and clock, value the account, try what waits, write down what is in quarantine.

        Parameters
        ----------
        theirs_ns
            The market's clock right now where it was asked, else 0.

        Raises
        ------
        Deposed, LiveError
            As `Guard.follow`.
        """
        now_ns = self.market.now_ns()
        await self.guard.look_at_clock(self.market.fault(theirs_ns, self._settings.breakers), now_ns)
        if self._settings.listens:
            await self.guard.look_at_feed(self.ticks.silence(self.market.feed_ns(self.ticks.newest_ns())), now_ns)
        quarantined = self.ticks.take_quarantined()
        if quarantined:
            await self._journal.append(quarantined, self._fence.epoch)
        if self._settings.listens and not self._reading and self._in_session(now_ns) and self._books[1]:
            await self.guard.value(self.valuation().equity_fen, now_ns)
        if Condition.BROKER_UNREACHABLE not in self.guard.book.wrong:
            self._look_at_stops(changed=False)

    def valuation(self) -> Valuation:
        """Return the account by the last good prices, whoever answers or not."""
        cash_fen, held = self._books
        session = self.ticks.session or self.guard.book.begun_session
        return valuation(cash_fen, held, self.ticks.price_e4, costs=self._settings.costs, session=session)

    def _begin(self, session: date) -> None:
        self.ticks.begin(session, self.market.now_ns())
        self.market.heard_tick()

    async def _read_books(self) -> None:
        await self.guard.follow()
        self._books = await self._journal.read(_books)
        self._reading = False

    def _look_at_stops(self, *, changed: bool) -> None:
        """Have what waits tried again by whoever trades stops; ``changed``: and read the journal again before."""
        self._stops_changed |= changed
        self._stops_due = True
        self._wake.set()

    async def _trade_due(self) -> None:
        """Read what has changed, and let what waits try again. The caller holds the turn."""
        if self._stops_changed:
            self._stops_changed = False
            await self.stops.refresh(self._next_session)
        if self._stops_due:
            self._stops_due = False
            try:
                await self.stops.work(self.market.now_ns())
            except BrokerSilent as error:
                await self.on_unanswered(error)

    def _in_session(self, now_ns: int) -> bool:
        hours = self.ticks.hours()
        return hours is not None and hours.continuous_ns(now_ns) > 0


def _books(connection: Connection) -> tuple[int, list[HeldPosition]]:
    held = connection.execute(select(positions_now).order_by(positions_now.c.symbol)).mappings()
    cash = connection.execute(select(account_now.c.cash_fen)).scalar()
    return int(cash or 0), [HeldPosition(**row) for row in held]
