"""Who may trade: one row of the journal, and the epoch that fences everybody before.

The holder renews the row; a runner that waits takes over once the row has not changed for the whole term by its own
monotonic clock, so neither clocks that differ nor one that is set back or forward make two holders or none. It does
so at once when the holder gave the lease back, or is a process of this machine that is certainly gone.

Taking over raises the epoch. Whoever was deposed cannot append to the journal any more (``event_log.py``), and a broker
that remembers the highest epoch refuses its orders. `Lease.holds` is asked just before each send; between that look and
the packet's arrival only the broker can tell, and one that checks no token may still take an order of a runner that was
stopped just there.
"""

from __future__ import annotations

import threading
from datetime import timedelta

from sqlalchemy import select, update

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.errors import Deposed
from ljwx_pipeline.live.holder import is_gone, this_process
from ljwx_pipeline.live.store import Store
from ljwx_pipeline.live.tables import lease

#: How long a lease holds without renewal; a runner that waits takes over within this and one look.
TERM_S = 6.0


class Lease:
    """One process's claim to be the runner that trades; any of its threads may ask, one changes the row at a time.

    Parameters
    ----------
    store
        The journal's database.
    clock
        Its monotonic seconds measure the term; its wall clock only says, for people, when the lease ends.
    holder
        Name of the process; this one's if None.
    term_s
        How long the lease holds without renewal. The same for every runner of a journal.
    """

    def __init__(self, store: Store, clock: Clock, *, holder: str | None = None, term_s: float = TERM_S) -> None:
        self.holder = this_process() if holder is None else holder
        self.term_s = term_s
        self._store = store
        self._clock = clock
        self._epoch: int | None = None
        self._holds_until_s = 0.0
        self._seen: tuple[int, int] | None = None
        self._seen_at_s = 0.0
        # a renewal whose task was cancelled goes on in its thread: it must not bring back what is given back beside it
        self._turn = threading.Lock()

    @property
    def epoch(self) -> int:
        """The epoch it was taken under: goes with every event and every order.

        Raises
        ------
        Deposed
            When it was never taken, or has been lost.
        """
        if self._epoch is None:
            raise _lost("holds no lease")
        return self._epoch

    def holds(self) -> bool:
        """Return whether this process may send now: it holds the lease, and its term has not run out."""
        return self._epoch is not None and self._clock.monotonic_s() < self._holds_until_s

    def acquire(self, *, at_least: int = 1) -> bool:
        """Take the lease if it is free, and return whether it was; to be asked again and again by one that waits.

        Parameters
        ----------
        at_least
            Lowest epoch to take it under: one more than the highest that the broker has seen, when the journal was
            restored and has forgotten it.
        """
        with self._turn:
            return self._acquire(at_least)

    def _acquire(self, at_least: int) -> bool:
        now_s = self._clock.monotonic_s()
        with self._store.reading() as connection:
            row = connection.execute(select(lease)).one()
        # timed after the look: what changed before it was read is not yet still
        if (row.epoch, row.renewals) != self._seen:
            self._seen, self._seen_at_s = (row.epoch, row.renewals), self._clock.monotonic_s()
        still_s = now_s - self._seen_at_s
        if row.holder not in ("", self.holder) and not is_gone(row.holder) and still_s <= self.term_s:
            return False
        epoch = max(row.epoch + 1, at_least)
        taken = self._write(row.epoch, row.renewals, epoch=epoch, holder=self.holder, until_s=now_s)
        if taken:
            self._epoch, self._holds_until_s = epoch, now_s + self.term_s
        return taken

    def renew(self) -> None:
        """Hold the lease for another term.

        Raises
        ------
        Deposed
            When another runner has taken over: end this process.
        LiveError
            When the database cannot be written: the lease runs out unless a later renewal succeeds.
        """
        with self._turn:
            now_s, epoch = self._clock.monotonic_s(), self.epoch
            row = self._row()
            held = row == (self.holder, epoch)
            if not held or not self._write(epoch, None, epoch=epoch, holder=self.holder, until_s=now_s):
                self._epoch = None
                raise _lost(f"held epoch {epoch}, the journal is at {row[1]}")
            self._holds_until_s = now_s + self.term_s

    def release(self) -> None:
        """Give the lease back, so that whoever waits need not; nothing when it was lost."""
        with self._turn:
            if self._epoch is not None:
                self._write(self._epoch, None, epoch=self._epoch, holder="", until_s=self._clock.monotonic_s())
                self._epoch = None

    def _row(self) -> tuple[str, int]:
        with self._store.reading() as connection:
            row = connection.execute(select(lease.c.holder, lease.c.epoch)).one()
        return row.holder, row.epoch

    def _write(self, expected: int, renewals: int | None, *, epoch: int, holder: str, until_s: float) -> bool:
        """Change the row where it is still as it was read; return whether it was."""
        ends = self._clock.now() + timedelta(seconds=until_s - self._clock.monotonic_s() + self.term_s)
        still = (
            (lease.c.epoch == expected)
            if renewals is None
            else ((lease.c.epoch == expected) & (lease.c.renewals == renewals))
        )
        changed = (
            update(lease)
            .where(still)
            .values(holder=holder, epoch=epoch, renewals=lease.c.renewals + 1, expires_at=ends.isoformat())
        )
        with self._store.writing() as connection:
            return connection.execute(changed).rowcount == 1


def _lost(fact: str) -> Deposed:
    return Deposed(
        f"this runner {fact}: it may neither write nor send",
        "end this process; the runner that holds the lease goes on",
    )
