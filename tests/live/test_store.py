"""The journal's database: every connection durable, and every fault of disk, lock or file an error with its remedy."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live import store as store_module
from ljwx_pipeline.live.store import Store, database_url
from tests.fakes.journal_events import decided, filled, noted
from tests.fakes.journals import contents, empty_store, log_of


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return empty_store(tmp_path)


def test_every_connection_is_durable_and_checks_foreign_keys(store: Store) -> None:
    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    with store.reading() as one, store.reading() as two, Store(store.path).writing() as three:
        for connection in (one, two, three):
            assert {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in wanted} == wanted


def test_a_failing_block_leaves_nothing(store: Store) -> None:
    def fail() -> None:
        with store.writing() as connection:
            connection.execute(text("INSERT INTO outbox VALUES (1, 'info', 'c', 'm', 'a')"))
            raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        fail()
    with store.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM outbox")).scalar_one() == 0


def test_a_reader_sees_one_state_and_never_keeps_a_writer_waiting(store: Store) -> None:
    log = log_of(store)
    with store.reading() as reader:
        count = text("SELECT count(*) FROM events_log")
        assert reader.execute(count).scalar_one() == 0
        since = time.monotonic()
        assert log.append([noted()], 0) == 1
        assert time.monotonic() - since < 5
        assert reader.execute(count).scalar_one() == 0
    with store.reading() as reader:
        assert reader.execute(count).scalar_one() == 1


def test_a_writer_waits_for_another_one_that_ends_in_time(store: Store) -> None:
    other = sqlite3.connect(store.path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.5, other.execute, ["COMMIT"])
    release.start()
    assert log_of(store).append([noted()], 0) == 1
    release.join()


def test_a_database_held_locked_too_long_is_an_error_and_nothing_is_written(store: Store) -> None:
    impatient = Store(store.path, lock_wait_s=0.2)
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(
            LiveError, match=r"held locked by another process .*: nothing was written; end whatever holds"
        ):
            log_of(impatient).append([noted()], 0)
        with impatient.reading() as connection:
            assert connection.execute(text("SELECT count(*) FROM events_log")).scalar_one() == 0
        other.execute("COMMIT")
    assert log_of(impatient).append([noted()], 0) == 1


def in_child(work: Callable[[], None]) -> int:
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join(60)
    assert process.exitcode is not None
    return process.exitcode


def test_a_database_that_may_not_be_written_says_so() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as made:  # nobody may not enter root's TMPDIR
        folder = Path(made)
        store = empty_store(folder)
        log_of(store).append([noted()], 0)
        store.close()
        store.path.chmod(0o444)
        folder.chmod(0o555)

        hears, says = multiprocessing.Pipe(duplex=False)

        def as_nobody() -> None:
            if os.geteuid() == 0:
                os.setuid(65_534)  # root may write anything
            with pytest.raises(LiveError, match=r"is read-only|cannot be opened") as told:
                log_of(Store(store.path)).append([noted()], 0)
            says.send(str(told.value))

        # not the exit code: as nobody, what measures coverage cannot write its own file when the process ends
        in_child(as_nobody)
        assert hears.poll(0), "nobody was refused nothing, or was refused otherwise"
        assert "read-only" in (said := hears.recv()) or "cannot be opened" in said
        folder.chmod(0o755)


def test_a_full_disk_is_named_and_nothing_is_half_written(tmp_path: Path) -> None:
    store = empty_store(tmp_path)
    log_of(store).append([decided()], 0)
    before = contents(store)
    store.close()

    def with_little_room() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
        log = log_of(Store(store.path))

        def fill_it() -> None:
            for number in range(250):
                log.append([filled(f"e{number}", shares=1), noted("x" * 5_000)], 0)

        with pytest.raises(LiveError, match=r"full disk|could not be written") as refused:
            fill_it()
        assert "nothing was written" in refused.value.remedy

    assert in_child(with_little_room) == 0
    again = Store(store.path)
    with again.reading() as connection:
        assert connection.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"
        counts = [
            connection.execute(text(f"SELECT {what}")).scalar_one()
            for what in (
                "(SELECT count(*) FROM events_log)",
                "(SELECT seq FROM projection)",
                "(SELECT count(*) FROM fills) * 2 + 1",
                "(SELECT count(*) FROM events) * 2 + 1",
            )
        ]
    assert len(set(counts)) == 1, "each transaction is there whole, or not at all"
    assert contents(again) != before


@pytest.mark.parametrize("where", [0, 4_096])
def test_a_damaged_file_is_named_with_the_way_back(tmp_path: Path, where: int) -> None:
    store = empty_store(tmp_path)
    log = log_of(store)
    for number in range(50):
        log.append([noted("x" * 500), decided(f"o{number}")], 0)
    store.close()
    raw = bytearray(store.path.read_bytes())
    raw[where:] = b"\x5a" * (len(raw) - where)
    store.path.write_bytes(raw)
    with pytest.raises(LiveError, match=r"the file is damaged .*ljwx live restore"):
        log_of(Store(store.path)).append([noted()], 0)


def test_a_row_that_contradicts_others_is_a_live_error(store: Store) -> None:
    with pytest.raises(LiveError, match="refused a row that contradicts others"), store.writing() as connection:
        connection.execute(text("INSERT INTO fills VALUES ('e', 'nobody', 'd', 's', 'buy', 1, 1, 1, 0, 0, 0, 0, 0, 0)"))


@pytest.mark.parametrize("place", ["mysql://u@h/d", "not a url", "postgresql+nosuch://u@h/d"])
def test_a_database_that_nobody_knows_is_refused_without_showing_what_was_written(place: str) -> None:
    with pytest.raises(LiveError, match="names no database that the runner knows") as refused:
        database_url(place)
    assert place not in str(refused.value)


def test_a_server_that_does_not_answer_is_an_error_with_its_address_and_no_password() -> None:
    with pytest.raises(LiveError) as refused:
        Store("postgresql+psycopg2://u:secret@127.0.0.1:9/d", lock_wait_s=1)
    assert "127.0.0.1:9" in str(refused.value)
    assert "secret" not in str(refused.value)


def _append_and_die(path: Path, die_at: int, *, after: bool) -> None:
    count, commit = -1, store_module.commit

    def deadly(connection: object) -> None:
        nonlocal count
        count += 1
        if count == die_at and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        commit(connection)
        if count == die_at and after:
            os.kill(os.getpid(), signal.SIGKILL)

    store_module.commit = deadly
    _day(Store(path))


def _day(store: Store) -> None:
    """A day that may be told again from the start after any crash: everything in it is idempotent."""
    log = log_of(store)
    log.append([decided("a"), decided("b")], 0)
    log.append([filled("e1", "a")], 0)
    log.append([filled("e2", "a", 200), filled("e3", "b", 300)], 0)


def test_killed_around_every_commit_the_same_day_told_again_ends_the_same(tmp_path: Path) -> None:
    whole = empty_store(tmp_path / "whole")
    _day(whole)
    wanted = contents(whole)
    kills = 0
    for after in (False, True):
        for die_at in range(10):
            store = empty_store(tmp_path / f"{after}{die_at}")
            store.close()
            work = multiprocessing.get_context("fork").Process(
                target=_append_and_die, args=(store.path, die_at), kwargs={"after": after}
            )
            work.start()
            work.join(60)
            if work.exitcode == 0:
                break
            assert work.exitcode == -signal.SIGKILL
            kills += 1
            again = Store(store.path)
            with again.reading() as connection:
                done = connection.execute(text("SELECT count(*) FROM events_log")).scalar_one()
            assert done == (0, 2, 3, 5)[die_at + after], "whole transactions, and every one that was committed"
            _day(again)
            assert contents(again) == wanted
            again.close()
    assert kills == 6
