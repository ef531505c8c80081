"""Dates and numbers in every spelling met in the wild."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ljwx_pipeline.sources.folder.cells import to_dates, to_numbers


@given(st.lists(st.dates(date(1990, 1, 1), date(2100, 1, 1)), min_size=1, max_size=5))
def test_every_spelling_of_a_date_is_the_same_day(days: list[date]) -> None:
    spellings = [
        pd.Series([f"{d:%Y%m%d}" for d in days]),
        pd.Series([int(f"{d:%Y%m%d}") for d in days]),
        pd.Series([float(f"{d:%Y%m%d}") for d in days]),
        pd.Series([f"{d:%Y-%m-%d} 15:00:00" for d in days]),
        pd.Series([f"{d.year}/{d.month}/{d.day}" for d in days]),
        pd.Series([f"{d.year}年{d.month}月{d.day}日" for d in days]),
        pd.Series(days),
        pd.Series(pd.to_datetime(days)) + pd.Timedelta(hours=9),
        pd.Series(pd.to_datetime(days)).dt.tz_localize("Asia/Shanghai"),
    ]
    for spelling in spellings:
        stamps, bad = to_dates(spelling)
        assert bad is None
        assert [stamp.date() for stamp in stamps] == days


@pytest.mark.parametrize("cell", ["", "soon", "2020-13-01", "01/02/2020", "2020", None, "2020-02-30", "202011"])
def test_what_is_no_date_is_found_at_its_place(cell: str | None) -> None:
    assert to_dates(pd.Series(["2020-01-02", cell, "2020-01-03"], dtype=object))[1] == 1


def test_a_missing_instant_is_found_at_its_place() -> None:
    assert to_dates(pd.Series([pd.Timestamp("2020-01-02"), pd.NaT]))[1] == 1


def test_numbers_keep_blanks_and_name_what_is_none() -> None:
    values, bad = to_numbers(pd.Series(["1.5", None, "2e3"], dtype=object))
    np.testing.assert_array_equal(values, [1.5, np.nan, 2000.0])
    assert bad is None
    assert to_numbers(pd.Series(["1", "x"], dtype=object))[1] == 1
    assert to_numbers(pd.Series([1.0, np.inf]))[1] == 1
    assert to_numbers(pd.Series([1, 2], dtype="int64"))[1] is None


@pytest.mark.parametrize("day", ["9999-01-01", "99991231", "0001-01-01", "1500-06-01"])
def test_a_day_too_far_to_be_stored_is_found_at_its_place(day: str) -> None:
    assert to_dates(pd.Series(["2020-01-02", day, "2020-01-03"], dtype=object))[1] == 1


def test_an_instant_too_far_to_be_stored_is_found_at_its_place() -> None:
    instants = pd.Series(np.array(["2020-01-02", "9999-01-01"], dtype="datetime64[s]"))
    assert to_dates(instants)[1] == 1
    assert to_dates(instants.dt.tz_localize("UTC"))[1] == 1
