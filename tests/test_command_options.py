"""Options written again for a shell name the same market under the same settings."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from ljwx_pipeline.cli import build_parser, overrides_of
from ljwx_pipeline.command_options import command_line, require_meaning, up_command
from ljwx_pipeline.config import load_settings, market_name
from ljwx_pipeline.errors import ConfigError

BASE = Path(__file__).resolve().parent.parent / "ljwx.toml"


@pytest.mark.parametrize(
    ("profile", "overrides"),
    [
        ("noise", {"simulated.seed": 9}),
        ("simulated", {"simulated.symbols": 40, "source.first_session": "2022-01-04", "gate.kpi_enabled": False}),
        (
            "folder",
            {
                "folder.data": "my data/bars.csv",
                "folder.index_data": ["a.csv", "b c.csv"],
                "folder.adjustment": "forward",
                "folder.columns": {"volume": "qty"},
            },
        ),
    ],
)
def test_what_is_shown_parses_back_to_the_same_settings(profile: str, overrides: dict[str, Any]) -> None:
    words = shlex.split(command_line("up", profile, overrides))
    arguments = build_parser().parse_args(words[1:])
    assert arguments.profile == (None if profile == "simulated" else profile)
    shown, meant = (
        load_settings(profile=profile, config_file=BASE, overrides=given, environ={})
        for given in (overrides_of(arguments), overrides)
    )
    assert shown == meant
    assert market_name(shown) == market_name(meant)


def test_a_run_without_options_is_followed_by_make_up() -> None:
    assert up_command("simulated", {}) == "make up"
    assert up_command("noise", {}).endswith("ljwx up --profile noise")
    assert up_command("simulated", {"simulated.seed": 3}).endswith("ljwx up --seed 3")


def test_paths_stay_as_they_were_typed_and_the_program_is_reached_from_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / ".venv" / "bin" / "python"))
    monkeypatch.chdir(tmp_path)
    assert (
        command_line("up", "folder", {"folder.data": "../bars"}) == ".venv/bin/ljwx up --profile folder --data ../bars"
    )
    monkeypatch.setattr("sys.executable", "/opt/elsewhere/bin/python")
    assert command_line("live", "noise", {}) == "ljwx live --profile noise"


def test_files_mean_something_to_the_folder_profile_alone() -> None:
    given = {"folder.data": "bars.csv", "folder.volume_unit": "lots"}
    require_meaning(load_settings(profile="folder", config_file=BASE, overrides=given, environ={}), given)
    with pytest.raises(ConfigError, match=r"profile noise reads no files: --data, --set folder\.volume_unit"):
        require_meaning(load_settings(profile="noise", config_file=BASE, overrides=given, environ={}), given)
