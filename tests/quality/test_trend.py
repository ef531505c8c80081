"""The suite's history: a line a run, torn lines survived, and a page that shows it beside Data Docs."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.quality.suite import run_suite
from ljwx_pipeline.quality.suite_page import REPORT_PAGE
from ljwx_pipeline.quality.trend import HISTORY_FILE, SuiteRun, append_run, read_history, write_trend_page
from tests.fakes.bars import random_bars

AT = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


def suite_run(day: int, failed: int = 0) -> SuiteRun:
    said = "<b>close</b> below zero" if failed else ""
    return SuiteRun(AT + timedelta(days=day), date(2026, 1, 5) + timedelta(days=day), 100, 25, failed, 3 * failed, said)


def test_runs_are_appended_and_read_in_order_of_time(tmp_path: Path) -> None:
    for day in (2, 0, 1):
        append_run(tmp_path / "docs", suite_run(day, failed=day))
    history = read_history(tmp_path / "docs")
    assert history["failed"].tolist() == [0, 1, 2]
    assert history["ran_at"].dt.tz is not None


def test_a_line_cut_short_costs_that_line_alone(tmp_path: Path) -> None:
    path = append_run(tmp_path, suite_run(0))
    with path.open("a") as out:
        out.write('{"ran_at": "2026-')
    append_run(tmp_path, suite_run(1))
    assert len(read_history(tmp_path)) == 2


def test_no_history_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataQualityError, match="no run of the suite"):
        read_history(tmp_path)


def test_the_page_shows_every_run_escaped_and_needs_nothing_from_outside(tmp_path: Path) -> None:
    for day in range(3):
        append_run(tmp_path, suite_run(day, failed=day % 2))
    page = write_trend_page(tmp_path, tmp_path / REPORT_PAGE).read_text(encoding="utf-8")
    assert page.count("<tr") == 4
    assert "&lt;b&gt;close" in page
    assert f'href="{REPORT_PAGE}"' in page
    assert "<svg" in page
    assert "<script" not in page


def test_a_run_of_the_suite_with_its_instant_is_kept_beside_data_docs(tmp_path: Path) -> None:
    bars = random_bars(symbols=2, sessions=20)
    first = run_suite(bars, tmp_path, at=AT)
    bars.loc[3, "close_cny"] = -1.0
    second = run_suite(bars, tmp_path, at=AT + timedelta(days=1))
    assert first.trend_page == second.trend_page
    assert second.trend_page is not None
    assert f'href="{second.report_page.name}"' in second.trend_page.read_text(encoding="utf-8")
    history = read_history(tmp_path)
    assert history["failed"].iloc[0] == 0
    assert history["unexpected"].iloc[1] == second.unexpected > 0
    assert {path.name for path in tmp_path.iterdir()} == {
        "great_expectations",
        REPORT_PAGE,
        HISTORY_FILE,
        second.trend_page.name,
    }
