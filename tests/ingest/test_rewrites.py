"""A rewritten history waits for a person, and for nothing less."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.ingest.rewrites import history_not_restated, note_rewrites, read_rewrites
from ljwx_pipeline.ingest.store import StoredMonth
from ljwx_pipeline.lake import TableVersion

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


def test_a_rewritten_history_blocks_and_a_corrected_row_is_shown(path: Path) -> None:
    assert history_not_restated([], max_frac=0.2).passed
    few = history_not_restated(note_rewrites(path, [stored("2024-03-01", restated=3)], max_frac=0.2), max_frac=0.2)
    assert (few.passed, few.severity, few.measured["restated_rows"]) == (False, "warn", 3)
    months = [stored(f"2024-{month:02d}-01", restated=90) for month in range(1, 6)]
    many = history_not_restated(note_rewrites(path, months, max_frac=0.2), max_frac=0.2)
    assert many.blocks
    assert many.message.startswith("90 of 100 rows of 2024-01, 90 of 100 rows of 2024-02")
    assert "and 2 more months came back different" in many.message
    assert "max_restated_frac=1" in many.repair


def test_nothing_restated_leaves_no_record_and_a_damaged_one_is_named(path: Path) -> None:
    assert note_rewrites(path, [], max_frac=0.2) == []
    assert not path.exists()
    path.parent.mkdir()
    path.write_text("[")
    with pytest.raises(LakeError, match="damaged"):
        read_rewrites(path)
