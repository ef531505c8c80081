"""An alarm is written at its onset, once, about one bundle; a request ends with its run; damage stops the reader."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ljwx_pipeline.clock import ManualClock
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.monitoring.retrain import retraining_due
from ljwx_pipeline.tracking import AlarmJournal, RetrainingJournal
from ljwx_pipeline.tracking.alarms import subject

SESSIONS = pd.bdate_range("2026-03-02", periods=100)
ONE, TWO = "a" * 64, "b" * 64
CLOCK = ManualClock(datetime(2026, 3, 2, 10, tzinfo=UTC))


@pytest.fixture
def alarms(tmp_path: Path) -> AlarmJournal:
    return AlarmJournal(tmp_path, clock=CLOCK)


def drift(alarms: AlarmJournal, at: int, *, now: bool, bundle: str = ONE) -> object:
    return alarms.settle("drift", "m", "3", bundle, now=now, session=SESSIONS[at].date(), sentence="A has drifted")


def test_a_state_is_told_when_it_begins_and_when_it_has_passed_and_not_in_between(alarms: AlarmJournal) -> None:
    assert drift(alarms, 0, now=False) is None
    assert alarms.lines() == []
    assert drift(alarms, 1, now=True) is not None
    assert drift(alarms, 2, now=True) is None
    assert [one.session for one in alarms.in_force(ONE)] == ["2026-03-03"]
    assert drift(alarms, 3, now=False) is None
    assert alarms.in_force(ONE) == []
    assert drift(alarms, 4, now=True) is not None
    assert [one.what for one in alarms.lines()] == ["raised", "cleared", "raised"]
    assert len({one["key"] for one in alarms.records()}) == 2


def test_what_is_true_again_on_the_session_it_was_raised_on_is_the_same_alarm(alarms: AlarmJournal) -> None:
    for now in (True, False, True, False, True):
        drift(alarms, 1, now=now)
    assert [one.what for one in alarms.lines()] == ["raised", "cleared", "resumed", "cleared", "resumed"]
    assert len(alarms.in_force(ONE)) == 1
    (record,) = alarms.records()
    due = retraining_due([record], [], SESSIONS, today=SESSIONS[1].date(), champion=subject("3", ONE))
    assert due.asked


def test_a_new_champion_begins_without_alarms_though_its_number_be_the_old_one(alarms: AlarmJournal) -> None:
    drift(alarms, 1, now=True)
    assert alarms.in_force(TWO) == []
    due = retraining_due(alarms.records(), [], SESSIONS, today=SESSIONS[1].date(), champion=subject("3", TWO))
    assert not due.asked
    assert drift(alarms, 1, now=True, bundle=TWO) is not None
    assert len({one["key"] for one in alarms.records()}) == 2


def test_broken_input_holds_retraining_back_on_every_session_until_it_has_passed(alarms: AlarmJournal) -> None:
    def broken(at: int, *, now: bool) -> None:
        alarms.settle("broken_input", "m", "3", ONE, now=now, session=SESSIONS[at].date())

    def due(at: int) -> tuple[bool, str]:
        found = retraining_due(
            alarms.records(), [], SESSIONS, today=SESSIONS[at].date(), champion=subject("3", ONE), cool_down_sessions=0
        )
        return found.asked, found.reason

    drift(alarms, 1, now=True)
    for at in (9, 10, 11):
        broken(at, now=True)
        assert due(at) == (False, f"the input is broken since {SESSIONS[9].date()}: it is not learned from")
    broken(12, now=False)
    assert due(12)[0]


def test_lost_skill_is_told_with_the_session_since_which_it_stands(alarms: AlarmJournal) -> None:
    drift(alarms, 1, now=True)
    newest = SESSIONS[9].date()
    assert alarms.skill_lost_since(ONE, newest=newest) is None
    for at in (4, 9):
        alarms.raised("skill_lost", "m", "3", ONE, session=SESSIONS[at].date(), sentence="lost")
    assert alarms.skill_lost_since(ONE, newest=newest) == SESSIONS[4].date()
    assert alarms.skill_lost_since(TWO, newest=newest) is None


def test_lost_skill_of_a_session_that_has_not_come_frees_nobody(alarms: AlarmJournal) -> None:
    alarms.raised("skill_lost", "m", "3", ONE, session=SESSIONS[9].date(), sentence="lost")
    with pytest.raises(LakeError, match=rf"alarms\.jsonl is damaged \(line 1: session is {SESSIONS[9].date()}, after"):
        alarms.skill_lost_since(ONE, newest=SESSIONS[8].date())


@pytest.mark.parametrize(
    "changed",
    [
        {"what": "zzz"},
        {"what": "cleared"},
        {"what": ["raised"]},
        {"kind": "x"},
        {"kind": ["skill_lost"]},
        {"session": "abc"},
        {"session": 5},
        {"session": "2026-02-30"},
        {"session": "20260306"},
        {"session": "2026-03-09"},
        {"key": "k"},
        {"key": [1]},
        {"key": None},
        {"version": 3},
        {"version": "4"},
        {"bundle_hash": None},
        {"bundle_hash": TWO},
        {"bundle_hash": "b"},
        {"at": "x"},
        {"sentence": None},
    ],
)
def test_a_damaged_alarm_frees_nobody_and_is_named_with_its_line(alarms: AlarmJournal, changed: dict[str, Any]) -> None:
    drift(alarms, 1, now=True)
    alarms.raised("skill_lost", "m", "3", ONE, session=SESSIONS[4].date(), sentence="lost")
    first, second = alarms.path.read_text().splitlines()
    alarms.path.write_text(f"{first}\n{json.dumps({**json.loads(second), **changed})}\n")
    for read in (
        lambda: alarms.skill_lost_since(ONE, newest=SESSIONS[50].date()),
        lambda: alarms.in_force(ONE),
        alarms.records,
    ):
        with pytest.raises(LakeError, match=r"alarms\.jsonl is damaged \(line 2: "):
            read()


@pytest.mark.parametrize(
    "changed",
    [
        {"alarms": None},
        {"alarms": 5},
        {"alarms": []},
        {"alarms": [5]},
        {"alarms": ""},
        {"session": "x"},
        {"key": []},
        {"key": ""},
        {"what": "zzz"},
        {"what": "ended"},
        {"what": "ended", "key": ["a"]},
        {"status": 5},
        {"at": ""},
    ],
)
def test_a_damaged_request_is_named_with_its_line(tmp_path: Path, changed: dict[str, Any]) -> None:
    journal = RetrainingJournal(tmp_path, clock=CLOCK)
    journal.requested(date(2026, 3, 2), ["x"])
    journal.path.write_text(json.dumps({**json.loads(journal.path.read_text()), **changed}) + "\n")
    for read in (journal.records, journal.open_requests, journal.failed_last):
        with pytest.raises(LakeError, match=r"retraining\.jsonl is damaged \(line 1: "):
            read()


def test_a_request_ends_with_how_it_did(tmp_path: Path) -> None:
    journal = RetrainingJournal(tmp_path, clock=CLOCK)
    made = journal.requested(date(2026, 3, 2), ["x"])
    journal.ended(made.key, run_id="r", status="")
    with pytest.raises(LakeError, match=r"retraining\.jsonl is damaged \(line 2: it ended, and how is not told"):
        journal.records()


def test_a_request_is_open_until_its_run_ends_and_answers_its_alarms_for_ever_where_it_succeeded(
    alarms: AlarmJournal, tmp_path: Path
) -> None:
    drift(alarms, 1, now=True)
    journal, today = RetrainingJournal(tmp_path, clock=CLOCK), SESSIONS[1].date()
    (alarm,) = alarms.records()
    made = journal.requested(today, [alarm["key"]])
    assert [one.key for one in journal.open_requests()] == [made.key]
    assert journal.records() == [{"session": "2026-03-03", "alarms": [alarm["key"]], "status": ""}]
    journal.ended(made.key, run_id="q", status="FAILURE")
    assert journal.open_requests() == []
    failed = journal.failed_last()
    assert failed is not None
    assert (failed[0], failed[1].run_id) == (made, "q")
    journal.ended(made.key, run_id="r", status="SUCCESS")
    assert journal.failed_last() is None
    assert journal.records() == [{"session": "2026-03-03", "alarms": [alarm["key"]], "status": "SUCCESS"}]
    due = retraining_due(
        alarms.records(), journal.records(), SESSIONS, today=SESSIONS[90].date(), champion=subject("3", ONE)
    )
    assert not due.asked
    assert journal.requested(today, [alarm["key"]]).key != made.key


@pytest.mark.parametrize("line", ["{}", "[1]", '{"key": "x"}', "not JSON"])
def test_a_damaged_line_is_refused_with_its_file(alarms: AlarmJournal, tmp_path: Path, line: str) -> None:
    drift(alarms, 1, now=True)
    alarms.path.write_text(alarms.path.read_text() + line + "\n")
    with pytest.raises(LakeError, match=r"alarms\.jsonl is damaged"):
        alarms.records()
    journal = RetrainingJournal(tmp_path)
    journal.requested(date(2026, 3, 2), ["x"])
    journal.path.write_text(journal.path.read_text() + line + "\n")
    with pytest.raises(LakeError, match=r"retraining\.jsonl is damaged"):
        journal.open_requests()


def test_a_line_that_a_crash_tore_is_no_alarm(alarms: AlarmJournal) -> None:
    drift(alarms, 1, now=True)
    whole = alarms.path.read_bytes()
    alarms.path.write_bytes(whole + whole[:40])
    assert len(alarms.lines()) == 1
    drift(alarms, 2, now=False)
    assert [one.what for one in alarms.lines()] == ["raised", "cleared"]
