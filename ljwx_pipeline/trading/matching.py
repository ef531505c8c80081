"""Matching: which part of each order fills at the session's close, at what price, and why the rest does not.

The rules: no bar, no fill; no buy at or above the upper limit, no sell at or below the lower one (the queue there is
not ours to jump); no sale of what was bought today; whole lots (a sell order may take the odd rest along when it sells
everything sellable); no more than a share of the session's volume; no more than the cash there is. Sells go first,
then buys, each in the order's rank; proceeds of a sale are good for buying at once, as on the exchange.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.trading import costs
from ljwx_pipeline.trading.compiled import kernel
from ljwx_pipeline.trading.costs import (
    E8,
    PARTICIPATION,
    SLIPPAGE,
    CostRates,
    fees_kernel,
    fill_price_e4,
    trade_value_fen,
)

Int = NDArray[np.int64]


class Reject(IntEnum):
    """Why an order, or the rest of it, did not fill."""

    NONE = 0
    SUSPENDED = 1
    LIMIT_UP = 2
    LIMIT_DOWN = 3
    T_PLUS_1 = 4
    LOT = 5
    PARTICIPATION = 6
    CASH = 7


# numba reads plain integers, not members of an IntEnum in arithmetic
_NONE, _SUSPENDED, _LIMIT_UP, _LIMIT_DOWN, _T_PLUS_1, _LOT, _PARTICIPATION, _CASH = (int(code) for code in Reject)


@dataclass(frozen=True)
class SessionQuotes:
    """What matching needs of one session, arrays of shape ``(n_symbols,)``.

    ``close_e4`` is 0 where there is no bar; ``lot_min`` and ``lot_step`` come from ``rulebook.lot_sizes``.
    """

    close_e4: Int
    limit_up_e4: Int
    limit_down_e4: Int
    volume_shares: Int
    lot_min: Int
    lot_step: Int


@dataclass(frozen=True)
class Fills:
    """Result of matching, arrays of shape ``(n_symbols,)``.

    ``shares`` is signed (sells negative), ``value_fen`` is never negative, ``reject`` holds ``Reject`` codes (with
    ``shares`` not zero: of the part that did not fill), ``cash_after_fen`` is the cash left.
    """

    shares: Int
    price_e4: Int
    value_fen: Int
    commission_fen: Int
    stamp_duty_fen: Int
    transfer_fee_fen: Int
    reject: Int
    cash_after_fen: int

    @property
    def fees_fen(self) -> Int:
        """All fees of each fill."""
        return self.commission_fen + self.stamp_duty_fen + self.transfer_fee_fen


@njit(cache=True)
def floor_to_lot(shares: int, lot_min: int, lot_step: int) -> int:
    """Return the most shares up to ``shares`` that make a valid order; 0 below the smallest order."""
    if shares < lot_min:
        return 0
    return lot_min + (shares - lot_min) // lot_step * lot_step


@kernel(costs)
def affordable_shares(wanted: int, price_e4: int, cash_fen: int, lot_min: int, lot_step: int, rates: Int) -> int:
    """Return the most shares, in lots, up to ``wanted``, whose value and fees the cash covers."""
    low, high = -1, (wanted - lot_min) // lot_step  # steps beyond the smallest order; -1 is no order
    while low < high:
        middle = (low + high + 1) // 2
        value = trade_value_fen(lot_min + middle * lot_step, price_e4, True)
        commission, stamp, transfer = fees_kernel(value, True, rates)
        if value + commission + stamp + transfer <= cash_fen:
            low = middle
        else:
            high = middle - 1
    return lot_min + low * lot_step if low >= 0 else 0


@kernel(costs)
def _sellable_part(
    order: int, sellable: int, close_e4: int, limit_down_e4: int, volume: int, lot_min: int, lot_step: int, rates: Int
) -> tuple[int, int]:
    if close_e4 <= 0:
        return 0, _SUSPENDED
    if close_e4 <= limit_down_e4:
        return 0, _LIMIT_DOWN
    reason, shares = _NONE, order
    if shares > sellable:
        shares, reason = sellable, _T_PLUS_1
    room = volume * rates[PARTICIPATION] // E8
    if shares > room:
        shares, reason = room, _PARTICIPATION
    if shares != sellable:
        whole = floor_to_lot(shares, lot_min, lot_step)
        if whole < shares and reason == _NONE:
            reason = _LOT
        shares = whole
    return shares, reason


@kernel(costs)
def _buyable_part(
    order: int,
    price_e4: int,
    close_e4: int,
    limit_up_e4: int,
    volume: int,
    cash_fen: int,
    lot_min: int,
    lot_step: int,
    rates: Int,
) -> tuple[int, int]:
    if close_e4 <= 0:
        return 0, _SUSPENDED
    if close_e4 >= limit_up_e4:
        return 0, _LIMIT_UP
    reason, shares = _NONE, floor_to_lot(order, lot_min, lot_step)
    if shares < order:
        reason = _LOT
    room = floor_to_lot(volume * rates[PARTICIPATION] // E8, lot_min, lot_step)
    if shares > room:
        shares, reason = room, _PARTICIPATION
    if shares > 0:
        paid = affordable_shares(shares, price_e4, cash_fen, lot_min, lot_step, rates)
        if paid < shares:
            shares, reason = paid, _CASH
    return shares, reason


@kernel(costs)
def match_kernel(
    order_shares: Int,
    order_rank: Int,
    close_e4: Int,
    limit_up_e4: Int,
    limit_down_e4: Int,
    volume_shares: Int,
    lot_min: Int,
    lot_step: Int,
    sellable_shares: Int,
    cash_fen: int,
    rates: Int,
) -> tuple[Int, Int, Int, Int, Int, Int, Int, int]:
    """Match one session's orders; see ``match`` for shapes. Returns the arrays of ``Fills`` and the cash left."""
    n = order_shares.size
    by_rank = np.full(n, -1, np.int64)
    for name in range(n):
        if order_shares[name] != 0:
            by_rank[order_rank[name]] = name
    shares, price = np.zeros(n, np.int64), np.zeros(n, np.int64)
    value, commission = np.zeros(n, np.int64), np.zeros(n, np.int64)
    stamp, transfer = np.zeros(n, np.int64), np.zeros(n, np.int64)
    reject = np.zeros(n, np.int64)
    cash = cash_fen
    for buying in (False, True):
        for i in by_rank:
            if i < 0 or (order_shares[i] > 0) != buying:
                continue
            fill = fill_price_e4(close_e4[i], limit_up_e4[i], limit_down_e4[i], rates[SLIPPAGE], buying)
            if buying:
                done, reject[i] = _buyable_part(
                    order_shares[i],
                    fill,
                    close_e4[i],
                    limit_up_e4[i],
                    volume_shares[i],
                    cash,
                    lot_min[i],
                    lot_step[i],
                    rates,
                )
            else:
                done, reject[i] = _sellable_part(
                    -order_shares[i],
                    sellable_shares[i],
                    close_e4[i],
                    limit_down_e4[i],
                    volume_shares[i],
                    lot_min[i],
                    lot_step[i],
                    rates,
                )
            if done == 0:
                continue
            value[i] = trade_value_fen(done, fill, buying)
            commission[i], stamp[i], transfer[i] = fees_kernel(value[i], buying, rates)
            fees = commission[i] + stamp[i] + transfer[i]
            if not buying and cash + value[i] < fees:  # a dust sale whose fees exceed proceeds and cash
                value[i] = commission[i] = stamp[i] = transfer[i] = 0
                reject[i] = _CASH
                continue
            shares[i] = done if buying else -done
            price[i] = fill
            cash -= int(value[i] + fees) if buying else int(fees - value[i])
    return shares, price, value, commission, stamp, transfer, reject, cash


def match(
    *,
    order_shares: Int,
    order_rank: Int,
    quotes: SessionQuotes,
    sellable_shares: Int,
    cash_fen: int,
    rates: CostRates,
) -> Fills:
    """Return the fills of one session's orders at its close.

    Parameters
    ----------
    order_shares, order_rank
        Shape ``(n_symbols,)``: signed shares (0 is no order) and the order's place in the queue, distinct numbers from
        0 to n_symbols - 1 among the orders; both as ``decide`` gives them.
    quotes
        The session's prices, limits, volumes and lots.
    sellable_shares
        Shares held since before this session.
    cash_fen
        Cash before the session's trades, not negative.
    rates
        The session's rates.

    Raises
    ------
    TradingError
        When ranks repeat or lie outside the range, or cash is negative.
    """
    ranks = order_rank[order_shares != 0]
    if len(np.unique(ranks)) != len(ranks) or ((ranks < 0) | (ranks >= len(order_shares))).any():
        raise TradingError("two orders share a rank or a rank is out of range", "pass orders as decide() ranks them")
    if cash_fen < 0:
        raise TradingError(f"cash is {cash_fen} fen before matching", "find where the account went negative")
    shares, price, value, commission, stamp, transfer, reject, cash = match_kernel(
        order_shares,
        order_rank,
        quotes.close_e4,
        quotes.limit_up_e4,
        quotes.limit_down_e4,
        quotes.volume_shares,
        quotes.lot_min,
        quotes.lot_step,
        sellable_shares,
        cash_fen,
        rates.as_array(),
    )
    return Fills(shares, price, value, commission, stamp, transfer, reject, int(cash))
