"""The options of the command line that say which market and which settings: what they set, and how to write them again.

Not here: the parser (``cli.py``).
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ljwx_pipeline.config import DEFAULT_PROFILE, Settings
from ljwx_pipeline.errors import ConfigError

#: Options that stand for one key; every other key is written with --set.
OPTION_OF = {
    "simulated.seed": "--seed",
    "folder.data": "--data",
    "folder.index_data": "--index-data",
    "folder.adjustment": "--adjustment",
}


def require_meaning(settings: Settings, overrides: Mapping[str, Any]) -> None:
    """Raise ``ConfigError`` for options about files beside a profile that reads none."""
    unread = [OPTION_OF.get(key, f"--set {key}") for key in overrides if key.startswith("folder.")]
    if settings.source.kind != "folder" and unread:
        raise ConfigError(f"profile {settings.profile} reads no files: {', '.join(unread)}", "add --profile folder")


def command_line(command: str, profile: str, overrides: Mapping[str, Any]) -> str:
    """Return ``ljwx COMMAND`` with the options that reach the same market under the same settings, for a shell.

    ``overrides`` are the dotted keys given on the command line; paths in them stay as they were typed.
    """
    words = [_program(), *command.split()]
    if profile != DEFAULT_PROFILE:
        words += ["--profile", profile]
    for key, value in overrides.items():
        if key in OPTION_OF:
            words += [OPTION_OF[key], *(map(_text, value) if isinstance(value, list | tuple) else [_text(value)])]
        else:
            words += ["--set", f"{key}={_text(value)}"]
    return shlex.join(words)


def market_overrides(settings: Settings, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of ``overrides`` that choose the market (``config.market_name``) or what is read as it."""
    kind = settings.source.kind
    chosen = {"source.kind", "source.as_of"}
    if kind == "simulated":
        chosen |= {"source.first_session", "source.last_session"}
    elif kind != "folder":
        chosen |= {"source.symbols"}
    return {
        key: value
        for key, value in overrides.items()
        if key in chosen or (kind in ("simulated", "folder") and key.startswith(f"{kind}."))
    }


def up_command(profile: str, overrides: Mapping[str, Any]) -> str:
    """Return the command that starts the pages of this market: ``make up`` where no option is needed."""
    return command_line("up", profile, overrides) if overrides or profile != DEFAULT_PROFILE else "make up"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def _program() -> str:
    """Return how this installation's ``ljwx`` is called from the working directory."""
    script = Path(sys.executable).with_name("ljwx")
    return str(script.relative_to(Path.cwd())) if script.is_relative_to(Path.cwd()) else "ljwx"
