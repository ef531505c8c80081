"""Which events make a step of the guard's book durable, and how the journal holds what they say.

Not here: what a step is (``guard_book.py``), when one is made and written (``guard.py``), how a book is read back
(``guard_journal.py``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import date

from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.live.events import AlertRaised, BreakerMoved, BreakerReset, BreakerTripped, Event, ModeChanged, Tier
from ljwx_pipeline.live.guard_book import GuardBook
from ljwx_pipeline.live.guard_trades import trades_text
from ljwx_pipeline.trading.breakers import Breaker, BreakerState, Change, ChangeKind, Stops, change, state_text
from ljwx_pipeline.trading.modes import Reason, TradingMode

#: What the journal keeps beside the breakers' own states: a strategy's trades, and the last event they hold.
TRADES, FOLLOWED = "TRADES", "FOLLOWED"
#: Scope of the mode that follows from everything, in the journal; the empty one and strategies' are a person's words.
STANDING_SCOPE = "(standing)"
#: Who changes what nobody asked for.
RUNNER = "the runner"


def written(before: GuardBook | None, after: GuardBook, *, marks: bool = True) -> list[Event]:
    """Return the events that make the step from ``before`` to ``after`` durable; None: everything is new.

    Parameters
    ----------
    marks
        False leaves out a highest equity that alone moved: it is worth keeping once a minute, not with each tick.
    """
    events: list[Event] = []
    for (breaker, key), state in after.states.items():
        old = None if before is None else before.states.get((breaker, key))
        if old == state or (old is not None and not marks and old == replace(state, mark_fen=old.mark_fen)):
            continue
        step = change(old if old is not None else replace(state, trip=None), state)
        events += [] if step is None else _told(step)
        events.append(BreakerMoved(breaker=breaker.value, scope=key, state=state_text(state)))
    for name, trades in after.trades.items():
        if before is None or before.trades.get(name) != trades:
            events.append(BreakerMoved(breaker=TRADES, scope=name, state=trades_text(trades)))
    if before is None or (events and before.read != after.read) or before.equity_fen != after.equity_fen:
        events.append(BreakerMoved(breaker=FOLLOWED, scope="", state=followed_text(after)))
    return events


def mirrored(kept: GuardBook, after: GuardBook, events: Iterable[Event]) -> GuardBook:
    """Return the book as the journal holds it once ``events`` of the step from ``kept`` to ``after`` are written."""
    states, trades = dict(kept.states), dict(kept.trades)
    followed = kept
    for event in events:
        if not isinstance(event, BreakerMoved):
            continue
        if event.breaker == TRADES:
            trades[event.scope] = after.trades[event.scope]
        elif event.breaker == FOLLOWED:
            followed = after
        else:
            key = (Breaker(event.breaker), event.scope)
            states[key] = after.states[key]
    return replace(followed, states=states, trades=trades)


def mode_event(told: TradingMode, book: GuardBook) -> list[Event]:
    """Return the account's mode as the journal is to hold it, unless it is ``told`` already, with every reason."""
    now = book.standing()
    if now.mode is told:
        return []
    why = "; ".join(dict.fromkeys(_sentence(book, reason) for reason in now.reasons))
    said = why or "nothing speaks against it any more"
    return [ModeChanged(scope=STANDING_SCOPE, mode=now.mode, by=RUNNER, reason=said)]


def followed_text(book: GuardBook) -> str:
    """Return how far the log was read, and what is known from there on."""
    said = {"read": book.read, "session": book.session.isoformat(), "equity_fen": book.equity_fen}
    return json.dumps(said, separators=(",", ":"))


def read_followed(text: str) -> tuple[int, date, int]:
    """Return event, session and equity of `followed_text`.

    Raises
    ------
    TradingError
        When it says none of it.
    """
    try:
        said = json.loads(text)
        read, session, equity_fen = said["read"], date.fromisoformat(said["session"]), said["equity_fen"]
        if type(read) is not int or type(equity_fen) is not int or read < 0:
            raise ValueError(f"event {read!r}, equity {equity_fen!r}")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TradingError(f"how far the log was read is not known ({error!r})", "a person looks") from None
    return read, session, equity_fen


def _sentence(book: GuardBook, reason: Reason) -> str:
    why = {one.value: why for one, why in book.wrong.items()}.get(reason.code, "")
    return f"{reason.sentence}: {why}" if why else reason.sentence


def _told(step: Change) -> list[Event]:
    """Return the events of a trip or a reset, with the alert: critical where everything stops."""
    if step.kind is ChangeKind.RESET:
        by = step.by or str(step.rule)
        reset = BreakerReset(breaker=step.breaker.value, scope=step.key, by=by, reason=step.reason)
        return [reset, AlertRaised(tier=Tier.INFO, code=f"{step.breaker}_RESET", message=step.sentence())]
    tripped = BreakerTripped(
        breaker=step.breaker.value,
        scope=step.key,
        session=step.session,
        value=step.value,
        limit=step.limit,
        reason=step.reason,
    )
    everything = BreakerState(step.breaker, step.key, step.session).rule.stops is Stops.EVERYTHING
    tier = Tier.CRITICAL if everything else Tier.WARNING
    return [tripped, AlertRaised(tier=tier, code=step.breaker.value, message=step.sentence())]
