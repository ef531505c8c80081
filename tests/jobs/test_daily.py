"""The schedule asks on sessions only, for everything the lake lacks, and never fails over the calendar's end."""

from __future__ import annotations

from datetime import date, datetime, time

import dagster as dg
import pytest

import ljwx_pipeline.market.calendar
from assets.partitions import month_partitions
from jobs.daily import daily_schedule
from ljwx_pipeline.clock import SHANGHAI
from ljwx_pipeline.config import Settings
from ljwx_pipeline.market.calendar import last_known_session


def tick(settings: Settings, day: date, held: date | None) -> dg.ScheduleExecutionData:
    job = dg.define_asset_job("daily_pipeline", selection="*")
    schedule = daily_schedule(job, settings.schedule, month_partitions(settings.source), lambda: held)
    at = datetime.combine(day, time(18), SHANGHAI)
    with dg.build_schedule_context(scheduled_execution_time=at) as context:
        return schedule.evaluate_tick(context)


def asked(answer: dg.ScheduleExecutionData) -> tuple[str, str]:
    """Return the first and the last month that a tick asks for."""
    (request,) = answer.run_requests or []
    tags = request.tags
    return tags["dagster/asset_partition_range_start"], tags["dagster/asset_partition_range_end"]


@pytest.mark.parametrize(
    ("day", "reason"),
    [
        ("2025-10-01", "is not a trading session"),
        ("2025-10-11", "is not a trading session"),
        ("2026-03-02", "raise source.last_session"),
    ],
    ids=["holiday", "saturday", "past the source"],
)
def test_other_days_are_skipped_with_the_reason(settings: Settings, day: str, reason: str) -> None:
    answer = tick(settings, date.fromisoformat(day), date(2025, 9, 30))
    assert not answer.run_requests
    assert reason in str(answer.skip_message)


@pytest.mark.parametrize(
    ("held", "first"),
    [
        (date(2025, 9, 29), "2025-09-01"),
        (date(2025, 8, 29), "2025-08-01"),
        (date(2025, 3, 14), "2025-03-01"),
        (date(2016, 5, 4), "2018-01-01"),
        (date(2025, 10, 9), "2025-09-01"),
        (None, "2018-01-01"),
    ],
    ids=["yesterday", "over a month's end", "half a year", "before the source", "after today", "empty lake"],
)
def test_a_session_asks_from_the_month_of_the_last_one_held(settings: Settings, held: date | None, first: str) -> None:
    answer = tick(settings, date(2025, 9, 30), held)
    assert asked(answer) == (first, "2025-09-01")
    assert answer.run_requests[0].run_key == "2025-09-30"


def test_past_the_calendars_horizon_the_tick_is_skipped_with_the_remedy(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ljwx_pipeline.market.calendar, "last_known_session", lambda: date(2025, 9, 29))
    answer = tick(settings, date(2025, 9, 30), date(2025, 9, 29))
    assert not answer.run_requests
    assert "past the calendar's horizon 2025-09-29: upgrade exchange-calendars" in str(answer.skip_message)


def test_the_horizon_is_the_librarys_own(settings: Settings) -> None:
    answer = tick(settings, last_known_session().replace(year=last_known_session().year + 1, day=20), None)
    assert "upgrade exchange-calendars" in str(answer.skip_message)
