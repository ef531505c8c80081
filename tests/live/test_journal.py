"""The journal keeps what it was told, once, and its events for ever."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from ljwx_pipeline.clock import ManualClock
from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.backup_shelf import Retention
from ljwx_pipeline.live.events import OrderSent
from ljwx_pipeline.live.journal import DeployedBundle, Journal, RunnerState
from ljwx_pipeline.live.orders import OrderState, client_order_id
from ljwx_pipeline.trading.exchange_wire import Side
from tests.fakes.arrivals import deploy_into
from tests.fakes.journal_events import DAY, NEXT, closed, decided, filled, held, reported
from tests.fakes.sqlite_file import connect

ONE, TWO = DeployedBundle("1" * 64, "1", date(2025, 10, 31)), DeployedBundle("2" * 64, "2", date(2025, 10, 31))
NOW = datetime(2025, 11, 3, 7, 5, tzinfo=UTC)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal.sqlite", ManualClock(NOW))
    deploy_into(journal, "m", ONE)
    yield journal
    journal.close()


def test_an_order_lives_from_its_decision_to_its_final_state(journal: Journal) -> None:
    sent = OrderSent(client_order_id="a", fencing_epoch=0, sent_at_ns=1)
    told = (
        ([decided()], {"intended": 1}),
        ([sent], {"intended": 1}),
        ([reported(OrderState.ACCEPTED)], {"accepted": 1}),
        ([filled()], {"partly_filled": 1}),
        ([reported(OrderState.LAPSED, filled=100)], {"lapsed": 1}),
    )
    for events, counts in told:
        journal.log.append(events, 0)
        assert journal.order_counts() == counts
    journal.log.append([closed(cash_fen=897_499, positions=(held(shares=100),))], 0)
    assert (journal.fill_count(), journal.positions(NEXT), journal.sessions()) == (1, {"S00001.SIM": 100}, {NEXT: "h"})
    account = journal.last_account()
    assert account is not None
    assert (account["session"], account["cash_fen"]) == (NEXT.isoformat(), 897_499)


def test_a_denied_order_is_kept(journal: Journal) -> None:
    journal.log.append([decided(denial="FAT_FINGER")], 0)
    assert journal.order_counts() == {"denied": 1}


def test_events_that_are_told_together_are_written_together_or_not_at_all(journal: Journal) -> None:
    journal.log.append([decided()], 0)
    with pytest.raises(LiveError, match="order a is "):
        journal.log.append([closed(), decided(shares=400)], 0)
    assert journal.sessions() == {}
    assert journal.last_account() is None
    journal.log.append([closed(), decided("b")], 0)
    assert journal.sessions() == {NEXT: "h"}


def test_the_bundle_deployed_last_is_the_last_one_even_after_a_rollback(journal: Journal) -> None:
    assert not deploy_into(journal, "m", ONE), "it is the one that trades already"
    assert deploy_into(journal, "m", TWO)
    assert list(journal.bundles().values()) == [ONE, TWO]
    assert deploy_into(journal, "m", ONE)
    assert list(journal.bundles().values()) == [TWO, ONE]


def test_events_cannot_be_changed_or_removed(journal: Journal) -> None:
    journal.record_event("note", "something happened", DAY)
    db = connect(journal.path)
    for statement in ("UPDATE events SET message = ''", "DELETE FROM events"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            db.execute(statement)
    row = db.execute("SELECT at, message FROM events ORDER BY id DESC LIMIT 1").fetchone()
    assert tuple(row) == (NOW.isoformat(), "something happened")


def test_the_runner_s_row_is_replaced(journal: Journal) -> None:
    assert journal.runner_state() is None
    state = RunnerState("waiting", True, 100, None, None, 0, 0, "nothing yet")
    journal.record_state(state)
    journal.record_state(replace(state, mode="trading"))
    assert journal.runner_state() == replace(state, mode="trading")


def test_an_idle_runner_s_row_is_stamped_anew_now_and_then(tmp_path: Path) -> None:
    clock = ManualClock(NOW)
    journal = Journal(tmp_path / "journal.sqlite", clock)
    journal.keep_alive(10)  # nothing to stamp yet
    journal.record_state(RunnerState("finished", True, 100, None, None, 0, 0, ""))

    def stamp_after(seconds: float) -> float:
        clock.set(NOW + timedelta(seconds=seconds))
        journal.keep_alive(10)
        (at,) = connect(journal.path).execute("SELECT updated_at FROM runner").fetchone()
        return (datetime.fromisoformat(at) - NOW).total_seconds()

    assert [stamp_after(s) for s in (0, 10, 10.5, 20, 21, 5)] == [0, 0, 10.5, 10.5, 21, 5]


def test_an_order_id_names_strategy_model_symbol_session_and_side() -> None:
    named = client_order_id(strategy="s", model_version="1", symbol="S00001.SIM", session=DAY, side=Side.BUY)
    assert named == "s|1|S00001.SIM|2025-11-03|buy"


def test_a_backup_a_day_is_made_and_told_of_and_one_that_fails_alerts_once_an_hour(tmp_path: Path) -> None:
    clock = ManualClock(NOW)
    journal = Journal(tmp_path / "journal.sqlite", clock)
    kept = Retention(days=1, months=1)
    for hours in (0, 1, 25):
        clock.set(NOW + timedelta(hours=hours))
        journal.back_up_daily(kept)
    assert [one.instant for one in journal.backups.shelf.listed()] == [NOW + timedelta(hours=25)]
    told = connect(journal.path).execute("SELECT count(*) FROM events WHERE kind = 'backup_made'").fetchone()
    assert tuple(told) == (2,)
    shutil.rmtree(tmp_path / "backups")
    (tmp_path / "backups").write_text("a file where the folder would be")
    for minutes in (0, 30, 61):
        clock.set(NOW + timedelta(hours=60, minutes=minutes))
        journal.back_up_daily(kept)
    alerts = connect(journal.path).execute("SELECT tier, code, message FROM outbox").fetchall()
    assert [tuple(row)[:2] for row in alerts] == [("warning", "BACKUP_FAILED")] * 2
    assert "no backup could be made" in alerts[0]["message"]
