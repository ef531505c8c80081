"""A session pack is read as it was written, or refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.session_pack import read_session_pack, write_session_pack
from ljwx_pipeline.market.tables import empty_table
from tests.fakes.live_market import Tables, live_tables, write_pack

FEATURES = pd.DataFrame({"symbol": ["B", "A"], "K": np.array([1.5, np.nan], dtype=np.float32)})


@pytest.fixture(scope="module")
def tables() -> Tables:
    return live_tables(symbols=8, sessions=80, feed_sessions=10)


@pytest.fixture
def folder(tmp_path: Path, tables: Tables) -> Path:
    write_pack(tmp_path / "feed", tables, feed_sessions=10, online_features=FEATURES)
    return tmp_path / "feed"


def test_what_was_written_is_read(folder: Path, tables: Tables) -> None:
    pack = read_session_pack(folder)
    history, feed = tables.split(10)
    pd.testing.assert_frame_equal(pack.history, history, check_dtype=False)
    pd.testing.assert_frame_equal(pack.feed, feed, check_dtype=False)
    assert pack.online_features["K"].dtype == np.float32
    assert list(pack.online_features["symbol"]) == ["A", "B"]
    assert pack.manifest.simulated
    assert pack.last_research_session == history["session_date"].max().date()


def test_the_same_content_gives_the_same_bytes(folder: Path, tables: Tables) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    write_pack(folder, tables, feed_sessions=10, online_features=FEATURES)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["feed"], "nothing half-written is left"


@pytest.mark.parametrize("name", ["feed.arrow", "history.arrow", "securities.arrow"])
def test_one_changed_byte_is_found(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(LiveError, match=f"{name} is damaged"):
        read_session_pack(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "st_spells.arrow").unlink()
    with pytest.raises(LiveError, match=r"st_spells\.arrow cannot be read"):
        read_session_pack(folder)


def test_no_pack_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(LiveError, match="there is no session pack"):
        read_session_pack(tmp_path)


@pytest.mark.parametrize(
    "change", [{"format": 1}, {"files": {}}, {"surprise": 1}, {"files": {"../../secret": "0" * 64}}]
)
def test_another_manifest_is_refused(folder: Path, change: dict[str, object]) -> None:
    tree = json.loads((folder / "manifest.json").read_bytes()) | change
    (folder / "manifest.json").write_text(json.dumps(tree))
    with pytest.raises(LiveError, match="session pack"):
        read_session_pack(folder)


def test_history_and_feed_must_not_overlap(tmp_path: Path, tables: Tables) -> None:
    history, feed = tables.split(10)
    with pytest.raises(LiveError, match="overlaps"):
        write_session_pack(
            tmp_path / "feed",
            history=pd.concat([history, feed[:1]]),
            feed=feed,
            securities=tables.securities,
            st_spells=tables.st_spells,
            index_members=empty_table("index_members"),
            corporate_actions=tables.corporate_actions,
            online_features=FEATURES,
            adjustment="raw",
            simulated=True,
        )
    assert not (tmp_path / "feed").exists()


def test_the_feed_hands_out_one_session_at_a_time(folder: Path, tables: Tables) -> None:
    feed = ReplayFeed.open(folder)
    assert len(feed.sessions) == 10
    assert list(feed.sessions) == sorted(feed.sessions)
    bars = feed.bars(feed.sessions[3])
    assert set(bars["session_date"]) == {pd.Timestamp(feed.sessions[3])}
    closes = feed.market.close_e4[:, feed.column(feed.sessions[3])]
    assert (closes > 0).sum() == len(bars)
    assert feed.bars_hash(feed.sessions[3]) != feed.bars_hash(feed.sessions[4])


def test_a_pack_without_sessions_to_replay_is_refused(tmp_path: Path, tables: Tables) -> None:
    history, feed = tables.split(10)
    write_session_pack(
        tmp_path / "feed",
        history=history,
        feed=feed[:0],
        securities=tables.securities,
        st_spells=tables.st_spells,
        index_members=empty_table("index_members"),
        corporate_actions=tables.corporate_actions,
        online_features=FEATURES,
        adjustment="raw",
        simulated=True,
    )
    with pytest.raises(LiveError, match="no session to replay"):
        ReplayFeed.open(tmp_path / "feed")


def test_a_pack_that_cannot_be_put_in_place_leaves_the_one_before(
    folder: Path, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_session_pack(folder).manifest
    history, feed = tables.split(8)
    original = Path.rename

    def full_disk(self: Path, target: Path) -> Path:
        if target == folder and self.suffix != ".old":
            raise OSError(28, "No space left on device")
        return original(self, target)

    monkeypatch.setattr(Path, "rename", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_session_pack(
            folder,
            history=history,
            feed=feed,
            securities=tables.securities,
            st_spells=tables.st_spells,
            index_members=empty_table("index_members"),
            corporate_actions=tables.corporate_actions,
            online_features=FEATURES,
            adjustment="raw",
            simulated=True,
        )
    assert read_session_pack(folder).manifest == before


@pytest.mark.parametrize("change", [{"files": 3}, {"files": ["a"]}, {"last_research_session": 3}, {"other": 1}])
def test_a_manifest_of_other_types_is_refused(folder: Path, change: dict[str, object]) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(LiveError, match=r"manifest\.json is not a session pack's manifest"):
        read_session_pack(folder)


@pytest.mark.parametrize("text", ["[1]", "3", "null", "[" * 100_000])
def test_what_is_no_manifest_is_refused(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_text(text)
    with pytest.raises(LiveError, match=r"manifest\.json is not a session pack's manifest"):
        read_session_pack(folder)
