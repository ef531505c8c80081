"""The port every broker is reached through. A new broker is one file in this folder that satisfies `Broker`.

A broker answers with what it did, or with a refusal, or not at all. Silence is never taken for a refusal: an order that
may have arrived is asked about, not sent again. Not here: when orders are sent and asked about (``order_desk.py``),
what is written down of them (``from_broker.py``), which broker it is (``opening.py``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import date
from typing import Protocol

from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.trading.exchange_wire import (
    AccountReport,
    ClockReport,
    Durable,
    Frame,
    NewOrder,
    OrderReport,
    SessionBars,
)


class BrokerSilent(LiveError):
    """The broker gave no answer that can be relied on: whether it did what was asked is unknown."""


class OrderRefused(LiveError):
    """The broker says that the request itself is wrong, and that nothing has changed."""


class Broker(Protocol):
    """An account at a broker or exchange.

    Every method may raise `BrokerSilent`. Those that change something carry the fencing epoch of the runner's lease and
    raise `Deposed` when the broker has seen a higher one; a broker that cannot check a token relies on the check just
    before (`FencedBroker`), which leaves open the time between that check and the arrival of the order.
    """

    @property
    def name(self) -> str:
        """Its name in the journal: one stream of messages has one name."""
        ...

    async def highest_epoch(self) -> int:
        """Return the highest epoch that the broker has seen; 0 for one that keeps none.

        Raises
        ------
        LiveError
            When what answers is no such broker, or another version of it.
        """
        ...

    async def lead(self, epoch: int) -> None:
        """Say that ``epoch`` leads from now on: a broker that keeps epochs refuses lower ones; others do nothing."""
        ...

    async def submit(self, order: NewOrder, *, epoch: int) -> OrderReport:
        """Place ``order`` and return where it stands, rejected included; the same again is the same order.

        Raises
        ------
        OrderRefused
            When the broker does not take it for an order at all; nothing was placed.
        """
        ...

    async def cancel(self, order_id: str, *, epoch: int) -> OrderReport | None:
        """Cancel what is left of an order, by either of its ids; None when the broker never saw it."""
        ...

    async def order(self, order_id: str) -> OrderReport | None:
        """Return where an order stands, by either of its ids; None when the broker never saw it."""
        ...

    async def orders(self, session: date) -> Sequence[OrderReport]:
        """Return every order of ``session``, whoever placed it."""
        ...

    async def events(self, after: int) -> Sequence[Durable]:
        """Return every durable message behind ``after``, in order."""
        ...

    async def account(self) -> AccountReport:
        """Return cash and positions as of the message they name."""
        ...

    async def clock(self) -> ClockReport:
        """Return where the market stands."""
        ...

    async def hindrance(self) -> str:
        """Return why the market does not go on though it is due, in the broker's words; empty where it does."""
        ...

    async def bars(self, session: date) -> SessionBars:
        """Return the official bars of a session that is over."""
        ...

    def stream(self, after: int) -> AsyncIterator[Frame]:
        """Yield messages behind ``after`` and ticks as they come; asking for the next acknowledges the last.

        Raises
        ------
        BrokerSilent
            When the connection ends; what was missed is read again from the last message that was written down.
        """
        ...

    async def close(self) -> None:
        """Let go of every connection."""
        ...


class LeaseLapsed(LiveError):
    """The lease was not renewed in time: another runner may hold it by now. Nothing was sent."""


class Fence(Protocol):
    """What says whether this runner is still the one that trades: `lease.Lease`."""

    @property
    def epoch(self) -> int:
        """Epoch of the lease; a `Deposed` when another runner has it."""
        ...

    def holds(self) -> bool:
        """Whether the lease's term has not run out."""
        ...


def required_epoch(fence: Fence) -> int:
    """Return the epoch of a lease that is surely held.

    Raises
    ------
    Deposed
        When another runner has taken over.
    LeaseLapsed
        When the lease was not renewed in time.
    """
    epoch = fence.epoch
    if not fence.holds():
        raise LeaseLapsed(
            f"the lease of epoch {epoch} was not renewed in time",
            "nothing was sent; orders leave again once it is renewed: see why the journal could not be written",
        )
    return epoch


class FencedBroker:
    """A broker that is asked to change something only while the lease is held. Satisfies the changing half of `Broker`.

    Parameters
    ----------
    broker
        Whom to ask.
    fence
        Asked in the same step as the request is made: nothing is awaited in between.
    """

    def __init__(self, broker: Broker, fence: Fence) -> None:
        self._broker = broker
        self._fence = fence

    async def submit(self, order: NewOrder) -> OrderReport:
        """Place ``order`` as `Broker.submit`; raises as `required_epoch` before anything is sent."""
        return await self._broker.submit(order, epoch=required_epoch(self._fence))

    async def cancel(self, order_id: str) -> OrderReport | None:
        """Cancel as `Broker.cancel`; raises as `required_epoch` before anything is sent."""
        return await self._broker.cancel(order_id, epoch=required_epoch(self._fence))
