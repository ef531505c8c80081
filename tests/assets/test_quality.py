"""Checks that stand on the bars: a rewritten history, a late feed, and the published suite with its trend."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient

from assets import quality
from assets.market import REWRITES
from ljwx_pipeline.config import Settings, report_folders
from ljwx_pipeline.console.app import make_app
from ljwx_pipeline.console.journal_reader import Reader
from ljwx_pipeline.ingest.rewrites import begin_ingest, note_rewrites
from ljwx_pipeline.ingest.store import store_month
from ljwx_pipeline.lake import Lake, split_by_month
from ljwx_pipeline.market.tables import SourceDescription
from ljwx_pipeline.quality.trend import read_history
from tests.fakes.bars import random_bars

BARS = random_bars(symbols=4, sessions=60, suspended_frac=0.0)
SUITE, RESTATED, STILL_GIVEN, ON_TIME = (
    check.node_def.compute_fn.decorated_fn
    for check in (
        quality.great_expectations_suite,
        quality.history_not_restated,
        quality.symbols_still_given,
        quality.on_time,
    )
)


@pytest.fixture
def line(tmp_path: Path, settings: Settings) -> SimpleNamespace:
    checked = Lake(tmp_path / "checked")
    checked.write_partitions("bars", split_by_month(BARS), known_at=datetime(2024, 6, 3, tzinfo=UTC))
    sessions = pd.DatetimeIndex(sorted(BARS["session_date"].unique()))
    return SimpleNamespace(
        checked_lake=lambda: checked,
        sessions=lambda: sessions,
        reports=tmp_path / "reports",
        home=tmp_path / "home",
        settings=settings,
    )


def test_a_small_table_is_judged_whole_and_every_run_is_a_point_of_the_trend(line: SimpleNamespace) -> None:
    for _ in range(2):
        found = SUITE(line=line)
    assert found.passed
    assert found.metadata["judged_rows"].value == len(BARS)
    assert "every one of 240 bars" in found.description
    trend = Path(found.metadata["trend_path"].value)
    assert "Data contract over time" in trend.read_text()
    assert len(read_history(trend.parent)) == 2


def test_the_linked_pages_open_over_http_in_the_console(line: SimpleNamespace, tmp_path: Path) -> None:
    found = SUITE(line=line)
    app = make_app(Reader(tmp_path / "none"), market="home", reports=report_folders(line.home, line.reports))
    with TestClient(app, base_url="http://127.0.0.1") as console:
        for name in ("data_docs", "trend"):
            address = found.metadata[name].value
            assert address.startswith(f"http://127.0.0.1:{line.settings.ui.console_port}/reports/")
            assert console.get(urlsplit(address).path).text == Path(found.metadata[f"{name}_path"].value).read_text()


def test_of_a_large_table_the_newest_months_are_judged_and_that_is_said(
    line: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    months = line.checked_lake().current("bars")
    monkeypatch.setattr(quality, "SUITE_ROWS", months[-1].rows + months[-2].rows)
    found = SUITE(line=line)
    since = months[-2].partition[:7]
    assert found.metadata["judged_rows"].value == months[-1].rows + months[-2].rows
    assert f"since {since}" in found.description
    docs = line.reports / "data-docs" / "home" / "great_expectations"
    assert any(f"checked_bars_since_{since}" in str(page) for page in docs.rglob("*.html"))


def test_one_month_is_judged_however_large_it_is(line: SimpleNamespace) -> None:
    months = line.checked_lake().current("bars")
    assert list(quality.newest_months(months, 1)) == months[-1:]
    assert list(quality.newest_months(months, 10**9)) == months


def test_a_rewritten_history_blocks_until_it_is_accepted(line: SimpleNamespace, tmp_path: Path) -> None:
    lake, now = Lake(tmp_path / "lake"), datetime(2024, 6, 3, tzinfo=UTC)
    line.lake, line.settings = lambda: lake, SimpleNamespace(quality=SimpleNamespace(max_restated_frac=0.2))
    month = BARS[BARS["session_date"] < "2018-02-01"]

    def ingested(day: int, restated: int, limit: float) -> None:
        begin_ingest(line.home / REWRITES, lake)
        rows = month.assign(close_cny=month["close_cny"].where(np.arange(len(month)) >= restated, 77.0))
        lake.write("raw_bars", rows, partition="2018-01-01", known_at=now + timedelta(days=day))
        note_rewrites(line.home / REWRITES, lake, max_frac=limit)

    ingested(0, 0, 0.2)
    assert RESTATED(line=line).passed
    ingested(1, 1, 0.2)
    assert (RESTATED(line=line).passed, RESTATED(line=line).severity) == (False, dg.AssetCheckSeverity.WARN)
    ingested(2, len(month), 0.2)
    ingested(3, len(month), 0.2)
    found = RESTATED(line=line)
    assert found.severity == dg.AssetCheckSeverity.ERROR
    assert "--set quality.max_restated_frac=1" in found.description
    ingested(4, len(month), 1.0)
    assert RESTATED(line=line).passed


def test_a_feed_that_comes_late_is_shown(line: SimpleNamespace, tmp_path: Path) -> None:
    first, last = line.sessions()[[0, -1]]
    lake = Lake(tmp_path / "lake")
    for day, hours in ((first, 1), (last, 30)):  # the first load is history, and what lies before it never late
        came = (day + pd.Timedelta(hours=15 + hours)).tz_localize("Asia/Shanghai").to_pydatetime()
        rows = BARS[(BARS["session_date"] <= day) & (BARS["session_date"].dt.strftime("%Y-%m") == f"{day:%Y-%m}")]
        lake.write("raw_bars", rows, partition=f"{day:%Y-%m}-01", known_at=came)
    said = SourceDescription("x", simulated=False, adjustment="raw", unknown=(), fetches="by_session")
    line.lake, line.source = lambda: lake, lambda: SimpleNamespace(describe=lambda: said)
    found = ON_TIME(line=line)
    assert not found.passed
    assert f"{last:%Y-%m-%d} (+30.0 h)" in found.description


def test_symbols_that_vanish_from_the_files_are_named(line: SimpleNamespace, tmp_path: Path) -> None:
    lake, days = Lake(tmp_path / "lake"), line.sessions()
    line.lake = lambda: lake
    assert STILL_GIVEN(line=line).passed
    symbols = sorted(BARS["symbol"].unique())
    fewer = BARS[BARS["symbol"].isin(symbols[2:])].reset_index(drop=True)
    begin_ingest(line.home / REWRITES, lake)
    for number, rows in enumerate((BARS, fewer), start=1):
        at = datetime(2024, 6, number, tzinfo=UTC)
        for month, part in rows.groupby(rows["session_date"].dt.strftime("%Y-%m-01")):
            store_month(lake, "raw_bars", month, part.reset_index(drop=True), days, at)
        note_rewrites(line.home / REWRITES, lake, max_frac=0.2)
    found = STILL_GIVEN(line=line)
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert f"2 symbols ({symbols[0]}, {symbols[1]}) had rows and have none any more" in found.description
    assert found.metadata["bad"].value == 2
