"""The runner's HTTP interface, on loopback: health by progress, status, and the way in for bundles.

Not here: what a bundle must satisfy (``inbox.py``), pages for people (``console/``).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.middleware.trustedhost import TrustedHostMiddleware

from ljwx_pipeline.errors import BundleError, LiveError
from ljwx_pipeline.live.inbox import MAX_REQUEST_BYTES, Accepted, Inbox
from ljwx_pipeline.live.journal import Journal
from ljwx_pipeline.live.progress import Mode, Progress
from ljwx_pipeline.live.snapshot import account_snapshot
from ljwx_pipeline.scoring.transfer import BUNDLES_PATH

SERVICE = "ljwx-runner"
#: Names under which it is asked for; ``runner`` is its name in the network of containers, where the deploy job is.
HOSTS = ("127.0.0.1", "localhost", "runner")


@dataclass(frozen=True)
class ApiParts:
    """What the endpoints reach.

    Parameters
    ----------
    journal, inbox
        Open one for the calling thread, and close it afterwards.
    progress
        The loop's heartbeat.
    max_age_s
        Age of the last beat beyond which the loop counts as stalled.
    capital_fen
        Opening cash, shown before the first session.
    host
        Configured host, served beside the loopback names.
    """

    journal: Callable[[], AbstractContextManager[Journal]]
    inbox: Callable[[Journal], Inbox]
    progress: Progress
    max_age_s: float
    capital_fen: int
    host: str = "127.0.0.1"


def make_api(parts: ApiParts) -> FastAPI:
    """Return the application."""
    api = FastAPI(title="LJWX runner", docs_url=None, redoc_url=None, openapi_url=None)
    # a page from elsewhere whose name was made to resolve to this machine names itself in the Host header
    api.add_middleware(TrustedHostMiddleware, allowed_hosts=[*HOSTS, parts.host], www_redirect=False)

    @api.get("/health")
    def health() -> JSONResponse:
        beat = parts.progress.read()
        stalled = beat.age_s > parts.max_age_s
        ok = not stalled and beat.mode is not Mode.HALTED
        content = {
            "service": SERVICE,
            "ok": ok,
            "mode": beat.mode.value,
            "message": beat.message,
            "seconds_since_progress": round(beat.age_s, 3),
            "stalled": stalled,
        }
        return JSONResponse(content, status_code=200 if ok else 503)

    @api.get("/status")
    def status() -> dict[str, Any]:
        with parts.journal() as journal:
            account = account_snapshot(journal, capital_fen=parts.capital_fen).as_dict()
        beat = parts.progress.read()
        model = {"version": account["model_version"], "bundle_hash": account["bundle_hash"]}
        return {
            "service": SERVICE,
            "paper": True,
            "mode": beat.mode.value,
            "message": beat.message,
            "model": model,
            "account": account,
        }

    @api.post(BUNDLES_PATH)
    async def bundles(request: Request) -> JSONResponse:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_REQUEST_BYTES:
                detail = f"the request is larger than {MAX_REQUEST_BYTES} bytes: no bundle is"
                return JSONResponse({"detail": detail}, status_code=413)
        try:
            accepted = await run_in_threadpool(_receive, parts, bytes(body), dict(request.headers))
        except BundleError as error:
            return JSONResponse({"detail": str(error)}, status_code=422)
        except LiveError as error:
            # 421 Misdirected Request: whoever sent it may lay it into the right runner's inbox
            return JSONResponse({"detail": str(error)}, status_code=421)
        answer = {
            "status": "accepted" if accepted.new else "already",
            "bundle_hash": accepted.bundle_hash,
            "model_version": accepted.model_version,
        }
        return JSONResponse(answer, status_code=201 if accepted.new else 200)

    return api


def _receive(parts: ApiParts, body: bytes, headers: dict[str, str]) -> Accepted:
    with parts.journal() as journal:
        return parts.inbox(journal).receive(body, headers)
