"""The runner as a process: one replay and out (``run_replay``), or loop and HTTP until a signal (``serve``).

Not here: what the process does (``process.py``), what whoever started it is told (``supervision/``).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from ljwx_pipeline.clock import Clock, SystemClock
from ljwx_pipeline.config import Settings, ljwx_home, market_name, registered_model
from ljwx_pipeline.errors import EnvironmentFault, LiveError, LjwxError
from ljwx_pipeline.factors.catalogues import open_catalogue
from ljwx_pipeline.live.decision import RunnerSettings
from ljwx_pipeline.live.events import AlertRaised
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.inbox import Inbox
from ljwx_pipeline.live.journal import Journal
from ljwx_pipeline.live.leader_parts import EVERY_STRATEGY, ProcessSettings
from ljwx_pipeline.live.leadership import Place
from ljwx_pipeline.live.places import LIVE_DIR, journal_place
from ljwx_pipeline.live.process import LiveProcess
from ljwx_pipeline.live.progress import Mode, Progress
from ljwx_pipeline.live.sleeves.desk import Configured
from ljwx_pipeline.live.snapshot import AccountSnapshot, account_snapshot
from ljwx_pipeline.live.stage_log import Staging
from ljwx_pipeline.live.supervision.sd_notify import ServiceManager
from ljwx_pipeline.live.supervision.starts import Starts, may_start
from ljwx_pipeline.live.supervision.watchdog import Watchdog
from ljwx_pipeline.live.tasks import first_of
from ljwx_pipeline.live.trading import FEED_DIR, TradingSettings

KEYS_DIR = "keys"
#: How long ``run_replay`` waits for a runner at work on the same account to reach the pack's end.
OTHER_RUNNER_S = 60.0


class RunnerProcess:
    """What one process is made of: folders, clock, heartbeat; hands out a journal and an inbox for each thread.

    Parameters
    ----------
    home
        The market's home; the runner lives in ``home/live``.
    settings
        The whole configuration; sections are taken from it here and nowhere below.
    keys_dir
        Folder of the pipeline's public key.
    ready
        Called each time the books were found to agree with the exchange's.
    reread
        Reads the configuration again, for the strategies alone; ``settings`` if None.
    told
        As `LiveProcess` takes it.
    """

    def __init__(
        self,
        home: Path,
        settings: Settings,
        *,
        keys_dir: Path,
        clock: Clock,
        ready: Callable[[], None] = lambda: None,
        reread: Callable[[], Settings] | None = None,
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.live_dir = home / LIVE_DIR
        self.progress = Progress(clock)
        journal, backups_dir = journal_place(settings, home)
        self.market = market_name(settings)
        self._model_name = registered_model(settings)
        self.settings = ProcessSettings(
            trading=TradingSettings(
                runner=RunnerSettings(settings.strategy, settings.risk, settings.live, settings.uncertainty),
                costs=settings.costs,
                universe=settings.universe,
                catalogue=open_catalogue(settings.factors.catalogue),
                benchmark=settings.gate.benchmark,
            ),
            place=Place(self.live_dir, journal, backups_dir, owns_exchange=not settings.live.exchange_url),
            breakers=settings.breakers,
            stops=settings.stops,
            label=settings.label,
            staging=Staging({EVERY_STRATEGY: self._model_name}, settings.live.stages),
            configured=lambda: Configured.of(settings if reread is None else reread(), self.live_dir / FEED_DIR),
        )
        self._keys_dir = keys_dir
        self._clock = clock
        self.loop = LiveProcess(
            self.settings, inbox=self.inbox, progress=self.progress, clock=clock, ready=ready, told=told
        )

    @property
    def capital_fen(self) -> int:
        """Opening cash."""
        return self.settings.trading.runner.capital_fen

    @property
    def max_age_s(self) -> float:
        """Seconds after which the newest completed piece of work is too old."""
        live = self.settings.trading.runner.live
        return live.max_stall_seconds + live.seconds_per_session + live.poll_seconds

    @contextlib.contextmanager
    def journal(self) -> Iterator[Journal]:
        """Open the journal for the calling thread, to write under the lease of this process."""
        place = self.settings.place
        journal = Journal(place.journal, self._clock, epoch=self.loop.epoch, backups_dir=place.backups_dir)
        try:
            yield journal
        finally:
            journal.close()

    def inbox(self, journal: Journal) -> Inbox:
        """Return an inbox that notes what it does in ``journal``."""
        return Inbox(
            live_dir=self.live_dir,
            keys_dir=self._keys_dir,
            factor_hash=self.settings.trading.catalogue.version_hash,
            model_name=self._model_name,
            journal=journal,
            clock=self._clock,
            staging=self.settings.staging,
            examine=self.loop.examine,
        )

    def snapshot(self) -> AccountSnapshot:
        """Return the account as it stands."""
        with self.journal() as journal:
            return account_snapshot(journal, capital_fen=self.capital_fen)


def run_replay(
    home: Path, settings: Settings, *, keys_dir: Path | None = None, clock: Clock | None = None
) -> AccountSnapshot:
    """Take in what has arrived, trade the pack's sessions that are not done yet, and return the account.

    When another process runs this account already, its account is returned: at the pack's end, or as it stands after
    `OTHER_RUNNER_S` where that one takes its time.

    Parameters
    ----------
    home
        The market's home; its ``live`` folder holds pack, inbox, bundles and account.
    keys_dir
        Folder of the public key; ``LJWX_HOME/keys`` if None.

    Raises
    ------
    LiveError
        Without a session pack, or when the runner refuses to start or go on.
    """
    clock = clock or SystemClock()
    process = RunnerProcess(home, settings, keys_dir=keys_dir or ljwx_home() / KEYS_DIR, clock=clock)
    if not asyncio.run(process.loop.run(once=True, standby=False)):
        return _other_runner_s_account(process, clock)
    return process.snapshot()


def serve(
    home: Path,
    settings: Settings,
    *,
    keys_dir: Path | None = None,
    reread: Callable[[], Settings] | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> int:
    """Run loop and HTTP interface in this process until SIGTERM or SIGINT; return the exit code.

    While another process trades the account this one stands by. After several unclean ends in a short time it waits
    before it starts. Whoever started it is told when it is ready, that it gets on, and that it ends; ``told`` is called
    with the words for a terminal: that it stands by, and that it takes over.

    Raises
    ------
    EnvironmentFault
        When the port is taken.
    Deposed
        When another process has taken over.
    CrashLoop
        When it ended uncleanly too often.
    """
    clock = SystemClock()
    manager = ServiceManager.of_environment(os.environ)
    starts = Starts(home / LIVE_DIR, clock)
    asked = threading.Event()

    def alert(raised: AlertRaised) -> None:
        place, backups_dir = journal_place(settings, home)
        journal = Journal(place, clock, backups_dir=backups_dir)
        try:
            journal.log.append([raised], None)
        finally:
            journal.close()

    def say(text: str) -> None:
        sys.stderr.write(f"{text}\n")
        manager.status(text)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # asks to read the strategies again, which nobody does yet
    if not may_start(starts, alert=alert, wait=lambda seconds: not asked.wait(seconds), say=say):
        return 0
    with starts.run():
        agreed = threading.Event()
        process = RunnerProcess(
            home,
            settings,
            keys_dir=keys_dir or ljwx_home() / KEYS_DIR,
            clock=clock,
            ready=agreed.set,
            reread=reread,
            told=told,
        )
        watchdog = Watchdog(manager, process.progress, max_age_s=process.max_age_s, books_agree=agreed.is_set)
        asyncio.run(_supervised(process, watchdog, asked, settings.ui.host, settings.ui.runner_port))
    return 0


@contextlib.contextmanager
def bound_socket(host: str, port: int, key: str) -> Iterator[socket.socket]:
    """Yield a socket that listens on ``host:port``; ``key`` names the setting to change when it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(128)
        except OSError as error:
            raise EnvironmentFault(
                f"port {port} on {host} cannot be opened ({error.strerror})",
                f"end the process that uses it or choose another {key}",
            ) from None
        yield listener


async def _supervised(process: RunnerProcess, watchdog: Watchdog, asked: threading.Event, host: str, port: int) -> None:
    """Serve, and tell whoever started the process of it; ``asked`` is set when a stop was asked for already."""

    def stop() -> None:
        watchdog.stopping("asked to")
        process.loop.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        # while uvicorn answers it takes signals itself, and raises them again for this handler when it has ended
        asyncio.get_running_loop().add_signal_handler(number, stop)
    if asked.is_set():
        stop()
    try:
        await first_of(_serve(process, host, port), watchdog.run())
    except LjwxError as error:
        watchdog.stopping(str(error))
        raise


async def _serve(process: RunnerProcess, host: str, port: int) -> None:
    import uvicorn  # only a serving process needs an HTTP server

    from ljwx_pipeline.live.api import ApiParts, make_api
    from ljwx_pipeline.live.control_api import control_router
    from ljwx_pipeline.live.signals_api import signals_router
    from ljwx_pipeline.live.strategies_api import strategies_router

    parts = ApiParts(
        market=process.market,
        journal=process.journal,
        inbox=process.inbox,
        progress=process.progress,
        max_age_s=process.max_age_s,
        capital_fen=process.capital_fen,
        host=host,
    )

    async def answer() -> None:
        with bound_socket(host, port, "ui.runner_port") as listener:
            routers = [
                control_router(process.loop.control),
                strategies_router(process.loop.strategies),
                signals_router(lambda: process.loop.signals),
            ]
            api = make_api(parts, routers)
            server = uvicorn.Server(
                uvicorn.Config(api, log_level="warning", timeout_graceful_shutdown=5, lifespan="off")
            )
            serving = asyncio.ensure_future(server.serve(sockets=[listener]))
            try:
                await asyncio.shield(serving)
            finally:
                server.should_exit = True  # the port is free again and every answer given before anything else is done
                await serving

    hung_up = asyncio.Event()

    async def read_again() -> None:
        while True:
            await hung_up.wait()
            hung_up.clear()
            await process.loop.reload()

    async def lead() -> None:
        await process.loop.run(once=False, beside=answer)

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hung_up.set)
    await first_of(lead(), read_again())


def _other_runner_s_account(process: RunnerProcess, clock: Clock) -> AccountSnapshot:
    """Return the account of the runner that holds it: at the pack's end, or where it stands after a while.

    Raises
    ------
    LiveError
        When that runner does not trade.
    """
    last = ReplayFeed.open(process.live_dir / FEED_DIR).sessions[-1].isoformat()
    deadline = clock.monotonic_s() + OTHER_RUNNER_S
    pause = threading.Event()
    while clock.monotonic_s() < deadline:
        account = process.snapshot()
        if account.session == last and account.mode == Mode.FINISHED:
            return account
        if account.mode == Mode.HALTED:
            break
        pause.wait(process.settings.trading.runner.live.poll_seconds)
    account = process.snapshot()
    if account.mode == Mode.TRADING:
        return account
    raise LiveError(
        f"another runner holds this account and is {account.mode} at session {account.session}, the pack ends {last}",
        "look at its status page or its events, mend what they say, or stop it and try again",
    )
