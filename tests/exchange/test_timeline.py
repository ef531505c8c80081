"""A session's steps are those of the rulebook on its date, and names tick evenly through continuous trading."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import pytest

from ljwx_pipeline.clock import SHANGHAI
from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.exchange.timeline import TICK_GROUPS, Step, timeline
from ljwx_pipeline.units import NS_PER_S


def at(step: Step) -> str:
    return datetime.fromtimestamp(step.at_ns // NS_PER_S, tz=UTC).astimezone(SHANGHAI).strftime("%H:%M:%S")


@pytest.mark.parametrize(
    ("session", "expected"),
    [
        (
            date(2024, 1, 3),
            "opening_auction 09:15:00, opened 09:25:00, continuous 09:30:00, lunch 11:30:00, continuous 13:00:00, "
            "closing_auction 14:57:00, closed 15:00:00",
        ),
        (
            date(2016, 1, 4),  # the index circuit breaker ended the day
            "opening_auction 09:15:00, opened 09:25:00, continuous 09:30:00, lunch 11:30:00, continuous 13:00:00, "
            "closed 13:33:00",
        ),
        (date(2016, 1, 7), "opening_auction 09:15:00, opened 09:25:00, continuous 09:30:00, closed 09:59:00"),
    ],
)
def test_the_phases_are_those_of_the_date(session: date, expected: str) -> None:
    steps = timeline(session, tick_seconds=60).steps
    assert ", ".join(f"{step.phase} {at(step)}" for step in steps if step.phase is not None) == expected


@pytest.mark.parametrize("tick_seconds", [1, 3, 5, 60, 600])
def test_every_name_ticks_once_in_each_interval_and_at_the_two_prices_of_the_auctions(tick_seconds: int) -> None:
    made = timeline(date(2024, 1, 3), tick_seconds=tick_seconds)
    assert [step.at_ns for step in made.steps] == sorted(step.at_ns for step in made.steps)
    auctions = [step for step in made.steps if step.is_auction]
    assert [at(step) for step in auctions] == ["09:25:00", "15:00:00"]
    for group in range(TICK_GROUPS):
        ticks = [step for step in made.steps if step.phase is None and step.group in (group, -1)]
        assert [step.tick for step in ticks] == list(range(len(ticks)))
        seconds = made.tick_seconds[group]
        assert len(seconds) == len(ticks) == 2 + 7_200 // tick_seconds + 7_020 // tick_seconds
        assert (seconds[0], seconds[-1]) == (0, 14_220)
        # a morning or afternoon that is no multiple of the interval has one that is longer
        assert np.diff(seconds[1:-1]).min() == np.median(np.diff(seconds[1:-1])) == tick_seconds


def test_a_session_outside_the_rulebook_has_no_steps() -> None:
    with pytest.raises(TradingError, match="1990"):
        timeline(date(1990, 12, 19), tick_seconds=3)
