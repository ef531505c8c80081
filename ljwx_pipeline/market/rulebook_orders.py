"""What an order may ask: lots, size, price within the session, and when the shares may be sold again.

Prices are integers of 1e-4 CNY (``_e4``). Not here: the session's limit prices (``rulebook_limits.py``), when an order
is taken (``rulebook_sessions.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.market import rulebook_notices as notices
from ljwx_pipeline.market.rulebook_limits import NO_LIMIT_DOWN_E4, NO_LIMIT_UP_E4, TICK_E4
from ljwx_pipeline.market.rulebook_notices import BOOK_FIRST, Notice, check_in_book
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.units import BPS

Int = NDArray[np.int64]


class OrderKind(StrEnum):
    """How an order names its price."""

    LIMIT = "limit"
    MARKET = "market"
    AFTER_HOURS = "after hours"  #: at the close, after it


@dataclass(frozen=True)
class SettlementRule:
    """Shares bought on a session may be sold ``sessions`` later, not before.

    A stop or a take-profit that is touched on the session of the buy is therefore executed on the next one at the
    earliest, at that session's prices.
    """

    first: date
    sessions: int
    notice: Notice


SETTLEMENT_RULES = (SettlementRule(BOOK_FIRST, 1, notices.SETTLEMENT),)


@dataclass(frozen=True)
class LotRule:
    """A buy order is ``min_shares`` or more, in steps of ``step_shares``; a remainder below a lot is sold whole."""

    board: Board
    min_shares: int
    step_shares: int
    notice: Notice


LOT_RULES = (
    LotRule(Board.MAIN, 100, 100, notices.ORDERS_2006),
    LotRule(Board.CHINEXT, 100, 100, notices.ORDERS_2006),
    LotRule(Board.STAR, 200, 1, notices.STAR_ORDERS_2019),
    LotRule(Board.BEIJING, 100, 1, notices.BEIJING_ORDERS_2021),
)


@dataclass(frozen=True)
class OrderSizeRule:
    """One order of ``kind`` is for ``max_shares`` at most."""

    board: Board
    kind: OrderKind
    first: date
    max_shares: int
    notice: Notice


#: Ascending by date within a board and kind.
ORDER_SIZE_RULES = (
    OrderSizeRule(Board.MAIN, OrderKind.LIMIT, BOOK_FIRST, 1_000_000, notices.ORDERS_2006),
    OrderSizeRule(Board.MAIN, OrderKind.MARKET, BOOK_FIRST, 1_000_000, notices.ORDERS_2006),
    OrderSizeRule(Board.MAIN, OrderKind.AFTER_HOURS, date(2026, 7, 6), 1_000_000, notices.AFTER_HOURS_2026),
    OrderSizeRule(Board.CHINEXT, OrderKind.LIMIT, date(2009, 10, 30), 1_000_000, notices.ORDERS_2006),
    OrderSizeRule(Board.CHINEXT, OrderKind.LIMIT, date(2020, 8, 24), 300_000, notices.CHINEXT_ORDERS_2020),
    OrderSizeRule(Board.CHINEXT, OrderKind.MARKET, date(2009, 10, 30), 1_000_000, notices.ORDERS_2006),
    OrderSizeRule(Board.CHINEXT, OrderKind.MARKET, date(2020, 8, 24), 150_000, notices.CHINEXT_ORDERS_2020),
    OrderSizeRule(Board.CHINEXT, OrderKind.AFTER_HOURS, date(2020, 8, 24), 1_000_000, notices.CHINEXT_ORDERS_2020),
    OrderSizeRule(Board.STAR, OrderKind.LIMIT, date(2019, 7, 22), 100_000, notices.STAR_ORDERS_2019),
    OrderSizeRule(Board.STAR, OrderKind.MARKET, date(2019, 7, 22), 50_000, notices.STAR_ORDERS_2019),
    OrderSizeRule(Board.STAR, OrderKind.AFTER_HOURS, date(2019, 7, 22), 1_000_000, notices.STAR_ORDERS_2019),
    OrderSizeRule(Board.BEIJING, OrderKind.LIMIT, date(2021, 11, 15), 1_000_000, notices.BEIJING_MEMORY),
    OrderSizeRule(Board.BEIJING, OrderKind.MARKET, date(2021, 11, 15), 1_000_000, notices.BEIJING_MEMORY),
)


@dataclass(frozen=True)
class RiskWarningBuyRule:
    """One investor buys ``max_shares`` of one stock under special treatment a session at most, on ``exchange``."""

    exchange: str
    board: Board
    first: date
    max_shares: int
    notice: Notice


#: Shanghai's does not bind STAR, whose risk-warned stocks stay off the risk-warning board; Shenzhen's was not verified.
RISK_WARNING_BUY_RULES = (
    RiskWarningBuyRule("SH", Board.MAIN, date(2013, 1, 1), 500_000, notices.RISK_BOARD_2013),
    RiskWarningBuyRule("BJ", Board.BEIJING, date(2026, 8, 31), 200_000, notices.BEIJING_2026),
)


@dataclass(frozen=True)
class CageRule:
    """In continuous trading a limit order may be ``bps`` or ``ticks`` beyond the base price, whichever is further."""

    board: Board
    first: date
    bps: int
    ticks: int
    notice: Notice


#: Ascending by date within a board. One tick is the least everywhere.
CAGE_RULES = (
    CageRule(Board.MAIN, date(2023, 4, 10), 200, 10, notices.CAGE_2023),
    CageRule(Board.CHINEXT, date(2020, 8, 24), 200, 1, notices.CHINEXT_CAGE_2020),
    CageRule(Board.CHINEXT, date(2023, 4, 10), 200, 10, notices.CAGE_2023),
    CageRule(Board.STAR, date(2019, 7, 22), 200, 1, notices.STAR_CAGE_2019),
    CageRule(Board.BEIJING, date(2021, 11, 15), 500, 10, notices.BEIJING_ORDERS_2021),
)


def lot_sizes(board: ArrayLike) -> tuple[Int, Int]:
    """Return ``(min_shares, step_shares)`` of each board code, int64 of the shape of ``board``."""
    minimum = np.array([rule.min_shares for rule in LOT_RULES], dtype=np.int64)
    step = np.array([rule.step_shares for rule in LOT_RULES], dtype=np.int64)
    codes = np.asarray(board, dtype=np.int64)
    return minimum[codes], step[codes]


def settlement_sessions(session: date) -> int:
    """Return how many sessions after ``session`` what was bought on it may be sold; a date outside the book raises."""
    check_in_book(session)
    return [rule.sessions for rule in SETTLEMENT_RULES if rule.first <= session][-1]


def max_order_shares(board: Board, kind: OrderKind, session: date) -> int:
    """Return the most shares one order may be for.

    Raises
    ------
    TradingError
        When the session is outside the book, or orders of this kind were not taken on the board then.
    """
    check_in_book(session)
    known = [rule for rule in ORDER_SIZE_RULES if rule.board == board and rule.kind == kind and rule.first <= session]
    if not known:
        raise TradingError(
            f"no {kind} order was taken for a {board.name} stock on {session}",
            "choose another kind of order or a later session (`ljwx rules` lists both)",
        )
    return known[-1].max_shares


def risk_warning_buy_cap(board: Board, exchange: str, session: date) -> int | None:
    """Return how many shares of one stock under special treatment one investor may buy a session; None: any number.

    A date outside the book raises TradingError.
    """
    check_in_book(session)
    known = [
        rule.max_shares
        for rule in RISK_WARNING_BUY_RULES
        if rule.board == board and rule.exchange == exchange and rule.first <= session
    ]
    return known[-1] if known else None


def worst_order_price_e4(board: Board, session: date, base_price_e4: ArrayLike, *, buying: bool) -> Int:
    """Return the highest price a buyer, or the lowest a seller, may ask in continuous trading.

    Parameters
    ----------
    board, session
        The stock's board and the session.
    base_price_e4
        A buyer's base price is the lowest ask, a seller's the highest bid; where there is none, the other side's best,
        then the last trade, then the previous close. Any shape.
    buying
        Whose order it is.

    Returns
    -------
    int64 array of the shape of ``base_price_e4``, half up to the tick; ``NO_LIMIT_UP_E4`` or ``NO_LIMIT_DOWN_E4``
    where the board had no such rule yet. The session's limit prices bind beside it.

    Raises
    ------
    TradingError
        When the session is outside the book.
    """
    check_in_book(session)
    base = np.asarray(base_price_e4, dtype=np.int64)
    known = [rule for rule in CAGE_RULES if rule.board == board and rule.first <= session]
    if not known:
        return np.full(base.shape, NO_LIMIT_UP_E4 if buying else NO_LIMIT_DOWN_E4, dtype=np.int64)
    rule, unit = known[-1], BPS * TICK_E4
    if buying:
        return np.maximum((base * (BPS + rule.bps) + unit // 2) // unit * TICK_E4, base + rule.ticks * TICK_E4)
    lowest = np.minimum((base * (BPS - rule.bps) + unit // 2) // unit * TICK_E4, base - rule.ticks * TICK_E4)
    return np.maximum(lowest, TICK_E4)
