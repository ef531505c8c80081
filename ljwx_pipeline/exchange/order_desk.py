"""Where orders come in: one identity is one order, a lower epoch is fenced, a broken rule rejects by name.

A cancellation holds for an order that has not come yet, too: it may be under way behind it.

Not here: the rules of a limit order (``order_checks.py``), what becomes of an order that was taken (``engine.py``).
"""

from __future__ import annotations

from dataclasses import replace

from ljwx_pipeline.exchange.entries import Entry
from ljwx_pipeline.exchange.journal import Change
from ljwx_pipeline.exchange.ledger import Day, Ledger
from ljwx_pipeline.exchange.order_checks import MAX_SESSION_SHARES, LimitOrderFacts, limit_order_fault
from ljwx_pipeline.exchange.refusals import Conflict, Fenced, NotFound
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.trading.exchange_wire import (
    NewOrder,
    OrderReport,
    OrderStatus,
    PhaseName,
    Reason,
    is_client_order_id,
)


class ExchangeDesk:
    """Takes and cancels orders; each is durable before it is answered.

    ``rejects_to_come`` new orders are rejected on demand.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.rejects_to_come = 0
        self._ledger = ledger

    def submit(self, order: NewOrder, epoch: int | None) -> tuple[OrderReport, bool]:
        """Take ``order`` and return where it stands, and whether it is new.

        ``epoch`` is the sender's; None for an order by hand, which has no client order id.

        Raises
        ------
        Fenced
            Below the highest epoch seen.
        Conflict
            When the id was used for another order.
        TradingError
            When it could not be made durable: it is then not held.
        """
        self._fence(epoch)
        known = self._ledger.journal.entry(order.client_order_id) if order.client_order_id else None
        if known is not None:
            if known.order != order:
                raise Conflict(
                    f"{order.client_order_id} is the identity of another order, {known.order}",
                    "give each order its own client_order_id",
                )
            self._note_epoch(epoch)
            return known.report(), False
        with self._ledger.recovering():
            entry = Entry(self._ledger.number + 1, order, OrderStatus.ACCEPTED)
            fault = self._fault(entry)
            if fault is not Reason.NONE:
                entry = replace(entry, state=OrderStatus.REJECTED, reason=fault.value)
            self._ledger.number += 1
            change = Change()
            entry = self._ledger.say_order(change, entry)
            self._ledger.write(change, epoch=epoch)
        return entry.report(), True

    def lead(self, epoch: int) -> None:
        """Fence everybody with a lower epoch from now on; a Fenced when a higher one was seen."""
        self._fence(epoch)
        self._note_epoch(epoch)

    def cancel(self, identity: str, epoch: int | None) -> OrderReport:
        """Cancel what is left of an order and return where it stands; one that has ended stays as it ended.

        Raises
        ------
        Fenced
            As `submit`.
        NotFound
            When there never was such an order. That it was cancelled is durable then: should it still come, it is
            rejected.
        TradingError
            As `submit`.
        """
        self._fence(epoch)
        known = self._ledger.journal.entry(identity)
        if known is None:
            with self._ledger.recovering():
                unseen = [identity] if is_client_order_id(identity) else []
                self._ledger.write(Change(cancelled_unseen=unseen), epoch=epoch)
            raise NotFound(f"there never was an order {identity[:80]!r}", "correct the id")
        if not known.is_open:
            self._note_epoch(epoch)
            return known.report()
        with self._ledger.recovering():
            change = Change()
            entry = self._ledger.say_order(change, replace(known, state=OrderStatus.CANCELLED))
            self._ledger.write(change, epoch=epoch)
        return entry.report()

    def _fault(self, entry: Entry) -> Reason:
        order, day = entry.order, self._ledger.day
        if self._ledger.journal.was_cancelled_unseen(order.client_order_id):
            return Reason.CANCELLED_BEFORE_ARRIVAL
        row = self._ledger.market.rows.get(order.symbol)
        if row is None:
            return Reason.UNKNOWN_SYMBOL
        when = self._session_fault(entry)
        if when is not Reason.NONE:
            return when
        if self.rejects_to_come > 0:
            self.rejects_to_come -= 1
            return Reason.ON_DEMAND
        if entry.is_session:
            same = (other.order for other in self._ledger.open.values() if other.is_session)
            if any(other.symbol == order.symbol and other.session == order.session for other in same):
                return Reason.SAME_SYMBOL
            return Reason.ORDER_SIZE if order.shares > MAX_SESSION_SHARES else Reason.NONE
        if day is None:
            raise AssertionError("a limit order passed before any session began")
        return limit_order_fault(entry, self._facts(entry, row, day))

    def _session_fault(self, entry: Entry) -> Reason:
        order, day = entry.order, self._ledger.day
        if day is None or order.session > day.session:
            following = self._ledger.market.coming_session(None if day is None else day.session)
            if following is not None and order.session < following:
                return Reason.STALE_SESSION
            # limit orders are taken from the opening auction on
            return Reason.NONE if entry.is_session and order.session == following else Reason.FUTURE_SESSION
        if order.session < day.session or self._ledger.phase() is PhaseName.CLOSED:
            return Reason.STALE_SESSION
        if entry.is_session:
            late = self._ledger.fills_at_open and self._ledger.position >= day.ticks.timeline.position(PhaseName.OPENED)
            return Reason.STALE_SESSION if late else Reason.NONE
        return Reason.MARKET_CLOSED if self._ledger.position >= len(day.steps) - 2 else Reason.NONE

    def _facts(self, entry: Entry, row: int, day: Day) -> LimitOrderFacts:
        arrays, column, bars = self._ledger.market.arrays, self._ledger.market.column(day.session), day.bars
        cash_fen, shares = self._ledger.reserved()
        symbol = entry.order.symbol
        is_st = bool(arrays.is_st[row, column])
        return LimitOrderFacts(
            traded=bool(bars.close_e4[row] > 0),
            on_tick=self._ledger.market.raw_prices,
            limit_up_e4=int(bars.limit_up_e4[row]),
            limit_down_e4=int(bars.limit_down_e4[row]),
            board=Board(int(arrays.board[row])),
            exchange=symbol.rpartition(".")[2],
            is_st=is_st,
            lot_min=int(arrays.lot_min[row]),
            lot_step=int(arrays.lot_step[row]),
            quote=self._ledger.quote(row),
            pre_close_e4=int(bars.pre_close_e4[row]),
            phase=self._ledger.phase(),
            cash_fen=self._ledger.account.cash_fen - cash_fen,
            sellable_shares=int(self._ledger.account.sellable_shares[row] - shares[row]),
            bought_shares=self._bought_shares(day, symbol) if is_st else 0,
            rates=day.rates,
        )

    def _bought_shares(self, day: Day, symbol: str) -> int:
        return sum(
            other.order.shares if other.is_open else other.filled_shares
            for other in self._ledger.journal.entries(day.session)
            if other.order.symbol == symbol and other.buying and not other.is_session
        )

    def _fence(self, epoch: int | None) -> None:
        if epoch is not None and epoch < self._ledger.epoch:
            raise Fenced(
                f"epoch {epoch} was followed by {self._ledger.epoch}", "stop: another runner trades this account now"
            )

    def _note_epoch(self, epoch: int | None) -> None:
        if epoch is not None and epoch > self._ledger.epoch:
            with self._ledger.recovering():
                self._ledger.write(Change(), epoch=epoch)
