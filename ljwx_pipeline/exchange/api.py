"""The exchange's HTTP and WebSocket interface, on loopback; the wire is ``trading/exchange_wire.py``.

Every handler runs in the one thread that everything runs in, so that none sees half a change. Not here: what an order
does (``engine.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import JSONResponse
from starlette.datastructures import QueryParams
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.websockets import WebSocketDisconnect

from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.exchange.engine import Exchange
from ljwx_pipeline.exchange.faults import Faults
from ljwx_pipeline.exchange.pacing import Pacer
from ljwx_pipeline.exchange.refusals import NotAllowed, Refused
from ljwx_pipeline.exchange.stream import Client, Hub
from ljwx_pipeline.trading.exchange_wire import (
    ACCOUNT_PATH,
    BARS_PATH,
    BY_HAND_PATH,
    CLOCK_PATH,
    EPOCH_HEADER,
    EVENTS_PATH,
    FAULTS_PATH,
    HEALTH_PATH,
    LEAD_PATH,
    MAX_EVENTS,
    ORDERS_PATH,
    PROTOCOL,
    SERVICE,
    STREAM_PATH,
    FaultKind,
    FaultOrder,
    NewOrder,
    Refusal,
    RefusalCode,
    durable_to_json,
    parse_message,
)
from ljwx_pipeline.trading.strict_json import INT64_MAX, to_json

T = TypeVar("T")

#: Names under which it is asked for; ``exchange`` is its name in a network of containers.
HOSTS = ("127.0.0.1", "localhost", "[::1]", "exchange")
MAX_REQUEST_BYTES = 65_536
#: WebSocket: the client's request or acknowledgement says nothing an exchange understands; the server goes away.
CLOSE_POLICY, CLOSE_GOING_AWAY = 1008, 1001


@dataclass(frozen=True)
class ApiParts:
    """What the handlers reach.

    Parameters
    ----------
    faults
        None: faults are not allowed.
    host
        Configured host, served beside the loopback names.
    """

    exchange: Exchange
    hub: Hub
    pacer: Pacer
    speed: float
    faults: Faults | None
    host: str = "127.0.0.1"


def make_api(parts: ApiParts) -> FastAPI:
    """Return the application."""
    api = FastAPI(title="LJWX paper exchange", docs_url=None, redoc_url=None, openapi_url=None)
    named = f"[{parts.host}]" if ":" in parts.host else parts.host
    # a page from elsewhere whose name was made to resolve to this machine names itself in the Host header
    api.add_middleware(TrustedHostMiddleware, allowed_hosts=[*HOSTS, named], www_redirect=False)
    api.add_exception_handler(TradingError, _refusal)
    _add_orders(api, parts)
    _add_questions(api, parts)
    _add_faults(api, parts)

    @api.websocket(STREAM_PATH)
    async def stream(socket: WebSocket) -> None:
        await _serve_stream(parts, socket)

    return api


async def _refusal(_: Request, error: Exception) -> JSONResponse:
    if isinstance(error, Refused):
        return JSONResponse(to_json(error.answer()), status_code=error.status)
    return JSONResponse(to_json(Refusal(RefusalCode.FAILED, str(error))), status_code=500)


def _add_orders(api: FastAPI, parts: ApiParts) -> None:
    exchange, hub = parts.exchange, parts.hub

    @api.post(ORDERS_PATH)
    async def submit(request: Request) -> JSONResponse:
        epoch, order = _epoch(request), await _message(request, NewOrder)
        if not order.client_order_id:
            raise Refused("the order has no client_order_id", f"give it one, or send it to {BY_HAND_PATH}")
        report, new = exchange.desk.submit(order, epoch)
        hub.publish([])
        return JSONResponse(to_json(report), status_code=201 if new else 200)

    @api.post(BY_HAND_PATH)
    async def by_hand(request: Request) -> JSONResponse:
        order = await _message(request, NewOrder)
        if order.client_order_id:
            raise Refused(f"an order by hand has the client_order_id {order.client_order_id}", "leave it empty")
        report, _ = exchange.desk.submit(order, None)
        hub.publish([])
        return JSONResponse(to_json(report), status_code=201)

    @api.post(LEAD_PATH)
    async def lead(request: Request) -> JSONResponse:
        epoch = _epoch(request)
        exchange.desk.lead(epoch)
        return JSONResponse({"epoch": epoch})

    @api.delete(ORDERS_PATH + "/{identity}")
    async def cancel(request: Request, identity: str) -> JSONResponse:
        report = exchange.desk.cancel(identity, _epoch(request))
        hub.publish([])
        return JSONResponse(to_json(report))

    @api.get(ORDERS_PATH + "/{identity}")
    async def order(identity: str) -> JSONResponse:
        return JSONResponse(to_json(exchange.order(identity)))

    @api.get(ORDERS_PATH)
    async def orders(request: Request) -> JSONResponse:
        given = request.query_params.get("session")
        session = None if given is None else _day(given)
        return JSONResponse([to_json(report) for report in exchange.orders(session)])


def _add_questions(api: FastAPI, parts: ApiParts) -> None:
    exchange = parts.exchange

    @api.get(EVENTS_PATH)
    async def events(request: Request) -> JSONResponse:
        after = _integer(request.query_params, "after", 0)
        limit = min(_integer(request.query_params, "limit", MAX_EVENTS), MAX_EVENTS)
        return JSONResponse([durable_to_json(message) for message in exchange.messages(after, limit)])

    @api.get(ACCOUNT_PATH)
    async def account() -> JSONResponse:
        return JSONResponse(to_json(exchange.account()))

    @api.get(BARS_PATH + "/{session}")
    async def bars(session: str) -> JSONResponse:
        return JSONResponse(to_json(exchange.session_bars(_day(session))))

    @api.get(CLOCK_PATH)
    async def clock() -> JSONResponse:
        return JSONResponse(to_json(exchange.clock(parts.speed)))

    @api.get(HEALTH_PATH)
    async def health() -> JSONResponse:
        failure = parts.pacer.failure
        said = {
            "service": SERVICE,
            "protocol": PROTOCOL,
            "ok": not failure,
            "message": failure,
            "finished": parts.pacer.finished,
            "streams": parts.hub.n_clients,
            "conflated_ticks": parts.hub.conflated_ticks,
            "last_seq": exchange.last_seq,
            "epoch": exchange.epoch,
        }
        return JSONResponse(said, status_code=503 if failure else 200)


def _add_faults(api: FastAPI, parts: ApiParts) -> None:
    @api.post(FAULTS_PATH)
    async def fault(request: Request) -> JSONResponse:
        if parts.faults is None:
            raise NotAllowed("this exchange commits no faults", "start it with --allow-faults, for tests alone")
        asked = await _message(request, FaultOrder)
        if asked.kind is FaultKind.REJECT_NEXT:
            parts.exchange.desk.rejects_to_come = asked.count
        elif asked.kind is FaultKind.SILENCE_STREAM:
            parts.hub.silence()
            asyncio.get_running_loop().call_later(asked.seconds, parts.hub.speak)
        else:
            parts.faults.ask_for(asked)
            if asked.kind is FaultKind.DISCONNECT_STREAM:
                parts.hub.disconnect()
        return JSONResponse(to_json(asked))


async def _serve_stream(parts: ApiParts, socket: WebSocket) -> None:
    await socket.accept()
    try:
        client = parts.hub.join(
            after=_integer(socket.query_params, "after", 0),
            ticks=_flag(socket.query_params, "ticks", default=True),
            observe=_flag(socket.query_params, "observe", default=False),
        )
    except TradingError as error:
        await socket.close(CLOSE_POLICY, str(error)[:120])
        return
    tasks = [
        asyncio.create_task(client.send_forever(socket.send_text)),
        asyncio.create_task(_hear(client, socket)),
        asyncio.create_task(client.disconnected.wait()),
    ]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        parts.hub.leave(client)
        for task in tasks:
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    ended = [task.exception() for task in done if not task.cancelled()]
    for fault in ended:
        if fault is not None and not isinstance(fault, TradingError | WebSocketDisconnect | RuntimeError | OSError):
            raise fault
    said = next((str(fault)[:120] for fault in ended if isinstance(fault, TradingError)), "")
    with suppress(RuntimeError, WebSocketDisconnect):  # the connection has ended already
        await socket.close(CLOSE_POLICY if said else CLOSE_GOING_AWAY, said)


async def _hear(client: Client, socket: WebSocket) -> None:
    while True:
        client.acknowledge(await socket.receive_text())


async def _message(request: Request, kind: type[T]) -> T:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_REQUEST_BYTES:
            raise Refused(f"the request is larger than {MAX_REQUEST_BYTES} bytes", "send one message")
    return _understood(lambda: parse_message(kind, bytes(body)))


def _understood(parse: Callable[[], T]) -> T:
    try:
        return parse()
    except TradingError as error:
        raise Refused(error.fact, error.remedy) from None


def _epoch(request: Request) -> int:
    return _whole(request.headers.get(EPOCH_HEADER, ""), f"the header {EPOCH_HEADER}")


def _integer(given: QueryParams, name: str, default: int) -> int:
    return _whole(given[name], name) if name in given else default


def _whole(text: str, name: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 19 and int(text) <= INT64_MAX):
        raise Refused(f"{name} is {text[:80]!r}", "give a whole number from 0 on")
    return int(text)


def _flag(given: QueryParams, name: str, *, default: bool) -> bool:
    text = given.get(name, "1" if default else "0")
    if text not in ("0", "1"):
        raise Refused(f"{name} is {text[:80]!r}", "give 0 or 1")
    return text == "1"


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Refused(f"{text[:80]!r} is no session", "write it as 2024-01-31") from None
