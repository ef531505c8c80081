"""Ranges made of snapshots: what stays goes on, what changes ends the day before, silence ends nothing."""

from __future__ import annotations

import pandas as pd
import pytest

from ljwx_pipeline.ingest.ranges import merged_ranges
from ljwx_pipeline.market.tables import empty_table


def told(day: str, **industries: str) -> pd.DataFrame:
    rows = [(symbol, name, pd.Timestamp(day), pd.NaT) for symbol, name in industries.items()]
    frame = pd.DataFrame(rows, columns=["symbol", "industry", "start_date", "end_date"])
    return frame.astype({"start_date": "datetime64[ns]", "end_date": "datetime64[ns]"})


def ranges(frame: pd.DataFrame) -> list[tuple[str, str, str, str]]:
    ends = frame["end_date"].dt.strftime("%m-%d").fillna("")
    return list(zip(frame["symbol"], frame["industry"], frame["start_date"].dt.strftime("%m-%d"), ends, strict=True))


def test_the_first_snapshot_is_the_history() -> None:
    first = told("2024-01-02", a="bank", b="steel")
    pd.testing.assert_frame_equal(merged_ranges("industries", empty_table("industries"), first), first)


def test_what_stays_keeps_its_beginning() -> None:
    held = told("2024-01-02", a="bank")
    assert ranges(merged_ranges("industries", held, told("2024-01-09", a="bank"))) == [("a", "bank", "01-02", "")]


def test_what_changes_ends_the_day_before_and_begins_anew() -> None:
    held = told("2024-01-02", a="bank", b="steel")
    merged = merged_ranges("industries", held, told("2024-01-09", a="insurance", b="steel"))
    assert ranges(merged) == [
        ("a", "bank", "01-02", "01-08"),
        ("a", "insurance", "01-09", ""),
        ("b", "steel", "01-02", ""),
    ]


def test_what_returns_is_a_range_of_its_own() -> None:
    held = told("2024-01-02", a="bank", b="steel")
    gone = merged_ranges("industries", held, told("2024-01-09", b="steel"))
    back = merged_ranges("industries", gone, told("2024-01-16", a="bank", b="steel"))
    assert [row for row in ranges(back) if row[0] == "a"] == [
        ("a", "bank", "01-02", "01-08"),
        ("a", "bank", "01-16", ""),
    ]


def test_a_change_of_mind_within_a_day_leaves_the_last_word() -> None:
    held = told("2024-01-02", a="bank")
    assert ranges(merged_ranges("industries", held, told("2024-01-02", a="steel"))) == [("a", "steel", "01-02", "")]


def test_silence_ends_nothing() -> None:
    held = told("2024-01-02", a="bank")
    pd.testing.assert_frame_equal(merged_ranges("industries", held, empty_table("industries")), held)


@pytest.mark.parametrize("days", [1, 5])
def test_the_same_snapshot_again_changes_nothing(days: int) -> None:
    held = told("2024-01-02", a="bank", b="steel")
    again = told(f"2024-01-{2 + days:02d}", b="steel", a="bank")
    pd.testing.assert_frame_equal(merged_ranges("industries", held, again), held)
