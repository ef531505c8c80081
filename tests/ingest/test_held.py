"""How far the lake reaches, from its newest manifest."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

from ljwx_pipeline.ingest.held import last_session_held
from ljwx_pipeline.lake import Lake, split_by_month
from tests.fakes.bars import random_bars

BARS = random_bars(symbols=3, sessions=40)
NOW = datetime(2024, 1, 1, tzinfo=UTC)


def test_an_empty_lake_reaches_nowhere(tmp_path: Path) -> None:
    assert last_session_held(Lake(tmp_path)) is None


def test_the_last_session_is_that_of_the_newest_month_with_rows(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write_partitions("raw_bars", split_by_month(BARS), known_at=NOW)
    last = BARS["session_date"].max().date()
    assert last_session_held(lake) == last
    lake.write("raw_bars", BARS.iloc[:0], partition=f"{date(last.year + 1, 1, 1)}", known_at=NOW)
    assert last_session_held(lake) == last


def test_only_the_newest_manifest_is_opened(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write_partitions("raw_bars", split_by_month(BARS), known_at=NOW)
    for manifest in (tmp_path / "raw_bars" / "2018-01-01").glob("*.json"):
        manifest.write_text("{damaged")
    assert last_session_held(lake) == BARS["session_date"].max().date()
