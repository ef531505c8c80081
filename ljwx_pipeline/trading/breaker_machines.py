"""What moves the breakers: trades, answers, equity, looks at feed, clock, features and model, sessions, and a hand.

Each function takes a state and what was seen and returns the next state; the same sight twice changes nothing that
matters. None of them un-trips a breaker but by its rule. A trip happens *at* a count or a drawdown (three trades, five
per cent), and *beyond* an age, a silence or a skew (more than sixty seconds).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

from ljwx_pipeline.config import BreakerSettings
from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.market.hours import SessionHours
from ljwx_pipeline.trading.breakers import RULES, Breaker, BreakerState, ResetRule
from ljwx_pipeline.trading.round_trips import ClosedTrade
from ljwx_pipeline.units import FEN_PER_CNY, NS_PER_S

_RECOVERING = tuple(rule.breaker for rule in RULES.values() if ResetRule.RECOVERY in rule.resets)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with something that recovers: the value, its limit and what follows."""

    value: str
    limit: str
    reason: str


def session_began(state: BreakerState, session: date, at_ns: int, *, equity_fen: int) -> BreakerState:
    """Return ``state`` on a new session: what the next session resets is reset, day counts start from nothing.

    A session that is not after the one the state has seen changes nothing: a clock that jumps back resets no breaker.

    Parameters
    ----------
    equity_fen
        The account's at the session's start; DRAWDOWN and DAY_LOSS are counted from it.
    """
    if session <= state.session:
        return state
    begun = replace(state, session=session)
    if ResetRule.NEXT_SESSION not in state.rule.resets:
        return begun
    trip = state.trip
    if trip is not None and not trip.unreadable and trip.session < session:
        begun = begun.was_reset(at_ns, ResetRule.NEXT_SESSION, "", f"{session} began")
    begun = replace(begun, count=0, mark_fen=0)
    return _marked(begun, at_ns, equity_fen) if _counts_equity(state) else begun


def after_trade(state: BreakerState, trade: ClosedTrade, at_ns: int, settings: BreakerSettings) -> BreakerState:
    """Return LOSING_TRADES after a trade was closed (what a losing one is: ``round_trips.py``).

    A trade of a session before changes nothing: its day is over.

    Raises
    ------
    TradingError
        When the trade is of a session that has not begun here.
    """
    _require(state, Breaker.LOSING_TRADES)
    if trade.session > state.session:
        raise TradingError(
            f"a trade of {trade.session} was closed while the breakers are at {state.session}",
            "let the session begin first: session_began",
        )
    if trade.session < state.session:
        return state
    counted = replace(state, count=state.count + 1 if trade.is_loss else 0)
    if not 0 < settings.max_losing_trades <= counted.count:
        return counted
    return counted.tripped(
        at_ns,
        f"{counted.count} losing trades in a row",
        str(settings.max_losing_trades),
        f"the last is {trade.symbol} with {_cny(trade.profit_fen)} on {state.session}",
    )


def after_answer(state: BreakerState, failure: str, at_ns: int, settings: BreakerSettings) -> BreakerState:
    """Return FAILURES after an order or a call was answered.

    Parameters
    ----------
    failure
        What failed: a rejection with its reason, or a call whose outcome is not known; empty when it went well. An
        order that lapsed because the market did not come is neither: do not tell it here.
    """
    _require(state, Breaker.FAILURES)
    counted = replace(state, count=state.count + 1 if failure else 0)
    if counted.count < settings.max_failures:
        return counted
    return counted.tripped(
        at_ns, f"{counted.count} failures in a row", str(settings.max_failures), f"the last: {failure}"
    )


def after_equity(state: BreakerState, equity_fen: int, at_ns: int, settings: BreakerSettings) -> BreakerState:
    """Return DRAWDOWN or DAY_LOSS after the account was valued.

    The mark moves with it, so the state is worth keeping whenever it rose, at the latest once a minute: a restart
    remembers no higher equity than was kept.
    """
    _require(state, Breaker.DRAWDOWN, Breaker.DAY_LOSS)
    marked = _marked(state, at_ns, equity_fen)
    if marked.trip is not None:
        return marked
    lost_fen = marked.mark_fen - equity_fen
    if state.breaker is Breaker.DRAWDOWN:
        if lost_fen < settings.max_day_drawdown_frac * marked.mark_fen:
            return marked
        return marked.tripped(
            at_ns,
            f"{lost_fen / marked.mark_fen:.2%} below the day's highest equity",
            f"{settings.max_day_drawdown_frac:.2%}",
            f"equity fell from {_cny(marked.mark_fen)} to {_cny(equity_fen)}",
        )
    if lost_fen < settings.max_day_loss_cny * FEN_PER_CNY:
        return marked
    return marked.tripped(
        at_ns,
        f"{_cny(lost_fen)} below the day's first equity",
        f"{settings.max_day_loss_cny:,.2f} CNY",
        f"equity fell from {_cny(marked.mark_fen)} to {_cny(equity_fen)}",
    )


def after_look(state: BreakerState, fault: Fault | None, at_ns: int, *, recovery_s: float = 0.0) -> BreakerState:
    """Return a breaker that recovers (feed, features, model, clock) after somebody looked.

    Parameters
    ----------
    fault
        What is wrong, as the functions below say it; None when all is well.
    recovery_s
        How long all must be well, from the first such look on, before a tripped one is reset.
    """
    _require(state, *_RECOVERING)
    if fault is not None:
        return replace(state, well_since_ns=0).tripped(at_ns, fault.value, fault.limit, fault.reason)
    if state.trip is None or state.trip.unreadable:
        return state
    # a clock that jumped back starts the wait again
    since_ns = at_ns if state.well_since_ns == 0 or at_ns < state.well_since_ns else state.well_since_ns
    if at_ns - since_ns < recovery_s * NS_PER_S:
        return replace(state, well_since_ns=since_ns)
    return state.was_reset(at_ns, ResetRule.RECOVERY, "", f"well again for {(at_ns - since_ns) / NS_PER_S:.0f} s")


def killed(state: BreakerState, *, person: str, reason: str, at_ns: int) -> BreakerState:
    """Return KILL_SWITCH pulled.

    Raises
    ------
    TradingError
        When person or reason is empty.
    """
    if not person.strip() or not reason.strip():
        raise TradingError(
            f"the kill switch was to be pulled by {person!r} because of {reason!r}", "say who pulls it, and why"
        )
    _require(state, Breaker.KILL_SWITCH)
    return state.tripped(at_ns, f"pulled by {person.strip()}", "", reason.strip())


def feed_fault(newest_ns: int, now_ns: int, hours: SessionHours, settings: BreakerSettings) -> Fault | None:
    """Return what is wrong with a feed whose newest believed tick is of ``newest_ns`` (0: none yet).

    Only continuous trading counts: neither auctions nor lunch nor night make a feed stale. The session's start counts
    as a tick.
    """
    silent_s = (hours.continuous_ns(now_ns) - hours.continuous_ns(newest_ns)) / NS_PER_S
    if silent_s <= settings.max_feed_silence_s:
        return None
    return Fault(
        f"the newest tick is {silent_s:.0f} s of trading old",
        f"{settings.max_feed_silence_s:g} s",
        "new orders are paused until the feed recovers",
    )


def features_fault(age_sessions: int, settings: BreakerSettings) -> Fault | None:
    """Return what is wrong with features of so many sessions before the one decided on."""
    limit = settings.max_features_age_sessions
    if 0 <= age_sessions <= limit:
        return None
    reason = "nothing is bought until the session's features are here"
    return Fault(f"features of {age_sessions} sessions before", f"{limit} sessions", reason)


def model_fault(age_days: int, max_bundle_age_days: int) -> Fault | None:
    """Return what is wrong with a model whose last training session is so many days back."""
    if 0 <= age_days <= max_bundle_age_days:
        return None
    reason = "nothing is bought until a younger model is deployed"
    return Fault(f"a model trained up to {age_days} days before", f"{max_bundle_age_days} days", reason)


def clock_fault(ours_ns: int, theirs_ns: int, settings: BreakerSettings) -> Fault | None:
    """Return what is wrong with our clock beside another that should agree.

    The other is the exchange's, or our own a moment ago and the monotonic seconds since: a jump, back or forth.
    """
    skew_s = (ours_ns - theirs_ns) / NS_PER_S
    if abs(skew_s) <= settings.max_clock_skew_s:
        return None
    reason = "new orders are paused until the clocks agree"
    return Fault(f"our clock is {skew_s:+.1f} s from the other", f"{settings.max_clock_skew_s:g} s", reason)


def _marked(state: BreakerState, at_ns: int, equity_fen: int) -> BreakerState:
    """Return ``state`` with the equity its loss is counted from; an account worth nothing trips it."""
    if equity_fen <= 0:
        return state.tripped(at_ns, f"equity {_cny(equity_fen)}", "above 0.00 CNY", "no loss can be told from it")
    if state.mark_fen == 0 or (state.breaker is Breaker.DRAWDOWN and equity_fen > state.mark_fen):
        return replace(state, mark_fen=equity_fen)
    return state


def _require(state: BreakerState, *breakers: Breaker) -> None:
    if state.breaker not in breakers:
        raise TradingError(
            f"{state.breaker} was told what only {' or '.join(breakers)} can judge", "pass each breaker its own sight"
        )


def _counts_equity(state: BreakerState) -> bool:
    return state.breaker in (Breaker.DRAWDOWN, Breaker.DAY_LOSS)


def _cny(fen: int) -> str:
    return f"{fen / FEN_PER_CNY:,.2f} CNY"
