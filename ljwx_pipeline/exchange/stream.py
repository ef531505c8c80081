"""The streams: each client reads durable messages from the journal at its own pace, and ticks as they come.

A durable message is never left out. Ticks that a client has not taken are kept up to `MAX_WAITING_TICKS`; beyond that
only the latest of each name is, and the rest is counted. Not here: when time goes on (``pacing.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ljwx_pipeline.exchange.engine import Exchange
from ljwx_pipeline.exchange.refusals import Conflict
from ljwx_pipeline.trading.exchange_wire import Phase, PhaseName, decode_ack, frame_text

#: Frames a client may leave unacknowledged before it gets no more.
MAX_UNACKNOWLEDGED = 32
MAX_WAITING_TICKS = 8_192
#: Durable messages in one frame.
MAX_FRAME_MESSAGES = 500
Send = Callable[[str], Any]


class Client:
    """One connection.

    Parameters
    ----------
    after
        The last durable message it has.
    ticks, observe
        Whether it wants ticks; whether the market waits for it in lockstep (an observer: no).

    Raises
    ------
    Conflict
        When it says it has messages that this exchange has never sent.
    """

    def __init__(self, exchange: Exchange, hub: Hub, *, after: int, ticks: bool, observe: bool) -> None:
        if after > exchange.last_seq:
            raise Conflict(
                f"message {after} was never sent, the last one is {exchange.last_seq}",
                "this exchange's journal is another one or was restored: reconcile from message 0",
            )
        self.ticks = ticks
        self.observe = observe
        self.conflated = 0
        self.wake = asyncio.Event()
        self.disconnected = asyncio.Event()
        self._exchange = exchange
        self._hub = hub
        self._after = after
        self._waiting: list[list[Any]] = []
        self._sent = 0
        self._acknowledged = 0

    @property
    def is_quiet(self) -> bool:
        """Whether it has been sent everything and has dealt with it."""
        return self._acknowledged == self._sent and self._after == self._exchange.last_seq and not self._waiting

    def offer(self, rows: list[list[Any]]) -> None:
        """Take ticks to be sent."""
        self._waiting += rows
        if len(self._waiting) > MAX_WAITING_TICKS:
            latest = {row[0]: row for row in self._waiting}
            self.conflated += len(self._waiting) - len(latest)
            self._waiting = list(latest.values())

    def acknowledge(self, text: str) -> None:
        """Note what the client says it has dealt with; a TradingError when it says anything else."""
        self._acknowledged = min(max(self._acknowledged, decode_ack(text)), self._sent)
        self.wake.set()
        self._hub.changed.set()

    async def send_forever(self, send: Send) -> None:
        """Send frames as there is something to say, until cancelled or the connection ends."""
        while True:
            self.wake.clear()
            await self._hub.until_heard()
            text = self._next_frame() if self._sent - self._acknowledged < MAX_UNACKNOWLEDGED else None
            if text is None:
                await self.wake.wait()
            else:
                await send(text)

    def _next_frame(self) -> str | None:
        messages = []
        if self._after < self._exchange.last_seq:
            messages = self._exchange.messages(self._after, MAX_FRAME_MESSAGES)
            self._after = messages[-1].seq
        rows, self._waiting = self._waiting, []
        if not messages and not rows:
            return None
        over = [one.session for one in messages if isinstance(one, Phase) and one.phase is PhaseName.CLOSED]
        known = [session for session in over if session in self._exchange.market.sessions]
        self._sent += 1
        return frame_text(self._sent, messages, rows, [self._exchange.session_bars(session) for session in known])


class Hub:
    """All clients.

    Parameters
    ----------
    exchange
        What they hear of.
    """

    def __init__(self, exchange: Exchange) -> None:
        self.changed = asyncio.Event()
        self._exchange = exchange
        self._clients: set[Client] = set()
        self._conflated_before = 0
        self._heard = asyncio.Event()
        self._heard.set()

    def join(self, *, after: int, ticks: bool, observe: bool) -> Client:
        """Return a new client; errors as `Client`."""
        client = Client(self._exchange, self, after=after, ticks=ticks, observe=observe)
        self._clients.add(client)
        self.changed.set()
        return client

    def leave(self, client: Client) -> None:
        """Forget a client whose connection has ended."""
        self._clients.discard(client)
        self._conflated_before += client.conflated
        self.changed.set()

    @property
    def wants_ticks(self) -> bool:
        """Whether anybody is sent ticks."""
        return any(client.ticks for client in self._clients)

    @property
    def n_clients(self) -> int:
        """How many connections there are."""
        return len(self._clients)

    @property
    def conflated_ticks(self) -> int:
        """How many ticks were left out as clients were slow."""
        return self._conflated_before + sum(client.conflated for client in self._clients)

    def publish(self, rows: list[list[Any]]) -> None:
        """Offer ticks to whom wants them, and let everybody look for new messages."""
        for client in self._clients:
            if client.ticks and rows:
                client.offer(rows)
            client.wake.set()

    async def quiet(self) -> None:
        """Wait until somebody follows the market, and all who do have dealt with everything."""
        while True:
            followers = [client for client in self._clients if not client.observe]
            if followers and all(client.is_quiet for client in followers):
                return
            self.changed.clear()
            await self.changed.wait()

    def disconnect(self) -> None:
        """End every connection."""
        for client in self._clients:
            client.disconnected.set()

    def silence(self) -> None:
        """Let no client hear anything more until `speak`."""
        self._heard.clear()

    def speak(self) -> None:
        """End a silence."""
        self._heard.set()

    async def until_heard(self) -> None:
        """Wait while there is silence."""
        await self._heard.wait()
