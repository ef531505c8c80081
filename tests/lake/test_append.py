"""Appends add files and never rewrite them; a version is one content however it is stored."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.lake import Lake, split_by_month
from ljwx_pipeline.lake.compaction import compact
from ljwx_pipeline.lake.documents import checksum
from ljwx_pipeline.lake.store import read_versions
from tests.fakes.bars import random_bars

MONDAY = datetime(2024, 1, 1, 12, tzinfo=UTC)
BARS = random_bars(symbols=4, sessions=60)
DAYS = BARS["session_date"].drop_duplicates().tolist()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def of_days(start: int, stop: int) -> pd.DataFrame:
    return BARS[BARS["session_date"].isin(DAYS[start:stop])]


def fill(lake: Lake, sessions: int = 20) -> None:
    for day in range(sessions):
        lake.append("bars", of_days(day, day + 1), known_at=MONDAY + timedelta(days=day))


def test_an_append_leaves_the_stored_files_alone_and_adds_one_with_the_new_rows_only(lake: Lake) -> None:
    first = lake.write("bars", of_days(0, 10), known_at=MONDAY)
    before = {path: path.read_bytes() for path in first.paths}
    second = lake.append("bars", of_days(10, 11), known_at=MONDAY + timedelta(days=1))
    assert second.files[:-1] == first.files
    assert second.files[-1].rows == len(of_days(10, 11))
    assert {path: path.read_bytes() for path in first.paths} == before
    pd.testing.assert_frame_equal(lake.read("bars"), of_days(0, 11).reset_index(drop=True))
    pd.testing.assert_frame_equal(lake.read("bars", as_of=MONDAY), of_days(0, 10).reset_index(drop=True))


def test_the_content_hash_does_not_depend_on_the_files(lake: Lake, tmp_path: Path) -> None:
    fill(lake, 20)
    whole = Lake(tmp_path / "whole").write("bars", of_days(0, 20), known_at=MONDAY)
    assert lake.current("bars")[0].content_hash == whole.content_hash
    assert len(lake.current("bars")[0].files) == 20
    assert lake.write("bars", of_days(0, 20), known_at=MONDAY + timedelta(days=99)).version == 20


def test_rows_that_belong_between_stored_ones_are_read_in_order(lake: Lake) -> None:
    odd, even = BARS[BARS["symbol"].str[5].astype(int) % 2 == 1], BARS[BARS["symbol"].str[5].astype(int) % 2 == 0]
    lake.write("bars", odd, known_at=MONDAY)
    lake.append("bars", even, known_at=MONDAY + timedelta(days=1))
    pd.testing.assert_frame_equal(lake.read("bars"), BARS)


def test_a_stored_key_with_other_values_is_refused_and_named(lake: Lake) -> None:
    lake.write("bars", of_days(0, 3), known_at=MONDAY)
    restated = of_days(2, 4).assign(close_cny=1.0)
    with pytest.raises(LakeError, match=r"holds \d of the \d new keys already, the first is session_date .*revise"):
        lake.append("bars", restated, known_at=MONDAY + timedelta(days=1))
    assert lake.current("bars")[0].version == 1


def test_an_append_tried_again_after_a_crash_adds_nothing(lake: Lake) -> None:
    lake.write("bars", of_days(0, 3), known_at=MONDAY)
    made = lake.append("bars", of_days(3, 4), known_at=MONDAY + timedelta(days=1))
    assert lake.append("bars", of_days(3, 4).iloc[::-1], known_at=MONDAY + timedelta(days=2)) == made
    assert lake.append("bars", of_days(3, 3), known_at=MONDAY + timedelta(days=2)) == made


def test_a_partly_stored_append_is_refused(lake: Lake) -> None:
    lake.write("bars", of_days(0, 3), known_at=MONDAY)
    with pytest.raises(LakeError, match="append rows of new keys only"):
        lake.append("bars", of_days(2, 4), known_at=MONDAY + timedelta(days=1))


def test_a_backdated_append_and_other_columns_are_refused(lake: Lake) -> None:
    lake.write("bars", of_days(0, 3), known_at=MONDAY)
    with pytest.raises(LakeError, match="cannot be known at"):
        lake.append("bars", of_days(3, 4), known_at=MONDAY)
    with pytest.raises(LakeError, match="has columns"):
        lake.append("bars", of_days(3, 4).assign(more=1), known_at=MONDAY + timedelta(days=1))


def test_a_table_that_is_not_canonical_needs_its_keys_named(lake: Lake) -> None:
    lake.append("notes", pd.DataFrame({"id": [2], "word": ["b"]}), known_at=MONDAY)
    more = pd.DataFrame({"id": [1], "word": ["a"]})
    with pytest.raises(LakeError, match="name its key columns"):
        lake.append("notes", more, known_at=MONDAY + timedelta(days=1))
    lake.append("notes", more, known_at=MONDAY + timedelta(days=1), keys=["id"])
    assert lake.read("notes")["id"].tolist() == [2, 1], "such a table keeps the order it was given"


def test_a_revision_replaces_stored_keys_and_adds_new_ones(lake: Lake) -> None:
    lake.write("bars", of_days(0, 3), known_at=MONDAY)
    made = lake.revise("bars", of_days(2, 4).assign(close_cny=1.0), known_at=MONDAY + timedelta(days=1))
    now = lake.read("bars")
    assert len(now) == len(of_days(0, 4)) == made.rows
    assert (now["close_cny"] == 1.0).sum() == len(of_days(2, 4))
    pd.testing.assert_frame_equal(lake.read("bars", as_of=MONDAY), of_days(0, 3).reset_index(drop=True))
    assert lake.revise("bars", of_days(0, 1), known_at=MONDAY + timedelta(days=2)) == made


def test_many_partitions_are_written_as_one_at_a_time_would(lake: Lake, tmp_path: Path) -> None:
    made = lake.write_partitions("bars", split_by_month(BARS), known_at=MONDAY)
    slow = Lake(tmp_path / "slow")
    for month, part in BARS.groupby(BARS["session_date"].dt.strftime("%Y-%m-01")):
        slow.write("bars", part, partition=str(month), known_at=MONDAY)
    assert [v.partition for v in made] == [v.partition for v in slow.current("bars")]
    assert lake.content_hash("bars") == slow.content_hash("bars")
    assert lake.write_partitions("bars", split_by_month(BARS.iloc[::-1]), known_at=MONDAY) == made
    assert lake.write_partitions("bars", {}, known_at=MONDAY) == []


def test_one_partition_that_cannot_be_written_leaves_all_as_they_were(lake: Lake) -> None:
    lake.write("bars", of_days(0, 1), partition="b", known_at=MONDAY)
    with pytest.raises(LakeError, match="cannot be known at"):
        lake.write_partitions("bars", {"a": of_days(1, 2), "b": of_days(2, 3)}, known_at=MONDAY)
    assert [version.partition for version in lake.versions("bars")] == ["b"]
    assert not list(lake.root.rglob("*.part"))


def test_rows_without_a_date_belong_to_no_month() -> None:
    with pytest.raises(LakeError, match="1 rows have no session_date"):
        split_by_month(pd.DataFrame({"session_date": pd.to_datetime(["2024-01-02", None])}))
    with pytest.raises(LakeError, match="two months the name 2018"):
        split_by_month(BARS, pattern="%Y")


def test_arrow_rows_are_stored_as_frames_are(lake: Lake, tmp_path: Path) -> None:
    table = pa.Table.from_pandas(BARS, preserve_index=False).replace_schema_metadata(None)
    coded = table.set_column(0, "symbol", table["symbol"].dictionary_encode())
    hashes = {
        Lake(tmp_path / str(number)).write("bars", rows, known_at=MONDAY).content_hash
        for number, rows in enumerate((BARS, table, coded))
    }
    assert len(hashes) == 1
    lake.write("bars", coded, known_at=MONDAY)
    pd.testing.assert_frame_equal(lake.read("bars"), BARS)


def test_columns_and_sessions_are_pushed_down(lake: Lake) -> None:
    lake.write_partitions("bars", split_by_month(BARS), known_at=MONDAY)
    first, last = DAYS[5].date(), DAYS[7].date()
    expected = of_days(5, 8)[["close_cny", "symbol"]].reset_index(drop=True)
    pd.testing.assert_frame_equal(lake.read("bars", columns=["close_cny", "symbol"], first=first, last=last), expected)
    for version in lake.current("bars"):
        if not version.partition.startswith("2018-01"):
            version.paths[0].write_bytes(b"damaged")
    pd.testing.assert_frame_equal(lake.read("bars", columns=["close_cny", "symbol"], first=first, last=last), expected)
    with pytest.raises(LakeError, match="no column nosuch"):
        lake.read("bars", columns=["nosuch"], first=first, last=last)


def test_an_open_end_and_no_session_at_all_are_ranges_too(lake: Lake) -> None:
    fill(lake, 12)
    assert lake.read("bars", first=DAYS[10].date())["session_date"].unique().tolist() == DAYS[10:12]
    assert lake.read("bars", last=DAYS[1].date())["session_date"].unique().tolist() == DAYS[:2]
    nothing = lake.read("bars", first=datetime(2030, 1, 1, tzinfo=UTC).date())
    assert len(nothing) == 0
    pd.testing.assert_series_equal(nothing.dtypes, BARS.dtypes)


def test_row_groups_without_the_sessions_are_not_read(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ljwx_pipeline.lake.atomic_parquet.ROW_GROUP_ROWS", 10)
    lake.write("bars", BARS, known_at=MONDAY)
    day = DAYS[30].date()
    pd.testing.assert_frame_equal(lake.read("bars", first=day, last=day), of_days(30, 31).reset_index(drop=True))


def test_sessions_of_a_table_without_them_are_refused(lake: Lake) -> None:
    lake.write("securities", pd.DataFrame({"symbol": ["S00000.SIM"]}), known_at=MONDAY)
    with pytest.raises(LakeError, match="has no session_date"):
        lake.read("securities", first=DAYS[0].date())


def test_partitions_are_streamed_one_at_a_time(lake: Lake) -> None:
    lake.write_partitions("bars", split_by_month(BARS), known_at=MONDAY)
    parts = dict(lake.iter_partitions("bars", columns=["symbol", "session_date"]))
    assert list(parts) == [version.partition for version in lake.current("bars")]
    pd.testing.assert_frame_equal(pd.concat(parts.values(), ignore_index=True), BARS[["symbol", "session_date"]])
    only = dict(lake.iter_partitions("bars", first=DAYS[-1].date()))
    assert list(only) == [DAYS[-1].strftime("%Y-%m-01")]


def test_an_old_manifest_of_one_file_is_read(lake: Lake) -> None:
    version = lake.write("bars", of_days(0, 5), known_at=MONDAY)
    path = version.folder / "v00000001.json"
    body = json.loads(path.read_text())
    body.pop("checksum")
    file = body.pop("files")[0]
    body |= {"format": 1, "file": file["name"], "file_sha256": file["sha256"]}
    path.write_text(json.dumps({**body, "checksum": checksum(body)}, indent=1, ensure_ascii=False))
    day = DAYS[2].date()
    pd.testing.assert_frame_equal(lake.read("bars", first=day, last=day), of_days(2, 3).reset_index(drop=True))
    assert lake.write("bars", of_days(0, 5), known_at=MONDAY + timedelta(days=1)).version == 1
    assert len(lake.append("bars", of_days(5, 6), known_at=MONDAY + timedelta(days=1)).files) == 2


def test_compaction_changes_the_files_and_nothing_else(lake: Lake) -> None:
    fill(lake, 10)
    before = lake.current("bars")[0]
    answers = [lake.read("bars", as_of=MONDAY + timedelta(days=day)) for day in range(10)]
    after = compact(lake, "bars", "all")
    assert (after.version, after.content_hash, after.known_at, after.rows) == (
        before.version,
        before.content_hash,
        before.known_at,
        before.rows,
    )
    assert len(after.files) == 1
    assert compact(lake, "bars", "all") == after
    for day, answer in enumerate(answers):
        pd.testing.assert_frame_equal(lake.read("bars", as_of=MONDAY + timedelta(days=day)), answer)
    assert len(lake.append("bars", of_days(10, 11), known_at=MONDAY + timedelta(days=10)).files) == 2


def test_a_reader_that_looked_before_the_files_moved_reads_the_same_rows(lake: Lake) -> None:
    fill(lake, 5)
    seen = lake.current("bars")
    compact(lake, "bars", "all")
    for path in seen[0].paths:
        path.unlink()
    pd.testing.assert_frame_equal(read_versions(seen), of_days(0, 5).reset_index(drop=True))


def test_compaction_of_what_does_not_exist_or_is_damaged_is_refused(lake: Lake) -> None:
    fill(lake, 3)
    with pytest.raises(LakeError, match="no partition nosuch"):
        compact(lake, "bars", "nosuch")
    lake.current("bars")[0].paths[1].write_bytes(b"damaged")
    with pytest.raises(LakeError, match="is damaged"):
        compact(lake, "bars", "all")


def test_equal_content_mends_one_lost_file_of_several(lake: Lake) -> None:
    fill(lake, 3)
    lake.current("bars")[0].paths[1].unlink()
    mended = lake.write("bars", of_days(0, 3), known_at=MONDAY + timedelta(days=9))
    assert (mended.version, len(mended.files)) == (3, 1)
    pd.testing.assert_frame_equal(lake.read("bars"), of_days(0, 3).reset_index(drop=True))


def test_categories_and_nullable_text_come_back_as_they_were(lake: Lake) -> None:
    frame = pd.DataFrame(
        {
            "kind": pd.Categorical(["b", None, "a"]),
            "word": pd.array(["x", None, "y"], dtype="string"),
            "plain": ["u", None, "u"],
            "nothing": [None, None, None],
        }
    )
    lake.write("notes", frame, known_at=MONDAY)
    pd.testing.assert_frame_equal(lake.read("notes"), frame)
