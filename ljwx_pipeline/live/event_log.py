"""The append-only log: events go in with all that follows from them, in one durable transaction under one lease.

Not here: what follows from an event (``projections.py``), who holds the lease (``lease.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime

from sqlalchemy import Connection, Row, func, insert, select

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.errors import Deposed, JournalDamaged, LiveError
from ljwx_pipeline.live.event_codec import from_json, to_json
from ljwx_pipeline.live.events import EVENTS, UNFENCED, Event, Recorded, instant_ns, session_of, strategy_of
from ljwx_pipeline.live.projections import apply, move_to
from ljwx_pipeline.live.store import Store
from ljwx_pipeline.live.tables import events_log, lease

_LAST = select(func.coalesce(func.max(events_log.c.seq), 0))
# on PostgreSQL the row is locked, so that appends come one after another and the log has no holes
_EPOCH = select(lease.c.epoch).with_for_update()
_ADD = insert(events_log)
_READ_AT_ONCE = 2_000
_WRITTEN_AT_ONCE = 2_000


class EventLog:
    """The log of one journal.

    Parameters
    ----------
    store
        A database whose schema is up to date (``migrate.py``).
    clock
        Stamps events with the moment they are written.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def append(self, events: Sequence[Event], epoch: int | None) -> int:
        """Append ``events`` with all that follows from them as one durable transaction; return the log's last seq.

        An event that changes nothing (a fill known already, a report overtaken by a later one) is left out.

        Parameters
        ----------
        epoch
            Of the lease that the caller holds; None for a caller without one, which may only note, alert and tell of a
            backup.

        Raises
        ------
        Deposed
            When another runner has taken over since: nothing was written, and nothing may be sent.
        LiveError
            When an event contradicts what is known or the database refuses: nothing was written.
        """
        with self._store.writing() as connection:
            return self.append_within(connection, events, epoch)

    def append_within(self, connection: Connection, events: Sequence[Event], epoch: int | None) -> int:
        """Append ``events`` in the writing transaction of ``connection``; as `append`, which commits."""
        held = require_epoch(connection, events, epoch)
        last = seq = int(connection.execute(_LAST).scalar_one())
        at_ns = instant_ns(self._clock.now())
        rows = []
        for event in events:
            body = to_json(event)  # first: what is not typed as declared must not reach the tables
            if apply(connection, Recorded(seq + 1, at_ns, held, event)):
                seq += 1
                rows.append(_row(Recorded(seq, at_ns, held, event), body))
        if seq > last:
            connection.execute(_ADD, rows)
            move_to(connection, seq)
        return seq

    def last_seq(self) -> int:
        """Return the seq of the newest event; 0 for an empty log."""
        with self._store.reading() as connection:
            return int(connection.execute(_LAST).scalar_one())


def require_epoch(connection: Connection, events: Sequence[Event], epoch: int | None) -> int:
    """Return the epoch that ``events`` are written under, or refuse a runner that no longer holds the lease."""
    held = int(connection.execute(_EPOCH).scalar_one())
    if epoch is None:
        fenced = [event.kind for event in events if not isinstance(event, UNFENCED)]
        if fenced:
            raise LiveError(
                f"{fenced[0]} was to be written by a process that holds no lease",
                "nothing was written; ask the runner that holds it",
            )
        return held
    if epoch != held:
        raise Deposed(
            f"this runner's lease was epoch {epoch}, the journal is at {held}: another runner has taken over",
            "nothing was written and nothing may be sent; end this process, the other one trades on",
        )
    return held


def read_events(connection: Connection, *, after: int = 0, upto: int | None = None) -> Iterator[Recorded]:
    """Yield the events behind seq ``after`` up to ``upto`` (the last), in order; each is checked as it is read.

    Raises
    ------
    LiveError
        When one has no known name or not its fields.
    JournalDamaged
        When one is missing between two others.
    """
    while True:
        page = select(events_log).where(events_log.c.seq > after).order_by(events_log.c.seq).limit(_READ_AT_ONCE)
        rows = connection.execute(page if upto is None else page.where(events_log.c.seq <= upto)).all()
        for row in rows:
            if row.seq != after + 1:
                raise JournalDamaged(
                    f"event {after + 1} is missing from the log, event {row.seq} follows {after}",
                    "restore the journal with `ljwx live restore`",
                )
            after = row.seq
            yield _recorded(row)
        if len(rows) < _READ_AT_ONCE:
            return


def copy_events(connection: Connection, log: Iterable[Recorded], told: Callable[[int], None] = lambda _: None) -> int:
    """Add events of another journal's log as they stand there, with all that follows; return the last one's seq.

    Raises
    ------
    LiveError
        When one changes nothing: it then does not follow from what is held here.
    """
    seq, rows = 0, []
    for recorded in log:
        if not apply(connection, recorded):
            raise LiveError(
                f"event {recorded.seq} ({recorded.event.kind}) changes nothing where it is to be added",
                "the two logs are not of one journal: restore from the log alone (--from-log)",
            )
        rows.append(_row(recorded, to_json(recorded.event)))
        seq = recorded.seq
        if len(rows) == _WRITTEN_AT_ONCE:
            connection.execute(_ADD, rows)
            rows.clear()
            told(seq)
    if rows:
        connection.execute(_ADD, rows)
    if seq:
        move_to(connection, seq)
        told(seq)
    return seq


def seq_at(connection: Connection, instant: datetime) -> int:
    """Return the last event that was written at ``instant`` or before; 0 for none.

    Raises
    ------
    LiveError
        When the clock was set back over ``instant``, so that two answers are right.
    """
    at_ns = instant_ns(instant)
    later = select(func.min(events_log.c.seq)).where(events_log.c.at_ns > at_ns)
    earlier = select(func.max(events_log.c.seq)).where(events_log.c.at_ns <= at_ns)
    first_after = connection.execute(later).scalar()
    last_before = int(connection.execute(earlier).scalar() or 0)
    if first_after is not None and first_after < last_before:
        raise LiveError(
            f"the clock passed {instant.isoformat()} more than once: first before event {first_after}, last with event "
            f"{last_before}",
            f"say which with --seq, from {first_after - 1} to {last_before}",
        )
    return last_before


def _recorded(row: Row[tuple[int, int, int, str, str | None, str, str, str]]) -> Recorded:
    kind = EVENTS.get(row.kind)
    if kind is None:
        raise LiveError(
            f"event {row.seq} is a {row.kind!r}, which this program does not know",
            "run the release that wrote it, or a newer one",
        )
    return Recorded(row.seq, row.at_ns, row.epoch, from_json(kind, row.body))


def _row(recorded: Recorded, body: str) -> dict[str, int | str | None]:
    session = session_of(recorded.event)
    return {
        "seq": recorded.seq,
        "at_ns": recorded.at_ns,
        "epoch": recorded.epoch,
        "kind": recorded.event.kind,
        "session": None if session is None else session.isoformat(),
        "strategy": strategy_of(recorded.event),
        "key": recorded.event.key,
        "body": body,
    }
