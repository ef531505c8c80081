"""What a backfill would take is told before the first call."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from ljwx_pipeline.config import Settings, load_settings, market_home
from ljwx_pipeline.ingest.bars import ingest_bars
from ljwx_pipeline.ingest.estimate import duration, estimate_ingest
from ljwx_pipeline.ingest.staging import Staging
from ljwx_pipeline.lake import Lake
from ljwx_pipeline.market.tables import empty_table
from tests.fakes.remote_source import RemoteSource

BASE = Path(__file__).resolve().parents[2] / "ljwx.toml"
FIRST, LAST = date(2024, 1, 2), date(2024, 2, 29)


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
    assert told.minutes == pytest.approx(2 * sessions / 10, abs=0.05)
    assert f"{2 * sessions} at least, for bars; about" in told.sentence()
    assert not source.calls, "no bar is asked for"
    assert not (tmp_path / "home").exists(), "nothing is written"


def test_what_is_held_and_what_is_staged_is_not_fetched(tushare: Settings, tmp_path: Path) -> None:
    source, staging = RemoteSource(published=LAST), tmp_path / "staging"
    lake = Lake(market_home(tushare) / "lake")
    ingest_bars(source, lake, FIRST, date(2024, 1, 31), staging=staging, recheck_sessions=5)
    Staging(staging).keep(source.bar_units(date(2024, 2, 1), date(2024, 2, 1))[0], empty_table("bars"))
    told = estimate_ingest(tushare, source, staging)
    february = len(source.sessions(date(2024, 2, 1), LAST))
    assert (told.missing, told.again) == (february, tushare.ingest.recheck_sessions)
    assert (told.units, told.units_left_over) == (february + 5, 1)
    assert told.calls == 2 * (february + 5 - 1)


def test_a_source_with_everything_at_hand_takes_no_call(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LJWX_HOME", str(tmp_path / "home"))
    told = estimate_ingest(settings, RemoteSource(published=LAST), tmp_path / "staging")
    assert (told.calls, told.minutes) == (None, None)
    assert "everything is at hand" in told.sentence()


@pytest.mark.parametrize(("minutes", "said"), [(0.25, "15 s"), (45.4, "45 min"), (300, "5.0 h")])
def test_a_duration_is_told_in_the_unit_a_person_would_choose(minutes: float, said: str) -> None:
    assert duration(minutes) == said
