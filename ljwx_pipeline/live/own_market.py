"""Which market a runner trades, said in a header both ways: a command for another market changes nothing here.

Every answer names the runner's market; a request that changes something and names another one is refused before
anybody reads it. Who names none has chosen the runner by its address alone. Not here: who asks (``runner_client.py``),
bundles, whose model says the market (``inbox.py``).
"""

from __future__ import annotations

from urllib.parse import quote, unquote

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MARKET_HEADER = "LJWX-Market"
#: 421 Misdirected Request: it was meant for another runner.
MISDIRECTED = 421
_LOOKS = frozenset({"GET", "HEAD", "OPTIONS"})


class OwnMarket:
    """Middleware: names ``market`` in every answer, and refuses what was to change another one."""

    def __init__(self, app: ASGIApp, market: str) -> None:
        self._app = app
        self._market = market

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[MARKET_HEADER] = written(self._market)
            await send(message)

        meant = market_of(Headers(scope=scope))
        if meant in ("", self._market) or scope["method"] in _LOOKS:
            await self._app(scope, receive, named)
            return
        fact = f"this runner trades {self._market}, what was asked is for {meant}"
        remedy = f"ask the runner of {meant}, or name {self._market} in {MARKET_HEADER}"
        refusal = {"fact": fact, "remedy": remedy, "detail": f"{fact}: {remedy}"}
        await JSONResponse(refusal, status_code=MISDIRECTED)(scope, receive, named)


def written(market: str) -> str:
    """Return a market's name as the header holds it: a profile may be called by any letters."""
    return quote(market)


def market_of(headers: Headers) -> str:
    """Return the market that a request names; empty for none."""
    return unquote(headers.get(MARKET_HEADER, ""))
