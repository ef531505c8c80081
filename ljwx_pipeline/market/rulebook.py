"""The dated rulebook: what the exchanges and the state allow and charge on a given session.

Price limits, listing days, lots, settlement, stamp duty and transfer fee belong here, each with the notice it comes
from; broker's commission and slippage do not (``trading/costs.py``). Prices are integers of 1e-4 CNY (``_e4``), rates
integers of 1e-8 (``_e8``) or basis points. A date outside the book is an error: a rule that is not known stops trading.

Simplified in this first form: no special limit on the first session after a long suspension, a relisting or of the
delisting period; dividend tax is not charged; transfer fee before 2015-08-01 as said at ``STATUTORY_FEES``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.market.symbols import Board

Int = NDArray[np.int64]

BOOK_FIRST = date(2008, 4, 24)
BOOK_LAST = date(2026, 12, 31)
TICK_E4 = 100
BPS = 10_000
#: Limit prices of a session without limits: no A-share price comes near either.
NO_LIMIT_UP_E4 = 10**12
NO_LIMIT_DOWN_E4 = 0


@dataclass(frozen=True)
class LimitRule:
    """From ``first`` on, a board's (ST or other) close may differ from the reference price by ``bps`` at most."""

    board: Board
    is_st: bool
    first: date
    bps: int
    notice: str


_RULES_2006 = "SSE and SZSE trading rules 2006: 10 %, 5 % under special treatment"
_CHINEXT_2009 = "SZSE trading rules on ChiNext, opened 2009-10-30: 10 %; special treatment did not exist there"
_CHINEXT_2020 = "SZSE Shenzhengshang [2020] 515, ChiNext special trading rules: 20 %, ST too"
_STAR_2019 = "SSE Shangzhengfa [2019] 23, STAR special trading rules: 20 %, ST too"
_BEIJING_2021 = "BSE trading rules (trial) 2021: 30 %, ST too"
_MAIN_ST_2026 = "SSE and SZSE notices in force 2026-07-06: main-board ST from 5 % to 10 %"

#: Ascending by date within a board and status; the last one in force counts.
LIMIT_RULES = (
    LimitRule(Board.MAIN, False, BOOK_FIRST, 1000, _RULES_2006),
    LimitRule(Board.MAIN, True, BOOK_FIRST, 500, _RULES_2006),
    LimitRule(Board.MAIN, True, date(2026, 7, 6), 1000, _MAIN_ST_2026),
    LimitRule(Board.CHINEXT, False, date(2009, 10, 30), 1000, _CHINEXT_2009),
    LimitRule(Board.CHINEXT, True, date(2009, 10, 30), 1000, _CHINEXT_2009),
    LimitRule(Board.CHINEXT, False, date(2020, 8, 24), 2000, _CHINEXT_2020),
    LimitRule(Board.CHINEXT, True, date(2020, 8, 24), 2000, _CHINEXT_2020),
    LimitRule(Board.STAR, False, date(2019, 7, 22), 2000, _STAR_2019),
    LimitRule(Board.STAR, True, date(2019, 7, 22), 2000, _STAR_2019),
    LimitRule(Board.BEIJING, False, date(2021, 11, 15), 3000, _BEIJING_2021),
    LimitRule(Board.BEIJING, True, date(2021, 11, 15), 3000, _BEIJING_2021),
)


@dataclass(frozen=True)
class ListingRule:
    """For stocks of ``board`` listed from ``listed_from`` on, the first ``sessions`` sessions have their own limits.

    ``up_bps`` and ``down_bps`` are against the issue price; None means no limit.
    """

    board: Board
    listed_from: date
    sessions: int
    up_bps: int | None
    down_bps: int | None
    notice: str


_FREE_FIRST_DAY = "SSE and SZSE trading rules 2006: no limit on the first day"
_FIRST_DAY_44 = "SSE and SZSE notices of 2013-12-13 on trading new shares: 144 % and 64 % of the issue price"
_MAIN_2023 = "SSE and SZSE trading rules 2023: five sessions without limit; first listings 2023-04-10"

LISTING_RULES = (
    ListingRule(Board.MAIN, BOOK_FIRST, 1, None, None, _FREE_FIRST_DAY),
    ListingRule(Board.MAIN, date(2013, 12, 13), 1, 4400, 3600, _FIRST_DAY_44),
    ListingRule(Board.MAIN, date(2023, 4, 10), 5, None, None, _MAIN_2023),
    ListingRule(Board.CHINEXT, date(2009, 10, 30), 1, None, None, _FREE_FIRST_DAY),
    ListingRule(Board.CHINEXT, date(2013, 12, 13), 1, 4400, 3600, _FIRST_DAY_44),
    ListingRule(Board.CHINEXT, date(2020, 8, 24), 5, None, None, _CHINEXT_2020),
    ListingRule(Board.STAR, date(2019, 7, 22), 5, None, None, _STAR_2019),
    ListingRule(Board.BEIJING, date(2021, 11, 15), 1, None, None, _BEIJING_2021),
)


@dataclass(frozen=True)
class LotRule:
    """A buy order is ``min_shares`` or more, in steps of ``step_shares``; a remainder below a lot is sold whole."""

    board: Board
    min_shares: int
    step_shares: int
    notice: str


LOT_RULES = (
    LotRule(Board.MAIN, 100, 100, "SSE and SZSE trading rules 2006"),
    LotRule(Board.CHINEXT, 100, 100, "SZSE trading rules 2006"),
    LotRule(Board.STAR, 200, 1, "SSE Shangzhengfa [2019] 23"),
    LotRule(Board.BEIJING, 100, 1, "BSE trading rules (trial) 2021"),
)


@dataclass(frozen=True)
class StatutoryFees:
    """What the state and the clearing house take from a trade's value, in 1e-8 of it."""

    first: date
    stamp_duty_buy_e8: int
    stamp_duty_sell_e8: int
    transfer_fee_e8: int
    notice: str


#: Ascending. Before 2015-08-01 Shanghai charged the transfer fee on face value and Shenzhen 0.00255 % of turnover; this
#: book charges the Shenzhen rate on both, which equals Shanghai's 0.03 % of face value at a price of about 12 CNY.
STATUTORY_FEES = (
    StatutoryFees(date(2008, 4, 24), 100_000, 100_000, 2_550, "MOF and STA, stamp duty 0.3 % to 0.1 %, both sides"),
    StatutoryFees(date(2008, 9, 19), 0, 100_000, 2_550, "MOF and STA, stamp duty on the seller only"),
    StatutoryFees(date(2015, 8, 1), 0, 100_000, 2_000, "CSDC notice of 2015-07-01: transfer fee 0.002 % both sides"),
    StatutoryFees(date(2022, 4, 29), 0, 100_000, 1_000, "CSDC notice of 2022-04-28: transfer fee 0.001 % both sides"),
    StatutoryFees(date(2023, 8, 28), 0, 50_000, 1_000, "MOF and STA [2023] 39: stamp duty halved"),
)


def check_in_book(session: date) -> date:
    """Return ``session`` if the book covers it.

    Raises
    ------
    TradingError
        When it lies before ``BOOK_FIRST`` or after ``BOOK_LAST``.
    """
    if not BOOK_FIRST <= session <= BOOK_LAST:
        raise TradingError(
            f"{session} is outside the rulebook ({BOOK_FIRST} to {BOOK_LAST})",
            "narrow the date range, or upgrade to a release whose rulebook covers it",
        )
    return session


def statutory_fees(session: date) -> StatutoryFees:
    """Return the fees in force on ``session``; a date outside the book raises TradingError."""
    check_in_book(session)
    return [fees for fees in STATUTORY_FEES if fees.first <= session][-1]


def lot_sizes(board: ArrayLike) -> tuple[Int, Int]:
    """Return ``(min_shares, step_shares)`` of each board code, int64 of the shape of ``board``."""
    minimum = np.array([rule.min_shares for rule in LOT_RULES], dtype=np.int64)
    step = np.array([rule.step_shares for rule in LOT_RULES], dtype=np.int64)
    codes = np.asarray(board, dtype=np.int64)
    return minimum[codes], step[codes]


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
    codes, flags, days = np.broadcast_arrays(np.asarray(board), np.asarray(is_st, dtype=bool), days)
    out = np.zeros(days.shape, dtype=np.int64)
    for rule in LIMIT_RULES:
        out[(codes == rule.board) & (flags == rule.is_st) & (days >= np.datetime64(rule.first))] = rule.bps
    return out


def price_limit_frac(board: ArrayLike, is_st: ArrayLike, session: ArrayLike) -> NDArray[np.float64]:
    """Return ``price_limit_bps`` as a fraction: 0.1 for ten per cent."""
    return np.asarray(price_limit_bps(board, is_st, session) / BPS, dtype=np.float64)


def rounded_limits_e4(pre_close_e4: ArrayLike, up_bps: ArrayLike, down_bps: ArrayLike) -> tuple[Int, Int]:
    """Return ``(up, down)`` limit prices: reference price moved by the limit, half up to the 0.01 tick.

    A limit nearer than one tick to the reference price is one tick away (SSE and SZSE trading rules 2006),
    and no price is below one tick.
    """
    reference = np.asarray(pre_close_e4, dtype=np.int64)
    unit = BPS * TICK_E4
    up = (reference * (BPS + np.asarray(up_bps, dtype=np.int64)) + unit // 2) // unit * TICK_E4
    down = (reference * (BPS - np.asarray(down_bps, dtype=np.int64)) + unit // 2) // unit * TICK_E4
    return np.maximum(up, reference + TICK_E4), np.maximum(np.minimum(down, reference - TICK_E4), TICK_E4)


def limit_bps(
    *, board: ArrayLike, is_st: ArrayLike, session: ArrayLike, list_date: ArrayLike, listed_sessions: ArrayLike
) -> tuple[Int, Int]:
    """Return ``(up_bps, down_bps)`` of each stock and session, listing days included; -1 where there is no limit.

    Parameters
    ----------
    board, is_st, session
        As in ``price_limit_bps``.
    list_date
        First session listed, NaT where unknown (no listing rule applies then).
    listed_sessions
        Sessions since ``list_date``: 0 on the first. Arrays broadcast together.
    """
    everyday = price_limit_bps(board, is_st, session)
    listing_days, ages, codes = (np.asarray(list_date, "datetime64[D]"), np.asarray(listed_sessions), np.asarray(board))
    up, down = everyday.copy(), everyday.copy()
    for position, rule in enumerate(LISTING_RULES):
        later = LISTING_RULES[position + 1] if position + 1 < len(LISTING_RULES) else None
        new = (codes == rule.board) & (listing_days >= np.datetime64(rule.listed_from)) & (ages >= 0)
        if later is not None and later.board == rule.board:
            new = new & (listing_days < np.datetime64(later.listed_from))
        new = np.broadcast_to(new & (ages < rule.sessions), up.shape)
        up[new] = -1 if rule.up_bps is None else rule.up_bps
        down[new] = -1 if rule.down_bps is None else rule.down_bps
    return up, down


def limit_prices_e4(pre_close_e4: ArrayLike, up_bps: ArrayLike, down_bps: ArrayLike) -> tuple[Int, Int]:
    """Return ``(limit_up_e4, limit_down_e4)`` for limits as ``limit_bps`` gives them.

    ``NO_LIMIT_UP_E4`` and ``NO_LIMIT_DOWN_E4`` stand where there is no limit.
    """
    up_frac, down_frac = np.asarray(up_bps), np.asarray(down_bps)
    up, down = rounded_limits_e4(pre_close_e4, np.maximum(up_frac, 0), np.maximum(down_frac, 0))
    return np.where(up_frac < 0, NO_LIMIT_UP_E4, up), np.where(down_frac < 0, NO_LIMIT_DOWN_E4, down)
