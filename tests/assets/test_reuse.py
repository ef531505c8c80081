from __future__ import annotations

from pathlib import Path

from assets import reuse

KEY: reuse.Key = {"bars": "a", "params": {"rounds": 3}}


def test_a_result_is_current_only_for_exactly_its_key(tmp_path: Path) -> None:
    assert not reuse.is_current(tmp_path, "thing", KEY)
    reuse.remember(tmp_path, "thing", KEY)
    assert reuse.is_current(tmp_path, "thing", KEY)
    assert not reuse.is_current(tmp_path, "thing", {**KEY, "bars": "b"})
    assert not reuse.is_current(tmp_path, "other", KEY)


def test_a_forgotten_result_is_computed_again(tmp_path: Path) -> None:
    reuse.remember(tmp_path, "thing", KEY)
    reuse.forget(tmp_path, "thing")
    reuse.forget(tmp_path, "thing")
    assert not reuse.is_current(tmp_path, "thing", KEY)


def test_the_order_of_keys_does_not_matter(tmp_path: Path) -> None:
    reuse.remember(tmp_path, "thing", KEY)
    assert reuse.is_current(tmp_path, "thing", dict(reversed(KEY.items())))
