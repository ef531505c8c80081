"""What the runner says to a broker and hears from it: frozen, in shares, 1e-4 CNY and fen.

Not here: how they are stored (``tables.py``), decided (``trading/``) or sent (``order_desk.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from ljwx_pipeline.trading.exchange_wire import Side
from ljwx_pipeline.units import E4_PER_FEN


class OrderState(StrEnum):
    """Where an order stands here; it only ever moves forward, but for what was ended as never arrived and works.

    An exchange's ``OrderStatus`` knows only what can be said of an order that it has.
    """

    DENIED = "denied"  # by the risk gate: never sent
    INTENDED = "intended"  # durable here, not yet known to the broker
    UNKNOWN = "unknown"  # sent, and nobody knows whether it arrived: asked about before it is sent again
    ACCEPTED = "accepted"  # durable at the broker
    PARTLY_FILLED = "partly_filled"  # and still open; in journals of earlier releases the rest lapsed
    FILLED = "filled"
    CANCELLED = "cancelled"
    LAPSED = "lapsed"  # the session ended, filled in part or not at all
    UNFILLED = "unfilled"  # the word of earlier releases for lapsed without a fill
    REJECTED = "rejected"  # by the broker


#: Orders that may still trade, unless their session is over.
OPEN_STATES = (OrderState.INTENDED, OrderState.UNKNOWN, OrderState.ACCEPTED, OrderState.PARTLY_FILLED)

#: How the reason of an order begins that was ended here as never arrived, and works at the broker: it is cancelled.
REOPENED = "REOPENED_AT_BROKER"


class Leg(StrEnum):
    """Why an order was decided; part of its identity, so that a stop and a decision are two orders."""

    DECIDE = "decide"
    STOP = "stop"
    TAKE_PROFIT = "take_profit"
    TRAILING = "trailing"
    TIME_STOP = "time_stop"
    MANUAL = "manual"
    REDUCE = "reduce"
    ADOPTED = "adopted"


@dataclass(frozen=True)
class OrderIntent:
    """One order decided at the close of ``session``, for the next one.

    Parameters
    ----------
    client_order_id
        Identity everywhere; sending it twice is one order.
    rank
        Place in the broker's queue, distinct within a session; sells come before buys.
    reference_price_e4
        Close at which it was decided, 1e-4 CNY.
    """

    client_order_id: str
    session: date
    symbol: str
    side: Side
    shares: int
    rank: int
    reference_price_e4: int

    @property
    def signed_shares(self) -> int:
        """Shares, negative for a sell."""
        return self.shares if self.side is Side.BUY else -self.shares

    @property
    def value_fen(self) -> int:
        """Shares at the reference price, fen, rounded down."""
        return self.shares * self.reference_price_e4 // E4_PER_FEN


@dataclass(frozen=True)
class DecidedOrder:
    """An order as the risk gate left it: to be sent, or denied with a reason code."""

    intent: OrderIntent
    denial: str = ""


def client_order_id(*, strategy: str, model_version: str, symbol: str, session: date, side: Side) -> str:
    """Return the idempotent identity of an order: deciding twice from the same state gives the same one."""
    return "|".join((strategy, model_version, symbol, session.isoformat(), side.value))
