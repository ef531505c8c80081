"""What was changed of a profile's own settings: said in full as a tag, and as far as there is room in a name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ljwx_pipeline.config import load_settings
from ljwx_pipeline.tracking.inputs import changed_settings, changed_shown, changed_text

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LJWX_CONFIG", str(ROOT / "ljwx.toml"))


def changed(overrides: Mapping[str, Any]) -> tuple[str, ...] | None:
    return changed_settings(load_settings(profile="simulated", overrides=overrides))


def test_what_a_person_set_is_named_by_key_and_value() -> None:
    assert set(changed({"model.kind": "linear", "tune.trials": 2, "ui.runner_port": 18999}) or ()) == {
        "model.kind=linear",
        "tune.trials=2",
    }


def test_a_variable_of_the_environment_is_a_change_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LJWX_TUNE__TRIALS", "2")
    assert changed({}) == ("tune.trials=2",)


def test_the_profile_itself_has_changed_nothing() -> None:
    assert changed({}) == ()
    assert (changed_text(()), changed_shown(())) == ("none", "")


def test_a_name_holds_whole_changes_and_counts_the_rest() -> None:
    many = tuple(f"section.some_long_key_{number}={number}" for number in range(5))
    shown = changed_shown(many)
    assert shown == f"{many[0]} {many[1]} +3 changed"
    assert changed_text(many) == " ".join(many)


def test_a_profile_that_does_not_stand_alone_is_no_reason_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(profile="simulated")
    monkeypatch.setenv("LJWX_CONFIG", str(tmp_path / "gone.toml"))
    assert changed_settings(settings) is None
    assert changed_text(None).startswith("unknown")
    assert changed_shown(None) == ""
