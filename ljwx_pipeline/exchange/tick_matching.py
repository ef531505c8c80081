"""Limit orders against ticks: what an order may ask for, what a tick gives it, and what it may cost.

A buy trades at the ask when that is not above its limit, for what is shown there at most; in an auction at the one
price, when that is not above its limit. Nobody sells at the upper limit, and nobody buys at the lower one. All of the
account's trades in a name are at most ``costs.max_participation_frac`` of what was traded in it so far. A trade takes
whole lots unless it completes its order. Fees are those of the whole order so far, less what was charged before.

Not here: SESSION orders (``session_matching.py``), whose turn it is (``engine.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.exchange.entries import Entry, Trade
from ljwx_pipeline.exchange.quotes import Quote
from ljwx_pipeline.trading.costs import PARTICIPATION, fees_kernel, trade_value_fen
from ljwx_pipeline.trading.exchange_wire import Reason
from ljwx_pipeline.trading.matching import floor_to_lot
from ljwx_pipeline.units import E8

Int = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Means:
    """What an order may use of the account and the market when a tick comes.

    Parameters
    ----------
    cash_fen
        Cash that no other order has reserved.
    sellable_shares
        Shares of the name held since before the session.
    traded_shares
        Shares of the name that the account's limit orders have traded on the session.
    shown_shares
        Shares that earlier orders have taken from the same tick's side.
    lot_min, lot_step
        ``rulebook.lot_sizes`` of the name.
    rates
        ``CostRates.as_array`` of the session.
    """

    cash_fen: int
    sellable_shares: int
    traded_shares: int
    shown_shares: int
    lot_min: int
    lot_step: int
    rates: Int


def reserved_fen(entry: Entry, rates: Int) -> int:
    """Return the cash that an open buy order may still need at its limit, fees included; 0 for a sale."""
    if not entry.buying:
        return 0
    value = trade_value_fen(entry.order.shares, entry.order.limit_price_e4, True)
    commission, stamp, transfer = fees_kernel(value, True, rates)
    return max(0, int(value + commission + stamp + transfer) - entry.value_fen - entry.fees_fen)


def trade_on(entry: Entry, quote: Quote, means: Means, *, auction: bool) -> tuple[Trade | None, Reason]:
    """Return what a tick gives an order, and why not all that is left of it."""
    shares, price, reason = _offered(entry, quote, means, auction=auction)
    while shares:
        trade = _priced(entry, shares, price, quote.last_e4, means.rates)
        spent = trade.value_fen + trade.fees_fen if entry.buying else trade.fees_fen - trade.value_fen
        if spent <= means.cash_fen:
            return trade, reason
        shares, reason = _whole_lots(shares * max(means.cash_fen, 0) // spent, shares, means), Reason.CASH
    return None, reason


def _offered(entry: Entry, quote: Quote, means: Means, *, auction: bool) -> tuple[int, int, Reason]:
    """Return how many shares the tick has for the order, cash left aside, at what price, and why not more."""
    facing = quote.ask_e4 if entry.buying else quote.bid_e4
    if facing == 0:
        return 0, 0, Reason.LIMIT_UP if entry.buying else Reason.LIMIT_DOWN
    price = quote.last_e4 if auction else facing
    limit = entry.order.limit_price_e4
    if price > limit if entry.buying else price < limit:
        return 0, 0, Reason.LIMIT_PRICE
    room = quote.volume_shares * int(means.rates[PARTICIPATION]) // E8 - means.traded_shares
    if not auction:
        room = min(room, (quote.ask_shares if entry.buying else quote.bid_shares) - means.shown_shares)
    left = entry.left_shares if entry.buying else min(entry.left_shares, means.sellable_shares)
    if room < left:
        return _whole_lots(max(room, 0), entry.left_shares, means), price, Reason.PARTICIPATION
    return left, price, Reason.NONE if left == entry.left_shares else Reason.T_PLUS_1


def _whole_lots(shares: int, left_shares: int, means: Means) -> int:
    """Return the shares that may trade when ``shares`` of the ``left_shares`` can: all, or whole lots."""
    return shares if shares == left_shares else int(floor_to_lot(shares, means.lot_min, means.lot_step))


def _priced(entry: Entry, shares: int, price_e4: int, last_e4: int, rates: Int) -> Trade:
    value = trade_value_fen(shares, price_e4, entry.buying)
    commission, stamp, transfer = fees_kernel(entry.value_fen + value, entry.buying, rates)
    return Trade(
        number=entry.number,
        shares=shares,
        price_e4=price_e4,
        base_e4=last_e4,
        value_fen=int(value),
        commission_fen=int(commission) - entry.commission_fen,
        stamp_duty_fen=int(stamp) - entry.stamp_duty_fen,
        transfer_fee_fen=int(transfer) - entry.transfer_fee_fen,
        slippage_fen=abs(int(value - trade_value_fen(shares, last_e4, entry.buying))),
        impact_fen=0,
    )
