"""TopkDropout over dense arrays, as it was first written: what the sparse kernel must agree with, to the share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.trading.costs import trade_value_fen
from ljwx_pipeline.trading.matching import floor_to_lot
from ljwx_pipeline.units import BPS, E4_PER_FEN

Int = NDArray[np.int64]
Float = NDArray[np.float64]


def dense_orders(
    scores: Float,
    holdings_shares: Int,
    held_sessions: Int,
    price_e4: Int,
    lot_min: Int,
    lot_step: Int,
    cash_fen: int,
    equity_fen: int,
    top_k: int,
    n_drop: int,
    min_hold_sessions: int,
    cash_reserve_bps: int,
) -> tuple[Int, Int]:
    """Decide one session's orders; returns ``(order_shares, order_rank)``."""
    n = scores.size
    orders, ranks = np.zeros(n, np.int64), np.full(n, -1, np.int64)
    held = 0
    key = np.empty(n, np.float64)
    for i in range(n):
        held += holdings_shares[i] > 0
        key[i] = -scores[i] if np.isfinite(scores[i]) else np.inf
    best_first = np.argsort(key, kind="mergesort")
    fresh, is_fresh = np.empty(n, np.int64), np.zeros(n, np.bool_)
    n_fresh, wanted = 0, max(0, n_drop + top_k - held)
    for i in best_first:
        if n_fresh < wanted and holdings_shares[i] == 0 and price_e4[i] > 0 and key[i] < np.inf:
            fresh[n_fresh] = i
            is_fresh[i] = True
            n_fresh += 1
    last, sold, proceeds_fen = 0, 0, 0
    for i in best_first[::-1]:
        if last == n_drop:
            break
        droppable = holdings_shares[i] > 0 and price_e4[i] > 0 and held_sessions[i] + 1 >= min_hold_sessions
        last += droppable or is_fresh[i]
        if droppable:
            orders[i], ranks[i] = -holdings_shares[i], sold
            proceeds_fen += trade_value_fen(holdings_shares[i], price_e4[i], False)
            sold += 1
    buys = min(n_fresh, max(0, sold + top_k - held))
    if buys > 0:
        invested_fen = equity_fen * (BPS - cash_reserve_bps) // BPS
        spendable_fen = max(0, cash_fen + proceeds_fen - (equity_fen - invested_fen))
        each_fen = min(invested_fen // top_k, spendable_fen // buys)
        rank = sold
        for i in fresh[:buys]:
            orders[i] = floor_to_lot(each_fen * E4_PER_FEN // price_e4[i], lot_min[i], lot_step[i])
            if orders[i] > 0:
                ranks[i] = rank
                rank += 1
    return orders, ranks
