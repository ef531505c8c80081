"""What an order must satisfy to be taken: the rules that are known when it comes.

A SESSION order is judged by the fill model when its bar is known; here only whether the session takes orders. Not here:
what becomes of an order that was taken (``tick_matching.py``, ``session_matching.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.exchange.entries import Entry
from ljwx_pipeline.exchange.quotes import Quote
from ljwx_pipeline.exchange.tick_matching import reserved_fen
from ljwx_pipeline.market.rulebook import (
    TICK_E4,
    OrderKind,
    max_order_shares,
    risk_warning_buy_cap,
    worst_order_price_e4,
)
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.trading.exchange_wire import NewOrder, PhaseName, Reason
from ljwx_pipeline.trading.matching import floor_to_lot

Int = NDArray[np.int64]

#: A SESSION order is cut to what the session trades; more than any name has shares is a mistake.
MAX_SESSION_SHARES = 10**12


@dataclass(frozen=True, slots=True)
class LimitOrderFacts:
    """What is known of name and account when a limit order comes.

    Parameters
    ----------
    traded
        Whether the name has a bar on the session; without one it is suspended.
    on_tick
        Whether prices are whole ticks, as they are unless the pack's are adjusted.
    limit_up_e4, limit_down_e4
        The session's limits.
    quote
        The last snapshot, None before the first one.
    pre_close_e4
        Stands for the last price before there is one.
    phase
        In continuous trading the price cage holds.
    cash_fen, sellable_shares
        What no open limit order has reserved.
    bought_shares
        Shares of the name bought on the session or asked for by open buy orders.
    """

    traded: bool
    on_tick: bool
    limit_up_e4: int
    limit_down_e4: int
    board: Board
    exchange: str
    is_st: bool
    lot_min: int
    lot_step: int
    quote: Quote | None
    pre_close_e4: int
    phase: PhaseName
    cash_fen: int
    sellable_shares: int
    bought_shares: int
    rates: Int


def limit_order_fault(entry: Entry, facts: LimitOrderFacts) -> Reason:
    """Return why the limit order is not taken; ``Reason.NONE`` when it is."""
    order = entry.order
    if not facts.traded:
        return Reason.SUSPENDED
    off_tick = facts.on_tick and order.limit_price_e4 % TICK_E4 != 0
    if off_tick or not facts.limit_down_e4 <= order.limit_price_e4 <= facts.limit_up_e4:
        return Reason.PRICE_LIMIT
    if order.shares > max_order_shares(facts.board, OrderKind.LIMIT, order.session):
        return Reason.ORDER_SIZE
    if facts.phase is PhaseName.CONTINUOUS and _outside_cage(order, facts, buying=entry.buying):
        return Reason.PRICE_CAGE
    return _buy_fault(entry, facts) if entry.buying else _sell_fault(order, facts)


def _buy_fault(entry: Entry, facts: LimitOrderFacts) -> Reason:
    order = entry.order
    if floor_to_lot(order.shares, facts.lot_min, facts.lot_step) != order.shares:
        return Reason.LOT
    cap = risk_warning_buy_cap(facts.board, facts.exchange, order.session) if facts.is_st else None
    if cap is not None and facts.bought_shares + order.shares > cap:
        return Reason.ST_BUY_CAP
    return Reason.NONE if reserved_fen(entry, facts.rates) <= facts.cash_fen else Reason.CASH


def _sell_fault(order: NewOrder, facts: LimitOrderFacts) -> Reason:
    if order.shares > facts.sellable_shares:
        return Reason.T_PLUS_1
    # an odd rest is sold whole, with everything else
    whole = floor_to_lot(order.shares, facts.lot_min, facts.lot_step) == order.shares
    return Reason.NONE if whole or order.shares == facts.sellable_shares else Reason.LOT


def _outside_cage(order: NewOrder, facts: LimitOrderFacts, *, buying: bool) -> bool:
    quote = facts.quote
    seen = () if quote is None else (quote.ask_e4, quote.bid_e4) if buying else (quote.bid_e4, quote.ask_e4)
    last = 0 if quote is None else quote.last_e4
    base = next((price for price in (*seen, last, facts.pre_close_e4) if price > 0), 0)
    worst = int(worst_order_price_e4(facts.board, order.session, base, buying=buying))
    return order.limit_price_e4 > worst if buying else order.limit_price_e4 < worst
