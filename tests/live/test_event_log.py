"""The log is append-only, one transaction at a time, and closed to a runner that was deposed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text, update

from ljwx_pipeline.clock import ManualClock
from ljwx_pipeline.errors import Deposed, LiveError
from ljwx_pipeline.live.event_log import EventLog, read_events, seq_at
from ljwx_pipeline.live.events import AlertRaised, Tier, instant_ns, instant_of
from ljwx_pipeline.live.store import Store
from ljwx_pipeline.live.tables import lease
from tests.fakes.journal_events import NOW, decided, filled, noted
from tests.fakes.journals import empty_store, log_of


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return empty_store(tmp_path)


def test_events_come_back_in_order_with_epoch_and_instant(store: Store) -> None:
    log = log_of(store)
    assert log.append([decided(), filled()], 0) == 2
    assert log.append([noted()], 0) == 3
    with store.reading() as connection:
        found = list(read_events(connection))
    assert [(one.seq, one.epoch, one.event) for one in found] == [(1, 0, decided()), (2, 0, filled()), (3, 0, noted())]
    assert found[0].at == NOW.isoformat()
    with store.reading() as connection:
        assert [one.seq for one in read_events(connection, after=1, upto=2)] == [2]


def test_a_deposed_runner_cannot_append(store: Store) -> None:
    log = log_of(store)
    with store.writing() as connection:
        connection.execute(update(lease).values(epoch=5))
    for epoch in (0, 4, 6):
        with pytest.raises(Deposed, match=f"epoch {epoch}, the journal is at 5"):
            log.append([noted()], epoch)
    assert log.last_seq() == 0
    assert log.append([noted()], 5) == 1


def test_a_process_without_a_lease_may_only_tell(store: Store) -> None:
    log = log_of(store)
    assert log.append([noted(), AlertRaised(tier=Tier.WARNING, code="c", message="m")], None) == 2
    with pytest.raises(LiveError, match="OrderDecided was to be written by a process that holds no lease"):
        log.append([noted(), decided()], None)
    assert log.last_seq() == 2


def test_the_database_itself_keeps_the_log_from_being_changed(store: Store) -> None:
    log_of(store).append([noted()], 0)
    for statement in ("UPDATE events_log SET body = ''", "DELETE FROM events_log"):
        with pytest.raises(LiveError, match="append-only"), store.writing() as connection:
            connection.execute(text(statement))


def test_an_event_that_is_missing_is_noticed(store: Store) -> None:
    log_of(store).append([noted(), noted(), noted()], 0)
    with store.writing() as connection:
        connection.execute(text("DROP TRIGGER events_log_no_delete"))
        connection.execute(text("DELETE FROM events_log WHERE seq = 2"))
    with pytest.raises(LiveError, match="event 2 is missing from the log, event 3 follows 1"), store.reading() as found:
        list(read_events(found))


def test_an_event_of_a_newer_release_is_refused_by_name(store: Store) -> None:
    with store.writing() as connection:
        connection.execute(
            text("INSERT INTO events_log VALUES (1, 0, 0, 'MoonLanded', NULL, '', '', '{}')"),
        )
    with pytest.raises(LiveError, match="'MoonLanded', which this program does not know"), store.reading() as found:
        list(read_events(found))


def test_an_instant_finds_the_last_event_written_by_then(store: Store) -> None:
    clock = ManualClock(NOW)
    log = EventLog(store, clock)
    for minute in range(3):
        clock.set(NOW + timedelta(minutes=minute))
        log.append([noted()], 0)
    with store.reading() as connection:
        wanted = {-1: 0, 0: 1, 30: 1, 60: 2, 1_000: 3}
        assert {s: seq_at(connection, NOW + timedelta(seconds=s)) for s in wanted} == wanted


def test_an_instant_that_the_clock_passed_twice_asks_for_the_event(store: Store) -> None:
    clock = ManualClock(NOW)
    log = EventLog(store, clock)
    for minute in (0, 10, 5, 20):
        clock.set(NOW + timedelta(minutes=minute))
        log.append([noted()], 0)
    with store.reading() as connection:
        assert seq_at(connection, NOW + timedelta(minutes=4)) == 1
        assert seq_at(connection, NOW + timedelta(minutes=15)) == 3
        with pytest.raises(
            LiveError, match="first before event 2, last with event 3: say which with --seq, from 1 to 3"
        ):
            seq_at(connection, NOW + timedelta(minutes=7))


def test_instants_keep_their_microseconds() -> None:
    instant = NOW + timedelta(microseconds=123_457)
    assert instant_of(instant_ns(instant)) == instant
