"""THE decision: scores and an account in, orders out. Backtest and runner both call it.

TopkDropout: hold ``top_k`` names of equal target weight; each session rank the names held together with the best
``n_drop`` others (and as many as there are empty places), sell the held ones among the last ``n_drop`` of that list and
buy the best others into the places that come free. Scores of session t make orders for session t+1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.config import StrategySettings
from ljwx_pipeline.market.rulebook import BPS
from ljwx_pipeline.trading import costs, matching
from ljwx_pipeline.trading.compiled import kernel
from ljwx_pipeline.trading.costs import E4_PER_FEN, trade_value_fen
from ljwx_pipeline.trading.matching import floor_to_lot

Int = NDArray[np.int64]
Float = NDArray[np.float64]


@dataclass(frozen=True)
class DecisionParams:
    """``StrategySettings`` as the integers a kernel takes."""

    top_k: int
    n_drop: int
    min_hold_sessions: int
    cash_reserve_bps: int

    @classmethod
    def of(cls, settings: StrategySettings) -> DecisionParams:
        """Return the parameters that ``settings`` stands for."""
        return cls(
            top_k=settings.top_k,
            n_drop=settings.n_drop,
            min_hold_sessions=settings.min_hold_sessions,
            cash_reserve_bps=round(settings.cash_reserve_frac * BPS),
        )


@dataclass(frozen=True)
class Orders:
    """Orders for the next session, arrays of shape ``(n_symbols,)``.

    ``shares`` is signed, 0 where there is no order; ``rank`` is the place in the queue (0 first, sells before buys, -1
    where there is no order).
    """

    shares: Int
    rank: Int


@kernel(costs, matching)
def decide_kernel(
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
    """Decide one session's orders; see ``decide``. Returns ``(order_shares, order_rank)``."""
    n = scores.size
    orders, ranks = np.zeros(n, np.int64), np.full(n, -1, np.int64)
    held = 0
    key = np.empty(n, np.float64)
    for i in range(n):
        held += holdings_shares[i] > 0
        key[i] = -scores[i] if np.isfinite(scores[i]) else np.inf
    # stable sort: equal scores stay in symbol order, so that no run depends on memory or hashing
    best_first = np.argsort(key, kind="mergesort")
    fresh, is_fresh = np.empty(n, np.int64), np.zeros(n, np.bool_)
    n_fresh, wanted = 0, max(0, n_drop + top_k - held)
    for i in best_first:
        if n_fresh < wanted and holdings_shares[i] == 0 and price_e4[i] > 0 and key[i] < np.inf:
            fresh[n_fresh] = i
            is_fresh[i] = True
            n_fresh += 1
    last, sold, proceeds_fen = 0, 0, 0
    for i in best_first[::-1]:  # a name held without a score comes first here
        if last == n_drop:
            break
        # one more session passes before the order executes
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


def decide(
    *,
    scores: Float,
    holdings_shares: Int,
    held_sessions: Int,
    price_e4: Int,
    lot_min: Int,
    lot_step: Int,
    cash_fen: int,
    equity_fen: int,
    params: DecisionParams,
) -> Orders:
    """Return the orders that the close of one session asks for, to be executed on the next.

    Parameters
    ----------
    scores
        Shape ``(n_symbols,)``. NaN: outside the universe; never bought, and sold first when held.
    holdings_shares, held_sessions
        Shares held after the session's fills and sessions passed since each position was opened (0 on that session).
    price_e4
        The session's close, 0 without a bar; a name without a bar is neither bought nor sold, but keeps its place.
    lot_min, lot_step
        From ``rulebook.lot_sizes``.
    cash_fen, equity_fen
        Cash, and cash plus holdings at their last close. Buys are sized to ``(1 - reserve) * equity / top_k``, or
        less when cash and the expected proceeds of the session's sales do not reach.
    params
        The strategy.
    """
    shares, rank = decide_kernel(
        scores,
        holdings_shares,
        held_sessions,
        price_e4,
        lot_min,
        lot_step,
        cash_fen,
        equity_fen,
        params.top_k,
        params.n_drop,
        params.min_hold_sessions,
        params.cash_reserve_bps,
    )
    return Orders(shares, rank)
