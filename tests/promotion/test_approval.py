"""Who may promote by hand: anybody, who has the role, and not who asked for the model where that is separated."""

from __future__ import annotations

from pathlib import Path

import pytest

from ljwx_pipeline.config import ApprovalSettings, load_settings
from ljwx_pipeline.errors import ConfigError
from ljwx_pipeline.promotion.approval import approval_refusal, person

CONFIG = Path(__file__).resolve().parents[2] / "ljwx.toml"
OPEN = ApprovalSettings(required="when_unassessable", role="", roles={}, separation=False)
RISK = ApprovalSettings(required="always", role="risk", roles={"risk": ("ann", "bo"), "desk": ("cy",)}, separation=True)


def test_anybody_may_where_nothing_is_configured() -> None:
    assert load_settings(config_file=CONFIG, profile="simulated", environ={}).approval == OPEN
    assert approval_refusal(OPEN, "cy", asked_by="cy", awaiting=True) is None


@pytest.mark.parametrize(
    ("name", "asked_by", "awaiting", "said"),
    [
        ("ann", "bo", True, None),
        ("ann", "ann", True, "nobody approves their own"),
        ("ann", "bo\nann", True, "nobody approves their own"),
        ("ann", "anna", True, None),
        ("ann", "", True, "not written down who ran the research"),
        ("ann", "ann", False, None),
        ("cy", "bo", True, "cy does not have the role 'risk' (has: desk)"),
        ("dan", "bo", False, "dan does not have the role 'risk' (has: none)"),
    ],
)
def test_role_and_separation(name: str, asked_by: str, awaiting: bool, said: str | None) -> None:
    found = approval_refusal(RISK, name, asked_by=asked_by, awaiting=awaiting)
    assert (found is None) == (said is None)
    assert said is None or (found is not None and said in found[0])
    assert found is None or "separation" not in found[1], "no remedy switches the control off"


def test_a_role_that_nobody_has_is_a_mistake_of_the_settings() -> None:
    with pytest.raises(ConfigError, match=r"approval\.roles names nobody"):
        load_settings(config_file=CONFIG, profile="simulated", environ={}, overrides={"approval.role": "risk"})


def test_the_configuration_hash_does_not_hold_names() -> None:
    roles = {"approval.role": "risk", "approval.roles": {"risk": ["ann"]}}
    one, two = (load_settings(config_file=CONFIG, profile="simulated", environ={}, overrides=o) for o in ({}, roles))
    assert two.approval.roles == {"risk": ("ann",)}
    assert one.config_hash == two.config_hash


def test_who_somebody_is() -> None:
    assert person({"LJWX_USER": " ann "}) == "ann"
    assert person({}) == person({"LJWX_USER": " "}) != ""
    for wrong in ("a" * 101, "a\nb"):
        with pytest.raises(ConfigError, match="LJWX_USER"):
            person({"LJWX_USER": wrong})
