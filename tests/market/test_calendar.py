"""Sessions are the exchange's own days, inside what the calendar knows."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.market.calendar import (
    is_session,
    last_known_session,
    overlaid,
    session_positions,
    sessions_between,
)


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


def told(first: date, last: date) -> pd.Series:
    """Return the word of a provider that agrees with the exchange; weekdays past its horizon are open."""
    days = pd.date_range(first, last)
    later = (days > pd.Timestamp(last_known_session())) & (days.weekday < 5)
    return pd.Series(days.isin(sessions_between(first, last)) | later, index=days)


def test_a_provider_that_agrees_gives_the_sessions_of_the_range_in_any_order() -> None:
    first, last = date(2020, 6, 1), date(2020, 6, 12)
    wider = told(date(2020, 5, 1), date(2020, 6, 30)).iloc[::-1]
    pd.testing.assert_index_equal(overlaid(wider, first, last, "somebody"), sessions_between(first, last))
    weekend = overlaid(wider, date(2020, 6, 6), date(2020, 6, 7), "somebody")
    assert (len(weekend), weekend.name) == (0, "session_date")


@pytest.mark.parametrize(("day", "says"), [("2020-06-08", "closed"), ("2020-06-06", "open")])
def test_a_day_on_which_a_provider_disagrees_is_named(day: str, says: str) -> None:
    is_open = told(date(2020, 6, 1), date(2020, 6, 12))
    is_open[day] = not is_open[day]
    with pytest.raises(SourceError, match=f"somebody calls {day} {says}, the exchange calendar the opposite"):
        overlaid(is_open, date(2020, 6, 1), date(2020, 6, 12), "somebody")


@pytest.mark.parametrize("kept", [slice(None, 5), slice(5, None)])
def test_a_calendar_cut_short_is_refused_even_where_only_closed_days_are_lost(kept: slice) -> None:
    is_open = told(date(2020, 6, 6), date(2020, 6, 14))
    with pytest.raises(SourceError, match=r"somebody says nothing about 2020-06-\d\d \([45] such days\)"):
        overlaid(is_open.iloc[kept], date(2020, 6, 6), date(2020, 6, 14), "somebody")
    with pytest.raises(SourceError, match="nothing about 2020-06-14"):
        overlaid(is_open.iloc[:-1], date(2020, 6, 6), date(2020, 6, 14), "somebody")


def test_a_day_answered_twice_is_refused() -> None:
    is_open = told(date(2020, 6, 1), date(2020, 6, 12))
    with pytest.raises(SourceError, match="2020-06-03 twice"):
        overlaid(pd.concat([is_open, is_open.iloc[2:3]]), date(2020, 6, 1), date(2020, 6, 12), "somebody")


def test_past_the_horizon_the_provider_counts() -> None:
    horizon = last_known_session()
    last = horizon + timedelta(days=20)
    found = overlaid(told(horizon, last), horizon, last, "somebody")
    assert found[0] == pd.Timestamp(horizon)
    assert len(found) > 10


@pytest.mark.real_data
def test_the_calendar_equals_the_exchanges_published_days(real_data_dir: Path) -> None:
    published = pd.read_json(real_data_dir / "licensed" / "akshare" / "calendar.json", typ="series").astype(str)
    days = pd.DatetimeIndex(pd.to_datetime(published, format="%Y%m%d"))
    known = sessions_between(date(2010, 1, 1), date(2026, 12, 31))
    assert known.equals(pd.DatetimeIndex(days[days >= "2010-01-01"], name="session_date"))
