"""What the account is worth by the last prices that were believed, and what closing all of it by them would leave.

Reckoned here, without asking anybody: it is what is known while broker or exchange do not answer. Nothing is promised:
a close by hand is filled at the prices of then. Not here: the account's statement (``from_broker.py``), what losses
trip (``trading/breaker_machines.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from ljwx_pipeline.config import CostSettings
from ljwx_pipeline.live.events import HeldPosition
from ljwx_pipeline.trading.costs import cost_rates, fees_fen, fill_price_e4, trade_value_fen
from ljwx_pipeline.units import E4_PER_FEN


@dataclass(frozen=True)
class ValuedPosition:
    """One position by the last good price.

    Parameters
    ----------
    price_e4
        0 where nobody has ever said one: it is then worth nothing here.
    profit_fen
        Value less what was paid, None where that is not known.
    """

    symbol: str
    shares: int
    sellable_shares: int
    price_e4: int
    value_fen: int
    profit_fen: int | None


@dataclass(frozen=True)
class Valuation:
    """The account by the last good prices.

    Parameters
    ----------
    closing_cash_fen
        Cash after a sale of everything at these prices, with slippage and fees; None before any session, whose fees
        they would be.
    locked_value_fen
        Of that, what cannot be sold in this session: bought in it.
    """

    cash_fen: int
    equity_fen: int
    closing_cash_fen: int | None
    locked_value_fen: int
    positions: tuple[ValuedPosition, ...]


def valuation(
    cash_fen: int,
    positions: Sequence[HeldPosition],
    price_e4: Callable[[str], int],
    *,
    costs: CostSettings,
    session: date | None,
) -> Valuation:
    """Return the account by ``price_e4`` of each symbol; where that is 0 by the account's own last price.

    Raises
    ------
    TradingError
        When statutory fees are charged and the session lies outside the rulebook.
    """
    rates = None if session is None else cost_rates(costs, session)
    valued, closing_fen, locked_fen = [], cash_fen, 0
    for one in positions:
        price = price_e4(one.symbol) or one.last_price_e4
        value = one.shares * price // E4_PER_FEN
        profit = value - one.shares * one.entry_price_e4 // E4_PER_FEN if one.entry_price_e4 else None
        valued.append(ValuedPosition(one.symbol, one.shares, one.sellable_shares, price, value, profit))
        locked_fen += max(0, one.shares - one.sellable_shares) * price // E4_PER_FEN
        if rates is not None and price > 0 and one.shares > 0:
            sold_at = int(fill_price_e4(price, price, 0, rates.slippage_e8, False))
            proceeds = int(trade_value_fen(one.shares, sold_at, False))
            closing_fen += proceeds - sum(fees_fen(proceeds, buying=False, rates=rates))
    equity = cash_fen + sum(one.value_fen for one in valued)
    return Valuation(cash_fen, equity, None if rates is None else closing_fen, locked_fen, tuple(valued))
