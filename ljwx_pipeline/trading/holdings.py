"""What every strategy does with the names it holds: rank them, sell those forced out, cut them back.

Not here: which names a strategy wants (``topk_dropout.py``, ``score_weighted.py``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.compiled import trading_kernel
from ljwx_pipeline.trading.costs import trade_value_fen
from ljwx_pipeline.trading.order_reason import SIZING
from ljwx_pipeline.units import BPS, E4_PER_FEN

Int = NDArray[np.int64]
Int32 = NDArray[np.int32]
Float = NDArray[np.float64]


@trading_kernel
def is_worse(one: int, other: int, scores: Float) -> bool:
    """Return whether ``one`` stands behind ``other`` in ``ranked``: no finite score last, equal ones by symbol."""
    a = -scores[one] if np.isfinite(scores[one]) else np.inf
    b = -scores[other] if np.isfinite(scores[other]) else np.inf
    return bool(a > b or (a == b and one > other))


@trading_kernel
def sell_forced(
    held_names: Int32,
    n_held: int,
    shares: Int,
    price_e4: Int,
    forced: Int,
    order_names: Int32,
    order_shares: Int,
) -> tuple[int, int]:
    """Write a sale of the whole position for every name forced out; returns their number and proceeds in fen."""
    n_orders, proceeds_fen = 0, 0
    for j in range(n_held):
        i = held_names[j]
        if forced[j] == 0 or price_e4[i] <= 0:
            continue
        order_names[n_orders], order_shares[n_orders] = i, -shares[i]
        proceeds_fen += trade_value_fen(shares[i], price_e4[i], False)
        n_orders += 1
    return n_orders, proceeds_fen


@trading_kernel
def lots_of_position(wanted: int, held: int, lot_min: int, lot_step: int) -> int:
    """Return the least valid sell order of ``wanted`` shares or more: whole lots, or all that is held."""
    steps = max(0, wanted - lot_min + lot_step - 1) // lot_step
    return min(lot_min + steps * lot_step, held)


@trading_kernel
def trim(
    held_names: Int32,
    n_held: int,
    scores: Float,
    shares: Int,
    price_e4: Int,
    lot_min: Int,
    lot_step: Int,
    excess_fen: int,
    forced: Int,
    n_orders: int,
    order_names: Int32,
    order_shares: Int,
) -> int:
    """Add sales that take ``excess_fen`` out of the positions not sold already; returns the number of orders.

    Every such position with a bar gives up the same share of itself, rounded up to lots or all of it, the worst score
    first and no more than is left of the excess: what the rounding takes too much spares the best. How long a position
    has been held does not matter: risk goes before selection. Marks what it sells in ``forced`` as ``SIZING``.
    """
    tradable_fen = 0
    for j in range(n_held):
        i = held_names[j]
        if forced[j] == 0 and price_e4[i] > 0:
            tradable_fen += trade_value_fen(shares[i], price_e4[i], False)
    if tradable_fen <= 0:
        return n_orders
    cut_bps = min(BPS, (excess_fen * BPS + tradable_fen - 1) // tradable_fen)
    while excess_fen > 0:
        worst = -1
        for j in range(n_held):
            if forced[j] != 0 or price_e4[held_names[j]] <= 0:
                continue
            if worst < 0 or is_worse(held_names[j], held_names[worst], scores):
                worst = j
        if worst < 0:
            break
        i = held_names[worst]
        share = (shares[i] * cut_bps + BPS - 1) // BPS
        enough = (excess_fen * E4_PER_FEN + price_e4[i] - 1) // price_e4[i]
        sold = lots_of_position(min(share, enough), shares[i], lot_min[i], lot_step[i])
        order_names[n_orders], order_shares[n_orders] = i, -sold
        excess_fen -= trade_value_fen(sold, price_e4[i], False)
        forced[worst] = SIZING
        n_orders += 1
    return n_orders
