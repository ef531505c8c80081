"""Reading the settings: ``ljwx.toml``, a profile, the environment, options; and which of them a refusal is about.

Not here: what a key may hold (``data.py``, ``research.py``, ``operation.py``, ``settings.py``).
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ljwx_pipeline.config.dotted import dotted
from ljwx_pipeline.config.settings import Settings
from ljwx_pipeline.errors import ConfigError

ENV_PREFIX = "LJWX_"
ENV_SEPARATOR = "__"
DEFAULT_PROFILE = "simulated"
#: What to write instead of a value that is not of its key's type, in words for a person.
_WANTED = {
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float"), "write a whole number"),
    **dict.fromkeys(("float_parsing", "float_type"), "write a number"),
    **dict.fromkeys(("bool_parsing", "bool_type"), "write true or false"),
    "string_type": "write a text",
    **dict.fromkeys(("list_type", "tuple_type"), 'write a list, such as ["a", "b"]'),
}


def load_settings(
    *,
    profile: str | None = None,
    config_file: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Return the settings of one profile.

    Parameters
    ----------
    profile
        Name of ``profiles/NAME.toml`` beside the configuration file; ``LJWX_PROFILE`` and then ``simulated`` if None.
    config_file
        The base file; ``LJWX_CONFIG`` and then ``ljwx.toml`` in the working directory if None.
    overrides
        Dotted keys (``"simulated.seed"``) laid over everything else.
    environ
        Environment to read ``LJWX_SECTION__KEY`` from; the process's own if None.

    Raises
    ------
    ConfigError
        For a missing file, an unknown key, a value of the wrong type or out of range; the message names the key.
    """
    env = os.environ if environ is None else environ
    base = config_file or Path(env.get("LJWX_CONFIG", "ljwx.toml"))
    name = profile or env.get("LJWX_PROFILE") or DEFAULT_PROFILE
    base_keys = _read_toml(base, "run from the project's folder or point LJWX_CONFIG at the file")
    if not re.fullmatch(r"[\w-]+", name):
        raise ConfigError(f"profile {name!r} is no name", "choose one without slashes or dots, such as simulated")
    profile_file = base.parent / "profiles" / f"{name}.toml"
    if not profile_file.is_file():
        known = ", ".join(sorted(p.stem for p in profile_file.parent.glob("*.toml"))) or "none"
        raise ConfigError(f"profile {name!r} has no file {profile_file}", f"choose one of: {known}")
    profile_keys, from_env = _read_toml(profile_file, "restore the file"), _environment_overrides(env)
    merged: dict[str, Any] = {}
    _merge(merged, base_keys)
    _merge(merged, profile_keys)
    merged["profile"] = name
    for key, value in [*from_env.items(), *(overrides or {}).items()]:
        _set_dotted(merged, key, value)
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        layers = [
            {key: f"{key} on the command line" for key in overrides or {}},
            {key: f"the environment variable {variable_name(key)}" for key in from_env},
            dict.fromkeys(dotted(profile_keys), str(profile_file)),
            dict.fromkeys(dotted(base_keys), str(base)),
        ]
        origins = dict.fromkeys(origin for key in _keys_in(error) for origin in _origins(key, layers))
        raise ConfigError(_explain(error), f"correct {' or '.join(origins) or base}") from None


def _read_toml(path: Path, remedy: str) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"configuration file {path} does not exist", remedy) from None
    except OSError as error:
        raise ConfigError(f"configuration file {path} cannot be read ({error.strerror})", remedy) from None
    except (ValueError, RecursionError) as error:  # of tomllib, and what it lets through: bytes, huge numbers, nesting
        raise ConfigError(f"{path} is not valid TOML ({error})", "correct the line it names") from None


def _merge(base: dict[str, Any], over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value


def variable_name(key: str) -> str:
    """Return the environment variable that sets the dotted ``key``."""
    return ENV_PREFIX + key.upper().replace(".", ENV_SEPARATOR)


def _environment_overrides(env: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, text in env.items():
        if name.startswith(ENV_PREFIX) and ENV_SEPARATOR in name:
            key = name.removeprefix(ENV_PREFIX).lower().replace(ENV_SEPARATOR, ".")
            found[key] = parse_value(text)
    return found


def parse_value(text: str) -> Any:
    """Read ``text`` as a TOML value, as JSON (a table), or as a bare string when it is neither."""
    try:
        return tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        pass
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _set_dotted(tree: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, leaf = dotted.split(".")
    node = tree
    for parent in parents:
        child = node.setdefault(parent, {})
        if not isinstance(child, dict):
            raise ConfigError(f"{dotted} names a key below {parent}, which is a value", "check the spelling")
        node = child
    node[leaf] = value


def _keys_in(error: ValidationError) -> list[str]:
    """Return the keys that the error is about; a rule between two sections names them in its message."""
    keys: list[str] = []
    for item in error.errors():
        at = ".".join(map(str, item["loc"]))
        keys += [at] if at else re.findall(r"\b[a-z_]+\.[a-z_]+\b", item["msg"])
    return keys


def _origins(key: str, layers: Sequence[Mapping[str, str]]) -> list[str]:
    """Return where ``key``, or what lies below it, was set: in the topmost of ``layers`` that sets it."""
    for layer in layers:
        found = [
            origin
            for name, origin in layer.items()
            if name == key or name.startswith(f"{key}.") or key.startswith(f"{name}.")
        ]
        if found:
            return found
    return []


def _explain(error: ValidationError) -> str:
    parts = []
    for item in error.errors():
        key = ".".join(map(str, item["loc"])) or "settings"
        said = _WANTED.get(item["type"], item["msg"].removeprefix("Value error, "))
        if item["type"] == "extra_forbidden":
            near = _near_key(item["loc"])
            parts.append(f"unknown key {key}" + (f", did you mean {near}?" if near else ""))
        elif item["type"] == "missing":
            parts.append(f"missing key {key}")
        elif isinstance(item["input"], dict):
            parts.append(f"{key}: {said}")
        else:
            parts.append(f"{key} = {item['input']!r} is refused ({said})")
    return "; ".join(parts)


def _near_key(loc: Sequence[int | str]) -> str:
    """Return the key whose spelling is nearest to the unknown one at ``loc``; empty for none."""
    section: Any = Settings
    for name in loc[:-1]:
        field = getattr(section, "model_fields", {}).get(name)
        section = None if field is None else field.annotation
    near = get_close_matches(str(loc[-1]), getattr(section, "model_fields", {}), n=1)
    return ".".join([*map(str, loc[:-1]), *near]) if near else ""
