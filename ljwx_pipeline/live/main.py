"""The runner as a process: one replay and out (``run_replay``), or loop and HTTP until a signal (``serve``).

Not here: what the loop does (``loop.py``).
"""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from ljwx_pipeline.clock import Clock, SystemClock
from ljwx_pipeline.config import Settings, ljwx_home, registered_model
from ljwx_pipeline.errors import EnvironmentFault, LiveError
from ljwx_pipeline.factors.catalogues import open_catalogue
from ljwx_pipeline.live.account_files import ACCOUNT_DIR, account_misfit, set_account_aside, sole_runner
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.inbox import Inbox
from ljwx_pipeline.live.journal import JOURNAL_NAME, Journal
from ljwx_pipeline.live.loop import FEED_DIR, LoopSettings, TradingLoop
from ljwx_pipeline.live.progress import Mode, Progress
from ljwx_pipeline.live.runner import RunnerSettings
from ljwx_pipeline.live.snapshot import AccountSnapshot, account_snapshot
from ljwx_pipeline.session_pack import MANIFEST

LIVE_DIR = "live"
KEYS_DIR = "keys"
#: How long ``run_replay`` waits for a runner that is already at work on the same account.
OTHER_RUNNER_S = 300.0


class RunnerProcess:
    """What one process opens: folders, clock, heartbeat; hands out a journal and an inbox for each thread.

    Parameters
    ----------
    home
        The market's home; the runner lives in ``home/live``.
    settings
        The whole configuration; sections are taken from it here and nowhere below.
    keys_dir
        Folder of the pipeline's public key.
    """

    def __init__(self, home: Path, settings: Settings, *, keys_dir: Path, clock: Clock) -> None:
        self.live_dir = home / LIVE_DIR
        self.progress = Progress(clock)
        self.settings = LoopSettings(
            runner=RunnerSettings(settings.strategy, settings.risk, settings.live, settings.uncertainty),
            costs=settings.costs,
            universe=settings.universe,
            catalogue=open_catalogue(settings.factors.catalogue),
            benchmark=settings.gate.benchmark,
        )
        self._keys_dir = keys_dir
        self._clock = clock
        self._factor_hash = self.settings.catalogue.version_hash
        self._model_name = registered_model(settings)

    @contextlib.contextmanager
    def journal(self) -> Iterator[Journal]:
        """Open the journal for the calling thread."""
        journal = Journal(self.live_dir / ACCOUNT_DIR / JOURNAL_NAME, self._clock)
        try:
            yield journal
        finally:
            journal.close()

    def inbox(self, journal: Journal) -> Inbox:
        """Return an inbox that notes what it does in ``journal``."""
        return Inbox(
            live_dir=self.live_dir,
            keys_dir=self._keys_dir,
            factor_hash=self._factor_hash,
            model_name=self._model_name,
            journal=journal,
            clock=self._clock,
        )

    @contextlib.contextmanager
    def loop(self) -> Iterator[TradingLoop]:
        """Open the loop for the calling thread."""
        with self.journal() as journal:
            inbox = self.inbox(journal)
            inbox.adopt()
            loop = TradingLoop(self.live_dir, self.settings, journal=journal, inbox=inbox, progress=self.progress)
            try:
                yield loop
            finally:
                loop.close()

    def prepare_account(self) -> None:
        """Keep an account aside that cannot go on over the pack that lies there, and begin a new one."""
        if not (self.live_dir / FEED_DIR / MANIFEST).is_file():
            return
        feed = ReplayFeed.open(self.live_dir / FEED_DIR)
        with self.journal() as journal:
            misfit = account_misfit(journal, feed, capital_fen=self.settings.runner.capital_fen)
        if misfit:
            kept = set_account_aside(self.live_dir, self._clock)
            with self.journal() as journal:
                journal.record_event("account_started_anew", f"{misfit}; the old account is kept in {kept}")

    def snapshot(self) -> AccountSnapshot:
        """Return the account as it stands."""
        with self.journal() as journal:
            return account_snapshot(journal, capital_fen=self.settings.runner.capital_fen)


def run_replay(
    home: Path, settings: Settings, *, once: bool = True, keys_dir: Path | None = None, clock: Clock | None = None
) -> AccountSnapshot:
    """Take in what has arrived, trade the pack's sessions that are not done yet, and return the account.

    When another process runs this account already, wait until that one is done with the pack and return its account.

    Parameters
    ----------
    home
        The market's home; its ``live`` folder holds pack, inbox, bundles and account.
    once
        Without it, keep looking for new bundles and sessions until the process is ended.
    keys_dir
        Folder of the public key; ``LJWX_HOME/keys`` if None.

    Raises
    ------
    LiveError
        Without a session pack, or when the runner refuses to start or go on.
    """
    clock = clock or SystemClock()
    process = RunnerProcess(home, settings, keys_dir=keys_dir or ljwx_home() / KEYS_DIR, clock=clock)
    stop = threading.Event()
    with sole_runner(process.live_dir) as alone:
        if not alone:
            return _other_runner_s_account(process, clock)
        process.prepare_account()
        with process.loop() as loop:
            if once:
                loop.run_pass(stop)
            else:
                loop.run_forever(stop)
    return process.snapshot()


def serve(home: Path, settings: Settings, *, keys_dir: Path | None = None) -> int:
    """Run loop and HTTP interface in this process until SIGTERM or SIGINT; return the exit code.

    Raises
    ------
    EnvironmentFault
        When the port is taken, or another process runs this account.
    """
    process = RunnerProcess(home, settings, keys_dir=keys_dir or ljwx_home() / KEYS_DIR, clock=SystemClock())
    host, port = settings.ui.host, settings.ui.runner_port
    with sole_runner(process.live_dir) as alone, bound_socket(host, port, "ui.runner_port") as listener:
        if not alone:
            raise EnvironmentFault(
                f"another runner is at work on {process.live_dir}", "stop it first: two never trade one account"
            )
        process.prepare_account()
        _serve_until_signal(process, listener, host)
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


def _serve_until_signal(process: RunnerProcess, listener: socket.socket, host: str) -> None:
    import uvicorn  # only a serving process needs an HTTP server

    from ljwx_pipeline.live.api import ApiParts, make_api

    live = process.settings.runner.live
    parts = ApiParts(
        journal=process.journal,
        inbox=process.inbox,
        progress=process.progress,
        max_age_s=live.max_stall_seconds + live.seconds_per_session + live.poll_seconds,
        capital_fen=process.settings.runner.capital_fen,
        host=host,
    )
    server = uvicorn.Server(uvicorn.Config(make_api(parts), log_level="warning", timeout_graceful_shutdown=5))
    stop = threading.Event()
    failures: list[BaseException] = []

    def trade() -> None:
        try:
            with process.loop() as loop:
                loop.run_forever(stop)
        except BaseException as error:  # handed to the main thread, which raises it
            failures.append(error)
            server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn stops on it, then raises it again for the handler it found: without one that would end us here
        signal.signal(number, lambda *_: stop.set())
    thread = threading.Thread(target=trade, name="trading-loop")
    thread.start()
    try:
        server.run(sockets=[listener])
    finally:
        stop.set()
        thread.join()
    if failures:
        raise failures[0]


def _other_runner_s_account(process: RunnerProcess, clock: Clock) -> AccountSnapshot:
    """Wait until the runner that holds the account has traded every session of the pack that lies there."""
    last = ReplayFeed.open(process.live_dir / FEED_DIR).sessions[-1].isoformat()
    deadline = clock.monotonic_s() + OTHER_RUNNER_S
    pause = threading.Event()
    while clock.monotonic_s() < deadline:
        account = process.snapshot()
        if account.session == last and account.mode == Mode.FINISHED:
            return account
        if account.mode == Mode.HALTED:
            break
        pause.wait(process.settings.runner.live.poll_seconds)
    account = process.snapshot()
    raise LiveError(
        f"another runner holds this account and is {account.mode} at session {account.session}, the pack ends {last}",
        "look at its status page or its events, mend what they say, or stop it and try again",
    )
