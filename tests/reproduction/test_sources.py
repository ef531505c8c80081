"""Which rows of the lake a replay sees otherwise than the run that pinned them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.lake import Catalogue, Lake
from ljwx_pipeline.lake.retention import retain
from ljwx_pipeline.reproduction.sources import require_held, source_differences
from ljwx_pipeline.reproduction.target import Original
from tests.fakes.recorded_runs import recorded_run

RUN = "a" * 32
THEN = datetime(2024, 3, 1, tzinfo=UTC)
LATER = THEN + timedelta(days=10)


def st_spells(end: str | None) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "symbol": ["600000.SH", "600001.SH"],
            "start_date": pd.to_datetime(["2023-01-03", "2023-02-01"]),
            "end_date": pd.to_datetime([end, None]),
        }
    )


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "market" / "lake")
    lake.write("st_spells", st_spells("2023-06-01"), known_at=THEN)
    return lake


def original(lake: Lake) -> Original:
    run = recorded_run(RUN, ended_at=LATER)
    return Original(run=run, version=None, market="market", home=lake.root.parent, settings={}, environment={}, made={})


def pin(lake: Lake) -> None:
    catalogue = Catalogue(lake)
    catalogue.create("m-v1", as_of=THEN)
    catalogue.add_reference("m-v1", "run", RUN)


def test_a_restated_row_is_named_with_what_it_said_and_says(lake: Lake) -> None:
    pin(lake)
    lake.write("st_spells", st_spells("2023-07-01"), known_at=LATER)
    (said,) = source_differences(original(lake), LATER.isoformat())
    assert said.startswith("st_spells: 1 rows changed, 0 new, 0 gone; 600000.SH 2023-01-03")
    assert "end_date 2023-06-01" in said
    assert "then, 2023-07-01" in said


def test_an_instant_before_the_first_row_is_refused_with_one_that_works(lake: Lake) -> None:
    with pytest.raises(LakeError) as refused:
        require_held(original(lake), (THEN - timedelta(days=1)).isoformat())
    assert "the lake of market held nothing at 2024-02-29" in str(refused.value)
    assert f"name an instant from {THEN.isoformat()} on" in str(refused.value)
    require_held(original(lake), THEN.isoformat())


def test_an_instant_before_the_calendar_is_refused_though_something_was_known(lake: Lake) -> None:
    calendar = pd.DataFrame({"session_date": pd.to_datetime(["2024-01-02"])})
    lake.write("calendar", calendar, known_at=LATER)
    with pytest.raises(LakeError, match=f"held no calendar at .*: name an instant from {LATER.date()}"):
        require_held(original(lake), THEN.isoformat())
    require_held(original(lake), LATER.isoformat())


def test_a_table_that_came_later_is_named(lake: Lake) -> None:
    pin(lake)
    lake.write("names", pd.DataFrame({"symbol": ["600000.SH"]}), known_at=LATER)
    assert "every pinned table of the lake is the same" in source_differences(original(lake), LATER.isoformat())[0]


def test_without_a_pinned_dataset_no_row_can_be_named(lake: Lake) -> None:
    assert "no pinned dataset says which rows" in source_differences(original(lake), THEN.isoformat())[0]


def test_the_same_tables_leave_what_passed_the_checks(lake: Lake) -> None:
    pin(lake)
    assert "what passed the checks is not" in source_differences(original(lake), THEN.isoformat())[0]


def test_data_that_retention_removed_cannot_be_replayed_and_pinned_data_can(lake: Lake) -> None:
    require_held(original(lake), THEN.isoformat())
    lake.write("st_spells", st_spells("2023-07-01"), known_at=LATER)
    pin(lake)
    much_later = LATER + timedelta(days=900)
    retain(lake, keep_days=1, dry_run=False, now=much_later)
    require_held(original(lake), THEN.isoformat())
    Catalogue(lake).remove_reference("m-v1", "run", RUN)
    Catalogue(lake).delete("m-v1")
    retain(lake, keep_days=1, dry_run=False, now=much_later)
    with pytest.raises(LakeError, match="retention"):
        require_held(original(lake), THEN.isoformat())


def test_a_lake_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="is gone: the data of run"):
        require_held(original(Lake(tmp_path / "nowhere" / "lake")), THEN.isoformat())
