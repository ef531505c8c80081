from __future__ import annotations

from pathlib import Path

import pytest

from assets import reuse

KEY: reuse.Key = {"bars": "a", "params": {"rounds": 3}}


@pytest.fixture
def result(tmp_path: Path) -> Path:
    path = tmp_path / "thing.parquet"
    path.write_bytes(b"bytes of the result")
    reuse.remember(tmp_path, "thing", KEY, [path])
    return path


def test_a_result_is_current_only_for_exactly_its_key(tmp_path: Path, result: Path) -> None:
    assert reuse.is_current(tmp_path, "thing", KEY)
    assert reuse.is_current(tmp_path, "thing", dict(reversed(KEY.items())))
    assert not reuse.is_current(tmp_path, "thing", {**KEY, "bars": "b"})
    assert not reuse.is_current(tmp_path, "other", KEY)


def test_a_forgotten_result_is_computed_again(tmp_path: Path, result: Path) -> None:
    reuse.forget(tmp_path, "thing")
    reuse.forget(tmp_path, "thing")
    assert not reuse.is_current(tmp_path, "thing", KEY)


def test_a_result_with_one_byte_changed_is_computed_again(tmp_path: Path, result: Path) -> None:
    result.write_bytes(b"bytes of the resulT")
    assert not reuse.is_current(tmp_path, "thing", KEY)


def test_a_result_that_is_gone_is_computed_again(tmp_path: Path, result: Path) -> None:
    result.unlink()
    assert not reuse.is_current(tmp_path, "thing", KEY)


@pytest.mark.parametrize("note", ["", "[]", "{}", '{"came_from": 1, "files": 2}'])
def test_a_damaged_note_is_no_note(tmp_path: Path, result: Path, note: str) -> None:
    (tmp_path / "thing.key.json").write_text(note)
    assert not reuse.is_current(tmp_path, "thing", KEY)
