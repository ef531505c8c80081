"""The published suite: what it judges, and where its trend is."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from assets import quality
from ljwx_pipeline.lake import Lake, split_by_month
from ljwx_pipeline.quality.trend import read_history
from tests.fakes.bars import random_bars

BARS = random_bars(symbols=4, sessions=60, suspended_frac=0.0)
SUITE = quality.great_expectations_suite.node_def.compute_fn.decorated_fn


@pytest.fixture
def line(tmp_path: Path) -> SimpleNamespace:
    checked = Lake(tmp_path / "checked")
    checked.write_partitions("bars", split_by_month(BARS), known_at=datetime(2024, 6, 3, tzinfo=UTC))
    sessions = pd.DatetimeIndex(sorted(BARS["session_date"].unique()))
    return SimpleNamespace(
        checked_lake=lambda: checked, sessions=lambda: sessions, reports=tmp_path / "reports", home=tmp_path / "home"
    )


def test_a_small_table_is_judged_whole_and_every_run_is_a_point_of_the_trend(line: SimpleNamespace) -> None:
    for _ in range(2):
        found = SUITE(line=line)
    assert found.passed
    assert found.metadata["judged_rows"].value == len(BARS)
    assert "every one of 240 bars" in found.description
    trend = Path(found.metadata["trend"].value.removeprefix("file://"))
    assert "Data contract over time" in trend.read_text()
    assert len(read_history(trend.parent)) == 2


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
