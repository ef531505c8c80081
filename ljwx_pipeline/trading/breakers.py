"""Breakers: which there are, what each stops, what resets it, and the state that survives a restart.

A breaker is a value, `BreakerState`, and what happens to it returns the next one (``breaker_machines.py``): no clock,
no I/O. Its durable half is the journal, which keeps the state as JSON beside the events that `change` names. They fail
closed: a state that cannot be read, or is not there, is tripped, and only a person resets it. Every reset says by which
rule, by whom and why.

Not here: limits that deny a single order (``live/risk_gate.py``), ticks in quarantine (``live/ticks/``), what may still
be done (``modes.py``).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.trading.strict_json import from_json, to_json


class Breaker(StrEnum):
    """Every breaker by its code."""

    LOSING_TRADES = "LOSING_TRADES"
    DRAWDOWN = "DRAWDOWN"
    DAY_LOSS = "DAY_LOSS"
    FAILURES = "FAILURES"
    STALE_FEED = "STALE_FEED"
    STALE_FEATURES = "STALE_FEATURES"
    STALE_MODEL = "STALE_MODEL"
    CLOCK_SKEW = "CLOCK_SKEW"
    KILL_SWITCH = "KILL_SWITCH"


class Scope(StrEnum):
    """Whose breaker it is: a state's ``key`` is a strategy's name, or empty for the account's."""

    STRATEGY = "strategy"
    ACCOUNT = "account"


class Stops(StrEnum):
    """What a tripped breaker stops within its scope."""

    OPENING = "opening"  # purchases; what reduces a position goes on
    EVERYTHING = "everything"


class ResetRule(StrEnum):
    """What resets a tripped breaker."""

    NEXT_SESSION = "the next session"
    PERSON = "a person, with a reason"
    RECOVERY = "recovery"


@dataclass(frozen=True, slots=True)
class BreakerRule:
    """One breaker: its number's key in ``ljwx.toml`` (empty: it has none) and its three answers."""

    breaker: Breaker
    number: str
    trips: str
    scope: Scope
    stops: Stops
    resets: tuple[ResetRule, ...]


_SESSION_OR_PERSON = (ResetRule.NEXT_SESSION, ResetRule.PERSON)
_RULES = (
    BreakerRule(
        Breaker.LOSING_TRADES, "breakers.max_losing_trades",
        "so many trades closed at a loss after fees, one after the other, within a session",
        Scope.STRATEGY, Stops.OPENING, _SESSION_OR_PERSON,
    ),
    BreakerRule(
        Breaker.DRAWDOWN, "breakers.max_day_drawdown_frac",
        "equity this far below the session's highest",
        Scope.ACCOUNT, Stops.OPENING, _SESSION_OR_PERSON,
    ),
    BreakerRule(
        Breaker.DAY_LOSS, "breakers.max_day_loss_cny",
        "equity this many CNY below the session's first",
        Scope.ACCOUNT, Stops.OPENING, (ResetRule.NEXT_SESSION,),
    ),
    BreakerRule(
        Breaker.FAILURES, "breakers.max_failures",
        "so many rejected orders and failed calls, one after the other, sessions between them or not",
        Scope.STRATEGY, Stops.EVERYTHING, (ResetRule.PERSON,),
    ),
    BreakerRule(
        Breaker.STALE_FEED, "breakers.max_feed_silence_s",
        "more seconds of continuous trading since the newest tick",
        Scope.ACCOUNT, Stops.EVERYTHING, (ResetRule.RECOVERY,),
    ),
    BreakerRule(
        Breaker.STALE_FEATURES, "breakers.max_features_age_sessions",
        "features of a session further back",
        Scope.STRATEGY, Stops.OPENING, (ResetRule.RECOVERY,),
    ),
    BreakerRule(
        Breaker.STALE_MODEL, "live.max_bundle_age_days",
        "a model trained longer ago, or in the future",
        Scope.STRATEGY, Stops.OPENING, (ResetRule.RECOVERY,),
    ),
    BreakerRule(
        Breaker.CLOCK_SKEW, "breakers.max_clock_skew_s",
        "our clock jumping so far, or so far from that of a market in real time, which none is yet",
        Scope.ACCOUNT, Stops.EVERYTHING, (ResetRule.RECOVERY,),
    ),
    BreakerRule(
        Breaker.KILL_SWITCH, "",
        "a person pulls it",
        Scope.ACCOUNT, Stops.EVERYTHING, (ResetRule.PERSON,),
    ),
)  # fmt: skip
#: Every breaker's rule, in the order of the documents' table.
RULES: Mapping[Breaker, BreakerRule] = {rule.breaker: rule for rule in _RULES}


@dataclass(frozen=True, slots=True)
class Trip:
    """When a breaker tripped and why; ``unreadable``: its state was lost, and what it was about with it."""

    at_ns: int
    session: date
    value: str
    limit: str
    reason: str
    unreadable: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """How a breaker was last reset: by which rule, by whom (empty: by nobody) and why."""

    at_ns: int
    rule: ResetRule
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class BreakerState:
    """One breaker of one scope, as the journal keeps it.

    Parameters
    ----------
    key
        The strategy; empty for the account's breakers.
    session
        The newest one it has seen begin.
    count
        Losing trades or failures, one after the other.
    mark_fen
        DRAWDOWN: the session's highest equity, DAY_LOSS: its first; 0: the next one seen.
    well_since_ns
        Breakers that recover: since when all is well again; 0 while it is not.
    trip
        None while it is not tripped.
    reset
        The last one, None before the first.
    """

    breaker: Breaker
    key: str
    session: date
    count: int = 0
    mark_fen: int = 0
    well_since_ns: int = 0
    trip: Trip | None = None
    reset: Reset | None = None

    @property
    def rule(self) -> BreakerRule:
        """What there is to know of the breaker beside its state."""
        return RULES[self.breaker]

    @property
    def stops(self) -> Stops | None:
        """What it stops right now, None while it is not tripped."""
        return None if self.trip is None else self.rule.stops

    def tripped(self, at_ns: int, value: str, limit: str, reason: str) -> BreakerState:
        """Return it tripped; one that is tripped already keeps its first reason."""
        if self.trip is not None:
            return self
        return replace(self, well_since_ns=0, trip=Trip(at_ns, self.session, value, limit, reason))

    def was_reset(self, at_ns: int, rule: ResetRule, by: str, reason: str) -> BreakerState:
        """Return it counting from nothing, with who let it go on and why; the callers know that they may."""
        return replace(
            self, count=0, mark_fen=0, well_since_ns=0, trip=None, reset=Reset(at_ns, rule, by, reason)
        )  # fmt: skip


class ChangeKind(StrEnum):
    """What the journal writes down."""

    TRIPPED = "tripped"
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to a breaker between two states, for the journal's events and the alert."""

    kind: ChangeKind
    breaker: Breaker
    key: str
    session: date
    at_ns: int
    value: str
    limit: str
    rule: ResetRule | None
    by: str
    reason: str

    def sentence(self) -> str:
        """Return it as people read it."""
        named = f"{self.breaker} of {self.key}" if self.key else str(self.breaker)
        if self.kind is ChangeKind.TRIPPED:
            told = f" at {self.value}, limit {self.limit}" if self.limit else f", {self.value}"
            return f"{named} tripped{told}: {self.reason}"
        return f"{named} reset by {self.by or self.rule}: {self.reason}"


def change(before: BreakerState, after: BreakerState) -> Change | None:
    """Return what must become durable before anything is done on ``after``; None where only a count moved."""
    trip, reset = after.trip, after.reset
    if before.trip is None and trip is not None:
        return Change(
            kind=ChangeKind.TRIPPED,
            breaker=after.breaker,
            key=after.key,
            session=trip.session,
            at_ns=trip.at_ns,
            value=trip.value,
            limit=trip.limit,
            rule=None,
            by="",
            reason=trip.reason,
        )
    if before.trip is not None and trip is None and reset is not None:
        return Change(
            kind=ChangeKind.RESET,
            breaker=after.breaker,
            key=after.key,
            session=after.session,
            at_ns=reset.at_ns,
            value=before.trip.value,
            limit=before.trip.limit,
            rule=reset.rule,
            by=reset.by,
            reason=reset.reason,
        )
    return None


def reset_by_person(state: BreakerState, *, person: str, reason: str, at_ns: int) -> BreakerState:
    """Return ``state`` reset by a person, counting from nothing.

    Raises
    ------
    TradingError
        When it is not tripped, is not a person's to reset, or person or reason is empty.
    """
    name = state.breaker if not state.key else f"{state.breaker} of {state.key}"
    if state.trip is None:
        raise TradingError(f"{name} is not tripped", "look at `ljwx live status` again: somebody was faster")
    if not person.strip() or not reason.strip():
        raise TradingError(f"{name} was to be reset by {person!r} because of {reason!r}", "say who resets it, and why")
    resets = state.rule.resets
    if ResetRule.PERSON not in resets and not state.trip.unreadable:
        raise TradingError(
            f"{name} ({state.trip.reason}) is not reset by a person",
            f"mend the cause: it resets by {' or '.join(resets)}",
        )
    return state.was_reset(at_ns, ResetRule.PERSON, person.strip(), reason.strip())


def expected_breakers(strategies: Collection[str]) -> tuple[tuple[Breaker, str], ...]:
    """Return ``(breaker, key)`` of every state that must be there."""
    account = [(rule.breaker, "") for rule in _RULES if rule.scope is Scope.ACCOUNT]
    of_strategies = [
        (rule.breaker, name) for name in sorted(strategies) for rule in _RULES if rule.scope is Scope.STRATEGY
    ]
    return (*account, *of_strategies)


def state_text(state: BreakerState) -> str:
    """Return the state as the JSON that `read_state` takes."""
    return json.dumps(to_json(state), separators=(",", ":"))


def read_state(
    text: str | None, *, breaker: Breaker, key: str, session: date, at_ns: int
) -> BreakerState:  # fmt: skip
    """Return the state that ``text`` says; whatever is wrong with it, a tripped one that says what.

    Parameters
    ----------
    text
        What `state_text` wrote; None: it is not there.
    session, at_ns
        Of the reading: what the tripped state is of.
    """
    try:
        if text is None:
            raise TradingError("it is not there", "a person looks")
        state = from_json(BreakerState, json.loads(text))
        _check_sense(state, breaker, key)
    except (TradingError, ValueError, RecursionError) as error:
        fact = error.fact if isinstance(error, TradingError) else str(error)
        trip = Trip(at_ns, session, "no state", "", f"its state cannot be read: {fact}", unreadable=True)
        return BreakerState(breaker, key, session, trip=trip)
    return state


def _check_sense(state: BreakerState, breaker: Breaker, key: str) -> None:
    if (state.breaker, state.key) != (breaker, key):
        raise TradingError(f"it is the state of {state.breaker} {state.key!r}", "a person looks")
    if min(state.count, state.mark_fen, state.well_since_ns) < 0:
        raise TradingError("a count, an equity or an instant is negative", "a person looks")
    if state.trip is not None and not state.trip.reason:
        raise TradingError("it tripped for no reason", "a person looks")
