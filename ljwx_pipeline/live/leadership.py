"""From a process that waits to the one that trades: journal opened, lease taken, an account that fits the pack.

What is looked at and done here happens under a lock of the runner's folder, so that of two processes that want to lead
one finds what the other has left. Not here: the lease itself (``lease.py``), what is done with it (``process.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.errors import Deposed, LiveError
from ljwx_pipeline.live.account_files import account_misfit, exchange_held, set_account_aside, sole_runner
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.journal import Journal
from ljwx_pipeline.live.lease import Lease
from ljwx_pipeline.live.trading import FEED_DIR, pack_stamp

#: Renewals within one term; the last ones may fail before it runs out.
_RENEWALS = 4


@dataclass(frozen=True)
class Place:
    """Where the runner's things are.

    Parameters
    ----------
    live_dir
        The runner's folder.
    journal
        The journal's file or URL.
    backups_dir
        Folder of its backups.
    owns_exchange
        Whether the exchange is the runner's own, so that its account is set aside with the journal.
    """

    live_dir: Path
    journal: Path | str
    backups_dir: Path
    owns_exchange: bool


class EpochForgotten(Deposed):
    """The broker has seen this epoch or a higher one than this process leads under: a restored journal forgot it."""

    #: The highest that the broker has seen.
    seen = 0

    @classmethod
    def of(cls, seen: int) -> EpochForgotten:
        """Return the error for a broker that has seen ``seen``."""
        error = cls(f"the broker has seen epoch {seen}, the journal has forgotten it", "lead above it")
        error.seen = seen
        return error


class Candidate:
    """One process on its way to lead, and its journal and lease once it does.

    Parameters
    ----------
    capital_fen
        Opening cash that the configuration asks for.

    Raises
    ------
    LiveError
        When the journal cannot be opened.
    """

    def __init__(self, place: Place, clock: Clock, *, capital_fen: int) -> None:
        self._place = place
        self._clock = clock
        self._capital_fen = capital_fen
        self._open()

    def look(self) -> bool:
        """Take the lease if it is free, and return whether this process leads now; to be asked again and again.

        An account that cannot go on over the pack that lies there is set aside, and a new one begun.

        Raises
        ------
        LiveError
            When the journal cannot be written, or an account that does not fit cannot be set aside from here.
        """
        with sole_runner(self._place.live_dir) as alone:
            if not alone:
                return False
            if self._file != _identity(self._place.journal):
                self.journal.close()  # whoever led has set that account aside meanwhile
                self._open()
            if not self.lease.acquire():
                return False
            misfit = self._misfit()
            if misfit:
                self._begin_anew(misfit)
            self.journal.write_as(self.lease.epoch)
            return True

    def lead_above(self, epoch: int) -> None:
        """Lead under a higher epoch than ``epoch``; to be called while no other task of this process writes.

        Raises
        ------
        Deposed
            When another process has taken over.
        """
        if not self.lease.acquire(at_least=epoch + 1):
            raise Deposed("another runner took the lease", "end this process; the other one trades on")
        self.journal.write_as(self.lease.epoch)

    def require_fit(self, feed: ReplayFeed) -> None:
        """Refuse a pack that the account cannot go on over, though it was put in place while this process led.

        Raises
        ------
        LiveError
            When it does not fit.
        """
        misfit = account_misfit(self.journal, feed, capital_fen=self._capital_fen)
        if misfit:
            raise LiveError(misfit, "start the runner again: it then keeps the old account aside and opens a new one")

    def close(self) -> None:
        """Give the lease back, if it is held, and close the journal."""
        try:
            self.lease.release()
        finally:
            self.journal.close()

    def _open(self) -> None:
        self.journal = Journal(self._place.journal, self._clock, backups_dir=self._place.backups_dir)
        self.lease = Lease(self.journal.store, self._clock)
        self._file = _identity(self._place.journal)

    def _misfit(self) -> str:
        if not pack_stamp(self._place.live_dir):
            return ""
        feed = ReplayFeed.open(self._place.live_dir / FEED_DIR)
        return account_misfit(self.journal, feed, capital_fen=self._capital_fen)

    def _begin_anew(self, misfit: str) -> None:
        if not isinstance(self._place.journal, Path):
            raise LiveError(
                f"{misfit}, and a journal on a server is not set aside by itself",
                "name a new, empty database in live.database_url and move the live folder's account away",
            )
        if not self._place.owns_exchange:
            raise LiveError(
                f"{misfit}, and the account of an exchange that others run is not set aside by itself",
                "start that exchange on a new account and move the live folder's account away",
            )
        if exchange_held(self._place.live_dir):
            raise LiveError(
                f"{misfit}, and an exchange is still at work on the account",
                "end the process whose number is in the account's exchange/exchange.lock",
            )
        self.lease.release()
        self.journal.close()  # before its files are moved: closing removes some by name
        kept = set_account_aside(self._place.live_dir, self._clock)
        self._open()
        if not self.lease.acquire():
            raise LiveError("the lease of a new journal was taken by another process", "start the runner again")
        self.journal.write_as(self.lease.epoch)
        self.journal.record_event("account_started_anew", f"{misfit}; the old account is kept in {kept}")


async def renew(lease: Lease, told: Callable[[str], None]) -> None:
    """Keep the lease until cancelled; what hinders a renewal is told, and tried again before the term runs out.

    The first renewal that succeeds after that is told by an empty reason.

    Raises
    ------
    Deposed
        When another process has taken over.
    """
    hindered = False
    while True:
        await asyncio.sleep(lease.term_s / _RENEWALS)
        try:
            await asyncio.to_thread(lease.renew)
        except Deposed:
            raise
        except LiveError as error:
            hindered = True
            told(str(error))
        else:
            if hindered:
                told("")
            hindered = False


def _identity(journal: Path | str) -> tuple[int, int] | None:
    """Return which file lies at the journal's path; None for a server, or where none does."""
    if not isinstance(journal, Path):
        return None
    try:
        found = journal.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
