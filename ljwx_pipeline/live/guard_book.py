"""Everything that decides what may be done, as one value: breakers, trades, a person's modes, what is wrong right now.

Each function takes a book and something that happened and returns the next book. No clock, no I/O. What the log tells
(fills, answers, sessions) is folded along the log, so that the same log gives the same book wherever it was cut. Not
here: which events make a step durable (``guard_events.py``), reading and writing the journal (``guard.py``), what trips
a breaker (``trading/breaker_machines.py``), what a mode allows (``trading/modes.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date

from ljwx_pipeline.config import BreakerSettings
from ljwx_pipeline.live.events import (
    Booked,
    Event,
    FillReported,
    OrderReported,
    OrderUnknown,
    Reconciled,
    SessionClosed,
    SessionOpened,
    SleevesSettled,
    StrategyChanged,
    StrategyState,
)
from ljwx_pipeline.live.guard_trades import OrderFacts, StrategyTrades, as_settled, in_line_with, shares_held
from ljwx_pipeline.live.orders import OPEN_STATES, OrderState
from ljwx_pipeline.trading.breaker_machines import Fault, after_answer, after_equity, after_look, after_trade, killed
from ljwx_pipeline.trading.breaker_machines import session_began as breaker_session_began
from ljwx_pipeline.trading.breakers import Breaker, BreakerState, ResetRule, Trip, expected_breakers
from ljwx_pipeline.trading.exchange_wire import Side
from ljwx_pipeline.trading.modes import Condition, Standing, TradingMode
from ljwx_pipeline.trading.modes import standing as standing_of
from ljwx_pipeline.trading.round_trips import ClosedTrade
from ljwx_pipeline.units import E4_PER_FEN

Key = tuple[Breaker, str]

#: Stands for the session of a journal that has seen none.
BEFORE_ALL = date(1970, 1, 1)


@dataclass(frozen=True)
class GuardBook:
    """What decides on what may be done.

    Parameters
    ----------
    session
        The newest that began.
    equity_fen
        At the newest close; before the first the opening cash.
    read
        The last event of the log that is in it.
    states
        Of the breakers; one that should be there and is not counts as tripped.
    trades
        By strategy: of all there ever were; one that was removed holds nothing.
    in_force
        The strategies that there are.
    modes
        A person's word, by scope: the account's under the empty one.
    wrong
        The conditions that do not hold, and why.
    """

    session: date
    equity_fen: int
    read: int
    states: Mapping[Key, BreakerState]
    trades: Mapping[str, StrategyTrades]
    in_force: frozenset[str] = frozenset()
    modes: Mapping[str, TradingMode] = field(default_factory=dict)
    wrong: Mapping[Condition, str] = field(default_factory=dict)

    def standing(self, strategy: str = "", valid_session: date | None = None) -> Standing:
        """Return what the account, or one strategy, may do.

        Parameters
        ----------
        valid_session
            The session that an order is good for, None for right now. A breaker that the next session resets guards the
            session it tripped in: an order that is good for a later one is not of it, and is not denied by it.
        """
        states = [
            replace(state, trip=None) if _of_another_session(state, valid_session) else state
            for state in self.states.values()
        ]
        return standing_of(
            states,
            sorted(self.wrong),
            chosen=self.modes.get("", TradingMode.ACTIVE),
            strategy=strategy,
            strategy_chosen=self.modes.get(strategy, TradingMode.ACTIVE) if strategy else TradingMode.ACTIVE,
        )

    @property
    def begun_session(self) -> date | None:
        """The newest session that began; None before the first."""
        return None if self.session == BEFORE_ALL else self.session

    def with_state(self, state: BreakerState) -> GuardBook:
        """Return the book with ``state`` in its place."""
        return replace(self, states={**self.states, (state.breaker, state.key): state})

    def moved(self, breakers: Collection[Breaker], key: str, step: Callable[[BreakerState], BreakerState]) -> GuardBook:
        """Return the book after ``step`` of those of ``breakers`` that there are under ``key``."""
        changed = {name: step(self.states[name, key]) for name in breakers if (name, key) in self.states}
        return replace(self, states={**self.states, **{(name, key): state for name, state in changed.items()}})


def fresh_book(strategies: Iterable[str], session: date, *, equity_fen: int, read: int) -> GuardBook:
    """Return the book of a journal that has none yet: nothing tripped, nothing counted, nothing held."""
    named = sorted(set(strategies))
    states = {(breaker, key): BreakerState(breaker, key, session) for breaker, key in expected_breakers(named)}
    trades = {name: StrategyTrades() for name in named}
    return GuardBook(session, equity_fen, read, states, trades, frozenset(named))


def folded(
    book: GuardBook, seq: int, at_ns: int, event: Event, order: OrderFacts | None, settings: BreakerSettings
) -> GuardBook:
    """Return ``book`` after event ``seq`` of the log.

    Parameters
    ----------
    at_ns
        When it was written.
    order
        Of the event's order; None where it has none.
    """
    book = replace(book, read=seq)
    match event:
        case SessionOpened():
            return _begun(book, event.session, at_ns)
        case SessionClosed():
            closed = valued(_begun(book, event.session, at_ns), event.equity_fen, at_ns, settings)
            return replace(closed, equity_fen=event.equity_fen)
        case FillReported():
            return _filled(_begun(book, event.session, at_ns), event, order, at_ns, settings)
        case OrderReported():
            return _reported(book, event, order, at_ns, settings)
        case OrderUnknown():
            return _answered(book, order, event.reason or "no answer", at_ns, settings)
        case Booked():
            return _booked(book, event, at_ns, settings)
        case Reconciled():
            opened = _explained(book, event) if event.explained else book
            trades = in_line_with(opened.trades, event.positions, in_force=opened.in_force)
            return replace(opened, trades=trades)
        case SleevesSettled():
            return replace(book, trades=as_settled(book.trades, event.books))
        case StrategyChanged():
            return _changed(book, event)
    return book


#: Events that `folded` reads; all others change nothing of it.
READ_KINDS = (
    *(SessionOpened, SessionClosed, FillReported, OrderReported, OrderUnknown, Booked, Reconciled),
    *(SleevesSettled, StrategyChanged),
)


def valued(book: GuardBook, equity_fen: int, at_ns: int, settings: BreakerSettings) -> GuardBook:
    """Return ``book`` after the account was valued."""
    return book.moved(
        (Breaker.DRAWDOWN, Breaker.DAY_LOSS), "", lambda state: after_equity(state, equity_fen, at_ns, settings)
    )


def looked(
    book: GuardBook, breaker: Breaker, key: str, fault: Fault | None, at_ns: int, *, recovery_s: float = 0.0
) -> GuardBook:
    """Return ``book`` after a look at feed, clock, features or model."""
    return book.moved((breaker,), key, lambda state: after_look(state, fault, at_ns, recovery_s=recovery_s))


def stopped(book: GuardBook, *, by: str, reason: str, at_ns: int) -> GuardBook:
    """Return ``book`` after a person has pulled the kill switch.

    Raises
    ------
    TradingError
        When name or reason is empty.
    """
    return book.moved((Breaker.KILL_SWITCH,), "", lambda state: killed(state, person=by, reason=reason, at_ns=at_ns))


def lost(book: GuardBook, key: Key, why: str, at_ns: int) -> GuardBook:
    """Return ``book`` with a breaker tripped whose state, or what it counts, cannot be read."""
    state = book.states.get(key, BreakerState(*key, book.session))
    trip = Trip(at_ns, book.session, "no state", "", why, unreadable=True)
    return book.with_state(replace(state, count=0, well_since_ns=0, trip=trip))


def _of_another_session(state: BreakerState, valid_session: date | None) -> bool:
    trip = state.trip
    return (
        valid_session is not None
        and trip is not None
        and not trip.unreadable
        and ResetRule.NEXT_SESSION in state.rule.resets
        and trip.session < valid_session
    )


def _begun(book: GuardBook, session: date, at_ns: int) -> GuardBook:
    if session <= book.session:
        return book
    states = {
        key: breaker_session_began(state, session, at_ns, equity_fen=book.equity_fen)
        for key, state in book.states.items()
    }
    return replace(book, session=session, states=states)


def _explained(book: GuardBook, event: Reconciled) -> GuardBook:
    """Return ``book`` after a statement that is not what was reckoned here: losses are counted from it on."""
    value_fen = event.cash_fen + sum(one.shares * one.last_price_e4 // E4_PER_FEN for one in event.positions)
    counted = book.moved(
        (Breaker.DRAWDOWN, Breaker.DAY_LOSS), "", lambda state: replace(state, mark_fen=max(value_fen, 0))
    )
    return replace(counted, equity_fen=value_fen)


def _filled(
    book: GuardBook, event: FillReported, order: OrderFacts | None, at_ns: int, settings: BreakerSettings
) -> GuardBook:
    if order is None:
        return book  # somebody else's order: the next statement brings the lots in line
    for name in _known(book, order):
        one = book.trades[name]
        alone = len(order.strategies) == 1
        trades, trade = one.filled(event, order.shares) if alone else one.shared_filled(event, name, order)
        book = _traded(_with_trades(book, name, trades), name, trade, at_ns, settings)
    return _answered(book, order, "", at_ns, settings)


def _reported(
    book: GuardBook, event: OrderReported, order: OrderFacts | None, at_ns: int, settings: BreakerSettings
) -> GuardBook:
    if order is None:
        return book
    if event.state is OrderState.REJECTED:
        return _answered(book, order, f"rejected: {event.reason or 'no reason given'}", at_ns, settings)
    if event.state in OPEN_STATES and not event.session_over:
        return book if event.state is OrderState.UNKNOWN else _answered(book, order, "", at_ns, settings)
    alone = len(order.strategies) == 1
    if event.state is OrderState.FILLED or (alone and order.side is Side.BUY):  # a whole order is told by its last fill
        return book
    for name in _known(book, order):
        one, identity, shares = book.trades[name], event.client_order_id, event.filled_shares
        trades, trade = one.finished(identity, shares) if alone else one.shared_finished(identity, shares, name, order)
        book = _traded(_with_trades(book, name, trades), name, trade, at_ns, settings)
    return book


def _booked(book: GuardBook, event: Booked, at_ns: int, settings: BreakerSettings) -> GuardBook:
    book = _begun(book, event.session, at_ns)
    held = shares_held(book.trades, event.symbol)
    for name, one in book.trades.items():
        trades, trade = one.booked(event, held)
        book = _traded(_with_trades(book, name, trades), name, trade, at_ns, settings)
    return book


def _changed(book: GuardBook, event: StrategyChanged) -> GuardBook:
    """Return ``book`` after a strategy came, changed or went; one that comes back finds its breakers as they were."""
    name = event.strategy
    if event.state is StrategyState.REMOVED:
        left = _with_trades(book, name, StrategyTrades()) if name in book.trades else book
        return replace(left, in_force=book.in_force - {name})
    states = {key: BreakerState(*key, book.session) for key in expected_breakers([name]) if key[1] == name}
    return replace(
        book,
        states={**states, **book.states},
        trades={name: StrategyTrades(), **book.trades},
        in_force=book.in_force | {name},
    )


def _known(book: GuardBook, order: OrderFacts) -> list[str]:
    return [name for name in order.strategies if name in book.trades]


def _with_trades(book: GuardBook, name: str, trades: StrategyTrades) -> GuardBook:
    return replace(book, trades={**book.trades, name: trades})


def _traded(
    book: GuardBook, strategy: str, trade: ClosedTrade | None, at_ns: int, settings: BreakerSettings
) -> GuardBook:
    if trade is None:
        return book
    return book.moved((Breaker.LOSING_TRADES,), strategy, lambda state: after_trade(state, trade, at_ns, settings))


def _answered(
    book: GuardBook, order: OrderFacts | None, failure: str, at_ns: int, settings: BreakerSettings
) -> GuardBook:
    for name in () if order is None else _known(book, order):
        book = book.moved((Breaker.FAILURES,), name, lambda state: after_answer(state, failure, at_ns, settings))
    return book
