"""Back to an instant, from a backup and the events after it or from events alone, always into a new journal."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from ljwx_pipeline.clock import ManualClock
from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.backup_shelf import Backup
from ljwx_pipeline.live.backups import Backups
from ljwx_pipeline.live.event_log import EventLog
from ljwx_pipeline.live.restore import Plan, Restore, Until
from ljwx_pipeline.live.store import Store
from ljwx_pipeline.live.table_hashes import TableHash
from ljwx_pipeline.live.tables import lease
from tests.fakes.journal_events import NOW, decided, filled, noted
from tests.fakes.journals import contents, empty_store

#: What differs by the line that says where a restored journal came from.
TOLD = {"events_log", "events", "projection"}


class Desk:
    """A journal written over ten minutes, an order a minute, with a backup after the fourth."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock(NOW)
        self.store = empty_store(folder)
        self.log = EventLog(self.store, self.clock)
        self.kept = Backups(self.store, folder / "backups", self.clock)
        self.states: dict[int, dict[str, TableHash]] = {}
        self.backup: Backup | None = None
        for minute in range(1, 11):
            self.clock.set(NOW + timedelta(minutes=minute))
            self.log.append([decided(f"o{minute}"), filled(f"e{minute}", f"o{minute}")], 0)
            self.states[minute] = contents(self.store, TOLD.__contains__)
            if minute == 4:
                self.backup = self.kept.make("daily")

    def restore(self) -> Restore:
        return Restore(self.store.path, self.folder / "backups", self.clock)

    def restored(self, until: Until, name: str = "new.sqlite", *, from_log: bool = False) -> tuple[Plan, Store]:
        restore = self.restore()
        with restore.planned(until, from_log=from_log) as (plan, log):
            restore.carry_out(plan, log, self.folder / name)
        return plan, Store(self.folder / name)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize("minute", [1, 3, 4, 7, 10])
@pytest.mark.parametrize("from_log", [False, True])
def test_a_restored_journal_is_the_one_of_that_instant(desk: Desk, minute: int, from_log: bool) -> None:
    before = contents(desk.store)
    until = Until(instant=NOW + timedelta(minutes=minute, seconds=30))
    plan, new = desk.restored(until, from_log=from_log)
    assert contents(new, TOLD.__contains__) == desk.states[minute]
    assert plan.upto_seq == 2 * minute
    based = not from_log and minute >= 4
    assert (plan.base, plan.events) == (desk.backup if based else None, 2 * minute - (8 if based else 0))
    assert contents(desk.store) == before, "the old journal is untouched"


def test_an_event_names_the_place_exactly_and_nothing_means_all_there_is(desk: Desk) -> None:
    assert desk.restored(Until(seq=6), "six.sqlite")[0].upto_seq == 6
    assert desk.restored(Until(seq=0), "none.sqlite")[0].upto_seq == 0
    plan, new = desk.restored(Until(), "all.sqlite")
    assert plan.upto_seq == 20
    assert contents(new, TOLD.__contains__) == desk.states[10]
    with pytest.raises(LiveError, match="there is no event 21"):
        desk.restored(Until(seq=21))


def test_nothing_is_restored_over_a_file_that_is_there(desk: Desk) -> None:
    there = desk.folder / "new.sqlite"
    there.write_text("mine")
    with pytest.raises(LiveError, match="exists: name a new file"):
        desk.restored(Until())
    assert there.read_text() == "mine"


def test_a_damaged_journal_is_restored_as_far_as_its_newest_backup(desk: Desk) -> None:
    desk.store.close()
    raw = bytearray(desk.store.path.read_bytes())
    raw[4096 : len(raw) // 2] = b"\xff" * (len(raw) // 2 - 4096)
    desk.store.path.write_bytes(raw)
    plan, new = desk.restored(Until())
    assert plan.fault
    assert plan.upto_seq == 8
    assert contents(new, TOLD.__contains__) == desk.states[4]
    assert "what came after" in plan.sentence()
    earlier, new = desk.restored(Until(seq=4), "earlier.sqlite")
    assert (earlier.base, contents(new, TOLD.__contains__)) == (None, desk.states[2])


def test_a_journal_that_is_gone_is_restored_from_its_backup(desk: Desk) -> None:
    desk.store.close()
    desk.store.path.unlink()
    plan, new = desk.restored(Until())
    assert "is not there" in plan.fault
    assert contents(new, TOLD.__contains__) == desk.states[4]
    assert not list(desk.folder.glob("backups/log*")), "the scratch copy is gone"


def test_without_journal_and_backup_it_says_so(desk: Desk) -> None:
    desk.store.close()
    desk.store.path.unlink()
    desk.kept.shelf.remove(desk.kept.shelf.listed())
    with pytest.raises(LiveError, match="holds no backup with a log"):
        desk.restored(Until())


def test_a_damaged_backup_stops_the_restore_and_leaves_nothing(desk: Desk) -> None:
    assert desk.backup is not None
    path = desk.folder / "backups" / desk.backup.name
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(LiveError, match="is not as it was written"):
        desk.restored(Until())
    assert not list(desk.folder.glob("*new.sqlite*"))
    plan, _ = desk.restored(Until(), from_log=True)
    assert plan.upto_seq == 20


def test_a_backup_of_a_history_that_was_left_is_not_built_on(desk: Desk) -> None:
    _, new = desk.restored(Until(seq=4))
    new.close()
    desk.store.close()
    new.path.replace(desk.store.path)
    log = EventLog(Store(desk.store.path), desk.clock)
    for number in range(10):
        log.append([noted(f"the other way {number}")], 0)
    plan, _ = desk.restored(Until(seq=12), "again.sqlite")
    assert plan.base is None


def test_the_epoch_never_goes_back_and_nobody_holds_the_new_journal(desk: Desk) -> None:
    with desk.store.writing() as connection:
        connection.execute(update(lease).values(epoch=9, holder="somebody"))
    _, new = desk.restored(Until(seq=8))
    with new.reading() as connection:
        row = connection.execute(select(lease)).one()
    assert (row.epoch, row.holder) == (9, "")


def test_the_new_journal_says_where_it_came_from(desk: Desk) -> None:
    _, new = desk.restored(Until(seq=8))
    with new.reading() as connection:
        said = connection.exec_driver_sql("SELECT message FROM events WHERE kind = 'restored'").scalar_one()
    assert "up to event 8" in said
