"""Sessions are the exchange's own days, inside what the calendar knows."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.market.calendar import is_session, last_known_session, session_positions, sessions_between


def test_the_national_day_week_of_2019_has_no_session() -> None:
    days = sessions_between(date(2019, 9, 27), date(2019, 10, 9))
    assert [f"{day:%m-%d}" for day in days] == ["09-27", "09-30", "10-08", "10-09"]
    assert days.name == "session_date"
    assert days.tz is None


def test_ranges_are_inclusive_ascending_and_clipped_to_what_is_known() -> None:
    days = sessions_between(date(2020, 1, 2), date(2020, 1, 2))
    assert len(days) == 1
    until_the_end = sessions_between(date(2026, 1, 1), date(2030, 1, 1))
    assert until_the_end[-1].date() == last_known_session()
    assert until_the_end.is_monotonic_increasing
    assert until_the_end.is_unique


@pytest.mark.parametrize(
    ("first", "last", "said"),
    [
        (date(2020, 1, 4), date(2020, 1, 5), "no trading session"),
        (date(2020, 2, 1), date(2020, 1, 1), "no trading session"),
        (date(1990, 12, 19), date(2020, 1, 1), "before the calendar's start"),
        (date(2090, 1, 1), date(2090, 12, 31), "no trading session"),
    ],
)
def test_empty_and_unknown_ranges_are_errors(first: date, last: date, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        sessions_between(first, last)


def test_a_day_past_the_horizon_is_an_error_not_a_guess() -> None:
    assert is_session(date(2020, 1, 2))
    assert not is_session(date(2020, 1, 1))
    with pytest.raises(SourceError, match="horizon"):
        is_session(last_known_session() + timedelta(days=1))


def test_positions_are_minus_one_off_the_sessions() -> None:
    days = sessions_between(date(2020, 1, 2), date(2020, 1, 10))
    dates = pd.Series([days[3], pd.Timestamp("2020-01-04"), days[0]])
    np.testing.assert_array_equal(session_positions(dates, days), [3, -1, 0])


@pytest.mark.real_data
def test_the_calendar_equals_the_exchanges_published_days(real_data_dir: Path) -> None:
    published = pd.read_json(real_data_dir / "licensed" / "akshare" / "calendar.json", typ="series").astype(str)
    days = pd.DatetimeIndex(pd.to_datetime(published, format="%Y%m%d"))
    known = sessions_between(date(2010, 1, 1), date(2026, 12, 31))
    assert known.equals(pd.DatetimeIndex(days[days >= "2010-01-01"], name="session_date"))
