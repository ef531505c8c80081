"""Which strategies trade one account: what a person writes, what is in force, and what a change of it means.

A strategy in force is a row of the journal (`StrategyChanged`), complete by itself: what its section overrides in
``[strategy]`` is resolved when it is read. A change is planned as a whole: it is refused with every mistake in it, and
then nothing changes, or it becomes events, which the next close goes by. Pure. Not here: reading the file and the
journal (``desk.py``, ``reading.py``), capital (``funding.py``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ValidationError

from ljwx_pipeline.config import LiveStrategySettings, RiskSettings, StrategySettings
from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.decision import strategy_name
from ljwx_pipeline.live.events import Stage, StrategyChanged, StrategyState
from ljwx_pipeline.live.sleeves.netting import ACCOUNT
from ljwx_pipeline.units import BPS

#: Who changed it: a strategy that the file changed last follows the file, at a start too.
BY_FILE = "ljwx.toml"
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


class Schedule(StrEnum):
    """At which closes a strategy goes by its scores."""

    CLOSE = "close"  # at each
    WEEKLY = "weekly"  # at the last one of a week of ISO 8601
    MONTHLY = "monthly"


@dataclass(frozen=True)
class StrategySpec:
    """One strategy, complete.

    Parameters
    ----------
    share_bps
        Part of the account's capital, 1/10,000.
    model
        Registered model that it trades by; empty for the market's own.
    universe
        Index whose members alone it scores, of those whom ``[universe]`` lets in; empty for all of these.
    """

    name: str
    share_bps: int
    model: str
    universe: str
    schedule: Schedule
    paused: bool
    strategy: StrategySettings

    @property
    def state(self) -> StrategyState:
        """Whether it decides."""
        return StrategyState.PAUSED if self.paused else StrategyState.ACTIVE

    def is_due(self, session: date, valid_session: date) -> bool:
        """Return whether it goes by its scores at the close of ``session``, whose orders are for ``valid_session``.

        At any other close it sells what an exit forces out and holds the rest.
        """
        match self.schedule:
            case Schedule.CLOSE:
                return True
            case Schedule.WEEKLY:
                return session.isocalendar()[:2] != valid_session.isocalendar()[:2]
            case Schedule.MONTHLY:
                return (session.year, session.month) != (valid_session.year, valid_session.month)

    def settings_json(self) -> str:
        """Return what the journal keeps beside name, state and share: canonical, equal for equal settings."""
        kept = {
            "model": self.model,
            "universe": self.universe,
            "schedule": self.schedule,
            "strategy": self.strategy.model_dump(mode="json"),
        }
        return json.dumps(kept, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True)
class InForce:
    """A strategy as the journal holds it; ``spec`` is None where an earlier release wrote it and it cannot be read."""

    name: str
    state: StrategyState
    share_bps: int
    settings: str
    by: str

    @property
    def spec(self) -> StrategySpec | None:
        """Its parameters."""
        try:
            kept = json.loads(self.settings)
            return StrategySpec(
                name=self.name,
                share_bps=self.share_bps,
                model=str(kept["model"]),
                universe=str(kept["universe"]),
                schedule=Schedule(kept["schedule"]),
                paused=self.state is StrategyState.PAUSED,
                strategy=StrategySettings.model_validate(kept["strategy"]),
            )
        except (ValueError, KeyError, TypeError):
            return None


@dataclass(frozen=True)
class Plan:
    """What a change means: events, and each in words; or why it is refused, and then there are none."""

    events: tuple[StrategyChanged, ...]
    said: tuple[str, ...]
    refusals: tuple[str, ...]

    def require_accepted(self) -> None:
        """Raise what speaks against the change.

        Raises
        ------
        LiveError
            With every mistake.
        """
        if self.refusals:
            raise LiveError(
                "; ".join(self.refusals), "nothing was changed, the strategies in force trade on: correct it and repeat"
            )


def sole_strategy(strategy: StrategySettings) -> StrategySpec:
    """Return the strategy of a configuration that names none: ``[strategy]`` with all of the capital."""
    return StrategySpec(strategy_name(strategy), BPS, "", "", Schedule.CLOSE, paused=False, strategy=strategy)


def read_keys(name: str, given: object) -> LiveStrategySettings:
    """Return the keys that a person wrote for the strategy ``name``.

    Raises
    ------
    LiveError
        For a key that is unknown, missing, or of the wrong type or size.
    """
    try:
        return LiveStrategySettings.model_validate(given)
    except ValidationError as error:
        raise LiveError(
            "; ".join(_mistakes(error, f"live.strategies.{name}", LiveStrategySettings)),
            "nothing was changed, the strategies in force trade on: correct it and repeat",
        ) from None


def specs_of(
    given: Mapping[str, LiveStrategySettings],
    base: StrategySettings,
    risk: RiskSettings,
    *,
    market_model: str = "",
    indices: Collection[str] | None = None,
) -> tuple[tuple[StrategySpec, ...], tuple[str, ...]]:
    """Return the strategies that the sections stand for, by name, and every mistake in them.

    Parameters
    ----------
    base, risk
        ``[strategy]``, which each overrides parts of, and the limits that each must be able to keep.
    market_model
        Registered name of the market's own model: written out it is the same as left empty.
    indices
        Those whose members the session pack tells; None where there is no pack yet to ask.
    """
    if not given:
        return (sole_strategy(base),), ()
    specs, mistakes = [], []
    for name, keys in sorted(given.items()):
        at, found = f"live.strategies.{name}", _unfit(name, keys, indices)
        strategy = _overridden(f"{at}.strategy", keys.strategy, base, found)
        if strategy is not None and strategy.largest_weight_frac > risk.max_weight_per_name_frac:
            found.append(
                f"{at} puts {strategy.largest_weight_frac:.1%} of its capital into a name, above "
                f"risk.max_weight_per_name_frac = {risk.max_weight_per_name_frac:.1%}: raise top_k or lower "
                "max_weight_frac"
            )
        mistakes += found
        if strategy is not None and not found:
            share = round(keys.capital_share_frac * BPS)
            model = "" if keys.model == market_model else keys.model
            specs.append(
                StrategySpec(name, share, model, keys.universe, Schedule(keys.schedule), keys.paused, strategy)
            )
    return tuple(specs), tuple(mistakes)


def _unfit(name: str, keys: LiveStrategySettings, indices: Collection[str] | None) -> list[str]:
    at, found = f"live.strategies.{name}", []
    if not _NAME.fullmatch(name) or name == ACCOUNT:
        found.append(
            f"{name!r} is no name of a strategy: write 1 to 32 lower-case letters, digits and hyphens, a letter first, "
            f"and not {ACCOUNT!r}"
        )
    if keys.schedule not in tuple(Schedule):
        possible = " or ".join(repr(one.value) for one in Schedule)
        found.append(f"{at}.schedule = {keys.schedule!r} is not possible: write {possible}")
    if keys.model and not _MODEL.fullmatch(keys.model):
        found.append(
            f"{at}.model = {keys.model!r} is no name of a registered model: write one of `ljwx models list`, "
            'or "" for the market\'s own'
        )
    if keys.universe and indices is not None and keys.universe not in indices:
        found.append(
            f"{at}.universe = {keys.universe!r} is no index whose members the session pack tells: write one of "
            f'{", ".join(sorted(indices)) or "none"}, or "" for all whom [universe] lets in'
        )
    if round(keys.capital_share_frac * BPS) == 0:
        found.append(f"{at}.capital_share_frac = {keys.capital_share_frac} is less than 0.0001, the smallest share")
    return found


def _overridden(
    at: str, overrides: Mapping[str, Any], base: StrategySettings, mistakes: list[str]
) -> StrategySettings | None:
    if "capital_cny" in overrides:
        mistakes.append(f"{at}.capital_cny is the account's, not a strategy's: write capital_share_frac")
        return None
    merged = base.model_dump()
    for key, value in overrides.items():
        below = isinstance(merged.get(key), dict) and isinstance(value, dict)
        merged[key] = {**merged[key], **value} if below else value
    try:
        strategy = StrategySettings.model_validate(merged)
    except ValidationError as error:
        mistakes += _mistakes(error, at, StrategySettings)
        return None
    if not strategy.tradable:
        mistakes.append(f"{at}.kind = {strategy.kind!r} makes no orders: no account can sell A-shares short")
        return None
    return strategy


def _mistakes(error: ValidationError, at: str, section: type[BaseModel]) -> list[str]:
    found = []
    for item in error.errors():
        key = ".".join([at, *map(str, item["loc"])])
        if item["type"] == "extra_forbidden":
            near = get_close_matches(str(item["loc"][-1]), section.model_fields, n=1)
            found.append(f"unknown key {key}" + (f", did you mean {near[0]}?" if near else ""))
        elif item["type"] == "missing":
            found.append(f"missing key {key}")
        else:
            found.append(f"{key} = {item['input']!r} is refused ({item['msg'].removeprefix('Value error, ')})")
    return found


def plan(
    old: Sequence[InForce],
    new: Sequence[StrategySpec],
    *,
    holding: Collection[str],
    by: str,
    keep: Collection[str] = (),
) -> Plan:
    """Return what makes ``new`` the strategies in force.

    Parameters
    ----------
    old
        What is in force, removed ones too.
    holding
        Strategies with shares or capital in their books: one that goes sells first (``reducing``), then it is removed.
    by
        Who asks for it.
    keep
        Strategies that this change leaves as they are, whatever it says of them.
    """
    before = {one.name: one for one in old}
    wanted = {one.name: one for one in new}
    kept = {name: before[name] for name in keep if name in before}
    trading = [one.share_bps for name, one in wanted.items() if name not in kept]
    trading += [one.share_bps for one in kept.values()]
    if sum(trading) > BPS:
        shares = ", ".join(f"{name} {wanted[name].share_bps / BPS:.2%}" for name in sorted(wanted) if name not in kept)
        by_hand = ", ".join(f"{name} {one.share_bps / BPS:.2%}" for name, one in sorted(kept.items()) if one.share_bps)
        said = ", ".join(part for part in (shares, by_hand) if part)
        refusal = f"the strategies' shares are {sum(trading) / BPS:.2%} of the capital ({said}): 100% is all"
        return Plan((), (), (refusal,))
    events, words = [], []
    for name in sorted(wanted.keys() | before.keys()):
        if name in kept:
            continue
        spec, was = wanted.get(name), before.get(name)
        if spec is not None:
            event = _changed(spec, by)
            if was is None or (was.state, was.share_bps, was.settings) != (event.state, spec.share_bps, event.settings):
                events.append(event)
                words.append(_said(spec, was))
        elif was is not None and was.state not in (StrategyState.REMOVED, StrategyState.REDUCING):
            goes = StrategyState.REDUCING if name in holding else StrategyState.REMOVED
            events.append(_leaves(was, goes, by))
            words.append(
                f"{name} sells what it holds at the next close, then it is removed"
                if goes is StrategyState.REDUCING
                else f"{name} is removed"
            )
    return Plan(tuple(events), tuple(words), ())


def removed(one: InForce) -> StrategyChanged:
    """Return that a strategy which was sold out is gone."""
    return _leaves(one, StrategyState.REMOVED, one.by)


def sleeve_of(strategy: str, stage: Stage) -> str:
    """Return the name of a strategy's sleeve: the strategy's own for its champion."""
    return strategy if stage is Stage.CHAMPION else f"{strategy}@{stage}"


def strategy_of(sleeve: str) -> str:
    """Return the strategy whose sleeve that is."""
    return sleeve.partition("@")[0]


def _changed(spec: StrategySpec, by: str) -> StrategyChanged:
    return StrategyChanged(
        strategy=spec.name,
        state=spec.state,
        settings=spec.settings_json(),
        capital_share_bps=spec.share_bps,
        by=by,
    )


def _leaves(one: InForce, state: StrategyState, by: str) -> StrategyChanged:
    return StrategyChanged(strategy=one.name, state=state, settings=one.settings, capital_share_bps=0, by=by)


def _said(spec: StrategySpec, was: InForce | None) -> str:
    share = f"{spec.share_bps / BPS:.2%} of the capital"
    if was is None or was.state is StrategyState.REMOVED:
        return f"{spec.name} is added with {share}" + (", paused" if spec.paused else "")
    changed = []
    if was.state is not spec.state:
        changed.append(f"is {spec.state} (was {was.state})")
    if was.share_bps != spec.share_bps:
        changed.append(f"has {share} (had {was.share_bps / BPS:.2%})")
    if was.settings != spec.settings_json():
        changed.append("has other parameters")
    return f"{spec.name} {' and '.join(changed)}"
