"""Which models are compared: the configured one, choices that the settings' own types offer, a file's."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel

from ljwx_pipeline.config import load_settings
from ljwx_pipeline.errors import ConfigError
from ljwx_pipeline.model_comparison.candidates import CONFIGURED, _choices, candidates, offered

BASE = load_settings(profile="simulated", environ={}).model


def test_the_configured_model_is_always_the_first() -> None:
    found = candidates(BASE, ["max_bin=31"], None)
    assert [candidate.name for candidate in found] == [CONFIGURED, "max_bin=31"]
    assert found[0].settings == BASE
    assert found[1].settings == BASE.model_copy(update={"max_bin": 31})


def test_several_settings_make_one_candidate() -> None:
    (_, found) = candidates(BASE, ["max_bin=31,model.max_rounds=5"], None)
    assert (found.settings.max_bin, found.settings.max_rounds) == (31, 5)


def test_a_file_holds_a_table_for_each_candidate(tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text("[short]\nmax_rounds = 5\n\n[fine]\nmax_bin = 255\n", encoding="utf-8")
    found = candidates(BASE, ["max_bin=31"], file)
    assert [candidate.name for candidate in found] == [CONFIGURED, "short", "fine", "max_bin=31"]
    assert found[2].settings.max_bin == 255


@pytest.mark.parametrize(
    ("names", "text", "said"),
    [
        (["depth=3"], None, "unknown key model.depth"),
        (["max_bin=9"], None, "model.max_bin = 9 is refused"),
        (["nonsense"], None, "no candidate is called 'nonsense'"),
        (["max_bin="], None, "model.max_bin"),
        (["max_bin=31", f"max_bin=31,threads={BASE.threads}"], None, "is the same model as max_bin=31"),
        ([], "[a]\ndepth = 3\n", "candidate a: unknown key model.depth"),
        ([], "max_bin = 31\n", "holds max_bin outside a table"),
        ([], "", "holds no candidate"),
        ([], "[a\n", "is not valid TOML"),
    ],
)
def test_what_is_no_model_is_refused_by_name(tmp_path: Path, names: list[str], text: str | None, said: str) -> None:
    file = None
    if text is not None:
        file = tmp_path / "models.toml"
        file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        candidates(BASE, names, file)
    assert said in str(refused.value)


def test_models_whose_settings_do_not_fit_together_are_refused_without_the_whole_table() -> None:
    with pytest.raises(ConfigError) as refused:
        candidates(BASE, ["kind=rank,group_by=size"], None)
    assert refused.value.fact.startswith("candidate kind=rank,group_by=size: model: scores of model.kind = ")
    assert "max_bin" not in str(refused.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        candidates(BASE, [], tmp_path / "none.toml")


def test_choices_are_read_from_the_types_nested_sections_too() -> None:
    class Ensemble(BaseModel):
        kind: Literal["none", "bagging"]

    class Model(BaseModel):
        kind: Literal["a", "b"]
        seed: int
        ensemble: Ensemble

    assert list(_choices(Model)) == [
        ("kind", "a"),
        ("kind", "b"),
        ("ensemble.kind", "none"),
        ("ensemble.kind", "bagging"),
    ]


def test_every_offered_model_is_one_that_the_settings_take() -> None:
    for candidate in offered(BASE):
        assert candidate.settings != BASE or candidate.name in BASE.model_dump().values()
