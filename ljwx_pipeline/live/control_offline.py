"""The trader's hand while no runner is there: how things stand by the journal, the kill switch, a halt.

What only forbids can be written by whoever holds the lock and the lease for a moment; the runner that starts next finds
it. What allows more, or sends something, needs a runner. Not here: a runner that answers (``control.py``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.account_files import sole_runner
from ljwx_pipeline.live.control_view import book_view, journal_view
from ljwx_pipeline.live.event_log import EventLog
from ljwx_pipeline.live.events import ModeChanged, instant_ns
from ljwx_pipeline.live.guard_book import GuardBook, stopped
from ljwx_pipeline.live.guard_events import written
from ljwx_pipeline.live.guard_journal import read_book
from ljwx_pipeline.live.lease import TERM_S, Lease
from ljwx_pipeline.live.migrate import HEAD, revision_of
from ljwx_pipeline.live.store import Store
from ljwx_pipeline.trading.modes import TradingMode

_LOOK_EVERY_S = 0.2


class OfflineControl:
    """One market's journal, while nobody runs it.

    Parameters
    ----------
    live_dir
        The runner's folder: its lock keeps a runner from starting meanwhile.
    store, clock
        The journal's database, and the time.
    strategies, capital_fen
        As `Guard` takes them.
    wait_s
        How long the lock, which a standby takes for each look, and a lease that nobody may renew are waited for.
    """

    def __init__(
        self,
        live_dir: Path,
        store: Store,
        clock: Clock,
        *,
        strategies: Collection[str],
        capital_fen: int,
        wait_s: float = TERM_S + 1,
    ) -> None:
        self._live_dir = live_dir
        self._store = store
        self._clock = clock
        self._strategies = strategies
        self._capital_fen = capital_fen
        self._wait_s = wait_s

    def standing(self) -> dict[str, Any]:
        """Return how everything stood when the journal was last written; nothing is written."""
        with self._store.reading() as connection:
            self._require_schema(connection)
            return {
                "source": "journal",
                **book_view(self._read(connection)[1]),
                **journal_view(connection),
                "valuation": None,
                "stops": [],
                "ticks": {},
                "suspects": [],
                "market_ns": 0,
            }

    def kill(self, *, by: str, reason: str) -> dict[str, Any]:
        """Pull the kill switch for whatever runner starts next.

        Raises
        ------
        TradingError
            When name or reason is empty.
        LiveError
            When a process holds the runner's lock or lease, or the journal cannot be written.
        """
        now_ns = instant_ns(self._clock.now())
        return self._write(lambda book: stopped(book, by=by, reason=reason, at_ns=now_ns), [])

    def halt(self, strategy: str, *, by: str, reason: str) -> dict[str, Any]:
        """Halt the account (``strategy`` empty) or a strategy for whatever runner starts next; raises as `kill`."""
        if not by.strip() or not reason.strip():
            raise LiveError(f"a halt was asked for by {by!r} because of {reason!r}", "say who asks, and why")
        if strategy and strategy not in self._known():
            raise LiveError(f"there is no strategy {strategy!r}", f"name one of {', '.join(sorted(self._known()))}")
        said = ModeChanged(scope=strategy, mode=TradingMode.HALTED, by=by.strip(), reason=reason.strip())
        return self._write(lambda book: book, [said])

    def _write(self, step: Callable[[GuardBook], GuardBook], beside: list[ModeChanged]) -> dict[str, Any]:
        with self._alone() as lease:
            with self._store.reading() as connection:
                self._require_schema(connection)
                before, book = self._read(connection)
            events = [*beside, *written(before, step(book))]
            if events:
                EventLog(self._store, self._clock).append(events, lease.epoch)
        return self.standing()

    def _read(self, connection: Connection) -> tuple[GuardBook | None, GuardBook]:
        return read_book(connection, self._strategies, instant_ns(self._clock.now()), capital_fen=self._capital_fen)

    def _known(self) -> frozenset[str]:
        with self._store.reading() as connection:
            self._require_schema(connection)
            return self._read(connection)[1].in_force

    def _require_schema(self, connection: Connection) -> None:
        revision = revision_of(connection, self._store.name)
        if revision != HEAD:
            raise LiveError(
                f"{self._store.name} has schema {revision or 'of an earlier release'}, this release's is {HEAD}",
                "start `ljwx live` once: it backs the journal up and brings it up to date",
            )

    @contextmanager
    def _alone(self) -> Iterator[Lease]:
        """Hold lock and lease for as long as the block lasts; wait for whoever has one of them for a moment."""
        lease, pause = Lease(self._store, self._clock), threading.Event()
        until_s = self._clock.monotonic_s() + self._wait_s
        while True:
            with sole_runner(self._live_dir) as alone:
                if alone and lease.acquire():
                    try:
                        yield lease
                    finally:
                        lease.release()
                    return
            if self._clock.monotonic_s() > until_s:
                raise _held(f"{self._live_dir} locked" if not alone else "the journal's lease and renews it")
            pause.wait(_LOOK_EVERY_S)


def _held(what: str) -> LiveError:
    return LiveError(
        f"a runner, maybe on another machine, holds {what}, and none answers here",
        "end that process: what it holds then stops, and this can be written; at the broker's own terminal orders can "
        "be cancelled at once",
    )
