"""An exchange in this process as a broker: the real engine and its durable journal, with a network's losses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from datetime import date
from enum import StrEnum
from typing import TypeVar

from ljwx_pipeline.errors import Deposed
from ljwx_pipeline.exchange.engine import Exchange
from ljwx_pipeline.exchange.refusals import Conflict, Fenced, NotFound
from ljwx_pipeline.live.brokers.port import BrokerSilent, OrderRefused
from ljwx_pipeline.trading.exchange_wire import (
    AccountReport,
    ClockReport,
    Durable,
    Frame,
    NewOrder,
    OrderReport,
    SessionBars,
)

T = TypeVar("T")


class Loss(StrEnum):
    """What the network does to a request."""

    REQUEST = "request"  # it never arrives
    REPLY = "reply"  # it is dealt with, and nobody hears of it
    LATE = "late"  # it arrives when `EngineBroker.late_ones_arrive` is called, and nobody hears of it


class EngineBroker:
    """Satisfies `port.Broker`; ``losses`` befall the next requests that change or ask something, in turn.

    One that is ``forgetful`` keeps nothing of the cancellation of an order that it never saw, as real brokers do.
    """

    name = "paper"

    def __init__(self, exchange: Exchange, *, forgetful: bool = False) -> None:
        self.exchange = exchange
        self.losses: list[Loss] = []
        self.forgetful = forgetful
        self._late: list[Callable[[], object]] = []

    def late_ones_arrive(self) -> None:
        """Deal with the requests that were late; whatever they bring, nobody hears it."""
        late, self._late = self._late, []
        for work in late:
            with suppress(Deposed, OrderRefused):
                work()

    async def lead(self, epoch: int) -> None:
        self._carried(lambda: self.exchange.desk.lead(epoch))

    async def submit(self, order: NewOrder, *, epoch: int) -> OrderReport:
        return self._carried(lambda: self._fenced(lambda: self.exchange.desk.submit(order, epoch)[0]))

    async def cancel(self, order_id: str, *, epoch: int) -> OrderReport | None:
        def cancelled() -> OrderReport:
            if self.forgetful:
                self.exchange.order(order_id)
            return self.exchange.desk.cancel(order_id, epoch)

        return self._carried(lambda: self._known(lambda: self._fenced(cancelled)))

    async def order(self, order_id: str) -> OrderReport | None:
        return self._carried(lambda: self._known(lambda: self.exchange.order(order_id)))

    async def orders(self, session: date) -> Sequence[OrderReport]:
        return self._carried(lambda: self.exchange.orders(session))

    async def events(self, after: int) -> Sequence[Durable]:
        return self._carried(lambda: self.exchange.messages(after, 1_000_000))

    async def account(self) -> AccountReport:
        return self._carried(self.exchange.account)

    async def clock(self) -> ClockReport:
        return self._carried(lambda: self.exchange.clock(0))

    async def bars(self, session: date) -> SessionBars:
        return self._carried(lambda: self.exchange.session_bars(session))

    def stream(self, after: int) -> AsyncIterator[Frame]:
        raise AssertionError(f"nobody asks for the stream behind {after}: messages are taken in by hand")

    async def close(self) -> None:
        pass

    def _carried(self, work: Callable[[], T]) -> T:
        loss = self.losses.pop(0) if self.losses else None
        silent = BrokerSilent("a request brought no answer", "ask again")
        if loss is Loss.REQUEST:
            raise silent
        if loss is Loss.LATE:
            self._late.append(work)
            raise silent
        done = work()
        if loss is Loss.REPLY:
            raise silent
        return done

    @staticmethod
    def _known(work: Callable[[], OrderReport]) -> OrderReport | None:
        try:
            return work()
        except NotFound:
            return None

    @staticmethod
    def _fenced(work: Callable[[], OrderReport]) -> OrderReport:
        try:
            return work()
        except Fenced as error:
            raise Deposed(error.fact, error.remedy) from error
        except Conflict as error:
            raise OrderRefused(error.fact, error.remedy) from error
