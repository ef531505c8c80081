"""What evidence depends on is marked by section; what only says where and by how many it is worked on is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from assets.judged_settings import changed_since, judged_settings, settings_mark
from ljwx_pipeline.config import Settings, load_settings

ROOT = Path(__file__).resolve().parents[2]


def under(**changed: Any) -> Settings:
    overrides = {name.replace("__", "."): value for name, value in changed.items()}
    return load_settings(profile="simulated", config_file=ROOT / "ljwx.toml", environ={}, overrides=overrides)


@pytest.mark.parametrize(
    ("changed", "section"),
    [
        ({"costs__slippage_bps": 0.0}, "costs"),
        ({"strategy__top_k": 21}, "strategy"),
        ({"universe__min_listed_sessions": 61}, "universe"),
        ({"uncertainty__enabled": False}, "uncertainty"),
        ({"gate__benchmark": "399006.SZ"}, "gate"),
        ({"model__seed": 8}, "model"),
        ({"approval__required": "always"}, "approval"),
    ],
)
def test_a_setting_that_evidence_depends_on_changes_the_mark_of_its_section(
    changed: dict[str, Any], section: str
) -> None:
    before, after = settings_mark(under()), settings_mark(under(**changed))
    assert [name for name in before if before[name] != after[name]] == [section]
    (key,) = changed
    assert changed_since(judged_settings(under()), under(**changed)).startswith(key.replace("__", "."))


def test_ports_and_workers_change_nothing() -> None:
    other = under(ui__runner_port=18700, walk_forward__workers=2, tune__storage="postgresql://u:secret@h/d")
    assert settings_mark(other) == settings_mark(under())
    assert "secret" not in json.dumps(judged_settings(other))
    assert changed_since(judged_settings(under()), other) == ""


def test_what_was_kept_as_json_is_the_same_settings() -> None:
    kept = json.loads(json.dumps(judged_settings(under())))
    assert changed_since(kept, under()) == ""
    assert changed_since({}, under()).endswith("more")


def test_three_changes_are_said_and_the_others_counted() -> None:
    now = under(costs__slippage_bps=0.0, costs__commission_frac=0.0, costs__commission_min_cny=0.0, strategy__top_k=21)
    said = changed_since(judged_settings(under()), now)
    assert said.startswith("costs.commission_frac 0.")
    assert "costs.slippage_bps" in said
    assert said.endswith("and 1 more")
