"""The same journal on PostgreSQL: the same rows, the same fences, backups and restore by the server's own tools."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text, update

from ljwx_pipeline.clock import ManualClock
from ljwx_pipeline.console.journal_reader import Reader
from ljwx_pipeline.errors import Deposed, EnvironmentFault, LiveError
from ljwx_pipeline.live.backups import Backups
from ljwx_pipeline.live.event_log import EventLog, read_events
from ljwx_pipeline.live.events import AlertRaised, BreakerTripped, ModeChanged, OrderSent, SignalsScored, Tier
from ljwx_pipeline.live.journal import DeployedBundle, Journal, RunnerState
from ljwx_pipeline.live.lease import Lease
from ljwx_pipeline.live.orders import OrderState
from ljwx_pipeline.live.projections import derive
from ljwx_pipeline.live.restore import Restore, Until
from ljwx_pipeline.live.store import Store, database_url
from ljwx_pipeline.live.tables import lease
from ljwx_pipeline.trading.modes import TradingMode
from tests.fakes import postgres
from tests.fakes.arrivals import deploy_into
from tests.fakes.journal_events import (
    BUNDLE,
    DAY,
    NEXT,
    NOW,
    closed,
    decided,
    filled,
    held,
    noted,
    reported,
    staged,
)
from tests.fakes.journals import contents, empty_store, log_of

pytestmark = pytest.mark.skipif(bool(postgres.missing()), reason=postgres.missing() or "PostgreSQL is here")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres.postgres() as address:
        yield address


@pytest.fixture
def address(server: str, request: pytest.FixtureRequest) -> str:
    """An empty database of this test's own."""
    name = f"t_{abs(hash(request.node.name)):x}"
    admin = Store(server)
    with admin._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    admin.close()
    return database_url(server).set(database=name).render_as_string()


@pytest.fixture
def journal(address: str, tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(address, ManualClock(NOW), backups_dir=tmp_path / "backups")
    yield journal
    journal.close()


def events() -> list[object]:
    return [staged(), decided(), filled(), filled("e2", shares=200), closed(positions=(held(),)), noted("x")]


def test_the_same_events_give_the_same_rows_as_on_sqlite(journal: Journal, tmp_path: Path) -> None:
    other = empty_store(tmp_path)
    for log in (journal.log, log_of(other)):
        log.append(events(), 0)
    assert contents(journal.store) == contents(other)


def test_tables_derived_anew_equal_those_that_grew(journal: Journal) -> None:
    journal.log.append(events(), 0)
    grown = contents(journal.store)
    with journal.store.writing() as connection:
        derive(connection, read_events(connection))
    assert contents(journal.store) == grown


def test_an_order_is_decided_sent_and_ended_and_its_session_closes_once(journal: Journal) -> None:
    deploy_into(journal, "m", DeployedBundle(BUNDLE, "1", DAY))
    sent = OrderSent(client_order_id="a", fencing_epoch=0, sent_at_ns=1)
    journal.log.append([decided(bundle_hash=BUNDLE), sent, reported(OrderState.ACCEPTED)], 0)
    assert journal.order_counts() == {"accepted": 1}
    journal.log.append([filled(), reported(OrderState.LAPSED, filled=100), closed(positions=(held(),))], 0)
    assert (journal.order_counts(), journal.sessions()) == ({"lapsed": 1}, {NEXT: "h"})
    with pytest.raises(LiveError, match="is closed with"):
        journal.log.append([closed(cash_fen=1)], 0)


def test_the_database_itself_keeps_the_log_from_being_changed(journal: Journal) -> None:
    journal.log.append(events(), 0)
    for statement in ("UPDATE events_log SET body = ''", "DELETE FROM events_log", "TRUNCATE events_log"):
        with pytest.raises(LiveError, match="append-only"), journal.store.writing() as connection:
            connection.execute(text(statement))


def test_many_writers_leave_no_hole_and_every_reader_sees_one_state(journal: Journal, address: str) -> None:
    def write() -> None:
        store = Store(address)
        for _ in range(20):
            EventLog(store, ManualClock(NOW)).append([noted(), noted()], 0)
        store.close()

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        with journal.store.reading() as connection:
            counted = text("SELECT count(*) FROM events_log")
            standing = text("SELECT seq FROM projection")
            assert connection.execute(counted).scalar_one() == connection.execute(standing).scalar_one()
    with journal.store.reading() as connection:
        assert [one.seq for one in read_events(connection)] == list(range(1, 161))


def test_one_runner_holds_the_lease_and_a_deposed_one_cannot_append(journal: Journal, address: str) -> None:
    clock = ManualClock(NOW)
    one, other = (Lease(Store(address), clock, holder=name, term_s=6) for name in ("one", "other"))
    assert one.acquire()
    assert not other.acquire()
    clock.set(NOW + timedelta(seconds=6.5))
    assert other.acquire()
    with pytest.raises(Deposed):
        one.renew()
    with pytest.raises(Deposed):
        journal.log.append([noted()], 1)
    assert journal.log.append([noted()], other.epoch) == 1


def test_two_that_ask_at_once_are_not_both_given_it(journal: Journal, address: str) -> None:
    leases = [Lease(Store(address), ManualClock(NOW), holder=f"r{number}") for number in range(4)]
    got: list[bool] = []
    start = threading.Barrier(len(leases))

    def ask(one: Lease) -> None:
        start.wait()
        got.append(one.acquire())

    threads = [threading.Thread(target=ask, args=(one,)) for one in leases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got.count(True) == 1


def test_a_database_held_locked_too_long_is_an_error_and_nothing_is_written(journal: Journal, address: str) -> None:
    impatient = Store(address, lock_wait_s=0.3)
    with journal.store.writing() as connection:
        connection.execute(update(lease).values(holder="somebody"))
        with pytest.raises(LiveError, match="held locked by another process"):
            EventLog(impatient, ManualClock(NOW)).append([noted()], 0)
    assert journal.log.last_seq() == 0


def test_a_backup_restores_to_the_same_rows_in_a_new_database(journal: Journal, address: str, tmp_path: Path) -> None:
    journal.log.append(events(), 0)
    before = contents(journal.store)
    made = journal.backups.make("asked for")
    assert made.tables == before
    journal.log.append([noted("after it")], 0)
    restore = Restore(address, tmp_path / "backups", ManualClock(NOW))
    into = database_url(address).set(database=f"{database_url(address).database}_new").render_as_string()
    with restore.planned(Until()) as (plan, log):
        assert (plan.base, plan.events) == (made, 1)
        restore.carry_out(plan, log, into)
    new = Store(into)
    told = {"events_log", "events", "projection"}
    assert contents(new, told.__contains__) == contents(journal.store, told.__contains__)
    new.close()
    with pytest.raises(LiveError, match="exists: name a new one"), restore.planned(Until()) as (plan, log):
        restore.carry_out(plan, log, into)


def test_no_scratch_database_is_left_behind(journal: Journal) -> None:
    journal.log.append(events(), 0)
    journal.backups.make("asked for")
    with journal.store.reading() as connection:
        names = connection.execute(text("SELECT datname FROM pg_database WHERE datname LIKE '%scratch'")).all()
    assert names == []


def test_a_lost_server_is_an_error_that_says_what_is_not_known(tmp_path: Path) -> None:
    with postgres.postgres() as address:
        journal = Journal(address, ManualClock(NOW), backups_dir=tmp_path)
        kept = Backups(journal.store, tmp_path, ManualClock(NOW))
        journal.log.append([noted()], 0)
    with pytest.raises(LiveError) as refused:
        journal.log.append([noted()], 0)
    assert "lost the connection" in refused.value.fact or "refused" in refused.value.fact
    with pytest.raises(LiveError):
        kept.make("asked for")


def test_the_console_reads_the_same_from_a_server_as_from_a_file(
    journal: Journal, address: str, tmp_path: Path
) -> None:
    file = Journal(tmp_path / "journal.sqlite", ManualClock(NOW))
    for one in (journal, file):
        one.log.append(
            [*events(), SignalsScored(session=NEXT, strategy="s", bundle_hash="b" * 64, scores={"S": 0.5})], 0
        )
        one.log.append(
            [
                BreakerTripped(breaker="DAY_LOSS", scope="", session=NEXT, value="2", limit="1", reason="too much"),
                ModeChanged(scope="", mode=TradingMode.READ_ONLY, by="ann", reason="careful"),
                AlertRaised(tier=Tier.CRITICAL, code="DAY_LOSS", message="too much"),
            ],
            0,
        )
        one.record_state(RunnerState("trading", True, 12_345, None, None, 0, 0, "at work"))
    readers = Reader(tmp_path / "none", address), Reader(tmp_path / "journal.sqlite")
    said = [
        (
            reader.runner(),
            reader.withdrawn(),
            reader.account(),
            reader.positions(),
            reader.orders(5),
            reader.order_states(),
            reader.fills(5),
            reader.signals(5),
            reader.strategies(),
            reader.sleeves(),
            reader.tripped(),
            reader.chosen_modes(),
            reader.alerts(5),
            reader.events(5),
        )
        for reader in readers
    ]
    assert said[0] == said[1]
    assert json.dumps(said[0]) == json.dumps(said[1])


def test_the_console_says_that_there_is_no_journal_on_a_server_yet_or_that_it_cannot_be_reached(address: str) -> None:
    assert Reader(Path("none"), address).runner() is None
    with pytest.raises(EnvironmentFault, match="cannot be read"):
        Reader(Path("none"), "postgresql+psycopg2://quant@127.0.0.1:9/x").runner()
