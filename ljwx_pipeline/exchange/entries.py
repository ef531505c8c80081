"""An order as the exchange holds it: what was asked, and what has become of it so far.

Not here: how it is matched (``session_matching.py``, ``tick_matching.py``) or stored (``journal.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ljwx_pipeline.trading.exchange_wire import (
    OPEN_STATUSES,
    Execution,
    NewOrder,
    OrderReport,
    OrderStatus,
    Side,
)


@dataclass(frozen=True, slots=True)
class Trade:
    """What was traded of one order at one price; shares are above zero, the order says which way."""

    number: int
    shares: int
    price_e4: int
    base_e4: int
    value_fen: int
    commission_fen: int
    stamp_duty_fen: int
    transfer_fee_fen: int
    slippage_fen: int
    impact_fen: int

    @property
    def fees_fen(self) -> int:
        """Return all its fees."""
        return self.commission_fen + self.stamp_duty_fen + self.transfer_fee_fen


@dataclass(frozen=True, slots=True)
class Entry:
    """One order; a change makes a new one.

    Parameters
    ----------
    number
        Counts the exchange's orders from 1.
    value_fen, commission_fen, stamp_duty_fen, transfer_fee_fen
        Of all its fills: fees are charged on the whole order, so that the least commission is paid once.
    seq, at_ns
        Of the last message about it.
    """

    number: int
    order: NewOrder
    state: OrderStatus
    reason: str = ""
    filled_shares: int = 0
    value_fen: int = 0
    commission_fen: int = 0
    stamp_duty_fen: int = 0
    transfer_fee_fen: int = 0
    seq: int = 0
    at_ns: int = 0

    @property
    def exchange_order_id(self) -> str:
        """Return the identity that the exchange gives."""
        return f"X{self.number}"

    @property
    def is_open(self) -> bool:
        """Return whether it may still fill."""
        return self.state in OPEN_STATUSES

    @property
    def is_session(self) -> bool:
        """Return whether the fill model fills it."""
        return self.order.execution is Execution.SESSION

    @property
    def buying(self) -> bool:
        """Return whether it is a buy order."""
        return self.order.side is Side.BUY

    @property
    def left_shares(self) -> int:
        """Return what has not been filled."""
        return self.order.shares - self.filled_shares

    @property
    def fees_fen(self) -> int:
        """Return all fees charged so far."""
        return self.commission_fen + self.stamp_duty_fen + self.transfer_fee_fen

    def report(self) -> OrderReport:
        """Return where it stands."""
        order = self.order
        return OrderReport(
            seq=self.seq,
            client_order_id=order.client_order_id,
            exchange_order_id=self.exchange_order_id,
            symbol=order.symbol,
            side=order.side,
            shares=order.shares,
            execution=order.execution,
            session=order.session,
            state=self.state,
            reason=self.reason,
            filled_shares=self.filled_shares,
            at_ns=self.at_ns,
        )

    def with_trade(self, trade: Trade) -> Entry:
        """Return the order after one more trade; it is filled when nothing is left."""
        filled = self.filled_shares + trade.shares
        return replace(
            self,
            filled_shares=filled,
            state=OrderStatus.FILLED if filled == self.order.shares else OrderStatus.PARTLY_FILLED,
            value_fen=self.value_fen + trade.value_fen,
            commission_fen=self.commission_fen + trade.commission_fen,
            stamp_duty_fen=self.stamp_duty_fen + trade.stamp_duty_fen,
            transfer_fee_fen=self.transfer_fee_fen + trade.transfer_fee_fen,
        )
