"""The hours of one session: which phase an instant lies in, when the next one begins, how long trading has gone on.

Instants are ``at_ns``: integer UTC epoch nanoseconds. The phases and the dates on which they changed are the rulebook's
(``rulebook_sessions.py``); here they become instants, with the silences between them named. Not here: which days are
sessions (``calendar.py``), what time it is (``clock.py``).
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache

from ljwx_pipeline.clock import SHANGHAI
from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.market.rulebook_sessions import PhaseKind, session_phases
from ljwx_pipeline.market.symbols import Board

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class MarketPhase(StrEnum):
    """What the exchange is doing at an instant of a session's day."""

    BEFORE_OPEN = "before_open"
    OPENING_AUCTION = "opening_auction"
    OPENED = "opened"  # the open is known, continuous trading has not begun
    CONTINUOUS = "continuous"
    LUNCH = "lunch"
    CLOSING_AUCTION = "closing_auction"
    CLOSING_SILENCE = "closing_silence"  # the close is known, after-hours trading has not begun
    AFTER_HOURS = "after_hours"  # at the close's price: this line sends nothing then
    CLOSED = "closed"

    @property
    def trades(self) -> bool:
        """Whether orders meet and prices form."""
        return self in _TRADING


_TRADING = (MarketPhase.OPENING_AUCTION, MarketPhase.CONTINUOUS, MarketPhase.CLOSING_AUCTION)
_OF_KIND = {
    PhaseKind.OPENING_CALL: MarketPhase.OPENING_AUCTION,
    PhaseKind.CONTINUOUS: MarketPhase.CONTINUOUS,
    PhaseKind.CLOSING_CALL: MarketPhase.CLOSING_AUCTION,
    PhaseKind.AFTER_HOURS: MarketPhase.AFTER_HOURS,
}
#: What the silence after a phase is called.
_SILENCE_AFTER = {
    PhaseKind.OPENING_CALL: MarketPhase.OPENED,
    PhaseKind.CONTINUOUS: MarketPhase.LUNCH,
    PhaseKind.CLOSING_CALL: MarketPhase.CLOSING_SILENCE,
}
#: Whose hours a simulated stock of a board keeps: those of the exchange that lists the board.
_HOME = {Board.MAIN: "SZ", Board.CHINEXT: "SZ", Board.STAR: "SH", Board.BEIJING: "BJ"}


@dataclass(frozen=True, slots=True)
class Span:
    """``phase`` from ``starts_ns`` until the next span starts."""

    phase: MarketPhase
    starts_ns: int


@dataclass(frozen=True, slots=True)
class SessionHours:
    """The day of one session, from midnight to midnight by Shanghai's clocks, without a gap.

    Parameters
    ----------
    session
        The date.
    spans
        Ascending; the first starts at midnight, the last (``CLOSED``) never ends.
    starts_ns, continuous_before_ns
        Of the spans: their starts, and how long was traded continuously before each; what look-ups bisect.
    """

    session: date
    spans: tuple[Span, ...]
    starts_ns: tuple[int, ...]
    continuous_before_ns: tuple[int, ...]

    def phase_at(self, at_ns: int) -> MarketPhase:
        """Return the phase that ``at_ns`` lies in: a phase holds its start and not its end.

        Before the session's day it is ``BEFORE_OPEN``, after it ``CLOSED``.
        """
        return self.spans[max(0, bisect_right(self.starts_ns, at_ns) - 1)].phase

    def is_trading(self, at_ns: int) -> bool:
        """Return whether orders meet at ``at_ns``: auctions and continuous trading, not after hours."""
        return self.phase_at(at_ns).trades

    def next_span(self, at_ns: int) -> Span | None:
        """Return the span that begins first after ``at_ns``; None when the session is closed."""
        following = bisect_right(self.starts_ns, at_ns)
        return self.spans[following] if following < len(self.spans) else None

    def continuous_ns(self, at_ns: int) -> int:
        """Return how many nanoseconds of continuous trading lie before ``at_ns``: auctions and lunch do not count.

        An auction has one price, at its end, and not every feed says anything before.
        """
        place = bisect_right(self.starts_ns, at_ns) - 1
        if place < 0:
            return 0
        before_ns, span = self.continuous_before_ns[place], self.spans[place]
        return before_ns + at_ns - span.starts_ns if span.phase is MarketPhase.CONTINUOUS else before_ns

    def starts_of(self, phase: MarketPhase) -> tuple[int, ...]:
        """Return when ``phase`` begins, ascending; twice for ``CONTINUOUS``, never for a phase the day lacks."""
        return tuple(span.starts_ns for span in self.spans if span.phase is phase)


@lru_cache(maxsize=256)
def session_hours(session: date, board: Board, exchange: str) -> SessionHours:
    """Return the hours of ``session`` for stocks of ``board`` on ``exchange``.

    Parameters
    ----------
    exchange
        A symbol's suffix: ``SH``, ``SZ``, ``BJ``, or ``SIM``, whose boards keep the hours of the exchange that lists
        them (the main board: Shenzhen's).

    Raises
    ------
    TradingError
        As ``rulebook.session_phases``: a session outside the book, a board that is not the exchange's.
    """
    phases = session_phases(session, board, _HOME[board] if exchange == "SIM" else exchange)
    spans = [Span(MarketPhase.BEFORE_OPEN, shanghai_ns(session, time(0)))]
    for phase, following in zip(phases, (*phases[1:], None), strict=True):
        spans.append(Span(_OF_KIND[phase.kind], shanghai_ns(session, phase.start)))
        if following is None:
            spans.append(Span(MarketPhase.CLOSED, shanghai_ns(session, phase.end)))
        elif following.start > phase.end:
            spans.append(Span(_SILENCE_AFTER[phase.kind], shanghai_ns(session, phase.end)))
    so_far, before = 0, []
    for span, ends in zip(spans, (*spans[1:], None), strict=True):
        before.append(so_far)
        if ends is not None and span.phase is MarketPhase.CONTINUOUS:
            so_far += ends.starts_ns - span.starts_ns
    return SessionHours(session, tuple(spans), tuple(span.starts_ns for span in spans), tuple(before))


def shanghai_ns(session: date, at: time) -> int:
    """Return the instant at which Shanghai's clocks show ``at`` on ``session``, epoch nanoseconds."""
    return instant_ns(datetime.combine(session, at, tzinfo=SHANGHAI))


def instant_ns(instant: datetime) -> int:
    """Return ``instant`` as epoch nanoseconds, exact to its microsecond.

    Raises
    ------
    TradingError
        When it has no time zone: whose clock it was read from is then anybody's guess.
    """
    if instant.utcoffset() is None:
        raise TradingError(f"{instant} has no time zone", "pass instants as clock.Clock.now() gives them, in UTC")
    return (instant - _EPOCH) // _MICROSECOND * 1_000


def instant_of(at_ns: int) -> datetime:
    """Return epoch nanoseconds as a UTC instant, rounded down to the microsecond."""
    return _EPOCH + at_ns // 1_000 * _MICROSECOND


def session_of(at_ns: int) -> date:
    """Return the date that Shanghai's clocks show at ``at_ns``; whether it is a session is the calendar's to say."""
    return instant_of(at_ns).astimezone(SHANGHAI).date()
