"""The guard: what may be done right now, kept in the journal, never ahead of it.

Every step is made twice: reckoned as a value (``guard_book.py``), made durable with one append, and only then in force;
while it is being written both the old and the new book forbid. What the log tells is folded in along the log, from the
last event that the journal's own note names, so that a process that died anywhere goes on where the log stands. A
journal that cannot be written is a condition by itself: nothing leaves until a later step is written. Not here: ticks
(``guard_ticks.py``), stops (``stop_desk.py``), what a person may ask for (``control.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.config import BreakerSettings
from ljwx_pipeline.errors import Deposed, LiveError, TradingError
from ljwx_pipeline.live.async_journal import AsyncJournal
from ljwx_pipeline.live.brokers.port import Fence
from ljwx_pipeline.live.events import Event, ModeChanged, Noted, instant_ns
from ljwx_pipeline.live.guard_book import GuardBook, folded, looked, stopped, valued
from ljwx_pipeline.live.guard_events import mirrored, mode_event, written
from ljwx_pipeline.live.guard_journal import Told, read_book, sent_lately, told_mode, told_since
from ljwx_pipeline.live.orders import Leg
from ljwx_pipeline.live.outstanding import Outstanding
from ljwx_pipeline.live.risk_gate import Restraint
from ljwx_pipeline.live.sleeves.strategies import strategy_of
from ljwx_pipeline.trading.breaker_machines import Fault, features_fault, model_fault
from ljwx_pipeline.trading.breakers import RULES, Breaker, Scope, reset_by_person
from ljwx_pipeline.trading.exchange_wire import Side
from ljwx_pipeline.trading.modes import Action, Condition, Standing, TradingMode, both
from ljwx_pipeline.units import NS_PER_MINUTE

#: A highest equity that alone moved is written at most so often.
MARKS_EVERY_NS = NS_PER_MINUTE
#: What is not known to hold when a process starts: connecting and comparing clear it.
_AT_START = {
    Condition.BROKER_UNREACHABLE: "not connected yet",
    Condition.EXCHANGE_UNREACHABLE: "not connected yet",
    Condition.NOT_RECONCILED: "not compared with the broker yet",
}


@dataclass(frozen=True)
class GuardSettings:
    """What the guard reads of the configuration: ``[breakers]``, ``live.max_bundle_age_days``, the opening cash."""

    breakers: BreakerSettings
    max_bundle_age_days: int
    capital_fen: int


class Guard:
    """One journal's guard, for one event loop.

    Parameters
    ----------
    journal, fence, clock
        Where it reads and writes, what says under which lease, and the time.
    settings
        The numbers.
    book, told_mode
        As `read_book` found them.
    """

    def __init__(
        self,
        *,
        journal: AsyncJournal,
        fence: Fence,
        clock: Clock,
        settings: GuardSettings,
        book: GuardBook,
        told_mode: TradingMode,
    ) -> None:
        self._journal = journal
        self._fence = fence
        self._clock = clock
        self._settings = settings
        self._book = replace(book, wrong={**_AT_START})
        self._kept = book  # as the journal holds it
        self._told_mode = told_mode
        self._coming: GuardBook | None = None
        self._ahead: list[Callable[[GuardBook], GuardBook]] = []
        self._moment = 0
        self._raised_at: dict[Condition, int] = {}
        self._marked_ns = 0
        self._turn = asyncio.Lock()

    @classmethod
    async def open(
        cls,
        *,
        journal: AsyncJournal,
        fence: Fence,
        clock: Clock,
        settings: GuardSettings,
        strategies: Collection[str],
    ) -> Guard:
        """Return the guard of what the journal holds, seeded where it holds none, and up to the log's last event.

        Its strategies are those in force in the journal; they come and go with what the log tells.

        Parameters
        ----------
        strategies
            Who trades where the journal names nobody.

        Raises
        ------
        Deposed
            When another runner has taken over.
        LiveError
            When the journal cannot be read or written: nothing may be sent.
        """
        now_ns = instant_ns(clock.now())
        before, book = await journal.read(
            lambda connection: read_book(connection, strategies, now_ns, capital_fen=settings.capital_fen)
        )
        events = written(before, book)
        if events:
            await journal.append(events, fence.epoch)
        told = await journal.read(told_mode)
        guard = cls(journal=journal, fence=fence, clock=clock, settings=settings, book=book, told_mode=told)
        await guard.follow()
        return guard

    @property
    def book(self) -> GuardBook:
        """What is in force."""
        return self._book

    def now(self) -> GuardBook:
        """Return what is in force, with the lease as it is held right now."""
        if self._fence.holds():
            return self._book
        return replace(self._book, wrong={**self._book.wrong, Condition.NO_LEASE: "the lease has run out"})

    @property
    def moment(self) -> int:
        """How often something has gone wrong until now: what is proved well from here on is no proof of what comes."""
        return self._moment

    @property
    def strategies(self) -> tuple[str, ...]:
        """The strategies in force, by name."""
        return tuple(sorted(self._book.in_force))

    def standing(self, strategy: str = "", valid_session: date | None = None) -> Standing:
        """Return what the account, or one strategy, may do now, or in orders for ``valid_session``.

        While a step is being written, what either side of it forbids is forbidden.
        """
        return self._standing(self.now(), strategy, valid_session)

    def _standing(self, book: GuardBook, strategy: str, valid_session: date | None) -> Standing:
        now = book.standing(strategy, valid_session)
        return now if self._coming is None else both(now, self._coming.standing(strategy, valid_session))

    def may_send(self, one: Outstanding) -> str:
        """Return the code that denies sending an order right now, for the first time or again: for `OrderDesk`.

        Breakers and a person's modes alone are asked. That nobody answers, leads or has compared yet is what the desk
        is about to mend, or refuses by itself.
        """
        action = Action.OPEN if one.order.side is Side.BUY else Action.REDUCE
        asked = Action.CLOSE_BY_HAND if one.leg is Leg.MANUAL else action
        book = replace(self._book, wrong={})
        # what several share is denied by what denies any of them; an order of nobody who is watched is the account's
        behind = {strategy_of(name) for name in one.behind or (one.strategy,)}
        standings = [book.standing(name if name in book.trades else "", one.order.session) for name in sorted(behind)]
        return next((code for of in standings if (code := of.denial(asked))), "")

    async def own_denial(self, strategy: str, valid_session: date, action: Action) -> str:
        """Return the code of what forbids ``action`` to ``strategy`` beside what forbids it to the whole account.

        A lease that has just run out is the account's. One that the guard does not know yet is read from the log first.
        Raises as `follow`.
        """
        if strategy not in self._book.in_force:
            await self.follow()
        book = self._book
        of_account = frozenset(self._standing(book, "", valid_session).reasons)
        own = (one for one in self._standing(book, strategy, valid_session).reasons if one not in of_account)
        return next((one.code for one in own if action not in one.allows), "")

    async def restraint(
        self,
        strategy: str,
        valid_session: date,
        now_ns: int,
        suspects: Collection[str] = (),
        *,
        asks_lease: bool = True,
    ) -> Restraint:
        """Return what speaks against orders of ``strategy`` (empty: the account's) for a session, beside the limits.

        Parameters
        ----------
        now_ns
            The market's time: what orders are decided on.
        suspects
            Symbols whose newest price is in quarantine.
        asks_lease
            Whether a lease that has just run out denies. Not where what is denied is denied for good: whoever places
            such orders waits for the renewal, and nothing leaves without it.
        """
        sent = await self._journal.read(lambda connection: sent_lately(connection, valid_session, now_ns))
        standing = self._standing(self.now() if asks_lease else self._book, strategy, valid_session)
        return Restraint(
            opening_denied=standing.denial(Action.OPEN),
            reducing_denied=standing.denial(Action.REDUCE),
            suspects=frozenset(suspects),
            orders_in_session=sent[0],
            sent_at_ns=sent[1],
            now_ns=now_ns,
        )

    async def follow(self) -> None:
        """Fold in what the log has told since the last time: fills, answers, bookings, sessions.

        Raises
        ------
        Deposed
            When another runner has taken over.
        LiveError
            When the journal cannot be read or written: the condition stands until a later step is written.
        """
        async with self._turn:
            await self._make(await self._followed())

    async def value(self, equity_fen: int, at_ns: int) -> None:
        """Count losses from the account's value, within the session that the log has come to; raises as `follow`."""
        async with self._turn:
            followed, settings = await self._followed(), self._settings.breakers
            marks = at_ns - self._marked_ns >= MARKS_EVERY_NS or at_ns < self._marked_ns
            await self._make(lambda book: valued(followed(book), equity_fen, at_ns, settings), marks=marks)
            self._marked_ns = at_ns if marks else self._marked_ns

    async def look_at_feed(self, fault: Fault | None, at_ns: int) -> None:
        """Take what ``breaker_machines.feed_fault`` says of the feed; raises as `follow`."""
        await self._look(Breaker.STALE_FEED, "", fault, at_ns, recovery_s=self._settings.breakers.recovery_s)

    async def look_at_clock(self, fault: Fault | None, at_ns: int) -> None:
        """Take what ``breaker_machines.clock_fault`` says of the clock; raises as `follow`."""
        await self._look(Breaker.CLOCK_SKEW, "", fault, at_ns, recovery_s=self._settings.breakers.recovery_s)

    async def look_at_features(self, strategy: str, age_sessions: int, at_ns: int) -> None:
        """Take the age of a strategy's features, sessions before the one decided on; raises as `follow`."""
        await self._look(Breaker.STALE_FEATURES, strategy, features_fault(age_sessions, self._settings.breakers), at_ns)

    async def look_at_model(self, strategy: str, age_days: int, at_ns: int) -> None:
        """Take the days since a strategy's model saw its last training session; raises as `follow`."""
        await self._look(
            Breaker.STALE_MODEL, strategy, model_fault(age_days, self._settings.max_bundle_age_days), at_ns
        )

    async def went_wrong(self, *conditions: Condition, why: str) -> None:
        """Forbid what ``conditions`` forbid at once, then write down the mode that follows.

        Raises
        ------
        Deposed
            When another runner has taken over.
        """
        said = dict.fromkeys(conditions, why)
        self._moment += 1
        self._raised_at.update(dict.fromkeys(conditions, self._moment))
        self._at_once(lambda book: replace(book, wrong={**book.wrong, **said}))
        async with self._turn:
            try:
                await self._make(lambda book: book)
            except Deposed:
                raise
            except LiveError:  # that it could not be written is a condition by now, which forbids the same and more
                return

    async def is_well(self, *conditions: Condition, since: int | None = None) -> None:
        """Write down the mode that follows once ``conditions`` hold again, then allow it; raises as `follow`.

        Parameters
        ----------
        since
            `moment` before what proves it was begun; None for now. What went wrong after it stays wrong.
        """
        proved = self._moment if since is None else since

        def lifted(book: GuardBook) -> GuardBook:
            over = {one for one in conditions if self._raised_at.get(one, 0) <= proved}
            return replace(book, wrong={one: why for one, why in book.wrong.items() if one not in over})

        async with self._turn:
            await self._make(lifted)

    async def kill(self, *, by: str, reason: str) -> None:
        """Pull the kill switch: it is in force at once, then it is written down.

        Raises
        ------
        TradingError
            When name or reason is empty.
        LiveError
            As `follow`: it is in force, but in this process alone, until a later step writes it down.
        """
        now_ns = self._now_ns()
        self._at_once(lambda book: stopped(book, by=by, reason=reason, at_ns=now_ns))
        async with self._turn:
            await self._make(lambda book: book)

    async def reset(self, breaker: Breaker, strategy: str, *, by: str, reason: str) -> None:
        """Reset a breaker as a person; raises as ``breakers.reset_by_person``, and as `follow`."""
        now_ns = self._now_ns()
        async with self._turn:
            state = self._book.states.get((breaker, strategy))
            if state is None:
                raise _no_such(breaker, strategy, self.strategies)
            again = reset_by_person(state, person=by, reason=reason, at_ns=now_ns)
            await self._make(lambda book: book.with_state(again))

    async def choose(self, mode: TradingMode, strategy: str, *, by: str, reason: str) -> None:
        """Set the account (``strategy`` empty) or a strategy to ``mode``.

        Raises
        ------
        TradingError
            When name or reason is empty, or there is no such strategy.
        LiveError
            As `follow`.
        """
        if not by.strip() or not reason.strip():
            raise TradingError(f"{mode} was asked for by {by!r} because of {reason!r}", "say who asks, and why")
        if strategy and strategy not in self._book.in_force:
            await self.follow()  # it may have come a moment ago
        if strategy and strategy not in self._book.in_force:
            raise TradingError(f"there is no strategy {strategy!r}", f"name one of {', '.join(self.strategies)}")
        said = ModeChanged(scope=strategy, mode=mode, by=by.strip(), reason=reason.strip())
        async with self._turn:
            await self._make(lambda book: replace(book, modes={**book.modes, strategy: mode}), beside=[said])

    async def _followed(self) -> Callable[[GuardBook], GuardBook]:
        """Return the step that folds in what counts of all the log has told since. The caller holds the turn.

        Where nothing counts the step moves nothing: a look at the clock is no line of the journal.
        """
        read = self._book.read
        last, told = await self._journal.read(lambda connection: told_since(connection, read))
        return lambda book: _folded(book, last, told, self._settings.breakers) if told else book

    async def _look(
        self, breaker: Breaker, key: str, fault: Fault | None, at_ns: int, *, recovery_s: float = 0.0
    ) -> None:
        async with self._turn:
            followed = await self._followed()
            await self._make(lambda book: looked(followed(book), breaker, key, fault, at_ns, recovery_s=recovery_s))

    def _at_once(self, step: Callable[[GuardBook], GuardBook]) -> None:
        """Put a step that only forbids in force before it is written, also in what is being written right now.

        A reason more may be ahead of the journal, a reason less may not; each later step writes what is ahead, too.
        """
        self._book = step(self._book)
        self._ahead.append(step)

    async def _make(
        self, step: Callable[[GuardBook], GuardBook], *, beside: Iterable[Event] = (), marks: bool = True
    ) -> None:
        """Reckon ``step``, write it, then put it in force. The caller holds the turn.

        Whoever is cancelled meanwhile ends once both are done: what the journal holds is in force.
        """
        work = asyncio.ensure_future(self._made(step, beside, marks=marks))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait([work])
            raise

    async def _made(self, step: Callable[[GuardBook], GuardBook], beside: Iterable[Event], *, marks: bool) -> None:
        self._ahead = []
        after = step(self._book)
        unwritable = Condition.JOURNAL_UNWRITABLE in after.wrong
        well = replace(after, wrong=_without(after.wrong, Condition.JOURNAL_UNWRITABLE)) if unwritable else after
        events = [*beside, *written(self._kept, after, marks=marks), *mode_event(self._told_mode, well)]
        if not events and after is not well:
            events = [Noted(topic="journal_writable", message="it can be written again", session=None)]
        if events:
            self._coming = after
            try:
                await self._journal.append(events, self._fence.epoch)
            except Deposed:
                self._forbid(Condition.NO_LEASE, "another runner leads")
                raise
            except LiveError as error:
                self._forbid(Condition.JOURNAL_UNWRITABLE, error.fact)
                raise
            finally:
                self._coming = None
            self._kept = mirrored(self._kept, well, events)
            after, self._told_mode = well, well.standing().mode
        for ahead in self._ahead:
            after = ahead(after)
        self._book = after

    def _forbid(self, condition: Condition, why: str) -> None:
        self._book = replace(self._book, wrong={**self._book.wrong, condition: why})

    def _now_ns(self) -> int:
        return instant_ns(self._clock.now())


def _folded(book: GuardBook, last: int, told: Iterable[Told], settings: BreakerSettings) -> GuardBook:
    for seq, at_ns, event, order in told:
        book = folded(book, seq, at_ns, event, order, settings)
    return replace(book, read=max(book.read, last))


def _without(wrong: Mapping[Condition, str], gone: Condition) -> dict[Condition, str]:
    return {one: why for one, why in wrong.items() if one is not gone}


def _no_such(breaker: Breaker, strategy: str, known: Collection[str]) -> TradingError:
    if RULES[breaker].scope is Scope.STRATEGY:
        return TradingError(
            f"{breaker} is a strategy's, and {strategy!r} is none", f"name one of {', '.join(known)} with --strategy"
        )
    return TradingError(f"{breaker} is the account's, not {strategy!r}'s", "leave out --strategy")
