"""TopkDropout: hold ``top_k`` names of equal target weight and replace at most ``n_drop`` of them a session.

Each session the names held are ranked together with the best ``n_drop`` others (and as many as there are empty places);
the held ones among the last ``n_drop`` of that list are sold, and the best others are bought into the places that come
free. A name that may not be bought is none of the others; where too few may be, the worst go without a successor.
Holdings are never enlarged: an exposure that rises is reached by the next purchases. An exposure that falls sizes
purchases at once, and beyond the no-trade band holdings are cut back too (``holdings.trim``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.compiled import trading_kernel
from ljwx_pipeline.trading.costs import trade_value_fen
from ljwx_pipeline.trading.holdings import is_worse, sell_forced, trim
from ljwx_pipeline.trading.matching import floor_to_lot
from ljwx_pipeline.trading.order_reason import SCORE
from ljwx_pipeline.units import BPS, E4_PER_FEN

Int = NDArray[np.int64]
Int32 = NDArray[np.int32]
Int8 = NDArray[np.int8]
Float = NDArray[np.float64]


@trading_kernel
def _take_candidates(
    best_first: Int32, n_scored: int, may_buy: Int8, shares: Int, price_e4: Int, wanted: int, names: Int32, at: int
) -> int:
    """Write the best ``wanted`` names to buy from ``names[at]`` on: not held, with a bar; returns their number."""
    taken, any_name = 0, may_buy.size == 0
    for place in range(n_scored):
        if taken == wanted:
            break
        i = best_first[place]
        if shares[i] == 0 and price_e4[i] > 0 and (any_name or may_buy[i] != 0):
            names[at + taken] = i
            taken += 1
    return taken


@trading_kernel
def _find_worst(
    held_names: Int32,
    n_held: int,
    scores: Float,
    held_sessions: Int,
    price_e4: Int,
    forced: Int,
    n_drop: int,
    min_hold_sessions: int,
    places: Int32,
    at: int,
) -> int:
    """Write the places in ``held_names`` of the ``n_drop`` worst that may go, worst first, from ``places[at]`` on."""
    found, best_kept = 0, -np.inf
    for j in range(n_held):
        i = held_names[j]
        # one more session passes before the order executes
        if forced[j] != 0 or price_e4[i] <= 0 or held_sessions[i] + 1 < min_hold_sessions:
            continue
        if found == n_drop:
            # most holdings score better than the best of the worst so far: told by one comparison
            if best_kept < scores[i] < np.inf or not is_worse(i, held_names[places[at + found - 1]], scores):
                continue
            found -= 1
        to = at + found
        while to > at and is_worse(i, held_names[places[to - 1]], scores):
            places[to] = places[to - 1]
            to -= 1
        places[to] = j
        found += 1
        if found == n_drop:
            last = scores[held_names[places[at + found - 1]]]
            best_kept = last if np.isfinite(last) else np.inf
    return found


@trading_kernel
def topk_dropout_kernel(
    best_first: Int32,
    n_scored: int,
    scores: Float,
    may_buy: Int8,
    held_names: Int32,
    n_held: int,
    shares: Int,
    held_sessions: Int,
    price_e4: Int,
    lot_min: Int,
    lot_step: Int,
    cash_fen: int,
    equity_fen: int,
    exposure_bps: int,
    forced: Int,
    top_k: int,
    n_drop: int,
    min_hold_sessions: int,
    cash_reserve_bps: int,
    band_bps: int,
    order_names: Int32,
    order_shares: Int,
) -> int:
    """Write one session's orders and return how many there are; arguments as in ``decide.decide_kernel``.

    Names forced out count as gone already: their places are free and what they bring may be spent. Costs
    O(``n_held`` + ``top_k`` + ``n_drop``) beside the names passed over: those without a bar, or not to be bought.
    """
    n = best_first.size
    n_orders, proceeds_fen = sell_forced(held_names, n_held, shares, price_e4, forced, order_names, order_shares)
    kept = n_held - n_orders
    # behind the sales (n_held at most) stand the candidates, and from n on the worst holdings: no buffers of their own
    n_fresh = _take_candidates(
        best_first, n_scored, may_buy, shares, price_e4, max(0, n_drop + top_k - kept), order_names, n_held
    )
    n_worst = _find_worst(
        held_names, n_held, scores, held_sessions, price_e4, forced, n_drop, min_hold_sessions, order_names, n
    )
    sold, fresh = 0, n_fresh - 1
    for _ in range(n_drop):
        j = order_names[n + sold] if sold < n_worst else -1
        if j >= 0 and (fresh < 0 or is_worse(held_names[j], order_names[n_held + fresh], scores)):
            i = held_names[j]
            order_names[n_orders], order_shares[n_orders] = i, -shares[i]
            proceeds_fen += trade_value_fen(shares[i], price_e4[i], False)
            forced[j] = SCORE
            n_orders += 1
            sold += 1
        else:
            fresh -= 1
    invested_fen = equity_fen * (BPS - cash_reserve_bps) // BPS * exposure_bps // BPS
    excess_fen = equity_fen - cash_fen - proceeds_fen - invested_fen
    if exposure_bps < BPS and excess_fen > equity_fen * band_bps // BPS:
        n_orders = trim(
            held_names,
            n_held,
            scores,
            shares,
            price_e4,
            lot_min,
            lot_step,
            excess_fen,
            forced,
            n_orders,
            order_names,
            order_shares,
        )
        return int(n_orders)
    buys = min(n_fresh, max(0, sold + top_k - kept))
    if buys > 0:
        spendable_fen = max(0, cash_fen + proceeds_fen - (equity_fen - invested_fen))
        each_fen = min(invested_fen // top_k, spendable_fen // buys)
        for place in range(n_held, n_held + buys):
            i = order_names[place]
            bought = floor_to_lot(each_fen * E4_PER_FEN // price_e4[i], lot_min[i], lot_step[i])
            if bought > 0:
                order_names[n_orders], order_shares[n_orders] = i, bought
                n_orders += 1
    return int(n_orders)
