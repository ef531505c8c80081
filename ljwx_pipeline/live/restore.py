"""Back to an instant: a new journal from the newest backup before it and the events up to it, or from events alone.

Never over the old one, and not from it alone: where the journal cannot be read, the newest whole backup's log stands in
for its own, and the plan says up to where that reaches. The epoch of the lease never goes back. Not here: backups
(``backups.py``), the command (``live_commands.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, func, select, update

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.backup_copies import Place, copies_of, require_sound, restored
from ljwx_pipeline.live.backup_shelf import Backup, Shelf
from ljwx_pipeline.live.backups import log_end
from ljwx_pipeline.live.event_log import EventLog, copy_events, read_events, seq_at
from ljwx_pipeline.live.events import Noted, instant_of
from ljwx_pipeline.live.migrate import HEAD, migrate, revision_of
from ljwx_pipeline.live.store import Store, database_url
from ljwx_pipeline.live.tables import events_log, lease


@dataclass(frozen=True)
class Until:
    """How far to go: to an instant, to an event, or, with neither, as far as there is."""

    instant: datetime | None = None
    seq: int | None = None


@dataclass(frozen=True)
class Plan:
    """What a restore would do.

    Parameters
    ----------
    log
        Where the events come from: the journal, or the backup that stands in for it.
    log_seq
        The last event that is there.
    base
        The backup it starts from; None when every event is applied anew.
    upto_seq, upto_at
        The last event of the new journal, and when it was written; ISO, UTC, empty for none.
    fault
        Why the journal itself could not be read; empty when it could.
    """

    log: str
    log_seq: int
    base: Backup | None
    upto_seq: int
    upto_at: str
    fault: str

    @property
    def events(self) -> int:
        """How many events are applied."""
        return self.upto_seq - (0 if self.base is None else self.base.upto_seq)

    def sentence(self) -> str:
        """Return it for a person."""
        start = "an empty journal" if self.base is None else f"backup {self.base.name}"
        reach = f"up to event {self.upto_seq} ({self.upto_at or 'none'})"
        lost = f"; the journal itself cannot be read ({self.fault}): what came after {self.log} is not known here"
        return f"{start} and {self.events} events of {self.log}, {reach}{lost if self.fault else ''}"


class Restore:
    """Restores one journal.

    Parameters
    ----------
    place
        The journal: its file or URL; it may be damaged or gone.
    backups_dir
        Where its backups lie.
    """

    def __init__(self, place: Place, backups_dir: Path, clock: Clock) -> None:
        self._place = place
        self._copies = copies_of(database_url(place))
        self._shelf = Shelf(backups_dir)
        self._clock = clock

    @contextmanager
    def planned(self, until: Until, *, from_log: bool = False) -> Iterator[tuple[Plan, Store]]:
        """Yield what would be done, and the database whose log it would be done from.

        Parameters
        ----------
        from_log
            Apply every event anew instead of starting from a backup.

        Raises
        ------
        LiveError
            When neither the journal nor a backup can be read, or there is no such instant or event.
        """
        with self._log() as (store, name, fault):
            with store.reading() as connection:
                last, _ = log_end(connection)
                upto = last if until.instant is None else seq_at(connection, until.instant)
                upto = upto if until.seq is None else until.seq
                if not 0 <= upto <= last:
                    raise LiveError(
                        f"there is no event {upto}: {name} ends with {last}", "name an event up to that one"
                    )
                at_ns = connection.execute(select(events_log.c.at_ns).where(events_log.c.seq == upto)).scalar()
                base = None if from_log else self._base(connection, upto)
            yield Plan(name, last, base, upto, "" if at_ns is None else instant_of(at_ns).isoformat(), fault), store

    def carry_out(self, plan: Plan, log: Store, into: Place, told: Callable[[int], None] = lambda _: None) -> None:
        """Make the new journal ``into`` as planned; nothing is left of it when that fails.

        Raises
        ------
        LiveError
            When ``into`` exists, the backup is not whole, or the events do not follow from it.
        """
        with self._copies.made(into) as place:
            if plan.base is not None:
                self._copies.fill(self._shelf.require_whole(plan.base), place)
            new = Store(place)
            try:
                migrate(new, lambda _: None)  # a copy: what it was copied from is its backup
                with log.reading() as source, new.writing() as target:
                    after = 0 if plan.base is None else plan.base.upto_seq
                    copy_events(target, read_events(source, after=after, upto=plan.upto_seq), told)
                    _free_lease(source, target)
                    note = Noted(topic="restored", message=plan.sentence(), session=None)
                    EventLog(new, self._clock).append_within(target, [note], None)
                require_sound(new)
            finally:
                new.close()

    @contextmanager
    def _log(self) -> Iterator[tuple[Store, str, str]]:
        """Yield a database that holds the log, its name, and why it is not the journal itself."""
        try:
            store = self._open()
        except LiveError as error:
            fault = error.fact
        else:
            try:
                yield store, store.name, ""
            finally:
                store.close()
            return
        whole = [backup for backup in self._shelf.listed() if backup.revision == HEAD]
        if not whole:
            raise LiveError(
                f"the journal cannot be read ({fault}), and {self._shelf.folder} holds no backup with a log",
                "copy a backup of it into that folder: `ljwx live backups` lists what lies there",
            )
        path = self._shelf.require_whole(whole[-1])
        with self._shelf.alone(), restored(self._copies, path, self._shelf.folder, "log") as store:
            yield store, f"backup {whole[-1].name}", fault

    def _open(self) -> Store:
        if isinstance(self._place, Path) and not self._place.is_file():
            raise LiveError(f"{self._place} is not there", "restore it")
        store = Store(self._place)
        try:
            require_sound(store)
            with store.reading() as connection:
                revision = revision_of(connection, store.name)
            if revision != HEAD:
                raise LiveError(f"{store.name} is of revision {revision}", "start the runner once: it migrates it")
        except BaseException:
            store.close()
            raise
        return store

    def _base(self, connection: Connection, upto: int) -> Backup | None:
        """Return the newest backup that the log went on from."""
        fits = [one for one in self._shelf.listed() if one.revision == HEAD and one.upto_seq <= upto]
        same = (one for one in reversed(fits) if log_end(connection, one.upto_seq) == (one.upto_seq, one.last_event))
        return next(same, None)


def _free_lease(source: Connection, target: Connection) -> None:
    """Let nobody hold the new journal, at an epoch that keeps every runner before it fenced."""
    epochs = [int(one.execute(select(lease.c.epoch)).scalar_one()) for one in (source, target)]
    logged = int(source.execute(select(func.coalesce(func.max(events_log.c.epoch), 0))).scalar_one())
    target.execute(update(lease).values(epoch=max(*epochs, logged), holder="", expires_at=""))
