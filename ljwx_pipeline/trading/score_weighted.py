"""Score-weighted portfolio: the ``top_k`` best, the more of each the further its score lies above those left out.

``w_i`` is proportional to ``score_i - score_(k+1)``, the excess over the best name that is not chosen (over the worst
chosen one where no other has a score); equal excesses of zero weigh the same. No weight exceeds ``max_weight``: what is
cut off goes to the others in proportion, and stays in cash once none can take more. Weights never sum to more than one.

Only names with a bar are chosen. What is held and has none can be neither sold nor counted on: its value is taken off
the budget first. A name that may not be bought is chosen while it is held, and is not enlarged. A chosen name is traded
when its holding differs from its target by more than the no-trade band; a name whose weight is zero is sold whole, band
or not. A position younger than ``min_hold_sessions`` is not cut by its score. Purchases share what may be spent in
proportion. When the exposure is below one and the holdings exceed it by more than the band in sum, they are cut back
(``holdings.trim``) and nothing is bought.
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
def _choose(
    best_first: Int32,
    n_scored: int,
    may_buy: Int8,
    shares: Int,
    price_e4: Int,
    gone: Int32,
    n_gone: int,
    top_k: int,
    names: Int32,
    at: int,
) -> int:
    """Write the best ``top_k + 1`` names with a bar, held or to be bought, from ``names[at]`` on; returns how many.

    None is ``gone``.
    """
    chosen, any_name = 0, may_buy.size == 0
    for place in range(n_scored):
        i = best_first[place]
        forced_out = False
        for j in range(n_gone):
            forced_out = forced_out or gone[j] == i
        if price_e4[i] <= 0 or forced_out or not (any_name or may_buy[i] != 0 or shares[i] > 0):
            continue
        names[at + chosen] = i
        chosen += 1
        if chosen > top_k:
            break
    return chosen


@trading_kernel
def _excess_sum(names: Int32, start: int, stop: int, scores: Float, base: float) -> float:
    total = 0.0
    for place in range(start, stop):
        total += scores[names[place]] - base
    return total


@trading_kernel
def _stuck_fen(held_names: Int32, n_held: int, shares: Int, price_e4: Int, holdings_fen: int) -> int:
    """Return what of ``holdings_fen`` has no bar, in fen."""
    for j in range(n_held):
        i = held_names[j]
        if price_e4[i] > 0:
            holdings_fen -= trade_value_fen(shares[i], price_e4[i], False)
    return max(0, holdings_fen)


@trading_kernel
def weight_rule(names: Int32, at: int, n: int, base: float, scores: Float, cap: float) -> tuple[int, float, float]:
    """Return how many of the best are capped, what is left for the others, and the sum of the others' excesses.

    ``names[at : at + n]`` are the chosen, best first. A sum of zero with something left means: equal weights (none is
    capped then), or cash (the rest has no excess).
    """
    capped, left, total = 0, 1.0, _excess_sum(names, at, at + n, scores, base)
    while capped < n and total > 0 and (scores[names[at + capped]] - base) / total * left > cap:
        capped += 1
        left = max(0.0, 1.0 - capped * cap)
        total = _excess_sum(names, at + capped, at + n, scores, base)
    return capped, left, total


@trading_kernel
def target_weight(
    i: int, names: Int32, at: int, n: int, base: float, scores: Float, cap: float, rule: tuple[int, float, float]
) -> float:
    """Return the weight of name ``i``: 0 for one that is not among the chosen ``names[at : at + n]``."""
    capped, left, total = rule
    if n == 0 or not np.isfinite(scores[i]) or is_worse(i, names[at + n - 1], scores):
        return 0.0
    if capped > 0 and not is_worse(i, names[at + capped - 1], scores):
        return cap
    if total > 0:
        return float((scores[i] - base) / total * left)
    return min(cap, 1.0 / n) if capped == 0 else 0.0


@trading_kernel
def score_weighted_kernel(
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
    min_hold_sessions: int,
    cash_reserve_bps: int,
    max_weight_bps: int,
    band_bps: int,
    order_names: Int32,
    order_shares: Int,
) -> int:
    """Write one session's orders and return how many there are; arguments as in ``decide.decide_kernel``.

    Sales come in symbol order, purchases best first. Costs O(``n_held`` + ``top_k``) beside names without a bar.
    """
    n = best_first.size
    n_orders, proceeds_fen = sell_forced(held_names, n_held, shares, price_e4, forced, order_names, order_shares)
    # the chosen stand behind everything that can be ordered: no buffer of their own
    found = _choose(best_first, n_scored, may_buy, shares, price_e4, order_names, n_orders, top_k, order_names, n)
    chosen = min(found, top_k)
    base = scores[order_names[n + found - 1]] if found > 0 else 0.0
    cap = max_weight_bps / BPS
    rule = weight_rule(order_names, n, chosen, base, scores, cap)
    invested_fen = equity_fen * (BPS - cash_reserve_bps) // BPS * exposure_bps // BPS
    budget_fen = max(0, invested_fen - _stuck_fen(held_names, n_held, shares, price_e4, equity_fen - cash_fen))
    band_fen = equity_fen * band_bps // BPS
    for j in range(n_held):
        i = held_names[j]
        # one more session passes before the order executes
        if forced[j] != 0 or price_e4[i] <= 0 or held_sessions[i] + 1 < min_hold_sessions:
            continue
        weight = target_weight(i, order_names, n, chosen, base, scores, cap, rule)
        surplus_fen = trade_value_fen(shares[i], price_e4[i], False) - int(weight * budget_fen)
        sold = shares[i]
        if weight > 0:
            if surplus_fen <= band_fen:
                continue
            sold = floor_to_lot(min(sold, surplus_fen * E4_PER_FEN // price_e4[i]), lot_min[i], lot_step[i])
        if sold > 0:
            order_names[n_orders], order_shares[n_orders] = i, -sold
            proceeds_fen += trade_value_fen(sold, price_e4[i], False)
            forced[j] = SCORE
            n_orders += 1
    excess_fen = equity_fen - cash_fen - proceeds_fen - invested_fen
    if exposure_bps < BPS and excess_fen > band_fen:
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
    spendable_fen = max(0, cash_fen + proceeds_fen - (equity_fen - invested_fen))
    wanted_fen = 0
    for place in range(n, n + chosen):
        i = order_names[place]
        weight = target_weight(i, order_names, n, chosen, base, scores, cap, rule)
        # what is missing stands beside the name: orders never reach that far into the buffer
        missing_fen = int(weight * budget_fen) - trade_value_fen(shares[i], price_e4[i], True)
        allowed = may_buy.size == 0 or may_buy[i] != 0
        order_shares[place] = missing_fen if missing_fen > band_fen and allowed else 0
        wanted_fen += order_shares[place]
    for place in range(n, n + chosen):
        i, missing_fen = order_names[place], order_shares[place]
        if wanted_fen > spendable_fen:
            missing_fen = int(missing_fen * (spendable_fen / wanted_fen))
        bought = floor_to_lot(missing_fen * E4_PER_FEN // price_e4[i], lot_min[i], lot_step[i])
        if bought > 0:
            order_names[n_orders], order_shares[n_orders] = i, bought
            n_orders += 1
    return int(n_orders)
