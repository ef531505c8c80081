"""The strategies over HTTP, as a router for the runner's interface: look, change, take out, read the file again.

``GET /strategies``; ``PUT /strategies/NAME`` with the keys of its section as JSON, and ``DELETE /strategies/NAME``,
both with ``?by=`` who asks; ``POST /strategies/reload``. What changes something must say that it sends JSON: a page
from elsewhere cannot, without being asked first. Refusals are 422 with every mistake, and nothing has changed. Not
here: what a change means (``sleeves/``), hosts and the application (``api.py``).
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Sequence
from dataclasses import asdict
from typing import Protocol

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from ljwx_pipeline.errors import Deposed, LjwxError
from ljwx_pipeline.live.sleeves.overview import Shown

STRATEGIES_PATH = "/strategies"
RELOAD_PATH = f"{STRATEGIES_PATH}/reload"
_MOST_BYTES = 64 * 1024


class Strategies(Protocol):
    """What the router reaches; `StrategyDesk` is one. All of them raise `LjwxError` for what they refuse."""

    async def reload(self) -> Sequence[str]:
        """Make the strategies what the file says."""
        ...

    async def put(self, name: str, body: object, *, by: str) -> Sequence[str]:
        """Add or change one."""
        ...

    async def remove(self, name: str, *, by: str) -> Sequence[str]:
        """Take one out."""
        ...

    async def shown(self) -> Sequence[Shown]:
        """Return them as people read them."""
        ...


def strategies_router(strategies: Strategies) -> APIRouter:
    """Return the endpoints."""
    router = APIRouter()

    @router.get(STRATEGIES_PATH)
    async def shown() -> JSONResponse:
        found = [as_json(one) for one in await strategies.shown()]
        return JSONResponse({"strategies": found})

    @router.post(RELOAD_PATH)
    async def reload(request: Request) -> JSONResponse:
        return _not_json(request) or await _answered(strategies.reload())

    @router.put(f"{STRATEGIES_PATH}/{{name}}")
    async def put(name: str, request: Request, by: str = "") -> JSONResponse:
        refused = _not_json(request)
        if refused is not None:
            return refused
        text = bytearray()
        async for chunk in request.stream():
            text += chunk
            if len(text) > _MOST_BYTES:
                return _refusal(413, f"the request is larger than {_MOST_BYTES} bytes: no strategy is")
        try:
            body = json.loads(bytes(text))
        except (ValueError, RecursionError) as error:
            return _refusal(422, f"the request is no JSON ({error}): send the keys of the strategy's section")
        return await _answered(strategies.put(name, body, by=by))

    @router.delete(f"{STRATEGIES_PATH}/{{name}}")
    async def remove(name: str, request: Request, by: str = "") -> JSONResponse:
        return _not_json(request) or await _answered(strategies.remove(name, by=by))

    return router


def as_json(one: Shown) -> dict[str, object]:
    """Return one strategy as machines read it."""
    return {**asdict(one), "session": None if one.session is None else one.session.isoformat()}


async def _answered(change: Awaitable[Sequence[str]]) -> JSONResponse:
    try:
        return JSONResponse({"changed": list(await change)})
    except Deposed as error:
        return _refusal(409, str(error))
    except LjwxError as error:
        return _refusal(422, str(error))


def _not_json(request: Request) -> JSONResponse | None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind == "application/json":
        return None
    return _refusal(415, f"content-type is {kind or 'not given'}: send application/json")


def _refusal(status: int, detail: str) -> JSONResponse:
    # what is named may be half of a surrogate pair, which JSON can spell and an answer cannot hold
    return JSONResponse({"detail": detail.encode(errors="backslashreplace").decode()}, status_code=status)
