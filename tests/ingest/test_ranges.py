"""Ranges told piece by piece: what stays goes on, what changes ends, and other dates than those told of stay."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.ingest.ranges import merged_ranges, spliced_ranges
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


DAYS = pd.date_range("2024-01-02", "2024-01-31")


def as_told(rows: list[tuple[str, str, str, str]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["symbol", "industry", "start_date", "end_date"])
    days = {name: pd.to_datetime("2024-" + frame[name].replace("", None)) for name in ("start_date", "end_date")}
    return frame.assign(**days).astype({"start_date": "datetime64[ns]", "end_date": "datetime64[ns]"})


def spliced(
    held: list[tuple[str, str, str, str]], now: list[tuple[str, str, str, str]], span: tuple[int, int], reach: int
) -> list[tuple[str, str, str, str]]:
    first, last = (date(2024, 1, day) for day in span)
    found = spliced_ranges("industries", as_told(held), as_told(now), first, last, reach=date(2024, 1, reach))
    assert not found.duplicated().any()
    return ranges(found)


def test_a_range_that_the_first_day_cuts_goes_on_with_its_beginning() -> None:
    assert spliced([("a", "bank", "01-02", "")], [("a", "bank", "01-09", "")], (9, 15), 12) == [
        ("a", "bank", "01-02", "")
    ]


def test_a_range_that_ends_among_the_dates_asked_for_ends() -> None:
    held = [("a", "bank", "01-02", "")]
    assert spliced(held, [("a", "bank", "01-09", "01-11")], (9, 15), 12) == [("a", "bank", "01-02", "01-11")]


def test_a_range_that_is_not_told_any_more_ends_the_day_before() -> None:
    held = [("a", "bank", "01-02", ""), ("b", "steel", "01-10", "")]
    assert spliced(held, [("c", "steel", "01-11", "")], (9, 15), 12) == [
        ("a", "bank", "01-02", "01-08"),
        ("c", "steel", "01-11", ""),
    ]


def test_ranges_before_the_dates_asked_for_stay_even_if_nothing_is_told() -> None:
    held = [("a", "bank", "01-02", "01-04"), ("a", "bank", "01-06", "01-08")]
    assert spliced(held, [], (9, 15), 12) == held


def test_a_change_on_the_first_day_is_no_continuation() -> None:
    held = [("a", "bank", "01-02", "")]
    assert spliced(held, [("a", "steel", "01-09", "")], (9, 15), 8) == [
        ("a", "bank", "01-02", "01-08"),
        ("a", "steel", "01-09", ""),
    ]


def test_a_narrower_range_changes_only_its_dates() -> None:
    held = [("a", "bank", "01-02", ""), ("b", "steel", "01-12", "01-20"), ("c", "tea", "01-25", "")]
    now = [("a", "bank", "01-09", ""), ("b", "steel", "01-12", "")]
    assert spliced(held, now, (9, 15), 31) == held
    assert spliced(held, now[1:], (9, 15), 31) == [
        ("a", "bank", "01-02", "01-08"),
        ("a", "bank", "01-16", ""),
        *held[1:],
    ]


@pytest.mark.parametrize("seed", range(5))
def test_windows_in_any_order_give_the_ranges_they_were_cut_from(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = {name: rng.random(len(DAYS)).cumsum() % 6 < 3.5 for name in "abcdef"}  # runs of a few days

    def seen(first: int, last: int) -> pd.DataFrame:
        rows = [
            (name, "bank", DAYS[first + start], pd.NaT if first + stop > last else DAYS[first + stop - 1])
            for name, on in truth.items()
            for start, stop in np.flatnonzero(np.diff(np.r_[False, on[first : last + 1], False])).reshape(-1, 2)
        ]
        columns = ["symbol", "industry", "start_date", "end_date"]
        return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[2:], "datetime64[ns]"))

    held, reach = seen(0, 9), 9
    for _ in range(8):
        first = int(rng.integers(0, reach + 2))
        last = int(min(first + rng.integers(0, 9), len(DAYS) - 1))
        span = (DAYS[first].date(), DAYS[last].date())
        held = spliced_ranges("industries", held, seen(first, last), *span, reach=DAYS[reach].date())
        reach = max(reach, last)
        pd.testing.assert_frame_equal(held, seen(0, reach))
