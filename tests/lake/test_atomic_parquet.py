"""Files are whole or absent."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pandas as pd
import pytest

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.lake.atomic_parquet import read_parquet, write_bytes, write_parquet


def test_a_frame_comes_back_without_its_index_and_with_the_hash_of_its_file(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]}, index=[5, 6])
    path = tmp_path / "deep" / "er" / "t.parquet"
    digest = write_parquet(path, frame)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    pd.testing.assert_frame_equal(read_parquet(path, sha256=digest), frame.reset_index(drop=True))
    assert [p.name for p in path.parent.iterdir()] == ["t.parquet"]


def test_a_failed_write_keeps_the_old_file_and_leaves_no_temporary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f"
    write_bytes(path, b"old")

    def refuse(self: Path, target: Path) -> Path:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(LakeError, match="Permission denied"):
        write_bytes(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_who_may_read_a_file_is_the_umasks_affair(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_bytes(tmp_path / "f", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o640


def test_columns_parquet_cannot_hold_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="cannot be stored as Parquet"):
        write_parquet(tmp_path / "t.parquet", pd.DataFrame({"a": [1, "x"]}))
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match=r"nowhere\.parquet is missing"):
        read_parquet(tmp_path / "nowhere.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(LakeError, match=r"bad\.parquet is damaged"):
        read_parquet(tmp_path / "bad.parquet")
    with pytest.raises(LakeError, match="cannot be read"):
        read_parquet(tmp_path)
