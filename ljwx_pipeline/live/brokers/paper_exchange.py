"""The paper exchange as a broker: HTTP for what is asked, a WebSocket for what happens.

Not here: the messages (``trading/exchange_wire.py``), the exchange itself (``exchange/``, a process of its own).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import date
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from ljwx_pipeline.errors import Deposed, LiveError, TradingError
from ljwx_pipeline.live.brokers.port import BrokerSilent, OrderRefused
from ljwx_pipeline.trading.exchange_wire import (
    ACCOUNT_PATH,
    BARS_PATH,
    CLOCK_PATH,
    EPOCH_HEADER,
    EVENTS_PATH,
    HEALTH_PATH,
    LEAD_PATH,
    MAX_EVENTS,
    ORDERS_PATH,
    PROTOCOL,
    SERVICE,
    STREAM_PATH,
    AccountReport,
    ClockReport,
    Durable,
    Frame,
    NewOrder,
    OrderReport,
    Refusal,
    RefusalCode,
    SessionBars,
    decode_frame,
    durable_from_json,
    encode_ack,
    parse_object,
)
from ljwx_pipeline.trading.strict_json import from_json, to_json

T = TypeVar("T")

#: A frame may hold the bars of a whole market.
_MAX_FRAME_BYTES = 64 * 1024 * 1024
_OK, _CREATED, _NOT_FOUND, _SERVER_ERRORS = 200, 201, 404, 500


class PaperExchange:
    """One account at a paper exchange. Satisfies `port.Broker`.

    Parameters
    ----------
    address
        Where it listens: ``http://127.0.0.1:PORT``.
    timeout_s
        Seconds that one answer may take; after them nobody knows what became of the request.
    ticks
        Whether the stream brings them.
    """

    def __init__(self, address: str, *, timeout_s: float, ticks: bool = True) -> None:
        self._ticks = int(ticks)
        self._address = address.rstrip("/")
        self._timeout_s = timeout_s
        # no retries: a request that may have arrived is never repeated by the library
        self._http = httpx.AsyncClient(
            base_url=self._address, timeout=timeout_s, transport=httpx.AsyncHTTPTransport(retries=0), trust_env=False
        )

    @property
    def name(self) -> str:
        """Its name in the journal."""
        return "paper"

    async def highest_epoch(self) -> int:
        """Return the highest epoch that it saw; whatever else answers there is refused, as `port.Broker` says."""
        told = self._object(await self._ask("GET", HEALTH_PATH))
        epoch = told.get("epoch")
        if told.get("service") != SERVICE or told.get("protocol") != PROTOCOL or type(epoch) is not int:
            raise LiveError(
                f"{self._address} answers as {told.get('service')!r}, protocol {told.get('protocol')!r}, epoch "
                f"{epoch!r}, not as {SERVICE!r}, protocol {PROTOCOL}, with an epoch",
                "run `ljwx exchange` of this release there, or set live.exchange_url",
            )
        return epoch

    async def lead(self, epoch: int) -> None:
        """Fence everybody with a lower epoch."""
        self._object(await self._ask("POST", LEAD_PATH, epoch=epoch))

    async def submit(self, order: NewOrder, *, epoch: int) -> OrderReport:
        """Place an order; see `port.Broker.submit`."""
        answer = await self._ask("POST", ORDERS_PATH, epoch=epoch, json=to_json(order))
        return self._message(OrderReport, answer)

    async def cancel(self, order_id: str, *, epoch: int) -> OrderReport | None:
        """Cancel what is left of an order; see `port.Broker.cancel`."""
        return self._if_known(await self._ask("DELETE", self._order_path(order_id), epoch=epoch))

    async def order(self, order_id: str) -> OrderReport | None:
        """Return where an order stands; see `port.Broker.order`."""
        return self._if_known(await self._ask("GET", self._order_path(order_id)))

    async def orders(self, session: date) -> Sequence[OrderReport]:
        """Return every order of ``session``."""
        answer = await self._ask("GET", ORDERS_PATH, params={"session": session.isoformat()})
        return [self._read(OrderReport, one) for one in self._list(answer)]

    async def events(self, after: int) -> Sequence[Durable]:
        """Return every durable message behind ``after``."""
        found: list[Durable] = []
        while True:
            answer = await self._ask("GET", EVENTS_PATH, params={"after": after, "limit": MAX_EVENTS})
            page = [self._durable(one) for one in self._list(answer)]
            found += page
            if len(page) < MAX_EVENTS:
                return found
            after = page[-1].seq

    async def account(self) -> AccountReport:
        """Return cash and positions."""
        return self._message(AccountReport, await self._ask("GET", ACCOUNT_PATH))

    async def clock(self) -> ClockReport:
        """Return where the market stands."""
        return self._message(ClockReport, await self._ask("GET", CLOCK_PATH))

    async def hindrance(self) -> str:
        """Return why the market does not go on; see `port.Broker.hindrance`."""
        try:
            answer = await self._http.get(HEALTH_PATH)  # one that is stuck says so with a status that is no success
        except httpx.HTTPError as error:
            raise self._silent(f"GET {HEALTH_PATH}", error) from error
        return str(self._object(answer).get("message", ""))

    async def bars(self, session: date) -> SessionBars:
        """Return the official bars of a session that is over."""
        return self._message(SessionBars, await self._ask("GET", f"{BARS_PATH}/{session.isoformat()}"))

    async def stream(self, after: int) -> AsyncIterator[Frame]:
        """Yield frames behind ``after``; see `port.Broker.stream`."""
        parts = urlsplit(self._address)
        scheme = "wss" if parts.scheme == "https" else "ws"
        address = f"{scheme}://{parts.netloc}{STREAM_PATH}?after={after}&ticks={self._ticks}&observe=0"
        try:
            async with connect(
                address, max_size=_MAX_FRAME_BYTES, open_timeout=self._timeout_s, compression=None, proxy=None
            ) as socket:
                async for text in socket:
                    frame = decode_frame(text)
                    yield frame
                    await socket.send(encode_ack(frame.number))
        except TradingError as error:
            raise BrokerSilent(f"{self._address} sent what is no frame ({error.fact})", error.remedy) from error
        except (OSError, TimeoutError, WebSocketException) as error:
            raise self._silent("the stream", error) from error
        raise self._silent("the stream", "it was ended by the exchange")

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        epoch: int | None = None,
        json: object = None,
        params: dict[str, str | int] | None = None,
    ) -> httpx.Response:
        """Return an answer that means something: a success, or a 404; everything else is raised."""
        headers = {} if epoch is None else {EPOCH_HEADER: str(epoch)}
        try:
            answer = await self._http.request(method, path, json=json, params=params, headers=headers)
        except httpx.HTTPError as error:
            # a name that cannot be resolved too: an order accepted before is not failed by it
            raise self._silent(f"{method} {path}", error) from error
        if answer.status_code in (_OK, _CREATED, _NOT_FOUND):
            return answer
        if answer.status_code >= _SERVER_ERRORS:
            raise self._silent(f"{method} {path}", f"status {answer.status_code}")
        refusal = self._refusal(answer)
        if refusal.code is RefusalCode.FENCED:
            raise Deposed(
                f"the exchange has seen a higher epoch than {epoch}: {refusal.detail}",
                "end this process; another runner trades on",
            )
        raise OrderRefused(
            f"{self._address} refused {method} {path} as {refusal.code} ({refusal.detail})",
            "nothing was changed there; look at what was sent",
        )

    def _if_known(self, answer: httpx.Response) -> OrderReport | None:
        if answer.status_code == _NOT_FOUND:
            # only the exchange's own word counts: a 404 of a proxy says nothing about an order
            if self._refusal(answer).code is RefusalCode.NOT_FOUND:
                return None
            raise self._silent(str(answer.url.path), "status 404")
        return self._message(OrderReport, answer)

    def _message(self, kind: type[T], answer: httpx.Response) -> T:
        if answer.status_code == _NOT_FOUND:
            raise self._silent(str(answer.url.path), "status 404")
        return self._read(kind, self._object(answer))

    def _refusal(self, answer: httpx.Response) -> Refusal:
        return self._read(Refusal, self._object(answer))

    def _read(self, kind: type[T], data: object) -> T:
        try:
            return from_json(kind, data)
        except TradingError as error:
            raise self._silent("an answer", error.fact) from error

    def _durable(self, data: object) -> Durable:
        try:
            return durable_from_json(data)
        except TradingError as error:
            raise self._silent("an answer", error.fact) from error

    def _object(self, answer: httpx.Response) -> dict[str, Any]:
        try:
            return parse_object(answer.content)
        except TradingError as error:
            raise self._silent("an answer", error.fact) from error

    def _list(self, answer: httpx.Response) -> list[Any]:
        try:
            data = answer.json()
        except ValueError as error:
            raise self._silent("an answer", error) from error
        if answer.status_code == _NOT_FOUND or not isinstance(data, list):
            raise self._silent("an answer", f"{str(data)[:80]!r} is no list")
        return data

    def _silent(self, what: str, why: object) -> BrokerSilent:
        said = str(why) or type(why).__name__
        return BrokerSilent(
            f"{what} at {self._address} brought no answer ({said})",
            "whether it was done is unknown, and asked before anything is sent again; see whether `ljwx exchange` runs",
        )

    @staticmethod
    def _order_path(order_id: str) -> str:
        return f"{ORDERS_PATH}/{quote(order_id, safe='')}"
