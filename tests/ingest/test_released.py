"""Releases: only rows that are in quarantine, each for one check, with a name and a reason, and kept in the lake."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ljwx_pipeline.errors import DataQualityError, LakeError
from ljwx_pipeline.ingest.judged_store import QUARANTINE
from ljwx_pipeline.ingest.released import read_releases, release_rows
from ljwx_pipeline.lake import Lake, TableVersion
from ljwx_pipeline.lake.retention import retain
from ljwx_pipeline.market.tables import TABLES
from ljwx_pipeline.quality.quarantine import RELEASES, row_hashes

DAY = date(2024, 1, 3)
NOW = datetime(2024, 2, 1, 8, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def checked(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "checked")
    rows = [("600000.SH", "bars.a"), ("600000.SH", "bars.b"), ("600001.SH", "bars.a")]
    figures = dict.fromkeys((name for name, dtype in TABLES["bars"].items() if dtype == "float64"), 1.0)
    held = pd.DataFrame(rows, columns=["symbol", "check"]).assign(session_date=pd.Timestamp(DAY), **figures)
    lake.write(QUARANTINE, held, partition="2024-01-01", known_at=NOW)
    return lake


def let_pass(lake: Lake, checked: Lake, **changes: Any) -> TableVersion:
    given: dict[str, Any] = {
        "symbol": "600000.SH",
        "session": DAY,
        "check": "bars.a",
        "reason": "seen in the exchange's own file",
        "released_by": "a person",
        "at": NOW,
    }
    return release_rows(lake, checked, **(given | changes))


def test_without_any_release_the_table_is_empty_and_has_its_columns(lake: Lake) -> None:
    assert read_releases(lake).empty
    assert list(read_releases(lake).columns) == list(RELEASES)


def test_a_release_is_of_one_row_and_one_check_and_says_who_and_why(lake: Lake, checked: Lake) -> None:
    let_pass(lake, checked)
    (made,) = read_releases(lake).to_dict("records")
    assert made == {
        "symbol": "600000.SH",
        "session_date": pd.Timestamp(DAY),
        "check": "bars.a",
        "row_hash": row_hashes("bars", checked.read(QUARANTINE).iloc[:1])[0],
        "reason": "seen in the exchange's own file",
        "released_by": "a person",
        "released_at": pd.Timestamp(NOW),
    }


def test_without_a_check_every_check_the_row_broke_is_released(lake: Lake, checked: Lake) -> None:
    let_pass(lake, checked, check=None)
    assert read_releases(lake)[["symbol", "check"]].to_numpy().tolist() == [
        ["600000.SH", "bars.a"],
        ["600000.SH", "bars.b"],
    ]


def test_releases_add_up_and_a_second_one_of_the_same_row_replaces_the_first(lake: Lake, checked: Lake) -> None:
    let_pass(lake, checked)
    let_pass(lake, checked, symbol="600001.SH", at=NOW.replace(hour=9))
    let_pass(lake, checked, reason="asked again", at=NOW.replace(hour=10))
    held = read_releases(lake).set_index("symbol")
    assert sorted(held.index) == ["600000.SH", "600001.SH"]
    assert held.loc["600000.SH", "reason"] == "asked again"
    assert len(lake.read("releases", as_of=NOW.replace(hour=9))) == 2


@pytest.mark.parametrize(
    "changes",
    [{"symbol": "600009.SH"}, {"session": date(2024, 1, 4)}, {"check": "bars.c"}],
    ids=["symbol", "session", "check"],
)
def test_a_row_that_is_not_in_quarantine_cannot_be_released(lake: Lake, checked: Lake, changes: dict[str, Any]) -> None:
    with pytest.raises(DataQualityError, match="is in quarantine"):
        let_pass(lake, checked, **changes)
    assert not lake.holds("releases")


def test_with_nothing_in_quarantine_nothing_can_be_released(lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(DataQualityError, match=r"no bar of 600000\.SH on 2024-01-03 is in quarantine for bars\.a"):
        let_pass(lake, Lake(tmp_path / "nothing"))


@pytest.mark.parametrize("changes", [{"reason": " "}, {"released_by": ""}])
def test_a_release_without_a_reason_or_a_name_is_refused(lake: Lake, checked: Lake, changes: dict[str, str]) -> None:
    with pytest.raises(DataQualityError, match="no reason or nobody's name"):
        let_pass(lake, checked, **changes)


def test_a_release_made_after_an_instant_was_not_known_then(lake: Lake, checked: Lake) -> None:
    let_pass(lake, checked)
    assert read_releases(lake, as_of=NOW - timedelta(seconds=1)).empty
    assert len(read_releases(lake, as_of=NOW)) == 1


def test_releases_that_retention_removed_are_refused_and_not_taken_for_none(lake: Lake, checked: Lake) -> None:
    let_pass(lake, checked)
    let_pass(lake, checked, symbol="600001.SH", at=NOW + timedelta(days=1))
    retain(lake, keep_days=30, dry_run=False, now=NOW + timedelta(days=60))
    with pytest.raises(LakeError, match="retention removed"):
        read_releases(lake, as_of=NOW)
    assert read_releases(lake, as_of=NOW - timedelta(days=1)).empty
    assert len(read_releases(lake)) == 2
