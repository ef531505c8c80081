"""Alarms ask once, wait for the cool-down, never learn from broken input; damaged records stop the rule."""

from __future__ import annotations

from datetime import date
from typing import Any

import pandas as pd
import pytest

from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.monitoring.retrain import Retraining, retraining_due

SESSIONS = pd.bdate_range("2026-03-02", periods=60)


def day(at: int) -> str:
    return str(SESSIONS[at].date())


def alarm(at: int, **changes: Any) -> dict[str, Any]:
    return {"key": f"a{at}", "kind": "skill_lost", "version": "7", "session": day(at), "in_force": True} | changes


def request(at: int, *alarms: str, status: Any = "SUCCESS") -> dict[str, Any]:
    return {"session": day(at), "alarms": list(alarms), "status": status}


def due(alarms: list[Any], requests: list[Any], at: int, **changes: Any) -> Retraining:
    settings: dict[str, Any] = {"today": SESSIONS[at].date(), "champion": "7", "cool_down_sessions": 20} | changes
    return retraining_due(alarms, requests, SESSIONS, **settings)


def test_without_an_alarm_nothing_is_asked() -> None:
    assert not due([], [], 5).asked


@pytest.mark.parametrize("kind", ["skill_lost", "drift", "miscalibrated"])
def test_an_alarm_about_the_champion_asks(kind: str) -> None:
    found = due([alarm(3, kind=kind)], [], 5)
    assert found.asked
    assert found.alarms == ("a3",)
    assert kind in found.reason


def test_an_alarm_about_another_version_asks_nothing() -> None:
    assert not due([alarm(3, version="6")], [], 5).asked


def test_an_answered_alarm_is_not_asked_again() -> None:
    assert not due([alarm(3)], [request(3, "a3")], 40).asked


def test_a_new_alarm_waits_for_the_cool_down_and_is_asked_on_its_first_session() -> None:
    alarms, requests = [alarm(3), alarm(9)], [request(3, "a3")]
    waiting = due(alarms, requests, 22)
    assert (waiting.asked, waiting.alarms, waiting.earliest) == (False, ("a9",), SESSIONS[23].date())
    assert "19 sessions ago, cool-down 20" in waiting.reason
    assert due(alarms, requests, 23).asked
    assert due(alarms, requests, 9, cool_down_sessions=0).asked


def test_a_cool_down_beyond_the_calendar_names_no_session() -> None:
    assert due([alarm(3), alarm(9)], [request(3, "a3")], 22, cool_down_sessions=200).earliest is None


def test_one_request_answers_all_alarms_and_the_oldest_comes_first() -> None:
    assert due([alarm(9), alarm(3), alarm(4, kind="drift")], [], 9).alarms == ("a3", "a4", "a9")


def test_a_training_that_still_runs_is_waited_for_however_long() -> None:
    found = due([alarm(3), alarm(9)], [request(3, "a3", status="")], 50)
    assert (found.asked, found.alarms) == (False, ("a3", "a9"))
    assert "has not ended" in found.reason


@pytest.mark.parametrize("status", ["FAILURE", "CANCELED"])
def test_a_training_that_did_not_succeed_answers_nothing_and_is_asked_for_again_after_a_week(status: str) -> None:
    alarms, requests = [alarm(3)], [request(3, "a3", status=status)]
    waiting = due(alarms, requests, 7)
    assert (waiting.asked, waiting.alarms, waiting.earliest) == (False, ("a3",), SESSIONS[8].date())
    assert f"ended as {status}, 4 sessions ago, cool-down 5" in waiting.reason
    assert due(alarms, requests, 8).alarms == ("a3",)
    assert due(alarms, requests, 8).asked
    assert due(alarms, requests, 5, cool_down_sessions=2).asked, "no longer than the cool-down itself"
    assert not due(alarms, [*requests, request(8, "a3")], 40).asked, "the second training answers it"
    later = [alarm(3), alarm(9)]
    held = due(later, [request(3, "a3"), request(9, "a9", status=status)], 20)
    assert (held.asked, held.earliest) == (False, SESSIONS[23].date()), "the cool-down of the one before still holds"


def test_broken_input_never_asks_and_holds_the_others_back_while_it_lasts() -> None:
    broken = alarm(9, key="b9", kind="broken_input")
    assert not due([broken], [], 12).asked
    held = due([alarm(3), broken], [], 9)
    assert (held.asked, held.alarms) == (False, ("a3",))
    assert f"is broken since {SESSIONS[9].date()}" in held.reason
    assert not due([alarm(3), broken], [], 10).asked, "it still stands on the next session"
    assert due([alarm(3), broken | {"in_force": False}], [], 10).asked
    assert due([alarm(3), broken | {"version": "6"}], [], 10).asked, "nobody watches the inputs of a former champion"


@pytest.mark.parametrize(
    "damaged",
    [
        {"key": "a3", "kind": "skill_lost", "version": "7", "in_force": True},
        alarm(3, more=1),
        alarm(3, kind="bored"),
        alarm(3, version=7),
        alarm(3, in_force="yes"),
        alarm(3, key=""),
        alarm(3, session="2026-03-07"),  # a Saturday
        alarm(3, session="20260305"),
        alarm(3, session="2026-02-30"),
        alarm(3, session=None),
        alarm(30),  # after today
        "a3",
    ],
)
def test_a_damaged_alarm_is_an_error_and_not_passed_over(damaged: Any) -> None:
    with pytest.raises(DataQualityError, match=r"damaged|no finished session"):
        due([damaged], [], 5)


@pytest.mark.parametrize(
    "damaged",
    [
        {"session": day(3), "alarms": ["a3"]},
        request(3),
        request(3, "a3", status=True),
        {"session": day(3), "alarms": "a3", "status": "SUCCESS"},
        request(30, "a3"),
    ],
)
def test_a_damaged_request_is_an_error_and_not_passed_over(damaged: Any) -> None:
    with pytest.raises(DataQualityError, match=r"damaged|no finished session"):
        due([alarm(3)], [damaged], 5)


def test_records_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(DataQualityError, match="a3 is told 2 times"):
        due([alarm(3), alarm(3)], [], 5)
    with pytest.raises(DataQualityError, match="answers the alarm a4, which nobody raised"):
        due([alarm(3)], [request(3, "a4")], 5)


def test_a_today_off_the_calendar_and_a_negative_cool_down_are_refused() -> None:
    with pytest.raises(DataQualityError, match="today is of '2026-03-07'"):
        due([], [], 5, today=date(2026, 3, 7))
    with pytest.raises(DataQualityError, match="cool-down of -1"):
        due([], [], 5, cool_down_sessions=-1)
