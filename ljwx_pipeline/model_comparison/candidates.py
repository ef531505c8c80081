"""Which ``[model]`` settings are compared: those configured, what the settings' own types offer, or a file's.

Not here: training them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

from ljwx_pipeline.config import ModelSettings, parse_value
from ljwx_pipeline.errors import ConfigError

CONFIGURED = "configured"
#: Settings whose choices are compared when nobody names candidates: what a model is, before how it is fitted.
_COMPARED = ("kind", "ensemble.kind", "group_by")
#: A choice that is the absence of one.
_NONE = "none"


@dataclass(frozen=True)
class Candidate:
    """One model to compare: its name, and its complete settings."""

    name: str
    settings: ModelSettings


def candidates(base: ModelSettings, names: Sequence[str], file: Path | None) -> list[Candidate]:
    """Return the candidates asked for, the configured model first.

    Parameters
    ----------
    base
        The configured settings: what a candidate does not state is as there.
    names
        Built-in names (``offered``), or settings as ``KEY=VALUE,KEY=VALUE``. With none and no file: all offered ones.
    file
        TOML: a table of ``[model]`` keys for each candidate, by its name.

    Raises
    ------
    ConfigError
        For a name that is not offered, an unknown key, a value that is refused, or one model under two names.
    """
    found = [Candidate(CONFIGURED, base)]
    if file is not None:
        found += [_candidate(base, name, keys) for name, keys in _tables(file).items()]
    found += [_named(base, name) for name in names if name != CONFIGURED]
    if file is None and not names:
        found += [candidate for candidate in offered(base) if candidate.settings != base]
    for position, candidate in enumerate(found):
        same = [other for other in found[:position] if candidate.settings == other.settings]
        if same:
            raise ConfigError(f"candidate {candidate.name} is the same model as {same[0].name}", "name each model once")
    return found


def offered(base: ModelSettings) -> Iterator[Candidate]:
    """Yield the built-in candidates: each choice of what a model is, beside the rest of ``base``, that it allows."""
    for key, value in _choices(type(base)):
        if key in _COMPARED and value != _NONE:
            try:
                yield _candidate(base, _name(base, key, value), _tree(key, value))
            except ConfigError:
                continue  # two choices that exclude each other


def _name(base: ModelSettings, key: str, value: str) -> str:
    """Return the bare value where no setting before ``key`` offers it too."""
    owners = [other for other, choice in _choices(type(base)) if choice == value]
    return value if owners[0] == key else f"{key}={value}"


def _choices(section: type[BaseModel], above: str = "") -> Iterator[tuple[str, str]]:
    """Yield dotted key and value of every choice that the settings' own types say, in declared order."""
    for name, field in section.model_fields.items():
        kind = field.annotation
        if get_origin(kind) is Literal:
            yield from ((f"{above}{name}", str(value)) for value in get_args(kind))
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _choices(kind, f"{above}{name}.")


def _named(base: ModelSettings, name: str) -> Candidate:
    if "=" in name:
        tree: dict[str, Any] = {}
        for part in name.split(","):
            key, separator, text = part.partition("=")
            if not separator or not key.strip():
                raise ConfigError(f"candidate {name!r} has no value in {part!r}", "write KEY=VALUE,KEY=VALUE")
            _lay(tree, _tree(key.strip().removeprefix("model."), parse_value(text.strip())))
        return _candidate(base, name, tree)
    known = {value: key for key, value in reversed(list(_choices(type(base)))) if key in _COMPARED and value != _NONE}
    if name not in known:
        near = get_close_matches(name, known)
        raise ConfigError(
            f"no candidate is called {name!r}",
            f"did you mean {', '.join(near)}?"
            if near
            else f"choose among {', '.join(sorted(known)) or 'none'}, or write KEY=VALUE of [model]",
        )
    return _candidate(base, name, _tree(known[name], name))


def _candidate(base: ModelSettings, name: str, keys: Mapping[str, Any]) -> Candidate:
    tree = base.model_dump()
    _lay(tree, keys)
    try:
        return Candidate(name, ModelSettings.model_validate(tree))
    except ValidationError as error:
        said = "; ".join(_said(item) for item in error.errors())
        raise ConfigError(f"candidate {name}: {said}", "write what [model] of ljwx.toml knows") from None


def _said(item: Any) -> str:
    key = ".".join(("model", *map(str, item["loc"])))
    if item["type"] == "extra_forbidden":
        return f"unknown key {key}"
    said = item["msg"].removeprefix("Value error, ")
    # a rule between two settings names them itself
    return f"{key}: {said}" if isinstance(item["input"], dict) else f"{key} = {item['input']!r} is refused ({said})"


def _tables(file: Path) -> dict[str, dict[str, Any]]:
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file} cannot be read ({error.strerror})", "name a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not valid TOML ({error})", "correct the line it names") from None
    loose = [name for name, value in tables.items() if not isinstance(value, dict)]
    if loose or not tables:
        fact = f"{file} holds {loose[0]} outside a table" if loose else f"{file} holds no candidate"
        raise ConfigError(fact, "write a table for each candidate: [NAME] and keys of [model] below it")
    return tables


def _tree(dotted: str, value: Any) -> dict[str, Any]:
    for part in reversed(dotted.split(".")):
        value = {part: value}
    return dict(value)


def _lay(tree: dict[str, Any], over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(tree.get(key), dict):
            _lay(tree[key], value)
        else:
            tree[key] = value
