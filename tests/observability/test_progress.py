"""Who asks a long question hears how far it is; nobody else does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ljwx_pipeline.clock import ManualClock
from ljwx_pipeline.observability.progress import Progress, listening, told

START = datetime(2024, 1, 2, tzinfo=UTC)


def test_each_item_is_heard_when_it_is_done_with_the_seconds_left() -> None:
    clock, heard = ManualClock(START), []
    with listening(heard.append):
        for number, _ in enumerate(told(["a", "b", "c"], "spells", clock=clock), start=1):
            assert len(heard) == number - 1
            clock.set(START + timedelta(seconds=2 * number))
    assert heard == [
        Progress(1, 3, None, 2.0, 4.0, "spells"),
        Progress(2, 3, None, 4.0, 2.0, "spells"),
        Progress(3, 3, None, 6.0, 0.0, "spells"),
    ]
    assert str(heard[0]) == "1 of 3 fetched (spells), about 4 s to go"


def test_nobody_hears_what_is_asked_outside_the_block() -> None:
    heard: list[Progress] = []
    with listening(heard.append):
        pass
    assert list(told([1, 2], "x")) == [1, 2]
    assert not heard


def test_a_question_within_another_makes_no_promise_of_its_end() -> None:
    clock, heard = ManualClock(START), []
    with listening(heard.append):
        for month in told(["2024-01", "2024-02"], "months", clock=clock):
            for session in told(["first", "second"], month, clock=clock):
                assert session
                clock.set(clock.now() + timedelta(seconds=10))
        list(told(["alone"], "after", clock=clock))
    assert [(step.unit, step.done, step.remaining_s) for step in heard] == [
        ("2024-01", 1, None),
        ("2024-01", 2, None),
        ("months", 1, 20.0),
        ("2024-02", 1, None),
        ("2024-02", 2, None),
        ("months", 2, 0.0),
        ("after", 1, 0.0),
    ]
    assert [str(step) for step in heard if "to go" in str(step)] == ["1 of 2 fetched (months), about 20 s to go"]


def test_rows_are_said_where_they_are_counted() -> None:
    assert str(Progress(2, 5, 1200, 1.0, None, "2024-01")) == "2 of 5 fetched (2024-01), 1,200 rows"
