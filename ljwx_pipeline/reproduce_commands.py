"""The body of ``ljwx reproduce``: a run, a model version or an order made again and compared, stage by stage.

Not here: finding, replaying and comparing (``reproduction/``), the steps themselves (``jobs/reproduce.py``).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.command_output import grid, show_result
from ljwx_pipeline.config import (
    Settings,
    dotted,
    ljwx_home,
    load_settings,
    market_home,
    market_name,
    registered_model,
    replayed,
)
from ljwx_pipeline.errors import ConfigError, LakeError, LjwxError, RegistryError

if TYPE_CHECKING:  # pandas, the registry: loaded when the command runs
    from collections.abc import Iterator

    from ljwx_pipeline.reproduction.stages import Remade, Stage
    from ljwx_pipeline.reproduction.target import Original

EQUAL, DIFFERS, CANNOT = 0, 1, 2
SHOWN_ORDERS = 20
#: Name of the stage that compares settings.
SETTINGS = "settings"
STOPPED = 130
_MARKS = {"equal": "=", "differs": "X", "unknown": "?"}


def add_reproduce_command(
    subparsers: Any,
    *,
    add_settings_options: Callable[[argparse.ArgumentParser], None],
    settings_of: Callable[[argparse.Namespace], Settings],
    overrides_of: Callable[[argparse.Namespace], Mapping[str, Any]],
) -> None:
    """Add ``reproduce`` to the command line.

    Parameters
    ----------
    subparsers
        What ``ArgumentParser.add_subparsers`` returned.
    add_settings_options, settings_of, overrides_of
        How the command line names a profile, reads it, and what was set by hand.
    """
    text = "make a run, a model version or an order again from its hashes and say whether it is equal to the bit"
    parser = subparsers.add_parser(
        "reproduce",
        help=text,
        description=f"{text}. Exit code 0: equal; 1: something differs; 2: it cannot be made again.",
    )
    parser.add_argument(
        "target",
        nargs="?",
        metavar="WHAT",
        help="an MLflow run id or its beginning, MODEL/VERSION, VERSION, champion, or an order's id",
    )
    parser.add_argument(
        "--orders", action="store_true", help=f"list the newest {SHOWN_ORDERS} orders and their ids; make nothing"
    )
    add_settings_options(parser)
    parser.add_argument(
        "--as-of", metavar="INSTANT", help="replay what was known then instead of what the run knew: what would differ?"
    )
    parser.add_argument("--json", action="store_true", help="print the machine-readable form")
    parser.add_argument("--keep", metavar="DIR", type=Path, help="keep all that was made again in this new folder")
    parser.add_argument("--dry-run", action="store_true", help="say what would be made again; make nothing")
    parser.add_argument(
        "--strict", action="store_true", help="refuse where code or packages are not those of the original"
    )
    parser.set_defaults(handler=lambda arguments: _told(arguments, settings_of, overrides_of))


def _told(
    arguments: argparse.Namespace,
    settings_of: Callable[[argparse.Namespace], Settings],
    overrides_of: Callable[[argparse.Namespace], Mapping[str, Any]],
) -> int:
    """Run the command; whatever makes it impossible is exit code 2."""
    try:
        if arguments.orders:
            return _list_orders(arguments, settings_of(arguments))
        return _reproduce(arguments, settings_of(arguments), overrides_of(arguments))
    except LjwxError as error:
        raise ConfigError(error.fact, error.remedy) from error


def _list_orders(arguments: argparse.Namespace, settings: Settings) -> int:
    from ljwx_pipeline.reproduction.orders import newest_orders

    if arguments.target is not None:
        raise ConfigError(f"--orders lists and {arguments.target} is to be made again", "leave one of the two away")
    orders = newest_orders(market_home(settings), SHOWN_ORDERS)
    headers = ("id", "session", "symbol", "side", "shares", "state", "model version")
    rows = [
        (one.order_id, one.session, one.symbol, one.side, str(one.shares), one.state, one.model_version)
        for one in orders
    ]
    text = grid(headers, rows) if rows else f"no runner has traded on {market_home(settings).name}: `ljwx up` starts it"
    return show_result(arguments, {"orders": [asdict(one) for one in orders]}, text)


def _reproduce(arguments: argparse.Namespace, settings: Settings, by_hand: Mapping[str, Any]) -> int:
    # the registry and pandas take a second: only when it runs
    from ljwx_pipeline.registry import open_registry
    from ljwx_pipeline.reproduction.replay_home import replay_home
    from ljwx_pipeline.reproduction.target import FORMS, find_original
    from ljwx_pipeline.supervisor import require_checkout

    if arguments.target is None:
        raise ConfigError("nothing is named that is to be made again", FORMS)
    root, home = Path.cwd(), ljwx_home()
    require_checkout(root)
    original = find_original(arguments.target, settings, open_registry(settings.mlflow, home=home), home=home)
    plan = _Plan.of(original, arguments.as_of, _changed(original, by_hand))
    _say(original.name)
    other = _environment(original, root)
    for sentence in other:
        _say(f"not as then: {sentence}")
    if arguments.strict and other:
        raise ConfigError(
            f"{original.name} was made by other code or packages: {'; '.join(other)}",
            "check out that revision and install its requirements, or leave --strict away",
        )
    plan.require_data()
    plan.warm_start()  # refused before anything is made
    if arguments.dry_run:
        return show_result(arguments, plan.as_dict(other), plan.sentence())
    clock = SystemClock()
    started_s = clock.monotonic_s()
    with replay_home(home, keep=arguments.keep) as folder:
        _say(f"replaying what was known at {plan.as_of} in {folder}; this takes as long as the run took")
        stages = []
        for stage in _stages(plan, folder, root):
            stages.append(stage)
            _say(f"{_MARKS[stage.verdict]} {stage.name}: {stage.sentence}")
    seconds = round(clock.monotonic_s() - started_s, 3)
    body = _document(plan, other, stages, seconds, arguments.keep)
    show_result(arguments, body, _table(plan, other, stages))
    if any(stage.verdict == "differs" for stage in stages):
        return DIFFERS
    return CANNOT if any(stage.verdict == "unknown" for stage in stages) else EQUAL


class _Plan:
    """What is replayed: the original, the instant, and the settings of the replay."""

    def __init__(self, original: Original, as_of: str, settings: Settings, changed: Mapping[str, Any]) -> None:
        self.original = original
        self.as_of = as_of
        self.settings = settings
        self.changed = changed

    @classmethod
    def of(cls, original: Original, as_of: str | None, changed: Mapping[str, Any]) -> _Plan:
        """Return the plan; every setting is the run's, but for the instant and what was ``changed`` by hand."""
        from ljwx_pipeline.dataset_commands import instant_of

        instant = original.as_of if as_of is None else instant_of(as_of).isoformat()
        return cls(original, instant, _settings(original, instant, changed), changed)

    @property
    def market(self) -> str:
        """What the replay takes the replayed market to be called."""
        return market_name(replayed(self.settings))

    def require_data(self) -> None:
        """Raise unless the lake still holds what was known at the instant."""
        from ljwx_pipeline.reproduction.sources import require_held

        require_held(self.original, self.as_of)

    def warm_start(self) -> Mapping[str, Any]:
        """Return what the run's study tried early and the trials before it, empty for nothing.

        Raises
        ------
        RegistryError
            When it tried something and did not record what.
        """
        study, made = self.original.run.tags.get("study_warm_start", "none"), self.original.made
        if study == "none":
            return {}
        if "warm_start" not in made:
            raise RegistryError(
                f"run {self.original.run.run_id} tried the best of study {study} early on (tune.warm_start) and did "
                "not record its parameters: it ended early, or an earlier release made it",
                "train again with `ljwx run`: from then on the run can be made again",
            )
        found: dict[str, Any] = made["warm_start"]
        return found

    def order_as_of(self) -> str:
        """Return the instant whose knowledge the order was decided on: the run's where nothing came in between."""
        order = self.original.order
        if order is None or self.as_of != self.original.as_of:
            return self.as_of
        from ljwx_pipeline.lake import Lake
        from ljwx_pipeline.lake.catalogue import was_known

        lake = Lake(self.original.home / "lake")
        newest = max(
            version.known_at
            for table in lake.tables()
            if was_known(lake, table, order.created_at)
            for version in lake.current(table, as_of=order.created_at)
        )
        return self.as_of if newest <= datetime.fromisoformat(self.as_of) else order.created_at.isoformat()

    def as_dict(self, other: Sequence[str]) -> dict[str, Any]:
        """Return the plan as plain values."""
        version, order = self.original.version, self.original.order
        return {
            "what": self.original.name,
            "run_id": self.original.run.run_id,
            "model": None if version is None else {"name": version.name, "version": version.version},
            "order": None if order is None else order.order_id,
            "market": self.original.market,
            "as_of": self.as_of,
            "changed": dict(self.changed),
            "not_as_then": list(other),
        }

    def sentence(self) -> str:
        """Return the plan as one line for a person."""
        what = "run, model and order" if self.original.order is not None else "run and model"
        set_by_hand = f" with {self.changes()}" if self.changed else ""
        known_at = f"as known at {self.as_of}{set_by_hand}"
        return f"would make {what} again on {self.original.market} {known_at}; nothing was made"

    def changes(self) -> str:
        """Return what was set by hand, as on the command line; empty for nothing."""
        return ", ".join(f"{key}={value}" for key, value in self.changed.items())


def _settings(original: Original, as_of: str, changed: Mapping[str, Any]) -> Settings:
    return load_settings(
        profile=str(original.settings["profile"]), overrides=_overrides(original, as_of, changed), environ={}
    )


def _overrides(original: Original, as_of: str, changed: Mapping[str, Any]) -> dict[str, Any]:
    """Return every setting by dotted key; where MLflow and studies are is the replay's own: nothing leaves its home."""
    from ljwx_pipeline.reproduction.replay_home import OWN_PLACES

    recorded = {key: value for key, value in dotted(original.settings).items() if key != "profile"}
    return {**recorded, **changed, "source.as_of": as_of, **dict.fromkeys(OWN_PLACES, "")}


def _changed(original: Original, by_hand: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was set by hand beyond what chooses the market and MLflow: what the replay is to differ in."""
    from ljwx_pipeline.command_options import market_overrides
    from ljwx_pipeline.reproduction.replay_home import OWN_PLACES

    settings = _settings(original, original.as_of, {})
    choosing = market_overrides(settings, by_hand)
    return {
        key: value
        for key, value in by_hand.items()
        if key not in (*choosing, *OWN_PLACES) and not key.startswith(("mlflow.", "source."))
    }


def _environment(original: Original, root: Path) -> list[str]:
    """Return in what code and packages are not those of the original."""
    from ljwx_pipeline.reproduction.environment import environment, environment_differences, revision_of

    was, now = original.run.tags.get("git_revision", "unknown"), revision_of(root)
    said = [] if was == now else [f"git revision {was} then, {now} now"]
    if was == now and was.endswith("-dirty"):
        said = [f"git revision {was}: it had changes that were not committed, and nobody recorded which"]
    return said + environment_differences(original.environment, environment())


def _stages(plan: _Plan, folder: Path, root: Path) -> Iterator[Stage]:
    from ljwx_pipeline.reproduction.replay_home import lay_out
    from ljwx_pipeline.reproduction.stages import compared, settings_stage

    original, order = plan.original, plan.original.order
    yield settings_stage(original, plan.settings.model_dump(mode="json"), plan.settings.config_hash)
    lay_out(folder, market=original.home, name=plan.market, counted_until=original.run.ended_at)
    pack_as_of = plan.order_as_of()
    make = ["model", *(["pack"] if order is not None and pack_as_of == plan.as_of else [])]
    remade = _made_again(plan, plan.as_of, make, folder, root)
    yield from compared(original, remade)
    if order is not None:
        from ljwx_pipeline.reproduction.order import order_stages  # heavy: the runner

        pack = remade if pack_as_of == plan.as_of else _made_again(plan, pack_as_of, ["pack"], folder, root)
        yield from order_stages(order, plan.settings, remade, pack, folder=folder)


def _made_again(plan: _Plan, as_of: str, make: Sequence[str], folder: Path, root: Path) -> Remade:
    """Run the line's steps in a process of its own and return what it made."""
    from ljwx_pipeline.job_process import run_in_own_group
    from ljwx_pipeline.reproduction.stages import Remade
    from ljwx_pipeline.supervisor import child_environment

    settings = plan.settings.model_copy(update={"source": plan.settings.source.model_copy(update={"as_of": as_of})})
    overrides = {**_stated(settings), "source.as_of": as_of}
    asked, out = folder / "overrides.json", folder / "made-again.json"
    out.unlink(missing_ok=True)  # of a replay before this one, in the same folder
    asked.write_text(json.dumps(overrides), encoding="utf-8")
    command = [sys.executable, "-m", "jobs.reproduce", "--profile", settings.profile]
    command += [
        "--overrides-file",
        str(asked),
        "--out",
        str(out),
        *(word for name in make for word in ("--make", name)),
        # stated in the manifest and in the card, and nothing a replay could derive
        "--model-name",
        registered_model(settings, plan.original.market),
        "--git-revision",
        plan.original.run.tags.get("git_revision", ""),
    ]
    warm = plan.warm_start()  # of studies that the replay's home does not hold
    if warm:
        stated = folder / "warm-start.json"
        stated.write_text(json.dumps(warm), encoding="utf-8")
        command += ["--warm-start", str(stated)]
    with _home_is(folder):
        environment = child_environment(settings, overrides)
    code = run_in_own_group(command, cwd=root, environment=environment)
    if code in (STOPPED, -2, -15):
        raise KeyboardInterrupt
    found = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    if code != 0 or not found:
        fact = found.get("fact", f"it ended with exit code {code} and gave no reason")
        raise LakeError(
            f"the replay of {plan.original.name} as known at {as_of} stopped: {fact}",
            found.get("remedy", "run it again with --keep DIR and look at what it made until then"),
        )
    return Remade(Path(found["home"]), found["lineage"], found["made"])


def _stated(settings: Settings) -> dict[str, Any]:

    return {key: value for key, value in dotted(settings.model_dump(mode="json")).items() if key != "profile"}


@contextmanager
def _home_is(folder: Path) -> Iterator[None]:
    """Let ``LJWX_HOME`` be ``folder`` for the ``with`` block."""
    before = os.environ.get("LJWX_HOME")
    os.environ["LJWX_HOME"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["LJWX_HOME"]
        else:
            os.environ["LJWX_HOME"] = before


def _document(
    plan: _Plan, other: Sequence[str], stages: Sequence[Stage], seconds: float, keep: Path | None
) -> dict[str, Any]:
    first = next((stage for stage in stages if stage.verdict == "differs"), None)
    result = _differing_result(stages)
    return {
        **plan.as_dict(other),
        "equal": all(stage.verdict == "equal" for stage in stages),
        "first_difference": None if first is None else first.name,
        "first_differing_result": None if result is None else result.name,
        "stages": [stage.as_dict() for stage in stages],
        "seconds": seconds,
        "kept_in": None if keep is None else str(keep.absolute()),
    }


def _table(plan: _Plan, other: Sequence[str], stages: Sequence[Stage]) -> str:
    width = max(len(stage.name) for stage in stages)
    lines = [
        plan.original.name,
        f"data as known at {plan.as_of}",
        *(f"not as then: {sentence}" for sentence in other),
        "",
    ]
    for stage in stages:
        lines.append(f"{stage.verdict:8} {stage.name:{width}}  {stage.sentence}")
        if stage.was is not None and stage.was != stage.now:
            lines.append(f"{'':8} {'':{width}}  hash {stage.was[:16]} then, {(stage.now or 'none')[:16]} now")
        lines += [f"{'':8} {'':{width}}  {said}" for said in stage.differences[:5]]
    return "\n".join([*lines, "", _conclusion(stages, other, plan.changes())])


def _differing_result(stages: Sequence[Stage]) -> Stage | None:
    """Return the first stage that was made and differs: what settings are is no result."""
    return next((stage for stage in stages if stage.verdict == "differs" and stage.name != SETTINGS), None)


def _conclusion(stages: Sequence[Stage], other: Sequence[str], changes: str) -> str:
    first = next((stage for stage in stages if stage.verdict == "differs"), None)
    if changes and first is not None and first.name == SETTINGS:
        result = _differing_result(stages)
        if result is None:
            return f"DIFFERS in settings alone: {changes} changes no result that was recorded"
        return f"DIFFERS under {changes}, first in {result.name}: {result.sentence}"
    if first is not None:
        return f"DIFFERS, first in {first.name}: {first.sentence}"
    unknown = [stage.name for stage in stages if stage.verdict == "unknown"]
    if unknown:
        return f"CANNOT SAY of {', '.join(unknown)}: the run recorded nothing to compare with; the rest is equal"
    return "EQUAL to the bit in every stage" + (", under other code or packages" if other else "")


def _say(sentence: str) -> None:
    """Tell progress on the error stream; what is printed at the end is the answer alone."""
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()
