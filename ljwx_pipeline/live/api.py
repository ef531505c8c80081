"""The runner's HTTP interface, on loopback: health by progress, status, and the way in for bundles.

Not here: what a bundle must satisfy (``inbox.py``), pages for people (``console/``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.middleware.trustedhost import TrustedHostMiddleware

from ljwx_pipeline.errors import BundleError, LjwxError, Misdirected
from ljwx_pipeline.live.inbox import MAX_REQUEST_BYTES, MAX_WITHDRAWAL_BYTES, Accepted, Inbox
from ljwx_pipeline.live.journal import Journal
from ljwx_pipeline.live.own_market import OwnMarket
from ljwx_pipeline.live.progress import Mode, Progress
from ljwx_pipeline.live.snapshot import account_snapshot
from ljwx_pipeline.scoring.transfer import BUNDLES_PATH
from ljwx_pipeline.scoring.withdrawal import WITHDRAWALS_PATH

SERVICE = "ljwx-runner"
#: Names under which it is asked for; ``runner`` is its name in the network of containers, where the deploy job is.
HOSTS = ("127.0.0.1", "localhost", "[::1]", "runner")
#: What a person who opens the bare address is shown.
FRONT_PAGE = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>LJWX runner</title><link rel="icon" href="data:,"></head>
<body style="font:15px/1.6 system-ui,sans-serif;max-width:42rem;margin:3rem auto;padding:0 1rem">
<h1 style="font-size:1.2rem">LJWX runner (paper trading)</h1>
<p>This is the runner's interface for machines. People read the account on the console, <code>ljwx console</code>.</p>
<ul>
<li><a href="/status">/status</a>: mode, model and account as JSON</li>
<li><a href="/standing">/standing</a>: what may be done now, and why; <code>ljwx live status</code> asks it</li>
<li><a href="/strategies">/strategies</a>: who trades the account, with what share and result</li>
<li><a href="/signals">/signals</a>: the session's provisional scores, with <code>live.tick_seconds</code> above 0</li>
<li><a href="/health">/health</a>: 200 while the loop gets on, 503 when it is stalled or halted</li>
<li><code>POST {BUNDLES_PATH}</code>: the way in for signed model bundles; the deploy job uses it</li>
<li><code>POST {WITHDRAWALS_PATH}</code>: the signed word that no model trades; <code>ljwx demote</code> uses it</li>
</ul>
</body></html>
"""


@dataclass(frozen=True)
class ApiParts:
    """What the endpoints reach.

    Parameters
    ----------
    market
        Name of the market that is traded.
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

    market: str
    journal: Callable[[], AbstractContextManager[Journal]]
    inbox: Callable[[Journal], Inbox]
    progress: Progress
    max_age_s: float
    capital_fen: int
    host: str = "127.0.0.1"


Receive = Callable[[ApiParts, bytes, dict[str, str]], Accepted]


def make_api(parts: ApiParts, routers: Sequence[APIRouter] = ()) -> FastAPI:
    """Return the application, with the endpoints of ``routers`` behind the same check of the Host header."""
    api = FastAPI(title="LJWX runner", docs_url=None, redoc_url=None, openapi_url=None)
    api.add_middleware(OwnMarket, market=parts.market)
    # a page from elsewhere whose name was made to resolve to this machine names itself in the Host header
    api.add_middleware(TrustedHostMiddleware, allowed_hosts=[*HOSTS, _named(parts.host)], www_redirect=False)

    @api.get("/", response_class=HTMLResponse)
    def front_page() -> str:
        return FRONT_PAGE

    @api.get("/health")
    async def health() -> JSONResponse:  # on the loop: bundles that wait for their turn may hold every thread
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
            withdrawn = journal.withdrawn()
        beat = parts.progress.read()
        model = {"version": account["model_version"], "bundle_hash": account["bundle_hash"]}
        return {
            "service": SERVICE,
            "paper": True,
            "market": parts.market,
            "mode": beat.mode.value,
            "message": beat.message,
            "model": model,
            "withdrawn": None if withdrawn is None else withdrawn.sentence(),
            "account": account,
        }

    @api.post(BUNDLES_PATH)
    async def bundles(request: Request) -> JSONResponse:
        return await _taken_in(parts, request, _receive, MAX_REQUEST_BYTES, "bundle")

    @api.post(WITHDRAWALS_PATH)
    async def withdrawals(request: Request) -> JSONResponse:
        return await _taken_in(parts, request, _receive_withdrawal, MAX_WITHDRAWAL_BYTES, "withdrawal")

    for router in routers:
        api.include_router(router)
    return api


async def _taken_in(parts: ApiParts, request: Request, receive: Receive, most_bytes: int, what: str) -> JSONResponse:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most_bytes:
            detail = f"the request is larger than {most_bytes} bytes: no {what} is"
            return JSONResponse({"detail": detail}, status_code=413)
    try:
        accepted = await run_in_threadpool(receive, parts, bytes(body), dict(request.headers))
    except BundleError as error:
        return JSONResponse({"detail": str(error)}, status_code=422)
    except Misdirected as error:
        # 421 Misdirected Request: whoever sent it may lay it into the right runner's inbox
        return JSONResponse({"detail": str(error)}, status_code=421)
    except LjwxError as error:  # it waited too long for its turn, or the disk refuses: whoever sent it may try again
        return JSONResponse({"detail": str(error)}, status_code=503)
    answer = {
        "status": "accepted" if accepted.new else "already",
        "bundle_hash": accepted.bundle_hash,
        "model_version": accepted.model_version,
    }
    return JSONResponse(answer, status_code=201 if accepted.new else 200)


def _named(host: str) -> str:
    """Return ``host`` as a Host header writes it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def _receive(parts: ApiParts, body: bytes, headers: dict[str, str]) -> Accepted:
    with parts.journal() as journal:
        return parts.inbox(journal).receive(body, headers)


def _receive_withdrawal(parts: ApiParts, body: bytes, headers: dict[str, str]) -> Accepted:
    with parts.journal() as journal:
        return parts.inbox(journal).receive_withdrawal(body, headers)
