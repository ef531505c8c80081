"""Which ticks are believed: every tick gets one verdict, a code, before anything else reads it.

A refused tick changes nothing but its count. What is refused for good reason today may be right later: an exchange that
corrects a volume downwards is believed once as many further ticks agree as make a jump true (``RESTATED``), so that one
wrong tick that was believed blinds nobody until the evening. Prices far from the last minute's mean are
``jumps.py``'s. Not here: silence of the whole feed (``trading/breakers.py``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from ljwx_pipeline.config import BreakerSettings
from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.ticks.jumps import JumpGuard, JumpLimits, Outcome, Suspicion
from ljwx_pipeline.market.hours import MarketPhase, SessionHours
from ljwx_pipeline.trading.exchange_wire import Tick
from ljwx_pipeline.units import E4_PER_FEN, NS_PER_S

#: Most suspicions kept for the journal between two takings; beyond it they are only counted.
MAX_UNTOLD = 10_000


class Verdict(StrEnum):
    """What becomes of a tick. The first four are believed."""

    ACCEPTED = "ACCEPTED"
    REANCHORED = "REANCHORED"  # confirms a jump: believed, and the price it jumped to is the new anchor
    RESTATED = "RESTATED"  # confirms that volume, amount or range were corrected backwards
    NO_TRADE = "NO_TRADE"  # nothing traded yet: proves that the feed lives, moves no price
    QUARANTINED = "QUARANTINED"  # too far from the last minute's mean
    UNKNOWN_SYMBOL = "UNKNOWN_SYMBOL"
    NOT_A_NUMBER = "NOT_A_NUMBER"  # a field is NaN, infinite, missing, or no integer
    WRONG_SESSION = "WRONG_SESSION"  # of another session, or stamped on another day
    OUT_OF_HOURS = "OUT_OF_HOURS"  # before the opening call, or after-hours trading at the close's price
    FUTURE = "FUTURE"  # ahead of our clock by more than max_clock_skew_s
    NEGATIVE = "NEGATIVE"
    OUT_OF_ORDER = "OUT_OF_ORDER"  # older than a tick that was believed
    DUPLICATE = "DUPLICATE"  # says again what was believed
    ZERO_PRICE = "ZERO_PRICE"  # volume without a price
    CROSSED = "CROSSED"  # best bid above best ask
    OUTSIDE_RANGE = "OUTSIDE_RANGE"  # last or open outside [low, high]
    OUTSIDE_LIMITS = "OUTSIDE_LIMITS"  # a price outside the session's price limits
    PRE_CLOSE = "PRE_CLOSE"  # another previous close than the session's: other limits, or another adjustment
    MEAN_PRICE = "MEAN_PRICE"  # amount over volume outside the limits: a wrong unit
    VOLUME_BACK = "VOLUME_BACK"  # volume or amount of the session fell
    RANGE_BACK = "RANGE_BACK"  # the session's high fell, its low rose or its open changed

    @property
    def moves_prices(self) -> bool:
        """Whether bars, stops and strategies may read the tick."""
        return self in _PRICED


_PRICED = frozenset({Verdict.ACCEPTED, Verdict.REANCHORED, Verdict.RESTATED})


@dataclass(frozen=True, slots=True)
class SymbolFacts:
    """What is known of a symbol before its session begins, prices in 1e-4 CNY.

    ``limit_up_e4`` and ``limit_down_e4`` as ``rulebook.limit_prices_e4`` gives them, no-limit values included.
    """

    symbol: str
    pre_close_e4: int
    limit_up_e4: int
    limit_down_e4: int
    hours: SessionHours


class _SymbolState:
    """What the validator remembers of one symbol."""

    __slots__ = (
        "closes_ns", "disputed", "disputes", "facts", "first_ns", "guard", "last", "opens_ns", "silent_until_ns",
        "stop_ns", "telling",
    )  # fmt: skip

    def __init__(self, facts: SymbolFacts, limits: JumpLimits) -> None:
        self.facts = facts
        self.guard = JumpGuard(limits)
        self.last: Tick | None = None  # the newest believed one
        self.disputed: Tick | None = None  # the newest that went back on what was believed
        self.disputes = 0
        self.telling = False  # the journal knows of the open suspicion
        self.silent_until_ns = -1
        hours = facts.hours
        self.opens_ns = hours.starts_of(MarketPhase.CONTINUOUS)[0]
        self.closes_ns = min(hours.starts_of(MarketPhase.CLOSING_SILENCE) + hours.starts_of(MarketPhase.CLOSED))
        self.first_ns = min(hours.starts_of(MarketPhase.OPENING_AUCTION))
        self.stop_ns = min(hours.starts_of(MarketPhase.AFTER_HOURS), default=hours.starts_ns[0] + 86_400 * NS_PER_S)


class TickValidator:
    """Judges the ticks of one session.

    Parameters
    ----------
    session
        The session whose ticks are believed.
    facts
        Of every symbol that may be told of.
    settings
        The numbers.
    raw_prices
        Whether prices are as traded: amount over volume is then held to the limits. Adjusted prices say nothing of it.

    Raises
    ------
    LiveError
        When a symbol is told twice, or its facts are no prices or of another session.
    """

    def __init__(
        self, session: date, facts: Iterable[SymbolFacts], settings: BreakerSettings, *, raw_prices: bool
    ) -> None:
        self.session = session
        #: Of all ticks judged, by verdict.
        self.counts: Counter[Verdict] = Counter()
        #: The newest instant at which the feed was seen alive; 0 before the first.
        self.newest_ns = 0
        #: Suspicions that were not kept for the journal: there were more than it could want.
        self.untold_suspicions = 0
        self._raw_prices = raw_prices
        self._skew_ns = round(settings.max_clock_skew_s * NS_PER_S)
        self._limits = JumpLimits.of(settings)
        self._told: list[Suspicion] = []
        self._states: dict[str, _SymbolState] = {}
        for one in facts:
            if one.symbol in self._states or one.hours.session != session:
                raise LiveError(
                    f"{one.symbol} is told twice, or for {one.hours.session} and not {session}",
                    "tell the facts of each symbol of the session once",
                )
            if not 0 < one.limit_down_e4 <= one.pre_close_e4 <= one.limit_up_e4:
                raise LiveError(
                    f"{one.symbol} has previous close {one.pre_close_e4} and limits {one.limit_down_e4} to "
                    f"{one.limit_up_e4} on {session}",
                    "give prices above zero, in 1e-4 CNY, as rulebook.limit_prices_e4 does",
                )
            self._states[one.symbol] = _SymbolState(one, self._limits)

    def judge(self, tick: Tick, now_ns: int) -> Verdict:
        """Return the tick's verdict and remember what it teaches.

        Parameters
        ----------
        now_ns
            Our clock when the tick came.
        """
        verdict = self._judged(tick, now_ns)
        self.counts[verdict] += 1
        return verdict

    def last(self, symbol: str) -> Tick | None:
        """Return the newest tick of ``symbol`` that was believed; None before the first and for a stranger."""
        state = self._states.get(symbol)
        return None if state is None else state.last

    def is_suspect(self, symbol: str) -> bool:
        """Return whether the price of ``symbol`` is doubted right now; a stranger's always is."""
        state = self._states.get(symbol)
        return state is None or state.guard.suspicious

    def take_suspicions(self) -> tuple[Suspicion, ...]:
        """Return what the journal should keep since the last call, oldest first.

        Of one symbol at most one suspicion within ``jump_window_s`` is told, with how it ended.
        """
        told, self._told = tuple(self._told), []
        return told

    def _judged(self, tick: Tick, now_ns: int) -> Verdict:
        state = self._states.get(tick.symbol)
        if state is None:
            return Verdict.UNKNOWN_SYMBOL
        fault = self._misplaced(tick, state, now_ns) or _implausible(tick, state.facts, raw_prices=self._raw_prices)
        if fault is not None:
            return fault
        before = state.last
        if before is not None and tick.at_ns <= before.at_ns:
            if tick.at_ns < before.at_ns:
                return Verdict.OUT_OF_ORDER
            if tick == before:
                return Verdict.DUPLICATE
        self.newest_ns = max(self.newest_ns, tick.at_ns)
        if tick.volume_shares == 0 and (before is None or before.volume_shares == 0):
            state.last = tick
            return Verdict.NO_TRADE
        fault = None if before is None else _gone_back(tick, before)
        if fault is not None and not self._agreed(tick, state):
            return fault
        return self._priced(tick, state, restated=fault is not None)

    def _misplaced(self, tick: Tick, state: _SymbolState, now_ns: int) -> Verdict | None:
        """Return why the tick cannot be of this session and this instant, None when it can."""
        numbers = (
            tick.at_ns, tick.last_e4, tick.volume_shares, tick.amount_fen, tick.bid_e4, tick.ask_e4, tick.bid_shares,
            tick.ask_shares, tick.open_e4, tick.high_e4, tick.low_e4, tick.pre_close_e4,
        )  # fmt: skip
        for number in numbers:
            if type(number) is not int:
                return Verdict.NOT_A_NUMBER
        if min(numbers) < 0:
            return Verdict.NEGATIVE
        midnight_ns = state.facts.hours.starts_ns[0]
        if tick.session != self.session or not midnight_ns <= tick.at_ns < midnight_ns + 86_400 * NS_PER_S:
            return Verdict.WRONG_SESSION
        if tick.at_ns > now_ns + self._skew_ns:
            return Verdict.FUTURE
        if not state.first_ns <= tick.at_ns < state.stop_ns:
            return Verdict.OUT_OF_HOURS
        return None

    def _agreed(self, tick: Tick, state: _SymbolState) -> bool:
        """Return whether enough ticks in a row agree with each other that what was believed was wrong."""
        before = state.disputed
        follows = before is not None and tick.at_ns > before.at_ns and _gone_back(tick, before) is None
        state.disputes = state.disputes + 1 if follows else 1
        state.disputed = tick
        return state.disputes > self._limits.confirmations

    def _priced(self, tick: Tick, state: _SymbolState, *, restated: bool) -> Verdict:
        continuous_ns = state.facts.hours.continuous_ns(tick.at_ns)
        auction = not state.opens_ns <= tick.at_ns < state.closes_ns
        changed = state.guard.admit(tick, continuous_ns, auction=auction)
        if changed is not None:
            self._tell(changed, state, continuous_ns)
        if state.guard.suspicious:
            return Verdict.QUARANTINED
        state.last = tick
        state.disputed, state.disputes = None, 0
        if restated:
            return Verdict.RESTATED
        confirmed = changed is not None and changed.outcome is Outcome.CONFIRMED
        return Verdict.REANCHORED if confirmed else Verdict.ACCEPTED

    def _tell(self, suspicion: Suspicion, state: _SymbolState, continuous_ns: int) -> None:
        if suspicion.outcome is Outcome.OPEN:
            state.telling = continuous_ns > state.silent_until_ns
            if state.telling:
                state.silent_until_ns = continuous_ns + self._limits.window_s * NS_PER_S
        if not state.telling:
            return
        if len(self._told) < MAX_UNTOLD:
            self._told.append(suspicion)
        else:
            self.untold_suspicions += 1


def _implausible(tick: Tick, facts: SymbolFacts, *, raw_prices: bool) -> Verdict | None:
    """Return what a tick says that cannot be, whatever came before it; None when it can."""
    last, high, low, bid, ask = tick.last_e4, tick.high_e4, tick.low_e4, tick.bid_e4, tick.ask_e4
    if tick.pre_close_e4 != facts.pre_close_e4:
        return Verdict.PRE_CLOSE
    if bid > ask > 0:
        return Verdict.CROSSED
    up, down = facts.limit_up_e4, facts.limit_down_e4
    if bid > up or ask > up or 0 < bid < down or 0 < ask < down:
        return Verdict.OUTSIDE_LIMITS
    volume = tick.volume_shares
    if volume == 0:
        return None if last == 0 or down <= last <= up else Verdict.OUTSIDE_LIMITS
    if last == 0 or low == 0:
        return Verdict.ZERO_PRICE
    if last > up or high > up or last < down or low < down:
        return Verdict.OUTSIDE_LIMITS
    if not low <= last <= high or not low <= tick.open_e4 <= high:
        return Verdict.OUTSIDE_RANGE
    amount_e4 = tick.amount_fen * E4_PER_FEN  # known to the fen, either way
    if raw_prices and not down * volume - E4_PER_FEN <= amount_e4 <= up * volume + E4_PER_FEN:
        return Verdict.MEAN_PRICE
    return None


def _gone_back(tick: Tick, before: Tick) -> Verdict | None:
    """Return which figure of the session so far went back between two ticks that are not out of order."""
    if tick.volume_shares < before.volume_shares or tick.amount_fen < before.amount_fen:
        return Verdict.VOLUME_BACK
    if before.volume_shares and (
        tick.high_e4 < before.high_e4 or tick.low_e4 > before.low_e4 or tick.open_e4 != before.open_e4
    ):
        return Verdict.RANGE_BACK
    return None
