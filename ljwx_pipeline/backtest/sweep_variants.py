"""What a sweep tries: variants of strategy and costs, expanded from a grid of dotted names and checked before any runs.

Not here: running them (``sweep.py``), proposing them one after the other (``sweep_tune.py``).
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from typing import Any, TypeVar

from pydantic import ValidationError

from ljwx_pipeline.config import CostSettings, StrategySettings
from ljwx_pipeline.config.section import Section
from ljwx_pipeline.errors import ConfigError

#: A value of the grid: a number, a word or a switch, as TOML and JSON know them.
Value = int | float | str | bool
Grid = Mapping[str, Sequence[Value]]
S = TypeVar("S", bound=Section)

#: The sections a grid may vary; a bare name is looked for in them, in this order.
SECTIONS: dict[str, type[Section]] = {"strategy": StrategySettings, "costs": CostSettings}
#: A grid larger than this is a mistake in one of its axes more often than a wish.
MOST_VARIANTS = 100_000


@dataclass(frozen=True)
class Variant:
    """One strategy under one set of costs.

    Parameters
    ----------
    name
        For people: the parameters that make it differ, ``top_k=20 n_drop=1``.
    strategy, costs
        Complete settings, as a backtest takes them.
    parameters
        Dotted name and value of what was varied, in the grid's order.
    """

    name: str
    strategy: StrategySettings
    costs: CostSettings
    parameters: tuple[tuple[str, Value], ...] = ()

    @cached_property
    def settings_json(self) -> str:
        """The settings as canonical JSON: what the variant is, whatever it is called."""
        return json.dumps({"costs": self.costs.model_dump(), "strategy": self.strategy.model_dump()}, sort_keys=True)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the settings; two names of one variant have one hash."""
        return hashlib.sha256(self.settings_json.encode()).hexdigest()


def expand_grid(grid: Grid, *, strategy: StrategySettings, costs: CostSettings) -> tuple[Variant, ...]:
    """Return the variants of every combination, the last axis turning fastest.

    Parameters
    ----------
    grid
        Values by name: ``top_k``, ``strategy.top_k``, ``costs.slippage_bps``, deeper ones as ``strategy.exits.stop``.
    strategy, costs
        What the grid does not name.

    Raises
    ------
    ConfigError
        For a name no setting has, an axis without or with repeated values, or a combination the settings refuse; the
        message names the variant, and nothing has run.
    """
    axes = named_axes(grid)
    count = math.prod(len(values) for values in axes.values())
    if count > MOST_VARIANTS:
        raise ConfigError(f"the grid has {count:,} variants, more than {MOST_VARIANTS:,}", "shorten an axis")
    return tuple(
        make_variant(tuple(zip(axes, values, strict=True)), strategy=strategy, costs=costs)
        for values in itertools.product(*axes.values())
    )


def named_axes(grid: Grid) -> dict[str, Sequence[Value]]:
    """Return the values by full dotted name, in the grid's order.

    Raises
    ------
    ConfigError
        For a name no setting has or that is there twice, or an axis without or with repeated values.
    """
    axes: dict[str, Sequence[Value]] = {}
    for name, values in grid.items():
        dotted = dotted_name(name)
        if dotted in axes:
            raise ConfigError(f"the grid names {dotted} twice", "give all its values at once")
        axes[dotted] = _distinct(name, values)
    return axes


def make_variant(
    parameters: Sequence[tuple[str, Value]], *, strategy: StrategySettings, costs: CostSettings
) -> Variant:
    """Return the variant with ``parameters`` (dotted names) laid over ``strategy`` and ``costs``.

    Raises
    ------
    ConfigError
        When the settings refuse the combination; the message names the variant.
    """
    name = " ".join(f"{dotted.partition('.')[2]}={value}" for dotted, value in parameters) or "as configured"
    trees: dict[str, dict[str, Any]] = {"strategy": strategy.model_dump(), "costs": costs.model_dump()}
    for dotted, value in parameters:
        *parents, leaf = dotted.split(".")
        tree: dict[str, Any] = trees
        for parent in parents:
            tree = tree[parent]
        tree[leaf] = value
    made = Variant(
        name,
        _validated(name, StrategySettings, trees["strategy"]),
        _validated(name, CostSettings, trees["costs"]),
        tuple(parameters),
    )
    # "20" is taken for 20: a column of the sweep's table is of one type
    made = replace(made, parameters=tuple((dotted, _as_taken(made, dotted, value)) for dotted, value in parameters))
    if not made.strategy.tradable:
        raise ConfigError(
            f"variant {name}: strategy.kind = {made.strategy.kind} makes no orders, so there is nothing to run",
            "choose topk_dropout or score_weighted",
        )
    if made.strategy.kind == "topk_dropout" and made.strategy.n_drop > made.strategy.top_k:
        raise ConfigError(
            f"variant {name}: n_drop = {made.strategy.n_drop} replaces more names than top_k = "
            f"{made.strategy.top_k} holds",
            "leave the combination out of the grid",
        )
    return made


def _as_taken(made: Variant, dotted: str, value: Value) -> Value:
    whole: Any = made
    taken: Value = reduce(getattr, dotted.split("."), whole)
    return taken if isinstance(value, str) else value


def dotted_name(name: str) -> str:
    """Return the full dotted name of a setting of strategy or costs.

    Raises
    ------
    ConfigError
        When no setting has the name.
    """
    section, _, rest = name.partition(".")
    if section in SECTIONS and rest and _is_setting(SECTIONS[section], rest):
        return name
    for prefix, model in SECTIONS.items():
        if _is_setting(model, name):
            return f"{prefix}.{name}"
    known = [f"{prefix}.{leaf}" for prefix, model in SECTIONS.items() for leaf in _settings(model)]
    raise ConfigError(f"the grid names {name!r}, which no setting has", f"choose among {', '.join(known)}")


def _settings(model: type[Section]) -> list[str]:
    found = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        nested = isinstance(kind, type) and issubclass(kind, Section)
        found += [f"{name}.{leaf}" for leaf in _settings(kind)] if nested else [name]  # type: ignore[arg-type]
    return found


def _is_setting(model: type[Section], dotted: str) -> bool:
    return dotted in _settings(model)


def _distinct(name: str, values: Sequence[Value]) -> Sequence[Value]:
    if not values:
        raise ConfigError(f"the grid's {name} has no value", f"write {name}=10,20")
    seen: set[str] = set()
    for value in values:
        if repr(value) in seen:
            raise ConfigError(f"the grid's {name} has {value} twice", "name every value once: a repeat is no new trial")
        seen.add(repr(value))
    return values


def _validated(name: str, model: type[S], tree: Mapping[str, Any]) -> S:
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        said = "; ".join(_said(item["loc"], item["input"], item["msg"]) for item in error.errors())
        raise ConfigError(f"variant {name}: {said}", "correct the grid; nothing has run") from None


def _said(where: tuple[int | str, ...], value: object, message: str) -> str:
    message = message.removeprefix("Value error, ")
    # a rule between two settings names them itself
    return message if isinstance(value, Mapping) else f"{'.'.join(map(str, where))} = {value!r} is refused ({message})"
