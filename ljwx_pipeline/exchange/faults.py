"""Faults on demand, for tests: requests that are lost, late, cut or unanswered, streams that end or fall silent.

They stand around the application and never in it, so that what is tested is what runs. A fault is not durable: it ends
with the process. Not here: when faults are allowed (``api.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.trading.exchange_wire import ORDERS_PATH, STREAM_PATH, FaultKind, FaultOrder

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

_OF_REQUESTS = (FaultKind.DROP_REPLY, FaultKind.CUT_AFTER_REQUEST, FaultKind.HALF_OPEN, FaultKind.DELAY)


class Faults:
    """Which faults are to come. A new one of the same kind takes the place of the old one; count 0 ends it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._to_come: dict[FaultKind, FaultOrder] = {}
        self._streams_closed_until_s = clock.monotonic_s()

    def ask_for(self, fault: FaultOrder) -> None:
        """Note a fault of requests or streams."""
        if fault.kind is FaultKind.DISCONNECT_STREAM:
            self._streams_closed_until_s = self._clock.monotonic_s() + fault.seconds
        else:
            self._to_come[fault.kind] = fault

    @property
    def streams_are_closed(self) -> bool:
        """Whether a new stream is turned away."""
        return self._clock.monotonic_s() < self._streams_closed_until_s

    def take(self) -> FaultOrder | None:
        """Return the fault of the request that has just come, and count it."""
        for kind in _OF_REQUESTS:
            fault = self._to_come.get(kind)
            if fault is not None and fault.count > 0:
                self._to_come[kind] = FaultOrder(kind, fault.count - 1, fault.seconds)
                return fault
        return None


class FaultyApp:
    """An ASGI application in front of ``app`` that commits the faults asked for."""

    def __init__(self, app: App, faults: Faults) -> None:
        self._app = app
        self._faults = faults

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request or stream."""
        if scope["type"] == "websocket" and scope["path"] == STREAM_PATH and self._faults.streams_are_closed:
            await receive()
            await send({"type": "websocket.close", "code": 1013})
            return
        of_orders = scope["type"] == "http" and scope["path"].startswith(ORDERS_PATH)
        fault = self._faults.take() if of_orders else None
        if fault is None:
            await self._app(scope, receive, send)
            return
        body = await _whole_body(receive)
        if fault.kind is FaultKind.DELAY:
            await asyncio.sleep(fault.seconds)
            await self._app(scope, _again(body, receive), send)
            return
        if fault.kind is not FaultKind.CUT_AFTER_REQUEST:
            await self._app(scope, _again(body, receive), _swallow)
        if fault.kind is FaultKind.HALF_OPEN:
            await asyncio.sleep(fault.seconds)
        await _reset(receive, send)


async def _whole_body(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """Return a ``receive`` that gives the body once more, and then what comes after it."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _swallow(_: Message) -> None:
    return None


async def _reset(receive: Receive, send: Send) -> None:
    # ASGI has no word for ending a connection without an answer: the server's own transport is behind ``send``
    send.__self__.transport.abort()  # type: ignore[attr-defined]
    while (await receive())["type"] != "http.disconnect":
        pass
