"""Versions taken over from another lake: the same rows, the same rules of time, and no second copy of the bytes."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.lake import Catalogue, Lake, TableVersion
from ljwx_pipeline.lake.adoption import adopt
from ljwx_pipeline.lake.compaction import compact
from ljwx_pipeline.lake.retention import retain

NOW = datetime(2024, 2, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=1)


def rows(*days: int, close: float = 10.0) -> pd.DataFrame:
    dates = pd.DatetimeIndex([f"2024-01-{day:02d}" for day in days])
    return pd.DataFrame({"symbol": "600000.SH", "session_date": dates, "close_cny": close})


@pytest.fixture
def raw(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "raw")
    lake.write("raw_bars", rows(2, 3), partition="2024-01-01", known_at=NOW)
    return lake


@pytest.fixture
def checked(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "checked")


def take(raw: Lake, checked: Lake, known_at: datetime = NOW) -> TableVersion:
    (made,) = adopt(checked, "bars", raw.current("raw_bars"), known_at=known_at)
    return made


def test_the_rows_are_read_as_if_they_had_been_written_and_share_their_file(raw: Lake, checked: Lake) -> None:
    made = take(raw, checked)
    pd.testing.assert_frame_equal(checked.read("bars"), raw.read("raw_bars"))
    assert (made.table, made.version, made.rows, made.known_at) == ("bars", 1, 2, NOW)
    assert made.paths[0].samefile(raw.current("raw_bars")[0].paths[0])
    assert checked.current("bars") == [made]
    assert [path.name for path in made.folder.iterdir() if path.suffix == ".part"] == []


def test_equal_content_adds_nothing_and_other_content_is_the_next_version(raw: Lake, checked: Lake) -> None:
    checked.write("bars", rows(2, 3), partition="2024-01-01", known_at=NOW)
    assert take(raw, checked, LATER).version == 1
    raw.write("raw_bars", rows(2, 3, close=11.0), partition="2024-01-01", known_at=LATER)
    made = take(raw, checked, LATER)
    assert made.version == 2
    assert checked.read("bars", as_of=NOW)["close_cny"].tolist() == [10.0, 10.0]
    assert checked.read("bars")["close_cny"].tolist() == [11.0, 11.0]


def test_other_content_cannot_be_known_before_what_is_there(raw: Lake, checked: Lake) -> None:
    checked.write("bars", rows(2), partition="2024-01-01", known_at=LATER)
    with pytest.raises(LakeError, match="run again once it is past the instant of that version"):
        take(raw, checked)
    assert len(checked.read("bars")) == 1


def test_rows_in_several_files_become_one(raw: Lake, checked: Lake) -> None:
    raw.append("raw_bars", rows(4), partition="2024-01-01", known_at=LATER)
    made = take(raw, checked, LATER)
    assert len(made.files) == 1
    pd.testing.assert_frame_equal(checked.read("bars"), raw.read("raw_bars"))


def test_removing_or_losing_the_one_leaves_the_other(raw: Lake, checked: Lake) -> None:
    take(raw, checked)
    raw.current("raw_bars")[0].paths[0].unlink()
    assert len(checked.read("bars")) == 2


def test_damage_to_the_one_is_told_of_both_with_a_remedy_for_both(raw: Lake, checked: Lake) -> None:
    name = take(raw, checked).paths[0]
    twin = raw.current("raw_bars")[0].paths[0]
    name.write_bytes(b"not what was written")
    for lake, table, this, other in ((raw, "raw_bars", twin, name), (checked, "bars", name, twin)):
        with pytest.raises(LakeError) as told:
            lake.read(table)
        assert told.value.fact.startswith(f"{this} is damaged")
        assert f"so is {other}, which is the same file" in told.value.fact
        assert f"delete the folders {this.parent}, {other.parent} and load" in told.value.remedy


def test_damage_to_a_file_of_one_name_is_told_of_it_alone(raw: Lake, checked: Lake) -> None:
    take(raw, checked)
    alone = raw.current("raw_bars")[0].paths[0]
    alone.unlink()
    alone.write_bytes(b"not what was written")
    with pytest.raises(LakeError, match="is damaged") as told:
        raw.read("raw_bars")
    assert "another name" not in str(told.value)
    assert len(checked.read("bars")) == 2


@pytest.mark.parametrize("side", ["raw", "checked"])
def test_upkeep_of_the_one_leaves_the_other_as_it_was(raw: Lake, checked: Lake, side: str) -> None:
    take(raw, checked)
    lake, table, other, kept = {
        "raw": (raw, "raw_bars", checked, "bars"),
        "checked": (checked, "bars", raw, "raw_bars"),
    }[side]
    before = other.read(kept)
    Catalogue(lake).create("pinned", [table], as_of=NOW)
    lake.append(table, rows(4), partition="2024-01-01", known_at=LATER)
    assert len(compact(lake, table, "2024-01-01").files) == 1
    Catalogue(lake).delete("pinned")
    gone = retain(lake, keep_days=0, dry_run=False, now=LATER + timedelta(days=1))
    assert [entry[2] for entry in gone.versions] == [1]
    assert len(lake.read(table)) == 3
    pd.testing.assert_frame_equal(other.read(kept), before)
    pd.testing.assert_frame_equal(other.read(kept, as_of=NOW), before)


def test_a_lost_file_of_equal_content_is_mended(raw: Lake, checked: Lake) -> None:
    made = take(raw, checked)
    made.paths[0].unlink()
    assert take(raw, checked, LATER) == made
    assert len(checked.read("bars")) == 2


def test_a_name_left_by_a_writer_that_died_is_no_hindrance(raw: Lake, checked: Lake) -> None:
    made = take(raw, checked)
    (made.folder / "v00000001.json").unlink()
    again = take(raw, checked)
    assert again == made
    assert sorted(path.name for path in made.folder.iterdir()) == sorted(["v00000001.json", made.files[0].name])


def test_where_the_disk_cannot_link_the_file_is_copied(
    raw: Lake, checked: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    made = take(raw, checked)
    assert not made.paths[0].samefile(raw.current("raw_bars")[0].paths[0])
    pd.testing.assert_frame_equal(checked.read("bars"), raw.read("raw_bars"))


def test_nothing_given_is_nothing_done(checked: Lake) -> None:
    assert adopt(checked, "bars", [], known_at=NOW) == []
    assert not checked.holds("bars")
