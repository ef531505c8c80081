"""What moves the account: the opening of a session name by name, one trade, and how positions are told.

The kernels of ``trading/account.py`` do it; here it is said per name what they did. Not here: when it happens
(``engine.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.exchange.entries import Trade
from ljwx_pipeline.trading.account import Account
from ljwx_pipeline.trading.exchange_wire import BookingKind, PositionReport
from ljwx_pipeline.trading.matching import (
    BASE,
    COMMISSION_FEN,
    FILL_FIELDS,
    FILLED,
    NAME,
    ORDERED,
    PRICE,
    STAMP_FEN,
    TRANSFER_FEN,
    VALUE,
    Fills,
)
from ljwx_pipeline.units import E4, E4_PER_FEN

Int = NDArray[np.int64]
_NONE = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Booked:
    """What one corporate action or delisting did to the account: cash and shares that came or went."""

    row: int
    kind: BookingKind
    cash_fen: int
    shares: int


def open_session(account: Account, *, actions: Int, listed: NDArray[np.bool_]) -> list[Booked]:
    """Begin a session as ``Account.open_session`` does and return what was booked, by name.

    Raises
    ------
    TradingError
        When what is told does not add up to what the account did.
    """
    cash_before, before = account.cash_fen, account.shares.copy()
    dividends, _, rights_paid = account.open_session(actions=actions, listed=listed)
    gone = np.flatnonzero((before > 0) & ~listed).tolist()
    booked = [Booked(row, BookingKind.WRITE_OFF, 0, -int(before[row])) for row in gone]
    for row, cash_e4, bonus_e4, rights_e4, rights_price_e4 in actions.tolist():
        held = int(before[row]) if listed[row] else 0
        cash, bonus = held * cash_e4 // E4_PER_FEN, held * bonus_e4 // E4
        taken = int(account.shares[row]) - held - bonus
        if cash:
            booked.append(Booked(row, BookingKind.DIVIDEND, cash, 0))
        if bonus:
            booked.append(Booked(row, BookingKind.BONUS_SHARES, 0, bonus))
        if taken:
            paid = -(-(held * rights_e4 // E4) * rights_price_e4 // E4_PER_FEN)
            booked.append(Booked(row, BookingKind.RIGHTS, -paid, taken))
    moved, shares = sum(one.cash_fen for one in booked), before.copy()
    for one in booked:
        shares[one.row] += one.shares
    if moved != dividends - rights_paid or cash_before + moved != account.cash_fen or (shares != account.shares).any():
        raise TradingError(
            f"the bookings of the open sum to {moved} fen, the account moved by {account.cash_fen - cash_before}",
            "report it: the account's opening and what is told of it differ",
        )
    return booked


def book_trade(account: Account, row: int, trade: Trade, *, buying: bool) -> None:
    """Book one trade in the name at ``row`` as ``Account.settle`` does; errors as it."""
    booked = np.zeros((1, len(FILL_FIELDS)), dtype=np.int64)
    signed = trade.shares if buying else -trade.shares
    booked[0, [NAME, ORDERED, FILLED]] = row, signed, signed
    booked[0, [PRICE, BASE, VALUE]] = trade.price_e4, trade.base_e4, trade.value_fen
    booked[0, [COMMISSION_FEN, STAMP_FEN, TRANSFER_FEN]] = (
        *(trade.commission_fen, trade.stamp_duty_fen, trade.transfer_fee_fen),
    )
    moved = -trade.value_fen if buying else trade.value_fen
    account.settle(
        Fills(
            **dict.fromkeys(
                ("shares", "price_e4", "value_fen", "commission_fen", "stamp_duty_fen", "transfer_fee_fen"), _NONE
            ),
            **dict.fromkeys(("reject", "slippage_fen", "impact_fen", "base_price_e4"), _NONE),
            cash_after_fen=account.cash_fen + moved - trade.fees_fen,
            rows=booked,
        )
    )


def positions(account: Account, symbols: tuple[str, ...]) -> tuple[PositionReport, ...]:
    """Return what is held, by symbol."""
    return tuple(
        PositionReport(
            symbol=symbols[row],
            shares=int(account.shares[row]),
            sellable_shares=int(account.sellable_shares[row]),
            held_sessions=int(account.held_sessions[row]),
            entry_price_e4=int(account.entry_price_e4[row]),
            peak_price_e4=int(account.peak_price_e4[row]),
            last_price_e4=int(account.last_price_e4[row]),
        )
        for row in np.flatnonzero(account.shares).tolist()
    )
