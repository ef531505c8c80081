"""Price limits by board, special treatment, listing day and date, and the limit prices they give.

Prices are integers of 1e-4 CNY (``_e4``), limits basis points of the reference price (``_bps``): the previous close
after ex-right adjustment, the issue price on a first day. Not here: what an order may ask within the session
(``rulebook_orders.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ljwx_pipeline.market import rulebook_notices as notices
from ljwx_pipeline.market.rulebook_notices import BOOK_FIRST, Notice, check_in_book
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.units import BPS

Int = NDArray[np.int64]

TICK_E4 = 100
#: Stands in basis points for "no limit".
FREE_BPS = -1
#: Limit prices of a session without limits: no A-share price comes near either.
NO_LIMIT_UP_E4 = 10**12
NO_LIMIT_DOWN_E4 = 0
#: Rows worked on at a time: temporaries of so many stay in the processor's cache.
_BLOCK_ROWS = 1 << 16


@dataclass(frozen=True)
class LimitRule:
    """From ``first`` on, a board's (ST or other) price may differ from the reference price by ``bps`` at most."""

    board: Board
    is_st: bool
    first: date
    bps: int
    notice: Notice


#: Ascending by date within a board and status; the last one in force counts.
LIMIT_RULES = (
    LimitRule(Board.MAIN, False, BOOK_FIRST, 1000, notices.BOTH_2006),
    LimitRule(Board.MAIN, True, BOOK_FIRST, 500, notices.BOTH_2006),
    LimitRule(Board.MAIN, True, date(2026, 7, 6), 1000, notices.MAIN_2026),
    LimitRule(Board.CHINEXT, False, date(2009, 10, 30), 1000, notices.CHINEXT_2009),
    LimitRule(Board.CHINEXT, False, date(2020, 8, 24), 2000, notices.CHINEXT_2020),
    LimitRule(Board.CHINEXT, True, date(2009, 10, 30), 1000, notices.CHINEXT_2009),
    LimitRule(Board.CHINEXT, True, date(2020, 6, 12), 500, notices.CHINEXT_ST_2020),
    LimitRule(Board.CHINEXT, True, date(2020, 8, 24), 2000, notices.CHINEXT_ST_2020),
    LimitRule(Board.STAR, False, date(2019, 7, 22), 2000, notices.STAR_2019),
    LimitRule(Board.STAR, True, date(2019, 7, 22), 2000, notices.STAR_2019),
    LimitRule(Board.BEIJING, False, date(2021, 11, 15), 3000, notices.BEIJING_2021),
    LimitRule(Board.BEIJING, True, date(2021, 11, 15), 3000, notices.BEIJING_2021),
)


@dataclass(frozen=True)
class ListingRule:
    """For stocks of ``board`` listed from ``listed_from`` on, the first ``sessions`` sessions have their own limits.

    ``up_bps`` and ``down_bps`` are against the issue price; None means no limit. ``open_bps`` bounds the opening call
    auction of the first day both ways where it is narrower (None: it is not).
    """

    board: Board
    listed_from: date
    sessions: int
    up_bps: int | None
    down_bps: int | None
    notice: Notice
    open_bps: int | None = None


#: Ascending by date within a board; the last one a stock was listed under counts. Shanghai's first-day band of
#: 2013-12-13 stands for all of the main board: until 2014-06-13 Shenzhen bounded the opening alone, and halted.
LISTING_RULES = (
    ListingRule(Board.MAIN, BOOK_FIRST, 1, None, None, notices.BOTH_2006),
    ListingRule(Board.MAIN, date(2013, 12, 13), 1, 4400, 3600, notices.FIRST_DAY_2013, open_bps=2000),
    ListingRule(Board.MAIN, date(2023, 4, 10), 5, None, None, notices.REGISTRATION_2023),
    ListingRule(Board.CHINEXT, date(2009, 10, 30), 1, None, None, notices.CHINEXT_2009),
    ListingRule(Board.CHINEXT, date(2014, 6, 13), 1, 4400, 3600, notices.FIRST_DAY_2014, open_bps=2000),
    ListingRule(Board.CHINEXT, date(2020, 8, 24), 5, None, None, notices.CHINEXT_2020),
    ListingRule(Board.STAR, date(2019, 7, 22), 5, None, None, notices.STAR_2019),
    ListingRule(Board.BEIJING, date(2021, 11, 15), 1, None, None, notices.BEIJING_2021),
)


@dataclass(frozen=True)
class DelistingRule:
    """In a delisting period that began on ``started_from`` or later the limit is ``bps``, special treatment or not.

    ``first_is_free`` says that the period's first session has no limit.
    """

    board: Board
    started_from: date
    bps: int
    first_is_free: bool
    notice: Notice


#: Ascending by date within a board; the last one the period began under counts until it ends.
DELISTING_RULES = (
    DelistingRule(Board.MAIN, date(2012, 12, 17), 1000, False, notices.DELISTING_2012),
    DelistingRule(Board.MAIN, date(2020, 12, 31), 1000, True, notices.DELISTING_2020),
    DelistingRule(Board.CHINEXT, date(2012, 12, 17), 1000, False, notices.DELISTING_2012),
    DelistingRule(Board.CHINEXT, date(2020, 8, 24), 2000, False, notices.DELISTING_CHINEXT_2020),
    DelistingRule(Board.CHINEXT, date(2020, 12, 31), 2000, True, notices.DELISTING_2020),
    DelistingRule(Board.STAR, date(2019, 7, 22), 2000, False, notices.STAR_2019),
    DelistingRule(Board.STAR, date(2020, 12, 31), 2000, True, notices.DELISTING_2020),
    DelistingRule(Board.BEIJING, date(2021, 11, 15), 3000, True, notices.BEIJING_2021),
)


@dataclass(frozen=True)
class RelistingRule:
    """The first session after a suspended listing is resumed, or of a relisting, has no limit."""

    board: Board
    first: date
    notice: Notice


RELISTING_RULES = (
    RelistingRule(Board.MAIN, BOOK_FIRST, notices.RELISTING_2006),
    RelistingRule(Board.CHINEXT, date(2009, 10, 30), notices.RELISTING_2006),
)


@dataclass(frozen=True)
class RoundingRule:
    """How a board's limit prices reach the tick: half up, or (``inward``) to the tick inside the limit."""

    board: Board
    inward: bool
    notice: Notice


ROUNDING_RULES = (
    RoundingRule(Board.MAIN, False, notices.ROUNDING),
    RoundingRule(Board.CHINEXT, False, notices.ROUNDING),
    RoundingRule(Board.STAR, False, notices.ROUNDING),
    RoundingRule(Board.BEIJING, True, notices.BEIJING_ROUNDING),
)


@dataclass(frozen=True)
class TickRule:
    """Prices are multiples of ``tick_e4``."""

    first: date
    tick_e4: int
    notice: Notice


@dataclass(frozen=True)
class OneTickRule:
    """On ``exchange`` a limit nearer than one tick to the reference price is one tick away.

    The book applies it from its first day: no A-share traded at the few cents where it matters before.
    """

    exchange: str
    first: date
    notice: Notice


TICK_RULES = (TickRule(BOOK_FIRST, TICK_E4, notices.BOTH_2006),)
ONE_TICK_RULES = (
    OneTickRule("SZ", date(2011, 2, 28), notices.ONE_TICK_2011),
    OneTickRule("SH", date(2023, 4, 10), notices.ONE_TICK_2023),
)


def _everyday_table() -> tuple[NDArray[np.datetime64], Int]:
    """Return the days on which any everyday limit changes, and the limits by board and status between them."""
    changes = np.array(sorted({rule.first for rule in LIMIT_RULES if rule.first > BOOK_FIRST}), dtype="datetime64[D]")
    table = np.zeros((2 * len(Board), len(changes) + 1), dtype=np.int64)
    for rule in LIMIT_RULES:
        table[2 * rule.board + rule.is_st, np.searchsorted(changes, np.datetime64(rule.first), "right") :] = rule.bps
    return changes, table


_CHANGES, _EVERYDAY_BPS = _everyday_table()
_UNIT = BPS * TICK_E4
_HALF = _UNIT // 2
_INWARD = np.array([rule.inward for rule in ROUNDING_RULES])

Rows = tuple[NDArray[np.intp], ...]
#: Cells of the result and what stands there, up and down.
Special = list[tuple[Rows, "int | Int", "int | Int"]]


def price_limit_bps(board: ArrayLike, is_st: ArrayLike, session: ArrayLike) -> Int:
    """Return the everyday price limit in basis points of the reference price.

    Parameters
    ----------
    board, is_st, session
        Board codes, special-treatment flags and sessions (anything ``numpy.datetime64`` takes), broadcast together.

    Returns
    -------
    int64 array of the broadcast shape; 0 where the board had not opened yet.

    Raises
    ------
    TradingError
        When a session lies outside the book.
    """
    days = np.asarray(session, dtype="datetime64[D]")
    if days.size:
        check_in_book(days.min().item())
        check_in_book(days.max().item())
    column = np.zeros(days.shape, dtype=np.int8)
    for change in _CHANGES:
        column += days >= change
    row = 2 * np.asarray(board, dtype=np.int8) + np.asarray(is_st, dtype=bool)
    return np.asarray(_EVERYDAY_BPS[row, column], dtype=np.int64)


def price_limit_frac(board: ArrayLike, is_st: ArrayLike, session: ArrayLike) -> NDArray[np.float64]:
    """Return ``price_limit_bps`` as a fraction: 0.1 for ten per cent."""
    return np.asarray(price_limit_bps(board, is_st, session) / BPS, dtype=np.float64)


def limit_bps(
    *,
    board: ArrayLike,
    is_st: ArrayLike,
    session: ArrayLike,
    list_date: ArrayLike,
    listed_sessions: ArrayLike,
    delisting_period_start: ArrayLike | None = None,
    relisted_on: ArrayLike | None = None,
    at_open: bool = False,
) -> tuple[Int, Int]:
    """Return ``(up_bps, down_bps)`` of each stock and session, special days included; -1 where there is no limit.

    Parameters
    ----------
    board, is_st, session
        As in ``price_limit_bps``.
    list_date
        First session listed, NaT where unknown (no listing rule applies then).
    listed_sessions
        Sessions since ``list_date``: 0 on the first. Arrays broadcast together.
    delisting_period_start
        First session of the delisting period, NaT where there is none or it is unknown (the everyday limit then).
        From it on special treatment no longer narrows the limit.
    relisted_on
        First session after a suspended listing was resumed or of a relisting, NaT where there is none.
    at_open
        Bound the opening call auction instead of the session: narrower on first days under the rules of 2013.

    Raises
    ------
    TradingError
        When a session lies outside the book.
    """
    days, codes = np.asarray(session, "datetime64[D]"), np.asarray(board)
    listed, ages = np.asarray(list_date, "datetime64[D]"), np.asarray(listed_sessions)
    shapes = [np.shape(values) for values in (delisting_period_start, relisted_on) if values is not None]
    shape = np.broadcast_shapes(codes.shape, np.shape(is_st), days.shape, listed.shape, ages.shape, *shapes)
    cells = shape or (1,)  # a scalar question is one cell
    up = np.broadcast_to(price_limit_bps(codes, is_st, days), cells).copy()
    down = up.copy()
    for special in (
        _listing_days(codes, listed, ages, at_open, cells),
        _delisting_days(codes, days, delisting_period_start, cells),
        _relisting_days(codes, days, relisted_on, cells),
    ):
        for rows, special_up, special_down in special:
            up[rows], down[rows] = special_up, special_down
    return up.reshape(shape), down.reshape(shape)


def rounded_limits_e4(
    pre_close_e4: ArrayLike, up_bps: ArrayLike, down_bps: ArrayLike, *, board: ArrayLike | None = None
) -> tuple[Int, Int]:
    """Return ``(up, down)`` limit prices: reference price moved by the limit, half up to the 0.01 tick.

    A limit nearer than one tick to the reference price is one tick away, and no price is below one tick. Where
    ``board`` says Beijing the limit is rounded inward: up limits down, down limits up (None: no row is Beijing's).
    """
    reference = np.asarray(pre_close_e4, dtype=np.int64)
    above, below = np.asarray(up_bps, dtype=np.int64), np.asarray(down_bps, dtype=np.int64)
    inward = None if board is None else _INWARD[np.asarray(board, dtype=np.intp)]
    if inward is None or not inward.any():
        return _rounded(reference, above, below, _HALF, _HALF)
    return _rounded(reference, above, below, np.where(inward, 0, _HALF), np.where(inward, _UNIT - 1, _HALF))


def limit_prices_e4(
    pre_close_e4: ArrayLike, up_bps: ArrayLike, down_bps: ArrayLike, *, board: ArrayLike | None = None
) -> tuple[Int, Int]:
    """Return ``(limit_up_e4, limit_down_e4)`` for limits as ``limit_bps`` gives them, rounded as ``rounded_limits_e4``.

    ``NO_LIMIT_UP_E4`` and ``NO_LIMIT_DOWN_E4`` stand where there is no limit.
    """
    reference = np.asarray(pre_close_e4, dtype=np.int64)
    above, below = np.asarray(up_bps, dtype=np.int64), np.asarray(down_bps, dtype=np.int64)
    boards = None if board is None else np.asarray(board)
    inputs = [reference, above, below] if boards is None else [reference, above, below, boards]
    shape = np.broadcast_shapes(*(values.shape for values in inputs))
    up, down = np.empty(shape, dtype=np.int64), np.empty(shape, dtype=np.int64)
    flat = [np.broadcast_to(values, shape).reshape(-1) for values in inputs]
    out_up, out_down = up.reshape(-1), down.reshape(-1)
    for first in range(0, up.size, _BLOCK_ROWS):
        block = slice(first, first + _BLOCK_ROWS)
        pre, more, less = (values[block] for values in flat[:3])
        high, low = rounded_limits_e4(
            pre, np.maximum(more, 0), np.maximum(less, 0), board=None if boards is None else flat[3][block]
        )
        out_up[block] = np.where(more < 0, NO_LIMIT_UP_E4, high)
        out_down[block] = np.where(less < 0, NO_LIMIT_DOWN_E4, low)
    return up, down


def _rounded(reference: Int, above: Int, below: Int, add_up: int | Int, add_down: int | Int) -> tuple[Int, Int]:
    up = (reference * (BPS + above) + add_up) // _UNIT * TICK_E4
    down = (reference * (BPS - below) + add_down) // _UNIT * TICK_E4
    return np.maximum(up, reference + TICK_E4), np.maximum(np.minimum(down, reference - TICK_E4), TICK_E4)


def _listing_days(
    codes: NDArray[np.int_],
    listed: NDArray[np.datetime64],
    ages: NDArray[np.int_],
    at_open: bool,
    shape: tuple[int, ...],
) -> Special:
    longest = max(rule.sessions for rule in LISTING_RULES)
    rows = np.nonzero(np.broadcast_to((ages >= 0) & (ages < longest), shape))
    age = np.broadcast_to(ages, shape)[rows]
    chosen = _last_in_force(
        np.broadcast_to(codes, shape)[rows],
        np.broadcast_to(listed, shape)[rows],
        [(rule.board, rule.listed_from) for rule in LISTING_RULES],
    )
    out: Special = []
    for position, rule in enumerate(LISTING_RULES):
        mine = (chosen == position) & (age < rule.sessions)
        up, down = (FREE_BPS if bps is None else bps for bps in (rule.up_bps, rule.down_bps))
        if at_open and rule.open_bps is not None:
            up = down = rule.open_bps
        out.append((tuple(axis[mine] for axis in rows), up, down))
    return out


def _delisting_days(
    codes: NDArray[np.int_], days: NDArray[np.datetime64], start: ArrayLike | None, shape: tuple[int, ...]
) -> Special:
    if start is None:
        return []
    starts = np.asarray(start, "datetime64[D]")
    rows = np.nonzero(np.broadcast_to(days >= starts, shape))
    day, began = np.broadcast_to(days, shape)[rows], np.broadcast_to(starts, shape)[rows]
    chosen = _last_in_force(
        np.broadcast_to(codes, shape)[rows], began, [(rule.board, rule.started_from) for rule in DELISTING_RULES]
    )
    out: Special = []
    for position, rule in enumerate(DELISTING_RULES):
        mine = chosen == position
        bps = np.where(rule.first_is_free & (day[mine] == began[mine]), FREE_BPS, rule.bps).astype(np.int64)
        out.append((tuple(axis[mine] for axis in rows), bps, bps))
    return out


def _relisting_days(
    codes: NDArray[np.int_], days: NDArray[np.datetime64], relisted_on: ArrayLike | None, shape: tuple[int, ...]
) -> Special:
    if relisted_on is None:
        return []
    rows = np.nonzero(np.broadcast_to(days == np.asarray(relisted_on, "datetime64[D]"), shape))
    chosen = _last_in_force(
        np.broadcast_to(codes, shape)[rows],
        np.broadcast_to(days, shape)[rows],
        [(rule.board, rule.first) for rule in RELISTING_RULES],
    )
    return [(tuple(axis[chosen >= 0] for axis in rows), FREE_BPS, FREE_BPS)]


def _last_in_force(
    codes: NDArray[np.int_], days: NDArray[np.datetime64], rules: list[tuple[Board, date]]
) -> NDArray[np.int64]:
    """Return the position of the last rule of each code's board that began by each day; -1 where none, or day NaT."""
    out = np.full(codes.shape, -1, dtype=np.int64)
    for position, (board, first) in enumerate(rules):
        out[(codes == board) & (days >= np.datetime64(first))] = position
    return out
