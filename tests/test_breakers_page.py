"""docs/breakers.md says what the code does: breakers and their numbers, modes, verdicts, denials, waits."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ljwx_pipeline.config import Settings
from ljwx_pipeline.live.risk_gate import Denial
from ljwx_pipeline.live.ticks.validation import Verdict
from ljwx_pipeline.trading.breakers import RULES, BreakerRule
from ljwx_pipeline.trading.modes import ALLOWED, Action
from ljwx_pipeline.trading.stops import Wait

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "breakers.md").read_text(encoding="utf-8")


def row(rule: BreakerRule, settings: Settings) -> str:
    number = "none"
    if rule.number:
        section, key = rule.number.split(".")
        number = f"`{rule.number}` = {getattr(getattr(settings, section), key)}"
    cells = (f"`{rule.breaker}`", number, rule.trips, rule.stops, rule.scope, " or ".join(rule.resets))
    return f"| {' | '.join(cells)} |"


def test_the_table_of_breakers_is_that_of_the_rules_and_the_shipped_numbers(settings: Settings) -> None:
    wanted = [row(rule, settings) for rule in RULES.values()]
    start = PAGE.index("## Breakers\n")
    rows = [line for line in PAGE[start : PAGE.index("### A losing trade")].splitlines() if line.startswith("| `")]
    assert rows == wanted


def test_the_table_of_modes_is_what_each_allows() -> None:
    for mode, allowed in ALLOWED.items():
        cells = " | ".join("yes" if action in allowed else "no" for action in Action)
        assert f"| `{mode}` | {cells} |" in PAGE


@pytest.mark.parametrize("code", [*Verdict, *Denial, *Wait])
def test_every_code_is_explained(code: str) -> None:
    assert f"`{code}`" in PAGE


def test_every_number_the_page_names_is_a_setting(settings: Settings) -> None:
    named = re.findall(r"`(breakers|risk|stops|live)\.(\w+)`", PAGE)
    assert named
    for section, key in named:
        assert key in type(getattr(settings, section)).model_fields, (section, key)
