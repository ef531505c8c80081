"""The exchange as a process: one on a state folder, HTTP and WebSocket until a signal, then out.

Not here: the command line (``ljwx_pipeline/exchange_commands.py``).
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ljwx_pipeline.clock import Clock, SystemClock
from ljwx_pipeline.errors import EnvironmentFault
from ljwx_pipeline.exchange.engine import Exchange
from ljwx_pipeline.exchange.market import ExchangeMarket
from ljwx_pipeline.exchange.opening import ExchangeSettings, open_exchange
from ljwx_pipeline.exchange.pacing import NIGHT_S
from ljwx_pipeline.session_pack import MANIFEST

LOCK_NAME = "exchange.lock"
STARTED_POLL_S = 0.01
#: In lockstep the market waits for whoever follows it; one that was stopped is let go after both of these.
PING_S, PONG_S = 4.0, 4.0


@dataclass(frozen=True)
class ServeSettings:
    """How the process serves.

    Parameters
    ----------
    port
        0: one that is free.
    speed
        Market seconds a wall second; 0: lockstep.
    night_s
        Wall seconds between two sessions when there is a speed.
    """

    host: str
    port: int
    speed: float
    allow_faults: bool
    night_s: float = NIGHT_S


@dataclass(frozen=True)
class Opened:
    """What is said when the process is ready."""

    host: str
    port: int
    exchange: Exchange


def serve(
    pack: Path,
    state: Path,
    exchange_settings: ExchangeSettings,
    settings: ServeSettings,
    *,
    ready: Callable[[Opened], None],
) -> int:
    """Serve the market of ``pack`` with the account in ``state`` until SIGTERM or SIGINT; return the exit code.

    ``ready`` is called once requests are taken.

    Raises
    ------
    EnvironmentFault
        When the port is taken, the state folder cannot be written, or another process holds it.
    LiveError, TradingError
        As ``open_exchange``.
    """
    with sole_process(state) as held, _bound_socket(settings.host, settings.port) as listener:
        seen = _manifest(pack)
        exchange, journal = open_exchange(pack, state, exchange_settings)
        try:
            newer = _newer_market(pack, seen, exchange_settings)
            said = Opened(settings.host, int(listener.getsockname()[1]), exchange)

            def tell() -> None:
                held(said.port)
                ready(said)

            asyncio.run(_serve(exchange, listener, settings, newer, tell, SystemClock()))
        finally:
            journal.close()
    return 0


async def _serve(
    exchange: Exchange,
    listener: socket.socket,
    settings: ServeSettings,
    newer_market: Callable[[], ExchangeMarket | None],
    ready: Callable[[], None],
    clock: Clock,
) -> None:
    import uvicorn  # only a serving process needs an HTTP server

    from ljwx_pipeline.exchange.api import ApiParts, make_api
    from ljwx_pipeline.exchange.faults import Faults, FaultyApp
    from ljwx_pipeline.exchange.pacing import Pacer
    from ljwx_pipeline.exchange.stream import Hub

    hub = Hub(exchange)
    pacer = Pacer(exchange, hub, clock, speed=settings.speed, newer_market=newer_market, night_s=settings.night_s)
    faults = Faults(clock) if settings.allow_faults else None
    api = make_api(ApiParts(exchange, hub, pacer, settings.speed, faults, settings.host))
    app = api if faults is None else FaultyApp(api, faults)
    config = uvicorn.Config(
        app,
        log_level="warning",
        timeout_graceful_shutdown=2,
        proxy_headers=False,
        lifespan="off",
        ws_ping_interval=PING_S,
        ws_ping_timeout=PONG_S,
    )
    server = uvicorn.Server(config)
    market = asyncio.create_task(pacer.run())
    # a market that is dead while its server answers is the worst of states
    market.add_done_callback(lambda _: setattr(server, "should_exit", True))
    for number in (signal.SIGTERM, signal.SIGINT):
        # a signal before uvicorn listens for them; it stops on one, then raises it again for the handler it found
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    telling = asyncio.create_task(_once_started(server, ready))
    await server.serve(sockets=[listener])
    telling.cancel()
    market.cancel()
    for ended in await asyncio.gather(market, telling, return_exceptions=True):
        if isinstance(ended, BaseException) and not isinstance(ended, asyncio.CancelledError):
            raise ended


async def _once_started(server: Any, ready: Callable[[], None]) -> None:
    while not server.started:
        await asyncio.sleep(STARTED_POLL_S)
    ready()


def _manifest(pack: Path) -> bytes:
    path = pack / MANIFEST
    return path.read_bytes() if path.is_file() else b""


def _newer_market(pack: Path, seen: bytes, settings: ExchangeSettings) -> Callable[[], ExchangeMarket | None]:
    """Return a question that opens the pack again when its manifest is another one than was seen last."""

    def look() -> ExchangeMarket | None:
        nonlocal seen
        said = _manifest(pack)
        if said == seen:
            return None
        market = ExchangeMarket.open(pack, settings.costs)
        seen = said
        return market

    return look


@contextmanager
def sole_process(state: Path) -> Iterator[Callable[[int], None]]:
    """Hold the state folder, which the kernel frees when the process dies; yield what writes the port beside the lock.

    Raises
    ------
    EnvironmentFault
        When the folder cannot be made or written, or another process holds it.
    """
    try:
        state.mkdir(parents=True, exist_ok=True)
        lock = (state / LOCK_NAME).open("a+", encoding="ascii")
    except OSError as error:
        raise EnvironmentFault(
            f"{state} cannot be written ({error.strerror})", "make the folder writable or give another --state"
        ) from None
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EnvironmentFault(
                f"another exchange is at work on {state}", "stop it first, or give another --state"
            ) from None

        def note(port: int) -> None:
            file.truncate(0)
            file.write(f"{os.getpid()}\n{port}\n")
            file.flush()

        note(0)
        yield note


@contextmanager
def _bound_socket(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(128)
        except OSError as error:
            raise EnvironmentFault(
                f"port {port} on {host} cannot be opened ({error.strerror})",
                "end the process that uses it or choose another --port; 0 takes a free one",
            ) from None
        yield listener
