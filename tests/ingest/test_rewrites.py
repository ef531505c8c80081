"""A rewritten history waits for a person, and for nothing less."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.ingest.rewrites import note_rewrites, read_rewrites, vanished_symbols
from ljwx_pipeline.ingest.store import StoredMonth, store_month
from ljwx_pipeline.lake import Lake, TableVersion
from tests.fakes.bars import random_bars

DAY = pd.Timestamp("2024-03-04")


def stored(month: str, *, restated: int, rows: int = 100) -> StoredMonth:
    known = datetime(2024, 6, 3, tzinfo=UTC)
    version = TableVersion("raw_bars", month, 2, rows, "", known, Path(month), (), ())
    return StoredMonth("raw_bars", month, version, 0, restated, (DAY, DAY))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ingest" / "rewrites.json"


def test_a_rewritten_month_waits_through_later_ingests_until_a_larger_limit_confirms_it(path: Path) -> None:
    note_rewrites(path, [stored("2024-03-01", restated=90)], max_frac=0.2)
    note_rewrites(path, [], max_frac=0.2)
    assert [(rewrite.month, rewrite.frac) for rewrite in read_rewrites(path)] == [("2024-03-01", 0.9)]
    assert note_rewrites(path, [], max_frac=1.0) == []
    assert read_rewrites(path) == []


def test_single_rows_are_said_of_the_last_ingest_only(path: Path) -> None:
    assert len(note_rewrites(path, [stored("2024-03-01", restated=3)], max_frac=0.2)) == 1
    assert note_rewrites(path, [], max_frac=0.2) == []


def test_a_rewrite_is_not_hidden_by_a_smaller_one_of_the_same_month(path: Path) -> None:
    note_rewrites(path, [stored("2024-03-01", restated=90)], max_frac=0.2)
    (noted,) = note_rewrites(path, [stored("2024-03-01", restated=1)], max_frac=0.2)
    assert noted.frac == 0.9


def test_nothing_restated_leaves_no_record_and_a_damaged_one_is_named(path: Path) -> None:
    assert note_rewrites(path, [], max_frac=0.2) == []
    assert not path.exists()
    path.parent.mkdir()
    path.write_text("[")
    with pytest.raises(LakeError, match="damaged"):
        read_rewrites(path)


def test_symbols_without_a_bar_left_are_named_until_they_come_back(path: Path, tmp_path: Path) -> None:
    lake, month = Lake(tmp_path / "lake"), "2018-01-01"
    bars = random_bars(symbols=3, sessions=15, suspended_frac=0.0)
    days = pd.DatetimeIndex(bars["session_date"].unique())
    symbols = sorted(bars["symbol"].unique())
    instants = [datetime(2018, 2, day, tzinfo=UTC) for day in (1, 2, 3)]
    fewer = bars[bars["symbol"] != symbols[1]].reset_index(drop=True)
    store_month(lake, "raw_bars", month, bars, days, instants[0])
    assert vanished_symbols(lake, []) == (set(), 0)
    noted = note_rewrites(path, [store_month(lake, "raw_bars", month, fewer, days, instants[1])], max_frac=0.2)
    assert vanished_symbols(lake, noted) == ({symbols[1]}, 3)
    noted = note_rewrites(path, [store_month(lake, "raw_bars", month, bars, days, instants[2])], max_frac=0.2)
    assert vanished_symbols(lake, noted) == (set(), 3)
