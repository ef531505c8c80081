"""A session pack is read as it was written, or refused by name."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.errors import LakeError, LiveError
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.market.tables import empty_table
from ljwx_pipeline.session_pack import MANIFEST, read_session_pack, write_session_pack
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
    assert len(before) == 8, "manifest, tables and features"
    write_pack(folder, tables, feed_sessions=10, online_features=FEATURES)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["feed"], "nothing half-written is left"


def test_a_file_that_is_what_the_manifest_says_and_no_table_is_refused(folder: Path) -> None:
    manifest, digest = json.loads((folder / MANIFEST).read_text()), hashlib.sha256(b"no table").hexdigest()
    manifest["files"]["feed.arrow"] = digest
    (folder / f"feed-{digest[:16]}.arrow").write_bytes(b"no table")
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(LiveError, match=r"feed-\w+\.arrow is no Arrow file"):
        read_session_pack(folder)


@pytest.mark.parametrize("name", ["feed", "history", "securities"])
def test_one_changed_byte_is_found(folder: Path, name: str) -> None:
    (path,) = folder.glob(f"{name}-*.arrow")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(LiveError, match=rf"{name}-\w+\.arrow is damaged"):
        read_session_pack(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    next(folder.glob("st_spells-*.arrow")).unlink()
    with pytest.raises(LiveError, match=r"st_spells-\w+\.arrow cannot be read"):
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


def written_before(folder: Path) -> None:
    """Give a pack the names and the format that it had before files carried their hash."""
    path = folder / "manifest.json"
    tree = json.loads(path.read_text())
    for name, digest in tree["files"].items():
        (folder / f"{name.removesuffix('.arrow')}-{digest[:16]}.arrow").rename(folder / name)
    path.write_text(json.dumps({**tree, "format": 2}))


def test_a_pack_of_the_format_before_is_read_and_replaced(folder: Path, tables: Tables) -> None:
    history = read_session_pack(folder).history
    written_before(folder)
    pd.testing.assert_frame_equal(read_session_pack(folder).history, history)
    write_pack(folder, tables, feed_sessions=10, online_features=FEATURES)
    pd.testing.assert_frame_equal(read_session_pack(folder).history, history)
    assert not (folder / "history.arrow").exists()
    assert len(list(folder.iterdir())) == 8


#: Every call that changes a disk while a pack is put in place.
CALLS = ((os, "mkdir"), (os, "open"), (os, "write"), (os, "fsync"), (Path, "replace"), (Path, "unlink"))


class Killed(BaseException):
    """The process is dead: no call after this one reaches the disk."""


class Counter:
    """Counts the calls, and lets none through from the ``dies_at``-th on."""

    def __init__(self, dies_at: float, die: Callable[[], None]) -> None:
        self.calls, self.dies_at, self.die = 0, dies_at, die

    def counted(self, original: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **named: object) -> object:
            self.calls += 1
            if self.calls >= self.dies_at:
                self.die()
            return original(*arguments, **named)

        return call


def killed() -> None:
    raise Killed


def written(folder: Path, tables: Tables, dies_at: float = math.inf, die: Callable[[], None] = killed) -> int:
    """Write the new pack, up to the ``dies_at``-th call; return how many were made."""
    counter = Counter(dies_at, die)
    with contextlib.ExitStack() as patches, contextlib.suppress(Killed):
        for owner, name in CALLS:
            patches.enter_context(patch.object(owner, name, counter.counted(getattr(owner, name))))
        write_pack(folder, tables, feed_sessions=8, online_features=FEATURES)
    return counter.calls


@pytest.mark.parametrize("plain_names", [False, True])
def test_a_writer_killed_before_any_call_leaves_the_old_pack_or_the_new_one(
    folder: Path, tmp_path: Path, tables: Tables, plain_names: bool
) -> None:
    if plain_names:
        written_before(folder)
    state = {path.name: path.read_bytes() for path in folder.iterdir()}
    old = read_session_pack(folder).manifest.files
    whole = tmp_path / "whole"
    shutil.copytree(folder, whole)
    calls = written(whole, tables)
    new = read_session_pack(whole).manifest.files
    seen = []
    for call in range(1, calls + 1):
        written(folder, tables, call)
        seen.append(read_session_pack(folder).manifest.files == new)  # every file is held to its hash
        assert seen[-1] or read_session_pack(folder).manifest.files == old, call
        if seen[-1]:  # from the old one again; what a killed writer left beside the old one stays for the next
            shutil.rmtree(folder)
            folder.mkdir()
            for name, data in state.items():
                (folder / name).write_bytes(data)
    assert seen == sorted(seen), "one call is the one that counts"
    assert not seen[0]
    assert seen[-1]
    written(folder, tables)
    assert {path.name for path in folder.iterdir()} == {path.name for path in whole.iterdir()}, "nothing is left over"


@pytest.mark.parametrize("call", [1, 20, 35])
def test_a_writer_killed_for_good_leaves_the_old_pack_and_the_next_one_cleans_up(
    folder: Path, tables: Tables, call: int
) -> None:
    old = read_session_pack(folder).manifest.files
    code = (
        "import os, signal, sys; from pathlib import Path; from tests.fakes.live_market import live_tables; "
        "from tests.test_session_pack import written; "
        "written(Path(sys.argv[1]), live_tables(symbols=8, sessions=80, feed_sessions=10), int(sys.argv[2]), "
        "lambda: os.kill(os.getpid(), signal.SIGKILL))"
    )
    process = subprocess.run([sys.executable, "-c", code, str(folder), str(call)], check=False)
    assert process.returncode == -signal.SIGKILL
    assert read_session_pack(folder).manifest.files == old
    written(folder, tables)
    assert len(list(folder.iterdir())) == 8


def test_a_reader_overtaken_by_a_writer_reads_the_new_pack(
    folder: Path, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, overtaken = Path.read_bytes, []

    def read_bytes(self: Path) -> bytes:
        if self.name.startswith("feed-") and not overtaken:
            overtaken.append(self)
            write_pack(folder, tables, feed_sessions=8, online_features=FEATURES)
        return original(self)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    pack = read_session_pack(folder)
    assert overtaken
    assert pack.feed["session_date"].nunique() == 8


def test_a_pack_that_cannot_be_put_in_place_leaves_the_one_before(
    folder: Path, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_session_pack(folder).manifest
    original = Path.replace

    def full_disk(self: Path, target: Path) -> Path:
        if target.name == "manifest.json":
            raise OSError(28, "No space left on device")
        return original(self, target)

    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(LakeError, match="No space"):
        write_pack(folder, tables, feed_sessions=8, online_features=FEATURES)
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
