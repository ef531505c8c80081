"""What may still be done: breakers, conditions and a person's word to a mode, for the account and for each strategy.

Every reason by itself allows certain actions; what is allowed is what all reasons allow, and the mode is the strictest
one that a reason asks for. So a further reason never allows more. Not here: what trips a breaker
(``breaker_machines.py``), how an outage is noticed, the order's own limits (``live/risk_gate.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from ljwx_pipeline.trading.breakers import Breaker, BreakerState, Scope, Stops, expected_breakers


class TradingMode(StrEnum):
    """What the runner, or one strategy, is about; from free to stopped."""

    ACTIVE = "active"
    REDUCING = "reducing"  # closes, never opens
    READ_ONLY = "read_only"  # no new order: watches, values what it holds by itself, shows the risk
    HALTED = "halted"  # stopped until a person says otherwise


_STRICTNESS = tuple(TradingMode)


class Action(StrEnum):
    """What changes something at the broker. Scoring, valuing and asking are always allowed."""

    OPEN = "open"  # orders that enlarge a position
    REDUCE = "reduce"  # decided sales, stops and exits
    CANCEL = "cancel"
    CLOSE_BY_HAND = "close_by_hand"  # a person closes one position or all


_ALL = frozenset(Action)
_REDUCING = _ALL - {Action.OPEN}
_BY_HAND = frozenset({Action.CANCEL, Action.CLOSE_BY_HAND})
_CANCEL = frozenset({Action.CANCEL})
_NOTHING: frozenset[Action] = frozenset()

#: What each mode allows where nothing else speaks against it.
ALLOWED = {
    TradingMode.ACTIVE: _ALL,
    TradingMode.REDUCING: _REDUCING,
    TradingMode.READ_ONLY: _CANCEL,
    TradingMode.HALTED: _BY_HAND,
}


class Condition(StrEnum):
    """What must hold for orders to leave at all, beside the breakers; named by what is wrong."""

    NO_LEASE = "NO_LEASE"  # another runner may be trading
    JOURNAL_UNWRITABLE = "JOURNAL_UNWRITABLE"  # full disk, read-only database: no intent can be made durable
    BROKER_UNREACHABLE = "BROKER_UNREACHABLE"
    EXCHANGE_UNREACHABLE = "EXCHANGE_UNREACHABLE"  # no feed
    NOT_RECONCILED = "NOT_RECONCILED"  # orders, fills, positions or cash are not known to be the broker's


#: All of them are READ_ONLY; whoever cannot reach the broker, write or lead must not even cancel.
_ALLOWED_IN_SPITE = {
    Condition.NO_LEASE: _NOTHING,
    Condition.JOURNAL_UNWRITABLE: _NOTHING,
    Condition.BROKER_UNREACHABLE: _NOTHING,
    Condition.EXCHANGE_UNREACHABLE: _CANCEL,
    Condition.NOT_RECONCILED: _CANCEL,
}


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that is wrong: its code as the journal keeps it, its mode, what it still allows, how people read it."""

    code: str
    mode: TradingMode
    allows: frozenset[Action]
    sentence: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What may be done now, and everything that speaks against more, the strictest first."""

    mode: TradingMode
    allows: frozenset[Action]
    reasons: tuple[Reason, ...]

    def denial(self, action: Action) -> str:
        """Return the code of the first reason that forbids ``action``; empty where it is allowed."""
        return next((reason.code for reason in self.reasons if action not in reason.allows), "")


def standing(
    states: Iterable[BreakerState],
    wrong: Collection[Condition],
    *,
    chosen: TradingMode = TradingMode.ACTIVE,
    strategy: str = "",
    strategy_chosen: TradingMode = TradingMode.ACTIVE,
) -> Standing:
    """Return what the account, or one strategy of it, may do.

    Parameters
    ----------
    states
        Every breaker's state; those of other strategies are not looked at. One that should be there and is not counts
        as tripped.
    wrong
        The conditions that do not hold.
    chosen, strategy_chosen
        What a person asked for, for the account and for the strategy; breakers may be stricter, never laxer.
    strategy
        Empty: the account's own standing, without any strategy's breakers.
    """
    known = {(state.breaker, state.key): state for state in states}
    reasons = [_of_condition(condition) for condition in sorted(wrong)]
    for breaker, key in expected_breakers([strategy] if strategy else []):
        reason = _of_breaker(breaker, key, known.get((breaker, key)))
        if reason is not None:
            reasons.append(reason)
    for mode, who in ((chosen, "the account"), (strategy_chosen, strategy)):
        if mode is not TradingMode.ACTIVE:
            reasons.append(Reason("CHOSEN", mode, ALLOWED[mode], f"a person set {who} to {mode}"))
    return _because(reasons)


def both(one: Standing, other: Standing) -> Standing:
    """Return what both allow, with the reasons of both."""
    return _because(dict.fromkeys((*one.reasons, *other.reasons)))


def _because(reasons: Iterable[Reason]) -> Standing:
    ordered = tuple(sorted(reasons, key=lambda reason: (-_STRICTNESS.index(reason.mode), len(reason.allows))))
    allows = _ALL.intersection(*(reason.allows for reason in ordered))
    return Standing(ordered[0].mode if ordered else TradingMode.ACTIVE, allows, ordered)


def _of_condition(condition: Condition) -> Reason:
    words = condition.lower().replace("_", " ")
    return Reason(condition.value, TradingMode.READ_ONLY, _ALLOWED_IN_SPITE[condition], words)


def _of_breaker(breaker: Breaker, key: str, state: BreakerState | None) -> Reason | None:
    named = f"{breaker} of {key}" if key else str(breaker)
    if state is None:
        return Reason(breaker.value, TradingMode.HALTED, _BY_HAND, f"{named} has no state: a person must look")
    if state.trip is None:
        return None
    sentence = f"{named}: {state.trip.value} on {state.trip.session}: {state.trip.reason}"
    if state.trip.unreadable or breaker is Breaker.KILL_SWITCH:
        return Reason(breaker.value, TradingMode.HALTED, _BY_HAND, sentence)
    if state.rule.stops is Stops.OPENING:
        return Reason(breaker.value, TradingMode.REDUCING, _REDUCING, sentence)
    if state.rule.scope is Scope.STRATEGY:
        return Reason(breaker.value, TradingMode.HALTED, _BY_HAND, sentence)
    return Reason(breaker.value, TradingMode.READ_ONLY, _CANCEL, sentence)
