"""A contest is recorded once, cannot be edited, and its capital is split as its record says."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ljwx_pipeline.clock import ManualClock
from ljwx_pipeline.contest.record import ContestRecord, capital_split
from ljwx_pipeline.errors import LakeError
from tests.contest.contests import CHAMPION, ONE, TWO, challenger, contest

AT = datetime(2026, 1, 5, 8, tzinfo=UTC)
BOTH = (challenger("2", ONE, capital=0.1), challenger("3", TWO, capital=0.2))


@pytest.fixture
def record(tmp_path: Path) -> ContestRecord:
    return ContestRecord(tmp_path, clock=ManualClock(AT))


def test_what_was_recorded_is_read_again_bit_for_bit(record: ContestRecord) -> None:
    begun = contest(*BOTH, mode="canary", alpha=0.1 / 3)
    record.started(begun)
    course = record.running("tiny")
    assert course is not None
    assert course.contest == begun
    assert course.contest.alpha_each == begun.alpha / 2
    assert record.running("another") is None
    assert record.last("another") is None


def test_a_contest_from_before_its_person_was_recorded_is_read_as_it_was(record: ContestRecord) -> None:
    begun = contest()
    record.started(begun)
    told = json.loads(record.path.read_text())
    assert told.pop("begun_by") == ""
    record.path.write_text(json.dumps(told) + "\n")
    course = record.running("tiny")
    assert course is not None
    assert course.contest == begun


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("begun_by", "somebody"),
        ("alpha", 0.5),
        ("start_session", "2025-01-02"),
        ("max_behind_frac", 0.9),
        ("champion_bundle", "d" * 64),
    ],
)
def test_a_contest_edited_afterwards_is_damage(record: ContestRecord, name: str, value: object) -> None:
    record.started(contest())
    told = json.loads(record.path.read_text())
    assert name in told
    record.path.write_text(json.dumps(told | {name: value}) + "\n")
    with pytest.raises(LakeError, match="was edited"):
        record.running("tiny")


def test_the_bound_of_a_challenger_edited_afterwards_is_damage_too(record: ContestRecord) -> None:
    record.started(contest(*BOTH))
    record.path.write_text(record.path.read_text().replace('"bound_frac": 0.02', '"bound_frac": 0.01', 1))
    with pytest.raises(LakeError, match="was edited"):
        record.running("tiny")


@pytest.mark.parametrize("line", ["not JSON", json.dumps({"what": "left", "contest": "nobody"}), json.dumps({})])
def test_a_damaged_record_runs_no_contest(record: ContestRecord, line: str) -> None:
    record.started(contest())
    record.path.write_text(record.path.read_text() + line + "\n")
    with pytest.raises(LakeError, match="is damaged"):
        record.running("tiny")


def test_the_share_of_a_canary_that_left_is_the_champions(record: ContestRecord) -> None:
    begun = contest(*BOTH, mode="canary")
    record.started(begun)
    assert begun.champion_capital_frac == pytest.approx(0.7)

    def split() -> dict[str, float]:
        course = record.last("tiny")
        assert course is not None
        return capital_split(course)

    assert split() == {CHAMPION: pytest.approx(0.7), ONE: 0.1, TWO: 0.2}
    assert sum(split().values()) == 1
    record.happened("left", begun, version="3", session="2026-02-02", outcome="breach", reason="too far behind")
    assert split() == {CHAMPION: pytest.approx(0.9), ONE: 0.1}
    record.happened("ended", begun, outcome="stopped", reason="by hand")
    assert split() == {}
    assert record.running("tiny") is None


def test_a_shadow_and_a_rehearsal_have_no_capital(record: ContestRecord) -> None:
    record.started(contest())
    course = record.running("tiny")
    assert course is not None
    assert capital_split(course) == {CHAMPION: 1.0}
    rehearsed = replace(course, contest=contest(*BOTH, mode="canary", rehearsal=True))
    assert capital_split(rehearsed) == {CHAMPION: 1.0}


def test_the_first_verdict_counts_and_a_contest_that_ended_has_nobody_in_it(record: ContestRecord) -> None:
    begun = contest(*BOTH)
    record.started(begun)
    record.happened("decided", begun, version="2", session="2026-03-02", outcome="better", reason="r")
    record.happened("decided", begun, version="2", session="2026-03-09", outcome="worse", reason="r")
    course = record.running("tiny")
    assert course is not None
    first = course.decided("2")
    assert first is not None
    assert (first.outcome, first.session, first.at) == ("better", "2026-03-02", "2026-01-05T08:00:00+00:00")
    assert [one.version for one in course.remaining] == ["2", "3"]
    record.happened("ended", begun, outcome="champion_changed", reason="r")
    ended = record.last("tiny")
    assert ended is not None
    assert ended.remaining == ()
