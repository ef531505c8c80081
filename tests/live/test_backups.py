"""A backup is whole and equal to the journal, or it is none; which are kept follows from a rule."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ljwx_pipeline.clock import ManualClock
from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live import backup_copies
from ljwx_pipeline.live.backup_shelf import Backup, Retention, Shelf, surplus
from ljwx_pipeline.live.backups import Backups
from ljwx_pipeline.live.store import Store
from tests.fakes.journal_events import NOW, decided, filled, noted
from tests.fakes.journals import contents, empty_store, log_of


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = empty_store(tmp_path)
    log_of(store).append([decided(), filled(), noted()], 0)
    return store


@pytest.fixture
def backups(store: Store, tmp_path: Path) -> Backups:
    return Backups(store, tmp_path / "backups", ManualClock(NOW))


def files(backups: Backups) -> list[str]:
    return sorted(path.name for path in backups.shelf.folder.iterdir() if not path.name.startswith("."))


def test_a_backup_holds_what_the_journal_held_and_is_one_file_with_its_manifest(store: Store, backups: Backups) -> None:
    told: list[str] = []
    made = backups.make("asked for", lambda table, rows: told.append(f"{table} {rows}"))
    assert backups.shelf.listed() == (made,)
    assert files(backups) == [made.name, f"{made.name}.json"]
    assert (made.upto_seq, made.revision, made.at) == (3, "0004", NOW.isoformat())
    assert made.tables == contents(store)
    assert "events_log 3" in told
    again = Store(backups.shelf.require_whole(made))
    assert contents(again) == made.tables
    again.close()


def test_it_is_of_one_instant_though_others_write_meanwhile(store: Store, backups: Backups) -> None:
    stop = threading.Event()

    def write() -> None:
        log = log_of(Store(store.path))
        while not stop.is_set():
            log.append([noted(), noted()], 0)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        made = [backups.make("busy") for _ in range(3)]
    finally:
        stop.set()
        writer.join()
    assert all(one.upto_seq % 2 == 1 for one in made), "never half a transaction"
    with closing(sqlite3.connect(backups.shelf.folder / made[-1].name)) as db:
        assert db.execute("SELECT max(seq), (SELECT seq FROM projection) FROM events_log").fetchone() == (
            made[-1].upto_seq,
            made[-1].upto_seq,
        )


def test_one_that_does_not_restore_to_the_same_rows_is_thrown_away(
    backups: Backups, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill = backup_copies._SqliteCopies.fill

    def losing(self: object, path: Path, place: Path) -> None:
        fill(self, path, place)
        with closing(sqlite3.connect(place)) as db, db:
            db.execute("UPDATE account_now SET cash_fen = cash_fen + 1")

    monkeypatch.setattr(backup_copies._SqliteCopies, "fill", losing)
    with pytest.raises(LiveError, match="does not restore to what the journal holds: account_now differ"):
        backups.make("asked for")
    assert files(backups) == []


def test_what_a_killed_backup_left_is_cleared_by_the_next(backups: Backups) -> None:
    made = backups.make("asked for")
    for left in ("journal-1.sqlite.draft", "scratch.sqlite", "scratch.sqlite-wal"):
        (backups.shelf.folder / left).write_bytes(b"half of it")
    assert backups.make("asked for").name == made.name, "the clock of this test stands still"
    assert files(backups) == [made.name, f"{made.name}.json"]


def test_two_at_once_take_turns(store: Store, backups: Backups) -> None:
    def make(number: int) -> None:
        clock = ManualClock(NOW + timedelta(seconds=number))
        Backups(Store(store.path), backups.shelf.folder, clock).make(f"number {number}")

    makers = [threading.Thread(target=make, args=(number,)) for number in range(3)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert [one.reason for one in backups.shelf.listed()] == ["number 0", "number 1", "number 2"]


def test_a_disk_without_room_is_refused_before_anything_is_written(
    backups: Backups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ljwx_pipeline.live.backups._ROOM_FACTOR", 1e15)
    with pytest.raises(LiveError, match="bytes free, a verified backup of the journal needs"):
        backups.make("asked for")
    assert files(backups) == []


def test_one_whose_file_was_changed_or_lost_is_refused(backups: Backups) -> None:
    made = backups.make("asked for")
    path = backups.shelf.folder / made.name
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(LiveError, match="is not as it was written"):
        backups.shelf.require_whole(made)
    path.unlink()
    with pytest.raises(LiveError, match="is missing"):
        backups.shelf.require_whole(made)


def test_a_file_without_its_manifest_is_no_backup_and_a_broken_manifest_is_named(backups: Backups) -> None:
    made = backups.make("asked for")
    manifest = backups.shelf.folder / f"{made.name}.json"
    manifest.write_text(manifest.read_text()[:-9])
    with pytest.raises(LiveError, match=r"the manifest .* cannot be read"):
        backups.shelf.listed()
    manifest.unlink()
    assert backups.shelf.listed() == ()


def test_one_is_due_after_a_day_or_when_the_clock_was_set_back(store: Store, tmp_path: Path) -> None:
    clock = ManualClock(NOW)
    backups = Backups(store, tmp_path / "backups", clock)
    assert backups.is_due()
    backups.make("daily")
    due = {}
    for hours in (0, 23, 24, -1):
        clock.set(NOW + timedelta(hours=hours))
        due[hours] = backups.is_due()
    assert due == {0: False, 23: False, 24: True, -1: True}
    backups.make("daily")  # one, not one at each look until the clock has come back to where it was
    assert not backups.is_due()


def shelf_of(ages_h: list[float]) -> tuple[Backup, ...]:
    blank = Backup("", "", "", "0004", 0, "", 0, "", {})
    instants = sorted(NOW - timedelta(hours=age) for age in ages_h)
    return tuple(replace(blank, name=f"{number}", at=instant.isoformat()) for number, instant in enumerate(instants))


def test_all_of_a_day_one_a_day_and_one_a_month_are_kept() -> None:
    backups = shelf_of([1, 2, 20, 40, 41, 24 * 5, 24 * 5 + 1, 24 * 40, 24 * 41, 24 * 400])
    gone = {one.instant for one in surplus(backups, Retention(days=7, months=3), NOW)}
    assert {round((NOW - instant) / timedelta(hours=1)) for instant in gone} == {41, 24 * 5 + 1, 24 * 41, 24 * 400}


@given(st.lists(st.floats(0, 24 * 900), min_size=1, max_size=40), st.integers(1, 40), st.integers(1, 24))
def test_the_newest_is_kept_and_thinning_again_removes_nothing(ages_h: list[float], days: int, months: int) -> None:
    backups = shelf_of(ages_h)
    gone = surplus(backups, Retention(days, months), NOW)
    left = tuple(one for one in backups if one not in gone)
    assert backups[-1] in left
    assert surplus(left, Retention(days, months), NOW) == ()
    assert all(datetime.fromisoformat(one.at) <= NOW - timedelta(days=1) for one in gone)


def test_removing_takes_manifest_and_file(backups: Backups) -> None:
    made = backups.make("asked for")
    backups.shelf.remove([made])
    assert files(backups) == []
    assert Shelf(backups.shelf.folder / "nowhere").listed() == ()
