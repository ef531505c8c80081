"""The age of the runner's last word, in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ljwx_pipeline.console.heartbeat import heartbeat, spoken_age

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("mode", "age_s", "alive", "words"),
    [
        ("finished", 3, True, "idle, last seen 3 s ago"),
        ("waiting", 60, True, "idle, waiting, last seen 1 min ago"),
        ("trading", 0, True, "trading, last seen 0 s ago"),
        ("halted", 5, True, "halted, last seen 5 s ago"),
        ("auction", 5, True, "auction, last seen 5 s ago"),
        ("finished", 61, False, "not running, last seen 1 min ago"),
        ("trading", 7200, False, "not running, last seen 2 h ago"),
    ],
)
def test_an_idle_runner_is_no_stopped_one(mode: str, age_s: float, alive: bool, words: str) -> None:
    said_at = (NOW - timedelta(seconds=age_s)).isoformat()
    beat = heartbeat(mode, said_at, now=NOW, max_age_s=60)
    assert (beat.alive, beat.words) == (alive, words)


def test_an_age_is_spoken_in_its_largest_whole_unit() -> None:
    ages = [-1, 59.9, 60, 3_599, 3_600, 86_399, 86_400, 200_000]
    assert [spoken_age(age) for age in ages] == [
        "0 s", "59 s", "1 min", "59 min", "1 h", "23 h", "1 day", "2 days"
    ]  # fmt: skip
