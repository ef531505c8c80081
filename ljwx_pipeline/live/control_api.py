"""What a person may ask of a running runner over loopback: how it stands, modes, closing, the kill switch, resets.

Every change is one JSON object with exactly the fields of its class, sent as ``application/json``: a form on a page
from elsewhere cannot send that without asking first, and nothing here answers when asked. Who it is, is a name that the
caller gives; the interface listens on loopback alone. Not here: what is done (``control.py``), bundles (``api.py``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from ljwx_pipeline.errors import LiveError, LjwxError, TradingError
from ljwx_pipeline.live.brokers.port import BrokerSilent
from ljwx_pipeline.trading.breakers import Breaker
from ljwx_pipeline.trading.exchange_wire import parse_message
from ljwx_pipeline.trading.modes import TradingMode

T = TypeVar("T")

STANDING_PATH, MODE_PATH, CLOSE_PATH, KILL_PATH, RESET_PATH = "/standing", "/mode", "/close", "/kill", "/reset"
#: No request of these is larger.
MAX_BODY_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class ModeAsked:
    """Set the account (``strategy`` empty) or one strategy to a mode."""

    mode: TradingMode
    strategy: str
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class CloseAsked:
    """Close a position, or all of them.

    Parameters
    ----------
    symbol
        Empty: every position.
    shares
        0: all of it.
    dry_run
        Say what would be done, and do nothing.
    """

    symbol: str
    shares: int
    dry_run: bool
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class KillAsked:
    """Pull the kill switch."""

    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class ResetAsked:
    """Reset a breaker of a strategy, or of the account (``strategy`` empty)."""

    breaker: Breaker
    strategy: str
    by: str
    reason: str


class Control(Protocol):
    """What the endpoints reach; each returns plain JSON, and raises an `LjwxError` where it refuses."""

    async def standing(self) -> dict[str, Any]:
        """Return how everything stands."""
        ...

    async def set_mode(self, asked: ModeAsked) -> dict[str, Any]:
        """Set a mode."""
        ...

    async def close(self, asked: CloseAsked) -> dict[str, Any]:
        """Close by hand."""
        ...

    async def kill(self, asked: KillAsked) -> dict[str, Any]:
        """Stop everything."""
        ...

    async def reset(self, asked: ResetAsked) -> dict[str, Any]:
        """Reset a breaker."""
        ...


def control_router(control: Control) -> APIRouter:
    """Return the endpoints, to be included in the runner's application, which checks the Host header."""
    router = APIRouter()

    @router.get(STANDING_PATH)
    async def standing() -> dict[str, Any]:
        return await control.standing()

    @router.post(MODE_PATH)
    async def mode(request: Request) -> JSONResponse:
        return await _answered(request, ModeAsked, control.set_mode)

    @router.post(CLOSE_PATH)
    async def close(request: Request) -> JSONResponse:
        return await _answered(request, CloseAsked, control.close)

    @router.post(KILL_PATH)
    async def kill(request: Request) -> JSONResponse:
        return await _answered(request, KillAsked, control.kill)

    @router.post(RESET_PATH)
    async def reset(request: Request) -> JSONResponse:
        return await _answered(request, ResetAsked, control.reset)

    return router


async def _answered(request: Request, kind: type[T], act: Callable[[T], Awaitable[dict[str, Any]]]) -> JSONResponse:
    # a page from elsewhere can send text and forms without asking first, but not this type
    sent_as = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if sent_as != "application/json":
        return _refused(415, f"the request is {sent_as or 'of no type'}", "send application/json")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return _refused(413, f"the request is larger than {MAX_BODY_BYTES} bytes", "send one small JSON object")
    try:
        asked = parse_message(kind, bytes(body))
    except TradingError as error:
        return _refused(422, error.fact, error.remedy)
    try:
        return JSONResponse(await act(asked))
    except BrokerSilent as error:
        return _refused(503, error.fact, error.remedy)
    except (TradingError, LiveError) as error:
        return _refused(409, error.fact, error.remedy)
    except LjwxError as error:
        return _refused(500, error.fact, error.remedy)


def _refused(status: int, fact: str, remedy: str) -> JSONResponse:
    return JSONResponse({"fact": fact, "remedy": remedy, "detail": f"{fact}: {remedy}"}, status_code=status)
