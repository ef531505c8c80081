"""SESSION orders on the session's whole bar: the backtest's kernel, on what the limit orders have left of the account.

Not here: a rule of matching (``trading/matching.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.config import CostSettings
from ljwx_pipeline.exchange.entries import Entry, Trade
from ljwx_pipeline.exchange.market import ExchangeMarket
from ljwx_pipeline.trading.account import Account
from ljwx_pipeline.trading.costs import cost_rates
from ljwx_pipeline.trading.exchange_wire import OrderStatus
from ljwx_pipeline.trading.matching import Reject, match

Int = NDArray[np.int64]


def match_session(
    entries: Sequence[Entry],
    account: Account,
    market: ExchangeMarket,
    costs: CostSettings,
    *,
    reserved_fen: int,
    reserved_shares: Int,
) -> list[tuple[Trade | None, Entry]]:
    """Fill the session's orders, book them to ``account``, and return what was traded and how each order ended.

    Parameters
    ----------
    entries
        Open SESSION orders of one session, one a symbol at most.
    reserved_fen, reserved_shares
        Cash and sellable shares, by symbol, that open limit orders hold.

    Raises
    ------
    TradingError
        As ``matching.match``.
    """
    if not entries:
        return []
    session = entries[0].order.session
    column, n_symbols = market.column(session), len(market.symbols)
    queue = sorted(entries, key=lambda entry: (entry.order.rank, entry.number))
    shares, rank = np.zeros(n_symbols, dtype=np.int64), np.full(n_symbols, -1, dtype=np.int64)
    for place, entry in enumerate(queue):
        row = market.rows[entry.order.symbol]
        shares[row], rank[row] = entry.order.shares if entry.buying else -entry.order.shares, place
    account.cash_fen -= reserved_fen
    account.sellable_shares -= reserved_shares
    fills = match(
        order_shares=shares,
        order_rank=rank,
        quotes=market.arrays.quotes(column, with_volatility=costs.impact_coefficient > 0),
        sellable_shares=account.sellable_shares,
        cash_fen=account.cash_fen,
        rates=cost_rates(costs, session),
    )
    account.settle(fills)
    account.cash_fen += reserved_fen
    account.sellable_shares += reserved_shares
    ended = []
    for entry in entries:
        row = market.rows[entry.order.symbol]
        filled, reject = abs(int(fills.shares[row])), Reject(int(fills.reject[row]))
        trade = None
        if filled:
            trade = Trade(
                number=entry.number,
                shares=filled,
                price_e4=int(fills.price_e4[row]),
                base_e4=int(fills.base_price_e4[row]),
                value_fen=int(fills.value_fen[row]),
                commission_fen=int(fills.commission_fen[row]),
                stamp_duty_fen=int(fills.stamp_duty_fen[row]),
                transfer_fee_fen=int(fills.transfer_fee_fen[row]),
                slippage_fen=int(fills.slippage_fen[row]),
                impact_fen=int(fills.impact_fen[row]),
            )
        whole = filled == entry.order.shares
        ended.append(
            (
                trade,
                replace(
                    entry if trade is None else entry.with_trade(trade),
                    state=OrderStatus.FILLED if whole else OrderStatus.LAPSED,
                    reason="" if whole else reject.name,
                ),
            )
        )
    return ended
