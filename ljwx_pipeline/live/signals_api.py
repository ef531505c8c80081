"""The newest signals over HTTP, as a router for the runner's interface: ``GET /signals?top=20``.

Not here: how they are made (``online/``), hosts and the application (``api.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query

from ljwx_pipeline.live.online.desk import SignalDesk

SIGNALS_PATH = "/signals"


def signals_router(desk: Callable[[], SignalDesk | None]) -> APIRouter:
    """Return the endpoint; ``desk`` returns what makes signals now, None while nothing does."""
    router = APIRouter()

    @router.get(SIGNALS_PATH)
    async def signals(top: Annotated[int, Query(ge=1, le=10_000)] = 20) -> dict[str, Any]:
        made = desk()
        if made is None or made.signals.session is None:
            return {"session": None, "counts": {}, "signals": []}
        best = made.signals.signals()[:top]
        return {
            "session": made.signals.session.isoformat(),
            "counts": asdict(made.signals.counts),
            "signals": [{**asdict(one), "session": one.session.isoformat()} for one in best],
        }

    return router
