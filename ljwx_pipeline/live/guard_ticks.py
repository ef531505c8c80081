"""The ticks of the session under way: judged, built into bars, queued for whoever trades on them.

One order for every tick: its verdict, then the bar, then the queue. What is refused is counted and reaches nobody; what
is in quarantine becomes one event a suspicion. Not here: a single verdict (``ticks/validation.py``), silence of the
whole feed (``trading/breaker_machines.py``), stops (``stop_desk.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from ljwx_pipeline.config import BreakerSettings
from ljwx_pipeline.live.events import Event, TickQuarantined
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.online.facts import session_facts
from ljwx_pipeline.live.ticks.bars import SessionBarsBuilder
from ljwx_pipeline.live.ticks.conflation import ConflatingQueue
from ljwx_pipeline.live.ticks.validation import SymbolFacts, TickValidator, Verdict
from ljwx_pipeline.market.hours import SessionHours
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.trading.breaker_machines import Fault, feed_fault
from ljwx_pipeline.trading.exchange_wire import Tick


@dataclass(frozen=True, slots=True)
class SymbolDay:
    """What is known of a symbol before its session begins, and what an order in it must keep to."""

    facts: SymbolFacts
    board: Board
    lot_min: int
    lot_step: int


#: Every symbol that may be told of on a session.
DaysOf = Callable[[date], Mapping[str, SymbolDay]]


def days_of_pack(feed: ReplayFeed, session: date) -> Mapping[str, SymbolDay]:
    """Return what ``feed`` knows of ``session`` before it begins; nothing where it does not hold the session.

    Whoever makes signals of the ticks knows the same symbols by the same facts (``online/facts.py``).
    """
    if session not in feed.sessions:
        return {}
    market = feed.market
    rows = {symbol: row for row, symbol in enumerate(feed.symbols)}
    found = {}
    for facts in session_facts(market, session, raw_prices=feed.pack.manifest.adjustment == "raw"):
        row = rows[facts.symbol]
        lots = int(market.lot_min[row]), int(market.lot_step[row])
        found[facts.symbol] = SymbolDay(facts, Board(int(market.board[row])), *lots)
    return found


def _nobody(tick: Tick) -> None:
    """Hear nothing of it."""


class TickDesk:
    """The ticks of one market, a session after the other.

    Parameters
    ----------
    days
        What is known of a session before it begins.
    settings
        The numbers.
    raw_prices
        As `TickValidator` takes it.
    """

    def __init__(self, days: DaysOf, settings: BreakerSettings, *, raw_prices: bool) -> None:
        self._days = days
        self._settings = settings
        self._raw_prices = raw_prices
        self._queue = ConflatingQueue(1)
        self._since_ns = 0
        self._told: Callable[[Tick], object] = _nobody
        self.session: date | None = None
        self.days: Mapping[str, SymbolDay] = {}
        self.validator: TickValidator | None = None
        self.bars: SessionBarsBuilder | None = None

    def begin(self, session: date, since_ns: int) -> None:
        """Judge the ticks of ``session`` from ``since_ns`` on; the one under way, or one before it, begins nothing."""
        if self.session is not None and session <= self.session:
            return
        self.session, self.days, self._since_ns = session, self._days(session), since_ns
        facts = [day.facts for day in self.days.values()]
        self.validator = TickValidator(session, facts, self._settings, raw_prices=self._raw_prices)
        self.bars = SessionBarsBuilder({one.symbol: one.hours for one in facts})
        # what waits is of a session that is over: nobody trades on it any more
        self._queue = ConflatingQueue(max(1, len(facts)))

    def take(self, ticks: Iterable[Tick], judging_ns: int) -> int:
        """Judge ``ticks`` in their order and queue those that move prices; return the newest instant, 0: none is newer.

        Parameters
        ----------
        judging_ns
            The time that no tick may be ahead of.
        """
        validator, bars = self.validator, self.bars
        if validator is None or bars is None:
            return 0
        before_ns = validator.newest_ns
        for tick in ticks:
            verdict = validator.judge(tick, judging_ns)
            if verdict.moves_prices:
                bars.add(tick)
                self._queue.put(tick)
                self._told(tick)
            elif verdict is Verdict.NO_TRADE:
                bars.saw_no_trade(tick.symbol)
        return validator.newest_ns if validator.newest_ns > before_ns else 0

    def tell(self, somebody: Callable[[Tick], object] = _nobody) -> None:
        """Give each believed tick to ``somebody`` too, in place of whoever was given it before; it must be quick."""
        self._told = somebody

    def pop(self) -> Tick | None:
        """Return the believed tick that waits longest; None when none does."""
        return self._queue.pop()

    def last(self, symbol: str) -> Tick | None:
        """Return the newest believed tick of ``symbol`` in this session; None before the first."""
        return None if self.validator is None else self.validator.last(symbol)

    def price_e4(self, symbol: str) -> int:
        """Return what ``symbol`` is worth: its last believed price, else its previous close; 0: not known."""
        tick, day = self.last(symbol), self.days.get(symbol)
        if tick is not None and tick.last_e4 > 0:
            return tick.last_e4
        return 0 if day is None else day.facts.pre_close_e4

    def suspects(self) -> frozenset[str]:
        """Return the symbols whose newest price is in quarantine."""
        validator = self.validator
        return frozenset() if validator is None else frozenset(one for one in self.days if validator.is_suspect(one))

    def is_suspect(self, symbol: str) -> bool:
        """Return whether the newest price of ``symbol`` is in quarantine; a stranger's is, before any session none."""
        return self.validator is not None and self.validator.is_suspect(symbol)

    def take_quarantined(self) -> list[Event]:
        """Return what the journal should keep of suspicions since the last call."""
        if self.validator is None:
            return []
        return [
            TickQuarantined(
                symbol=one.symbol,
                tick_at_ns=one.first_at_ns,
                price_e4=one.price_e4,
                reference_e4=one.mean_e4,
                reason=one.sentence(),
            )
            for one in self.validator.take_suspicions()
        ]

    def hours(self) -> SessionHours | None:
        """Return the hours that the feed's silence is measured by: those of the first symbol; None before a session."""
        return next((day.facts.hours for day in self.days.values()), None)

    def newest_ns(self) -> int:
        """Return the instant of the newest believed tick; before the first, when the session was begun to be heard."""
        return max(self._since_ns, 0 if self.validator is None else self.validator.newest_ns)

    def silence(self, now_ns: int) -> Fault | None:
        """Return what is wrong with the feed at ``now_ns``; None while nothing is, or no session has begun.

        What the feed said before it was listened to is no silence.
        """
        if self.validator is None:
            return None
        hours = self.hours()
        if hours is None:
            return Fault("no symbol is known", "1", f"whatever the feed says of {self.session} is a stranger's")
        return feed_fault(self.newest_ns(), now_ns, hours, self._settings)
