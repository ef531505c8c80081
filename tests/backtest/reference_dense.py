"""The backtest over dense arrays, as it was first written: what the sparse engine must agree with, to the fen.

Kernels of account, matching and loop as they stood before orders and holdings became lists; fills at the close, no
impact, no rights. Costs and the decision are those of ``trading/costs.py`` and ``dense_topk_dropout.py``.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ljwx_pipeline.trading.costs import (
    E4_PER_FEN,
    E8,
    PARTICIPATION,
    SLIPPAGE,
    fees_kernel,
    fill_price_e4,
    trade_value_fen,
)
from ljwx_pipeline.trading.matching import floor_to_lot
from tests.trading.dense_topk_dropout import dense_orders

Int = NDArray[np.int64]
Float = NDArray[np.float64]
Bool = NDArray[np.bool_]
E4 = 10_000
_NONE, _SUSPENDED, _LIMIT_UP, _LIMIT_DOWN, _T_PLUS_1, _LOT, _PARTICIPATION, _CASH = range(8)
decide_kernel = njit(dense_orders)


@njit
def open_session_kernel(
    shares: Int,
    sellable: Int,
    held_sessions: Int,
    last_price_e4: Int,
    cash_e4_per_share: Int,
    bonus_e4_per_share: Int,
    listed: NDArray[np.bool_],
    cash_fen: int,
) -> tuple[int, int, int]:
    """Begin a session; returns ``(cash_fen, dividends_fen, written_off_fen)``. See ``Account.open_session``."""
    dividends, written_off = 0, 0
    for i in range(shares.size):
        if shares[i] == 0:
            continue
        if not listed[i]:
            written_off += shares[i] * last_price_e4[i] // E4_PER_FEN
            shares[i] = sellable[i] = held_sessions[i] = 0
            continue
        held_sessions[i] += 1
        if cash_e4_per_share[i] != 0 or bonus_e4_per_share[i] != 0:
            dividends += shares[i] * cash_e4_per_share[i] // E4_PER_FEN
            shares[i] += shares[i] * bonus_e4_per_share[i] // E4
            # the reference price after the ex-date, for holdings that are suspended on it
            ex_price = (last_price_e4[i] - cash_e4_per_share[i]) * E4 // (E4 + bonus_e4_per_share[i])
            last_price_e4[i] = max(0, ex_price)
        sellable[i] = shares[i]
    return cash_fen + dividends, dividends, written_off


@njit
def settle_kernel(
    shares: Int,
    sellable: Int,
    held_sessions: Int,
    fill_shares: Int,
    fill_value_fen: Int,
    fill_fees_fen: Int,
    cash_fen: int,
) -> int:
    """Book fills; returns the cash after them. See ``Account.settle``."""
    for i in range(shares.size):
        if fill_shares[i] == 0:
            continue
        if fill_shares[i] > 0:
            cash_fen -= fill_value_fen[i] + fill_fees_fen[i]
            if shares[i] == 0:
                held_sessions[i] = 0
        else:
            cash_fen += fill_value_fen[i] - fill_fees_fen[i]
            sellable[i] += fill_shares[i]
        shares[i] += fill_shares[i]
        if shares[i] == 0:
            held_sessions[i] = 0
    return cash_fen


@njit
def mark_kernel(shares: Int, last_price_e4: Int, close_e4: Int) -> int:
    """Take over the closes of what is held and return the holdings' value in fen, rounded down."""
    value_e4 = 0
    for i in range(shares.size):
        if shares[i] > 0:
            if close_e4[i] > 0:
                last_price_e4[i] = close_e4[i]
            value_e4 += shares[i] * last_price_e4[i]
    return value_e4 // E4_PER_FEN


@njit
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


@njit
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


@njit
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


@njit
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


@njit
def run_dense(
    scores: Float,
    close_e4: Int,
    limit_up_e4: Int,
    limit_down_e4: Int,
    volume_shares: Int,
    cash_e4_per_share: Int,
    bonus_e4_per_share: Int,
    listed: Bool,
    lot_min: Int,
    lot_step: Int,
    rates: Int,
    first: int,
    last: int,
    capital_fen: int,
    top_k: int,
    n_drop: int,
    min_hold_sessions: int,
    cash_reserve_bps: int,
) -> tuple[Int, Int, Int, Int, Int]:
    """Run sessions ``first`` to ``last``; returns per-session figures, the order log and the closing position.

    Per session: equity, cash, fees, dividends, written off, bought and sold value (fen), names held, and last the fen
    by which the second reckoning of cash differs.
    """
    n, sessions = scores.shape[0], last - first + 1
    shares, sellable = np.zeros(n, np.int64), np.zeros(n, np.int64)
    held, last_price = np.zeros(n, np.int64), np.zeros(n, np.int64)
    orders, ranks = np.zeros(n, np.int64), np.zeros(n, np.int64)
    figures = np.zeros((sessions, 9), np.int64)
    log = np.empty((sessions * 2 * n, 10), np.int64)
    logged, cash, reckoned, any_order = 0, capital_fen, capital_fen, False
    for t in range(sessions):
        s = first + t
        row = figures[t]
        cash, dividends, written_off = open_session_kernel(
            shares, sellable, held, last_price, cash_e4_per_share[:, s], bonus_e4_per_share[:, s], listed[:, s], cash
        )
        reckoned += dividends
        row[3], row[4] = dividends, written_off
        if any_order:
            fills, price, value, commission, stamp, transfer, reject, _ = match_kernel(
                orders,
                ranks,
                close_e4[:, s],
                limit_up_e4[:, s],
                limit_down_e4[:, s],
                volume_shares[:, s],
                lot_min,
                lot_step,
                sellable,
                cash,
                rates[t],
            )
            cash = settle_kernel(shares, sellable, held, fills, value, commission + stamp + transfer, cash)
            for i in range(n):
                if orders[i] == 0:
                    continue
                entry = log[logged]
                entry[0], entry[1], entry[2], entry[3], entry[4] = s, i, orders[i], fills[i], price[i]
                entry[5], entry[6], entry[7], entry[8] = value[i], commission[i], stamp[i], transfer[i]
                entry[9] = reject[i]
                logged += 1
                fees = commission[i] + stamp[i] + transfer[i]
                row[2] += fees
                row[5] += value[i] if fills[i] > 0 else 0
                row[6] += value[i] if fills[i] < 0 else 0
        reckoned += row[6] - row[5] - row[2]
        row[0] = cash + mark_kernel(shares, last_price, close_e4[:, s])
        row[1] = cash
        row[8] = cash - reckoned
        for i in range(n):
            row[7] += shares[i] > 0
        if row[8] != 0 or cash < 0:
            break
        if t + 1 < sessions:
            orders, ranks = decide_kernel(
                scores[:, s],
                shares,
                held,
                close_e4[:, s],
                lot_min,
                lot_step,
                cash,
                row[0],
                top_k,
                n_drop,
                min_hold_sessions,
                cash_reserve_bps,
            )
            any_order = bool((ranks >= 0).any())
    return figures, log[:logged].copy(), shares, held, last_price
