"""Which sessions are fetched: those never asked for, not those on which nobody traded."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest

from ljwx_pipeline.ingest.plan import RAW_BARS, plan_bars
from ljwx_pipeline.lake import Lake
from tests.fakes.remote_source import RemoteSource

FIRST, LAST = date(2024, 1, 2), date(2024, 6, 28)


@pytest.fixture
def source() -> RemoteSource:
    return RemoteSource(LAST, "by_symbol")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def hold(lake: Lake, source: RemoteSource, first: str, last: str, *, without: tuple[str, ...] = ()) -> None:
    rows = source.market.bars(date.fromisoformat(first), date.fromisoformat(last))
    kept = rows[~rows["session_date"].isin(pd.DatetimeIndex(without))]
    known_at = datetime(2024, 7, 1, tzinfo=UTC)
    lake.write(RAW_BARS, kept, partition=f"{first[:7]}-01", known_at=known_at)


def test_months_between_two_that_are_held_are_fetched_symbol_by_symbol_too(lake: Lake, source: RemoteSource) -> None:
    hold(lake, source, "2024-01-02", "2024-01-31")
    hold(lake, source, "2024-06-03", "2024-06-28")
    plan = plan_bars(source, lake, FIRST, LAST, recheck_sessions=0)
    between = source.sessions(date(2024, 2, 1), date(2024, 5, 31))
    pd.testing.assert_index_equal(plan.missing, between, check_names=False)
    assert {(unit.first, unit.last) for unit in plan.units} == {(between[0].date(), between[-1].date())}


def test_the_rest_of_a_month_that_was_cut_is_fetched_with_the_months_after_it(lake: Lake, source: RemoteSource) -> None:
    hold(lake, source, "2024-01-02", "2024-01-10")
    hold(lake, source, "2024-06-03", "2024-06-28")
    plan = plan_bars(source, lake, FIRST, LAST, recheck_sessions=0)
    assert plan.missing[0] == pd.Timestamp("2024-01-11")


def test_a_session_on_which_all_of_a_few_stocks_were_suspended_is_not_asked_for_again(
    lake: Lake, source: RemoteSource
) -> None:
    hold(lake, source, "2024-05-06", "2024-05-31", without=("2024-05-15", "2024-05-31"))
    hold(lake, source, "2024-06-03", "2024-06-28")
    plan = plan_bars(source, lake, date(2024, 5, 6), LAST, recheck_sessions=0)
    assert (len(plan.missing), plan.units) == (0, ())
