"""What a backfill would take is told before the first call."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from ljwx_pipeline.clock import ManualClock
from ljwx_pipeline.config import Settings, load_settings, market_home
from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.ingest.bars import ingest_bars
from ljwx_pipeline.ingest.estimate import duration, estimate_ingest
from ljwx_pipeline.ingest.plan import plan_bars
from ljwx_pipeline.ingest.staging import Staging
from ljwx_pipeline.lake import Lake
from ljwx_pipeline.market.tables import empty_table
from tests.fakes.remote_source import RemoteSource

BASE = Path(__file__).resolve().parents[2] / "ljwx.toml"
FIRST, LAST = date(2024, 1, 2), date(2024, 2, 29)
NOW = datetime(2024, 3, 1, tzinfo=UTC)


@pytest.fixture
def tushare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("LJWX_HOME", str(tmp_path / "home"))
    span = {"source.first_session": str(FIRST), "source.last_session": str(LAST), "tushare.calls_per_minute": 10}
    return load_settings(profile="tushare", config_file=BASE, environ={}, overrides=span)


def test_an_empty_lake_takes_two_calls_a_session_at_the_configured_rate(tushare: Settings, tmp_path: Path) -> None:
    source = RemoteSource(published=LAST)
    told = estimate_ingest(tushare, source, tmp_path / "staging")
    sessions = len(source.sessions(FIRST, LAST))
    assert (told.sessions, told.missing, told.again, told.units) == (sessions, sessions, 0, sessions)
    assert told.calls == 2 * sessions
    by_month = 2 * (3 + len(tushare.evaluation.indices))
    by_session = 3 * sessions  # more stocks ever listed than a month has sessions
    assert told.calls_beside == by_session + by_month
    assert told.minutes == pytest.approx((2 * sessions + by_session + by_month) / 10, abs=0.05)
    assert f"{2 * sessions} at least, for bars, and about {told.calls_beside} for the tables" in told.sentence()
    assert "kept from" not in told.sentence()
    assert not source.calls, "no bar is asked for"
    assert not (tmp_path / "home").exists(), "nothing is written"


def test_what_is_held_and_what_is_staged_is_not_fetched(tushare: Settings, tmp_path: Path) -> None:
    source, staging = RemoteSource(published=LAST), tmp_path / "staging"
    lake = Lake(market_home(tushare) / "lake")
    ingest_bars(source, lake, FIRST, date(2024, 1, 31), staging=staging, recheck_sessions=5)
    plan = plan_bars(source, lake, FIRST, LAST, recheck_sessions=5)
    Staging(staging).begin(plan, NOW)
    Staging(staging).keep(source.bar_units(date(2024, 2, 1), date(2024, 2, 1))[0], empty_table("bars"))
    told = estimate_ingest(tushare, source, staging, clock=ManualClock(NOW))
    february = len(source.sessions(date(2024, 2, 1), LAST))
    assert (told.missing, told.again) == (february, tushare.ingest.recheck_sessions)
    assert (told.units, told.units_left_over) == (february + 5, 1)
    assert told.calls == 2 * (february + 5 - 1)
    assert f"{february + 5 - 1} to fetch, 1 kept from an unfinished run" in told.sentence()


def test_a_download_left_by_another_day_is_taken_up_as_it_was_planned_and_then_the_new_days(
    tushare: Settings, tmp_path: Path
) -> None:
    source, staging = RemoteSource(published=date(2024, 2, 27)), tmp_path / "staging"
    source.fail_after = 3
    lake = Lake(market_home(tushare) / "lake")
    with pytest.raises(SourceError):
        ingest_bars(source, lake, FIRST, LAST, staging=staging, recheck_sessions=5)
    before, source.published, source.fail_after = len(source.sessions(FIRST, LAST)), LAST, None
    told = estimate_ingest(tushare, source, staging)
    source.calls = []
    report = ingest_bars(source, lake, FIRST, LAST, staging=staging, recheck_sessions=5)
    assert (told.units, told.units_left_over) == (before + 5 + 2, 3) == (len(report.plan.units), report.units_resumed)
    assert told.calls == 2 * len(source.calls)
    assert (told.missing, told.again) == (len(source.sessions(FIRST, LAST)), 0)


def test_units_that_nobody_planned_and_a_damaged_plan_are_not_left_over(tushare: Settings, tmp_path: Path) -> None:
    source, staging = RemoteSource(published=LAST), tmp_path / "staging"
    Staging(staging).keep(source.bar_units(FIRST, FIRST)[0], empty_table("bars"))
    assert estimate_ingest(tushare, source, staging).units_left_over == 0
    (staging / "plan.json").write_text("{")
    assert estimate_ingest(tushare, source, staging).units_left_over == 0
    assert (staging / "plan.json").exists(), "an estimate changes nothing"


def test_a_source_with_everything_at_hand_takes_no_call(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LJWX_HOME", str(tmp_path / "home"))
    told = estimate_ingest(settings, RemoteSource(published=LAST), tmp_path / "staging")
    assert (told.calls, told.calls_beside, told.minutes) == (None, None, None)
    assert "everything is at hand" in told.sentence()


@pytest.mark.parametrize(("minutes", "said"), [(0.25, "15 s"), (45.4, "45 min"), (300, "5.0 h")])
def test_a_duration_is_told_in_the_unit_a_person_would_choose(minutes: float, said: str) -> None:
    assert duration(minutes) == said
