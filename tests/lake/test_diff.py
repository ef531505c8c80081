"""What changed is said key by key and column by column, with who saw what is no longer so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.lake import Lake, split_by_month
from ljwx_pipeline.lake.diff import diff_as_of, diff_rows
from ljwx_pipeline.lake.reads import ReadsJournal
from ljwx_pipeline.lake.row_history import row_history
from tests.fakes.bars import random_bars

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
TUESDAY = MONDAY + timedelta(days=1)
BARS = random_bars(symbols=4, sessions=60)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    lake.write_partitions("bars", split_by_month(BARS), known_at=MONDAY)
    return lake


def restated() -> pd.DataFrame:
    after = BARS.copy()
    after.loc[3, ["close_cny", "volume_shares"]] = [1.5, 7.0]
    after.loc[5, "close_cny"] = 2.5
    new = BARS.iloc[[0]].assign(symbol="S00009.SIM")
    return pd.concat([after.drop(index=8), new]).sort_values(["session_date", "symbol"], ignore_index=True)


def test_added_removed_and_changed_rows_are_counted_and_shown(lake: Lake) -> None:
    lake.write_partitions("bars", split_by_month(restated()), known_at=TUESDAY)
    found = diff_as_of(lake, "bars", MONDAY)
    assert (found.added, found.removed, found.changed) == (1, 1, 2)
    assert (found.rows_before, found.rows_after) == (len(BARS), len(BARS))
    assert found.changed_by_column == {"close_cny": 2, "volume_shares": 1}
    assert found.partitions == ("2018-01-01",)
    first = found.changed_sample[0]
    assert first.key == {"session_date": BARS["session_date"][3], "symbol": BARS["symbol"][3]}
    assert first.columns == {
        "close_cny": (BARS["close_cny"][3], 1.5),
        "volume_shares": (BARS["volume_shares"][3], 7.0),
    }
    assert found.added_sample[0]["symbol"] == "S00009.SIM"
    assert found.removed_sample[0]["symbol"] == BARS["symbol"][8]
    shown = found.as_dict()["changed_sample"][0]
    assert shown["key"]["session_date"] == BARS["session_date"][3].date().isoformat()


def test_the_same_state_has_no_difference(lake: Lake) -> None:
    assert diff_as_of(lake, "bars", MONDAY, TUESDAY).is_empty


def test_a_partition_that_came_later_is_all_added(lake: Lake) -> None:
    more = BARS.assign(session_date=BARS["session_date"] + pd.Timedelta(days=400))
    lake.write_partitions("bars", split_by_month(more), known_at=TUESDAY)
    found = diff_as_of(lake, "bars", MONDAY)
    assert (found.added, found.removed, found.changed) == (len(BARS), 0, 0)


def test_columns_on_one_side_are_named_and_not_compared() -> None:
    table = pa.Table.from_pandas(BARS, preserve_index=False)
    found = diff_rows("bars", table.drop_columns(["amount_cny"]), table)
    assert (found.columns_added, found.changed, found.is_empty) == (("amount_cny",), 0, False)


def test_a_table_without_keys_is_compared_by_whole_rows() -> None:
    old, new = pa.table({"word": ["a", "b", "b"]}), pa.table({"word": ["b", "c"]})
    found = diff_rows("notes", old, new)
    assert (found.added, found.removed, found.changed) == (1, 2, 0)


cells = st.tuples(st.integers(0, 5), st.sampled_from("xyz"), st.sampled_from([0.0, 1.0, float("nan"), None]))


@given(old=st.lists(cells, max_size=8), new=st.lists(cells, max_size=8))
@settings(max_examples=80, deadline=None)
def test_counts_agree_with_a_comparison_row_by_row(old: list[tuple], new: list[tuple]) -> None:  # type: ignore[type-arg]
    def table(rows: list[tuple]) -> pa.Table:  # type: ignore[type-arg]
        columns = list(zip(*rows, strict=True)) or [(), (), ()]
        return pa.table(
            {
                "id": pa.array(columns[0], pa.int64()),
                "word": pa.array(columns[1], pa.string()),
                "value": pa.array(columns[2], pa.float64()),
            }
        )

    def numbered(rows: list[tuple]) -> dict[tuple[object, int], tuple]:  # type: ignore[type-arg]
        seen: dict[object, int] = {}
        out = {}
        for number, word, value in rows:
            nth = seen[number, word] = seen.get((number, word), -1) + 1
            out[(number, word), nth] = (None if value is None or np.isnan(value) else value,)
        return out

    before, after = numbered(old), numbered(new)
    found = diff_rows("notes", table(old), table(new), keys=["id", "word"])
    assert found.added == len(after.keys() - before.keys())
    assert found.removed == len(before.keys() - after.keys())
    assert found.changed == sum(before[key] != after[key] for key in before.keys() & after.keys())


def test_who_read_the_old_rows_is_part_of_the_answer(lake: Lake) -> None:
    journal = ReadsJournal(lake)
    journal.record_versions("features", "r1", lake.current("bars"))
    journal.record_read("summary", "r1", "bars", lake.content_hash("bars"), TUESDAY)
    march = [version for version in lake.current("bars") if version.partition == "2018-03-01"]
    journal.record_versions("march_only", "r2", march)
    lake.write_partitions("bars", split_by_month(restated()), known_at=TUESDAY)
    journal.record_versions("features", "r3", lake.current("bars"))
    found = diff_as_of(lake, "bars", MONDAY)
    assert [(item.reader, item.run_id) for item in found.readers] == [("features", "r1"), ("summary", "r1")]
    january = lake.versions("bars")[0]
    assert [item.reader for item in journal.readers_of_any("bars", {january.content_hash})] == ["features", "summary"]
    assert [item.reader for item in journal.readers_of_any("bars", {march[0].content_hash})] == [
        "features",
        "summary",
        "march_only",
        "features",
    ]
    assert journal.readers_of_any("index_bars", {january.content_hash}) == []


def test_a_line_cut_by_a_crash_is_no_read_and_the_next_writer_takes_it_off(lake: Lake) -> None:
    journal = ReadsJournal(lake)
    journal.record_read("a", "r1", "bars", "h", MONDAY)
    path = lake.root / ".reads" / "reads.jsonl"
    path.write_bytes(path.read_bytes() + b'{"reader": "torn", "run_id": "a run with a long name that is cut')
    assert [item.reader for item in journal.reads()] == ["a"]
    journal.record_read("b", "r2", "bars", "h", MONDAY)
    assert [item.reader for item in journal.reads()] == ["a", "b"]


def test_an_edited_line_is_noticed(lake: Lake) -> None:
    journal = ReadsJournal(lake)
    journal.record_read("a", "r1", "bars", "h", MONDAY)
    path = lake.root / ".reads" / "reads.jsonl"
    path.write_text(path.read_text().replace('"a"', '"b"'))
    with pytest.raises(LakeError, match="line 1 is damaged"):
        list(journal.reads())


def test_a_row_tells_its_restatements_once_each(lake: Lake) -> None:
    symbol, session = BARS["symbol"][3], BARS["session_date"][3].date()
    lake.write_partitions("bars", split_by_month(restated()), known_at=TUESDAY)
    gone = restated().drop(index=3)
    lake.write_partitions("bars", split_by_month(gone), known_at=TUESDAY + timedelta(days=1))
    lake.write_partitions("bars", split_by_month(gone.iloc[:-1]), known_at=TUESDAY + timedelta(days=2))
    story = row_history(lake, "bars", symbol=symbol, session=session)
    assert [(item.version, [row["close_cny"] for row in item.rows]) for item in story] == [
        (1, [BARS["close_cny"][3]]),
        (2, [1.5]),
        (3, []),
    ]
    with pytest.raises(LakeError, match=r"no row of S99999\.SIM"):
        row_history(lake, "bars", symbol="S99999.SIM", session=session)
