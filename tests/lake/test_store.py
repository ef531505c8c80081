"""The lake appends, remembers what was known when, and notices damage."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.lake import Lake
from ljwx_pipeline.lake.partition import Partition
from ljwx_pipeline.market.tables import TABLES, empty_table
from tests.fakes.bars import random_bars

MONDAY = datetime(2024, 1, 1, 12, tzinfo=UTC)
TUESDAY = MONDAY + timedelta(days=1)
WEDNESDAY = MONDAY + timedelta(days=2)


def frame(*values: float) -> pd.DataFrame:
    return pd.DataFrame({"symbol": [f"S{i:05d}.SIM" for i in range(len(values))], "price_cny": list(values)})


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def test_bars_come_back_equal_and_in_session_order(lake: Lake) -> None:
    bars = random_bars(symbols=5, sessions=50)
    version = lake.write("bars", bars.sample(frac=1, random_state=1), known_at=MONDAY)
    pd.testing.assert_frame_equal(lake.read("bars"), bars)
    assert (version.version, version.rows, version.table, version.partition) == (1, len(bars), "bars", "all")


def test_equal_content_in_another_row_order_adds_no_version(lake: Lake) -> None:
    bars = random_bars(symbols=3, sessions=20)
    first = lake.write("bars", bars, known_at=MONDAY)
    again = lake.write("bars", bars.iloc[::-1], known_at=TUESDAY)
    assert again == first
    assert len(lake.versions("bars")) == 1


def test_a_restatement_is_appended_and_the_past_still_reads_as_it_was(lake: Lake) -> None:
    lake.write("prices", frame(1.0), known_at=MONDAY)
    lake.write("prices", frame(2.0), known_at=WEDNESDAY)
    assert lake.read("prices")["price_cny"].tolist() == [2.0]
    assert lake.read("prices", as_of=TUESDAY)["price_cny"].tolist() == [1.0]
    assert lake.read("prices", as_of=WEDNESDAY)["price_cny"].tolist() == [2.0]


def test_content_that_returns_to_an_older_state_is_a_new_version(lake: Lake) -> None:
    for day, value in enumerate((1.0, 2.0, 1.0)):
        lake.write("prices", frame(value), known_at=MONDAY + timedelta(days=day))
    assert [version.version for version in lake.versions("prices")] == [1, 2, 3]


def test_backdated_content_is_refused_because_it_would_change_an_answer_already_given(lake: Lake) -> None:
    lake.write("prices", frame(1.0), known_at=TUESDAY)
    for instant, behind_s in ((MONDAY, "86,400"), (TUESDAY, "0")):
        with pytest.raises(LakeError, match=rf"cannot be known at .*, {behind_s} s before it: look at .* clock"):
            lake.write("prices", frame(2.0), known_at=instant)
    assert lake.read("prices")["price_cny"].tolist() == [1.0]


def test_partitions_are_concatenated_and_can_be_chosen(lake: Lake) -> None:
    lake.write("prices", frame(2.0), partition="2020-02", known_at=TUESDAY)
    lake.write("prices", frame(1.0), partition="2020-01", known_at=MONDAY)
    assert lake.read("prices")["price_cny"].tolist() == [1.0, 2.0]
    assert lake.read("prices", partitions=["2020-02"])["price_cny"].tolist() == [2.0]
    assert lake.read("prices", as_of=MONDAY)["price_cny"].tolist() == [1.0]
    with pytest.raises(LakeError, match="2020-03"):
        lake.read("prices", partitions=["2020-03"])
    with pytest.raises(LakeError, match="none was named"):
        lake.read("prices", partitions=[])


def test_partitions_of_bars_are_read_in_session_order(lake: Lake) -> None:
    bars = random_bars(symbols=3, sessions=60)
    for month, part in bars.groupby(bars["session_date"].dt.strftime("%Y-%m")):
        lake.write("bars", part, partition=str(month), known_at=MONDAY)
    pd.testing.assert_frame_equal(lake.read("bars"), bars)


def test_an_empty_partition_does_not_change_the_dtypes_of_the_others(lake: Lake) -> None:
    bars = random_bars(symbols=2, sessions=10)
    lake.write("bars", bars, partition="2018-01", known_at=MONDAY)
    lake.write("bars", empty_table("bars"), partition="2018-02", known_at=MONDAY)
    pd.testing.assert_frame_equal(lake.read("bars"), bars)


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_canonical_table_survives_empty(lake: Lake, name: str) -> None:
    lake.write(name, empty_table(name), known_at=MONDAY)
    pd.testing.assert_frame_equal(lake.read(name), empty_table(name))


def test_partitions_with_other_columns_are_refused(lake: Lake) -> None:
    lake.write("prices", frame(1.0), partition="a", known_at=MONDAY)
    lake.write("prices", frame(1.0).assign(more=1), partition="b", known_at=MONDAY)
    with pytest.raises(LakeError, match="prices/b has columns"):
        lake.read("prices")


def test_nothing_known_yet_and_nothing_stored_are_told_apart(lake: Lake) -> None:
    with pytest.raises(LakeError, match="not in the lake"):
        lake.read("prices")
    lake.write("prices", frame(1.0), known_at=TUESDAY)
    with pytest.raises(LakeError, match="nothing of table prices was known"):
        lake.read("prices", as_of=MONDAY)


def test_instants_without_a_time_zone_are_refused(lake: Lake) -> None:
    naive = datetime(2024, 1, 1)  # noqa: DTZ001
    with pytest.raises(LakeError, match=r"known_at .* no time zone"):
        lake.write("prices", frame(1.0), known_at=naive)
    lake.write("prices", frame(1.0), known_at=MONDAY)
    with pytest.raises(LakeError, match=r"as_of .* no time zone"):
        lake.read("prices", as_of=naive)


@pytest.mark.parametrize("name", ["../up", "", ".hidden", "a/b", "x" * 101])
def test_names_that_could_leave_the_lake_are_refused(lake: Lake, name: str) -> None:
    with pytest.raises(LakeError, match="is refused"):
        lake.write(name, frame(1.0), known_at=MONDAY)
    with pytest.raises(LakeError, match="is refused"):
        lake.write("prices", frame(1.0), partition=name, known_at=MONDAY)


def test_a_changed_byte_in_a_data_file_is_noticed(lake: Lake) -> None:
    path = lake.write("prices", frame(1.0), known_at=MONDAY).paths[0]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(LakeError, match=f"{path.name} is damaged"):
        lake.read("prices")


def test_a_lost_data_file_is_named(lake: Lake) -> None:
    path = lake.write("prices", frame(1.0), known_at=MONDAY).paths[0]
    path.unlink()
    with pytest.raises(LakeError, match=f"{path.name} is missing"):
        lake.read("prices")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}'])
def test_a_damaged_manifest_is_named(lake: Lake, text: str) -> None:
    path = lake.write("prices", frame(1.0), known_at=MONDAY).paths[0]
    (path.parent / "v00000001.json").write_text(text)
    with pytest.raises(LakeError, match=r"v00000001\.json is damaged"):
        lake.read("prices")


def test_a_manifest_whose_instant_was_edited_is_noticed(lake: Lake) -> None:
    path = lake.write("prices", frame(1.0), known_at=MONDAY).paths[0]
    manifest = path.parent / "v00000001.json"
    manifest.write_text(manifest.read_text().replace("2024-01-01", "2023-01-01"))
    with pytest.raises(LakeError, match="checksum"):
        lake.read("prices")


def test_a_lost_manifest_is_not_mistaken_for_a_shorter_history(lake: Lake) -> None:
    path = lake.write("prices", frame(1.0), known_at=MONDAY).paths[0]
    lake.write("prices", frame(2.0), known_at=TUESDAY)
    (path.parent / "v00000001.json").unlink()
    with pytest.raises(LakeError, match="no manifest of version 1"):
        lake.read("prices")


def test_what_a_dead_writer_left_is_ignored(lake: Lake) -> None:
    folder = lake.write("prices", frame(1.0), known_at=MONDAY).folder
    (folder / "v00000002-0123456789ab.parquet").write_bytes(b"half a file")
    (folder / ".v00000002.json.abc.part").write_bytes(b"{")
    assert lake.read("prices")["price_cny"].tolist() == [1.0]
    assert lake.write("prices", frame(2.0), known_at=TUESDAY).version == 2
    assert lake.read("prices")["price_cny"].tolist() == [2.0]


def test_a_full_disk_leaves_the_table_as_it_was(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = lake.write("prices", frame(1.0), known_at=MONDAY).folder
    before = sorted(path.name for path in folder.iterdir())

    def no_space(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(LakeError, match=r"No space left on device.*free some space"):
        lake.write("prices", frame(2.0), known_at=TUESDAY)
    monkeypatch.undo()
    assert sorted(path.name for path in folder.iterdir()) == before
    assert lake.read("prices")["price_cny"].tolist() == [1.0]


def test_a_disk_that_fills_before_the_manifest_leaves_the_table_as_it_was(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.write("prices", frame(1.0), known_at=MONDAY)
    real_replace = Path.replace

    def full_for_manifests(self: Path, target: Path) -> Path:
        if Path(target).suffix == ".json":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real_replace(self, target)

    monkeypatch.setattr(Path, "replace", full_for_manifests)
    with pytest.raises(LakeError, match="No space left"):
        lake.write("prices", frame(2.0), known_at=TUESDAY)
    monkeypatch.undo()
    assert lake.read("prices")["price_cny"].tolist() == [1.0]
    assert lake.write("prices", frame(2.0), known_at=TUESDAY).version == 2


def test_a_root_that_is_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("not a folder")
    with pytest.raises(LakeError, match="LJWX_HOME"):
        Lake(tmp_path / "lake").write("prices", frame(1.0), known_at=MONDAY)


def test_two_writers_at_once_both_get_their_own_version(lake: Lake) -> None:
    failures: list[LakeError] = []

    def write(partition: str, start: int) -> None:
        for i in range(5):
            try:
                lake.write("prices", frame(start + i), partition=partition, known_at=MONDAY + timedelta(hours=i))
            except LakeError as error:
                failures.append(error)

    threads = [threading.Thread(target=write, args=(name, 10 * n)) for n, name in enumerate("ab")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert [(v.partition, v.version) for v in lake.versions("prices")] == [(p, n) for p in "ab" for n in range(1, 6)]


def test_a_writer_that_holds_the_table_too_long_is_reported_not_waited_for(tmp_path: Path) -> None:
    lake = Lake(tmp_path, lock_timeout_s=0.05)
    lake.write("prices", frame(1.0), known_at=MONDAY)
    script = (
        "import fcntl, os, sys; d = os.open(sys.argv[1], os.O_RDWR); fcntl.flock(d, fcntl.LOCK_EX); "
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "prices" / ".lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(LakeError, match="another process") as refused:
            lake.write("prices", frame(2.0), known_at=TUESDAY)
        assert f"(pid {other.pid}) holds {tmp_path / 'prices'}, and still did after 0.05 s of waiting" in str(
            refused.value
        )
        other.kill()  # even killed outright it lets go
    assert lake.write("prices", frame(2.0), known_at=TUESDAY).version == 2


def test_the_table_hash_follows_content_and_instant_only(lake: Lake, tmp_path: Path) -> None:
    lake.write("prices", frame(1.0), partition="a", known_at=MONDAY)
    lake.write("prices", frame(2.0), partition="b", known_at=MONDAY)
    before = lake.content_hash("prices")
    lake.write("prices", frame(3.0), partition="b", known_at=TUESDAY)
    assert lake.content_hash("prices") != before
    assert lake.content_hash("prices", as_of=MONDAY) == before
    elsewhere = Lake(tmp_path / "elsewhere")
    elsewhere.write("prices", frame(2.0), partition="b", known_at=WEDNESDAY)
    elsewhere.write("prices", frame(1.0), partition="a", known_at=WEDNESDAY)
    assert elsewhere.content_hash("prices") == before


writes = st.lists(
    st.tuples(st.sampled_from("ab"), st.lists(st.floats(allow_nan=True, width=32), max_size=3)), min_size=1, max_size=6
)


@given(history=writes)
@settings(max_examples=25, deadline=None)
def test_every_past_answer_stays_the_same_whatever_is_appended(
    history: list[tuple[str, list[float]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    lake = Lake(tmp_path_factory.mktemp("lake"))
    answers: list[tuple[datetime, pd.DataFrame]] = []
    newest: dict[str, list[float]] = {}
    files: dict[Path, bytes] = {}
    for hour, (partition, values) in enumerate(history):
        now = MONDAY + timedelta(hours=hour)
        lake.write(
            "prices", pd.DataFrame({"price_cny": pd.Series(values, dtype=float)}), partition=partition, known_at=now
        )
        newest[partition] = values
        expected = [value for name in sorted(newest) for value in newest[name]]
        answers.append((now, pd.DataFrame({"price_cny": pd.Series(expected, dtype=float)})))
        for path, data in files.items():
            assert path.read_bytes() == data, "a stored file was touched"
        files = {path: path.read_bytes() for path in lake.root.rglob("v*")}
    for instant, expected_frame in answers:
        pd.testing.assert_frame_equal(lake.read("prices", as_of=instant), expected_frame)
    known = [sum(v.known_at <= instant for v in lake.versions("prices")) for instant, _ in answers]
    assert known == sorted(known)


def test_a_table_is_held_once_it_was_written(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    assert not lake.holds("bars")
    lake.write("bars", pd.DataFrame({"x": [1]}), known_at=datetime(2024, 1, 2, tzinfo=UTC))
    assert lake.holds("bars")


@pytest.mark.parametrize("data", [None, b"", b"half a file"])
def test_equal_content_mends_a_lost_or_damaged_file(lake: Lake, data: bytes | None) -> None:
    first = lake.write("prices", frame(1.0), known_at=MONDAY)
    if data is None:
        first.paths[0].unlink()
    else:
        first.paths[0].write_bytes(data)
    assert lake.write("prices", frame(1.0), known_at=TUESDAY) == first
    assert lake.read("prices", as_of=MONDAY)["price_cny"].tolist() == [1.0]


def test_a_mended_file_of_other_bytes_gets_its_hash_into_the_manifest(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = lake.write("prices", frame(1.0), known_at=MONDAY)
    first.paths[0].unlink()
    monkeypatch.setattr("ljwx_pipeline.lake.atomic_parquet.COMPRESSION", "snappy")
    mended = lake.write("prices", frame(1.0), known_at=TUESDAY)
    assert (mended.version, mended.content_hash, mended.known_at) == (1, first.content_hash, first.known_at)
    assert mended.files[0].sha256 != first.files[0].sha256
    assert lake.read("prices")["price_cny"].tolist() == [1.0]


def test_what_cannot_be_read_names_the_folder_to_delete(lake: Lake) -> None:
    path = lake.write("prices", frame(1.0), known_at=MONDAY).paths[0]
    path.unlink()
    with pytest.raises(LakeError, match=f"is missing.*delete the folder {path.parent} "):
        lake.read("prices")
    (path.parent / "v00000001.json").write_text("{")
    with pytest.raises(LakeError, match=f"is damaged.*delete the folder {path.parent} "):
        lake.write("prices", frame(1.0), known_at=TUESDAY)


def test_a_partition_that_cannot_be_listed_is_told_of_and_not_taken_for_empty(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert not Partition(tmp_path / "none").exists
    with pytest.raises(LakeError, match="loop cannot be read"):
        Partition(tmp_path / "loop")
