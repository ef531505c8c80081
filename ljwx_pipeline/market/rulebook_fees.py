"""What the state, the clearing house and the commission rule take from a trade, by date.

Rates are integers of 1e-8 of trade value (``_e8``). Exchange handling and regulatory fees are part of the broker's
commission and not here; neither is a broker's own tariff (``trading/costs.py``), nor tax on dividends.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from ljwx_pipeline.market import rulebook_notices as notices
from ljwx_pipeline.market.rulebook_notices import BOOK_FIRST, Notice, check_in_book
from ljwx_pipeline.market.symbols import Board

_ALL = tuple(Board)
_SHANGHAI_AND_SHENZHEN = (Board.MAIN, Board.CHINEXT, Board.STAR)


@dataclass(frozen=True)
class StatutoryFees:
    """What the state and the clearing house take from a trade's value on ``boards``, in 1e-8 of it."""

    first: date
    stamp_duty_buy_e8: int
    stamp_duty_sell_e8: int
    transfer_fee_e8: int
    notice: Notice
    boards: tuple[Board, ...] = _ALL


#: Ascending; the last one of a board in force counts. Before 2015-08-01 Shenzhen charged a transfer fee of 0.00255 % of
#: value and Shanghai one on face value, 0.03 % at the end: this book charges Shenzhen's rate on both, which equals
#: Shanghai's at a price of about 12 CNY.
STATUTORY_FEES = (
    StatutoryFees(BOOK_FIRST, 300_000, 300_000, 2_550, notices.STAMP_2007, _SHANGHAI_AND_SHENZHEN),
    StatutoryFees(date(2008, 4, 24), 100_000, 100_000, 2_550, notices.STAMP_2008_APRIL, _SHANGHAI_AND_SHENZHEN),
    StatutoryFees(date(2008, 9, 19), 0, 100_000, 2_550, notices.STAMP_2008, _SHANGHAI_AND_SHENZHEN),
    StatutoryFees(date(2015, 8, 1), 0, 100_000, 2_000, notices.TRANSFER_2015, _SHANGHAI_AND_SHENZHEN),
    StatutoryFees(date(2021, 11, 15), 0, 100_000, 2_500, notices.BEIJING_TRANSFER, (Board.BEIJING,)),
    StatutoryFees(date(2022, 4, 29), 0, 100_000, 1_000, notices.TRANSFER_2022),
    StatutoryFees(date(2023, 8, 28), 0, 50_000, 1_000, notices.STAMP_2023),
)


@dataclass(frozen=True)
class CommissionRule:
    """What a broker may charge at most, in 1e-8 of trade value, and what an order costs at least, in fen."""

    first: date
    max_e8: int
    min_fen: int
    notice: Notice


COMMISSION_RULES = (CommissionRule(BOOK_FIRST, 300_000, 500, notices.COMMISSION_2002),)


def statutory_fees(session: date, *, board: Board = Board.MAIN) -> StatutoryFees:
    """Return the fees in force on ``session`` for a stock of ``board``; only Beijing's ever differed from the others'.

    Raises
    ------
    TradingError
        When the session lies outside the book; no stock of a board trades before it opened, which is not checked here.
    """
    check_in_book(session)
    known = [fees for fees in STATUTORY_FEES if fees.first <= session and board in fees.boards]
    return known[-1] if known else statutory_fees(session)


def commission_rule(session: date) -> CommissionRule:
    """Return the bounds of commissions on ``session``; a date outside the book raises TradingError."""
    check_in_book(session)
    return [rule for rule in COMMISSION_RULES if rule.first <= session][-1]
