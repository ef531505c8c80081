"""The console's pages: one HTML page and the same numbers as JSON, and the market's reports.

Not here: SQL (``journal_reader.py``), files of reports (``reports.py``), processes and ports (``main.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Query
from fastapi.responses import HTMLResponse, JSONResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request

from ljwx_pipeline.clock import Clock, SystemClock
from ljwx_pipeline.console.heartbeat import heartbeat
from ljwx_pipeline.console.journal_reader import Reader
from ljwx_pipeline.console.reports import add_reports
from ljwx_pipeline.console.sparkline import sparkline
from ljwx_pipeline.errors import LjwxError

TEMPLATES = Path(__file__).parent / "templates"
REFRESH_S = 5
HOSTS = ("127.0.0.1", "localhost", "[::1]")
#: Shares of a lot on every board but STAR, where orders begin at 200 shares and go on by single ones.
LOT_SHARES = 100
#: Seconds without a word from the runner after which it counts as stopped.
MAX_AGE_S = 90.0
#: Rows shown on the page, and the most that JSON gives in one answer.
PAGE_ROWS, MOST_ROWS = 24, 10_000


def make_app(
    reader: Reader,
    *,
    market: str,
    host: str = "127.0.0.1",
    max_age_s: float = MAX_AGE_S,
    clock: Clock | None = None,
    reports: Mapping[str, Path] | None = None,
) -> FastAPI:
    """Return the application.

    Parameters
    ----------
    reader
        Of the journal shown.
    market
        Name of the market, for the title.
    host
        Configured host, served beside the loopback names.
    max_age_s
        Seconds without a word from the runner after which the page says that it is not running.
    reports
        Folders served below ``/reports/``, by name.
    """
    wall = clock or SystemClock()
    app = FastAPI(title="LJWX console", docs_url=None, redoc_url=None, openapi_url=None)
    # a page from elsewhere whose name was made to resolve to this machine names itself in the Host header
    named = f"[{host}]" if ":" in host else host
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*HOSTS, named], www_redirect=False)
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["money"] = lambda value: f"{value:,.2f}"
    environment.filters["whole"] = lambda value: f"{value:,.0f}"
    page = environment.get_template("account.html.j2")

    @app.exception_handler(LjwxError)
    async def unreadable(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status_code=503)

    @app.get("/", response_class=HTMLResponse)
    def account_page() -> HTMLResponse:
        content = page_content(reader, market)
        if runner := content["runner"]:
            content["heartbeat"] = heartbeat(runner["mode"], runner["updated_at"], now=wall.now(), max_age_s=max_age_s)
        return HTMLResponse(page.render(content))

    @app.get("/health")
    def health() -> dict[str, Any]:
        return {"service": "ljwx-console", "ok": True, "journal": reader.path.is_file()}

    @app.get("/api/account")
    def account() -> dict[str, Any]:
        history = reader.account()
        return {
            "runner": reader.runner(),
            "withdrawn": reader.withdrawn(),
            "account": history[-1] if history else None,
            "history": history,
        }

    @app.get("/api/standing")
    def standing(limit: int = Query(20, ge=1, le=MOST_ROWS)) -> dict[str, Any]:
        return {
            "strategies": reader.strategies(),
            "sleeves": reader.sleeves(),
            "tripped": reader.tripped(),
            "modes": reader.chosen_modes(),
            "alerts": reader.alerts(limit),
        }

    @app.get("/api/positions")
    def positions() -> dict[str, Any]:
        return {"positions": reader.positions()}

    @app.get("/api/orders")
    def orders(limit: int = Query(200, ge=1, le=MOST_ROWS)) -> dict[str, Any]:
        return {"states": reader.order_states(), "orders": reader.orders(limit), "fills": reader.fills(limit)}

    @app.get("/api/signals")
    def signals(limit: int = Query(200, ge=1, le=MOST_ROWS)) -> dict[str, Any]:
        return {"signals": reader.signals(limit)}

    @app.get("/api/events")
    def events(limit: int = Query(200, ge=1, le=MOST_ROWS)) -> dict[str, Any]:
        return {"events": reader.events(limit)}

    add_reports(app, reports or {})
    return app


def page_content(reader: Reader, market: str) -> dict[str, Any]:
    """Return everything the page shows."""
    runner, history, positions = reader.runner(), reader.account(), reader.positions()
    last = history[-1] if history else None
    capital = runner["opening_capital_cny"] if runner else None
    equity = last["equity_cny"] if last else 0.0
    orders, fills = reader.orders(PAGE_ROWS), reader.fills(PAGE_ROWS)
    drawdown, peak = 0.0, capital or 0.0
    for row in history:
        peak = max(peak, row["equity_cny"])
        drawdown = max(drawdown, 1 - row["equity_cny"] / peak if peak > 0 else 0.0)
    return {
        "market": market,
        "refresh_s": REFRESH_S,
        "runner": runner,
        "withdrawn": reader.withdrawn(),
        "account": last,
        "history": history,
        "return_frac": equity / capital - 1 if last and capital else None,
        "drawdown_frac": drawdown,
        "fees_cny": sum(row["fees_cny"] for row in history),
        "strategies": reader.strategies(),
        "sleeves": reader.sleeves(),
        "tripped": reader.tripped(),
        "modes": reader.chosen_modes(),
        "alerts": reader.alerts(5),
        "positions": [{**p, "weight_frac": p["value_cny"] / equity if equity > 0 else 0.0} for p in positions],
        "states": reader.order_states(),
        "orders": orders,
        "fills": fills,
        "odd_lots": any(row["shares"] % LOT_SHARES for row in (*positions, *orders, *fills)),
        "signals": reader.signals(10),
        "events": reader.events(12),
        "spark": sparkline([row["equity_cny"] for row in history]),
    }
