"""When the exchanges trade: auctions and continuous trading by exchange, board and date, and when trading halts.

Times are Shanghai's. Not here: which days are sessions (``calendar.py``), which stock is suspended (the table
``suspensions``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, time
from enum import StrEnum

from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.market import rulebook_notices as notices
from ljwx_pipeline.market.rulebook_notices import BOOK_FIRST, Notice, check_in_book
from ljwx_pipeline.market.symbols import Board


class PhaseKind(StrEnum):
    """How orders meet within a phase."""

    OPENING_CALL = "opening call auction"
    CONTINUOUS = "continuous"
    CLOSING_CALL = "closing call auction"
    AFTER_HOURS = "after hours, at the close"


@dataclass(frozen=True)
class Phase:
    """Orders meet as ``kind`` says from ``start`` up to ``end``."""

    kind: PhaseKind
    start: time
    end: time

    def __str__(self) -> str:
        return f"{self.kind} {self.start:%H:%M}-{self.end:%H:%M}"


_OPENING = Phase(PhaseKind.OPENING_CALL, time(9, 15), time(9, 25))
_MORNING = Phase(PhaseKind.CONTINUOUS, time(9, 30), time(11, 30))
_UNTIL_THREE = (_OPENING, _MORNING, Phase(PhaseKind.CONTINUOUS, time(13), time(15)))
_CLOSING_CALL = (
    _OPENING,
    _MORNING,
    Phase(PhaseKind.CONTINUOUS, time(13), time(14, 57)),
    Phase(PhaseKind.CLOSING_CALL, time(14, 57), time(15)),
)
_AFTER_HOURS = (*_CLOSING_CALL, Phase(PhaseKind.AFTER_HOURS, time(15, 5), time(15, 30)))


@dataclass(frozen=True)
class SessionRule:
    """From ``first`` on a session of ``board`` on ``exchange`` (a symbol's suffix) has these phases."""

    exchange: str
    board: Board
    first: date
    phases: tuple[Phase, ...]
    notice: Notice


#: Ascending by date within an exchange and board. Beijing's after-hours trading had not begun on 2026-08-29.
SESSION_RULES = (
    SessionRule("SH", Board.MAIN, BOOK_FIRST, _UNTIL_THREE, notices.SSE_2006),
    SessionRule("SH", Board.MAIN, date(2018, 8, 20), _CLOSING_CALL, notices.CLOSING_CALL_2018),
    SessionRule("SH", Board.MAIN, date(2026, 7, 6), _AFTER_HOURS, notices.AFTER_HOURS_2026),
    SessionRule("SZ", Board.MAIN, BOOK_FIRST, _CLOSING_CALL, notices.SZSE_2006),
    SessionRule("SZ", Board.MAIN, date(2026, 7, 6), _AFTER_HOURS, notices.AFTER_HOURS_2026),
    SessionRule("SZ", Board.CHINEXT, date(2009, 10, 30), _CLOSING_CALL, notices.CHINEXT_2009),
    SessionRule("SZ", Board.CHINEXT, date(2020, 8, 24), _AFTER_HOURS, notices.CHINEXT_ORDERS_2020),
    SessionRule("SH", Board.STAR, date(2019, 7, 22), _AFTER_HOURS, notices.STAR_ORDERS_2019),
    SessionRule("BJ", Board.BEIJING, date(2021, 11, 15), _CLOSING_CALL, notices.BEIJING_ORDERS_2021),
)


@dataclass(frozen=True)
class ShortSession:
    """On ``session`` the index circuit breaker closed both exchanges at ``closed_at``, for the rest of the day."""

    session: date
    closed_at: time
    notice: Notice


SHORT_SESSIONS = (
    ShortSession(date(2016, 1, 4), time(13, 33), notices.CIRCUIT_BREAKER),
    ShortSession(date(2016, 1, 7), time(9, 59), notices.CIRCUIT_BREAKER),
)


@dataclass(frozen=True)
class HaltRule:
    """On a session without limits a stock first ``bps`` (each of them) from its opening price halts for ``minutes``."""

    board: Board
    first: date
    bps: tuple[int, ...]
    minutes: int
    notice: Notice


HALT_RULES = (
    HaltRule(Board.MAIN, date(2023, 4, 10), (3000, 6000), 10, notices.HALTS_2023),
    HaltRule(Board.CHINEXT, date(2020, 8, 24), (3000, 6000), 10, notices.HALTS_CHINEXT),
    HaltRule(Board.STAR, date(2019, 7, 22), (3000, 6000), 10, notices.HALTS_STAR),
    HaltRule(Board.BEIJING, date(2021, 11, 15), (3000, 6000), 10, notices.BEIJING_MEMORY),
)


def session_phases(session: date, board: Board, exchange: str) -> tuple[Phase, ...]:
    """Return the phases of ``session`` for stocks of ``board`` on ``exchange`` (``SH``, ``SZ`` or ``BJ``).

    What the circuit breaker cut off in January 2016 is cut off here too.

    Raises
    ------
    TradingError
        When the session is outside the book, or the board is not the exchange's or had not opened.
    """
    check_in_book(session)
    known = [
        rule for rule in SESSION_RULES if rule.exchange == exchange and rule.board == board and rule.first <= session
    ]
    if not known:
        raise TradingError(
            f"{exchange} had no session of the {board.name} board on {session}",
            "correct the exchange (SH, SZ or BJ), the board or the date",
        )
    closed_at = {short.session: short.closed_at for short in SHORT_SESSIONS}.get(session, time.max)
    return tuple(
        Phase(phase.kind, phase.start, min(phase.end, closed_at))
        for phase in known[-1].phases
        if phase.start < closed_at
    )
