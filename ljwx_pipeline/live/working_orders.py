"""What orders that are open already will take and add in a session, so that nothing is sold or counted twice.

A close by hand that waits for its opening and an order that was adopted from another terminal bind shares and cash
before the programs decide. Not here: the limits (``risk_gate.py``), the orders themselves (``order_desk.py``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from sqlalchemy import Connection, select

from ljwx_pipeline.live.tables import orders
from ljwx_pipeline.trading.exchange_wire import Side
from ljwx_pipeline.units import E4_PER_FEN


@dataclass(frozen=True)
class WorkingOrders:
    """Open orders that are good for one session.

    Parameters
    ----------
    sale_shares
        What open sales may still take, by symbol.
    buys_fen
        What open purchases may still add, by symbol, at the highest price that is known of each.
    unpriced
        Symbols with an open purchase whose value nothing tells: how much more may be bought cannot be judged.
    """

    sale_shares: Mapping[str, int] = field(default_factory=dict)
    buys_fen: Mapping[str, int] = field(default_factory=dict)
    unpriced: frozenset[str] = frozenset()


#: Nothing is open.
NONE_WORKING = WorkingOrders()


def working_orders(valid_session: date, closes_e4: Mapping[str, int], connection: Connection) -> WorkingOrders:
    """Return the orders of the journal that are open and good for ``valid_session``.

    Parameters
    ----------
    closes_e4
        Close of the session decided on by symbol, 1e-4 CNY: what an order without a limit of its own is worth.
    """
    sales: Counter[str] = Counter()
    buys: Counter[str] = Counter()
    unpriced = set()
    wanted = select(orders).where(orders.c.is_open == 1, orders.c.valid_session == valid_session.isoformat())
    for row in connection.execute(wanted).mappings():
        symbol, left = row["symbol"], row["shares"] - row["filled_shares"]
        if row["side"] == Side.SELL:
            sales[symbol] += left
            continue
        price_e4 = max(row["limit_price_e4"], row["reference_price_e4"], closes_e4.get(symbol, 0))
        if price_e4 == 0:
            unpriced.add(symbol)
        buys[symbol] += -(-left * price_e4 // E4_PER_FEN)
    return WorkingOrders(sales, buys, frozenset(unpriced))
