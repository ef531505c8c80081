"""The bodies of ``ljwx models``: compare settings of ``[model]``, one model on other pasts, the registered versions.

Not here: comparing (``model_comparison/``, in the processes ``jobs.compare`` and ``jobs.paths``), the registry
(``registry.py``).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ljwx_pipeline.command_output import grid, show_result
from ljwx_pipeline.config import Settings, ljwx_home, market_home, registered_model
from ljwx_pipeline.errors import BundleError, ConfigError, RegistryError
from ljwx_pipeline.job_process import run_in_own_group

if TYPE_CHECKING:  # loaded when a command asks the registry
    from ljwx_pipeline.registry import ModelVersion, Registry
    from ljwx_pipeline.tracking.champion import ChampionLine

CHAMPION = "champion"
#: Splits beyond which a person has to say yes: each is a model to train.
SPLITS_UNASKED = 200
#: Metrics of a version's research run that are shown beside it, by their name there.
MAIN_METRICS = {
    "rank_ic_mean_enterable": "rank IC",
    "rank_icir_enterable": "ICIR",
    "backtest.annual_return": "annual return",
    "backtest.sharpe": "Sharpe",
    "backtest.max_drawdown": "drawdown",
    "gate.sharpe": "excess Sharpe",
    "gate.max_drawdown": "excess drawdown",
}
#: What they were measured on: the run's own summary tells of every scored row too.
MEASURED_ON = (
    "rank IC and ICIR: of scored rows that could be bought, as the gate and `ljwx models compare` measure them\n"
    "annual return, Sharpe, drawdown: of the account's own equity by session\n"
    "excess Sharpe, excess drawdown: of monthly net returns less those of gate.benchmark, which the gate asks"
)


def add_models_command(
    subparsers: Any,
    *,
    add_settings_options: Callable[[argparse.ArgumentParser], None],
    settings_of: Callable[[argparse.Namespace], Settings],
    overrides_of: Callable[[argparse.Namespace], Mapping[str, Any]],
) -> None:
    """Add ``models compare``, ``paths``, ``list`` and ``show`` to the command line.

    Parameters
    ----------
    subparsers
        What ``ArgumentParser.add_subparsers`` returned.
    add_settings_options, settings_of, overrides_of
        How the command line names a profile, reads it, and what was set by hand.
    """
    text = "compare models on the newest research's dataset and folds; list and show registered versions"
    commands = subparsers.add_parser("models", help=text, description=text).add_subparsers(
        required=True, metavar="COMMAND"
    )
    text = "walk several settings of [model] forward, side by side: table, page, MLflow; each counts as a trial"
    compare = commands.add_parser("compare", help=text, description=text)
    compare.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="a choice of model.kind, model.ensemble.kind or model.group_by, or KEY=VALUE,KEY=VALUE of [model]; none "
        "named, and no file: every choice there is",
    )
    compare.add_argument("--candidates", metavar="FILE", type=Path, help="TOML: a table of [model] keys a candidate")
    _add(compare, add_settings_options, lambda arguments: _compare(arguments, settings_of(arguments), overrides_of))
    text = "train one model on every choice of tested groups of sessions: how far its rank IC spreads over the paths"
    paths = commands.add_parser("paths", help=text, description=f"{text}; each path counts as a trial")
    paths.add_argument(
        "version",
        nargs="?",
        metavar="VERSION",
        help="a registered version's number, or champion (default: the configured model, as the newest run tuned it)",
    )
    paths.add_argument("--groups", type=int, default=6, metavar="N", help="groups of sessions (default: 6)")
    paths.add_argument("--tested", type=int, default=2, metavar="K", help="groups that a split tests (default: 2)")
    paths.add_argument("--dry-run", action="store_true", help="say what would be trained and counted, and stop")
    paths.add_argument("--yes", action="store_true", help="train, however many splits there are")
    _add(paths, add_settings_options, lambda arguments: _paths(arguments, settings_of(arguments), overrides_of))
    text = "registered versions with alias, decision, main metrics and hashes"
    listed = commands.add_parser("list", help=text, description=text)
    _add(listed, add_settings_options, lambda arguments: _list(arguments, settings_of(arguments)))
    text = "one registered version: all of that, and its card"
    shown = commands.add_parser("show", help=text, description=text)
    shown.add_argument("version", metavar="VERSION", help="a version's number, or champion")
    _add(shown, add_settings_options, lambda arguments: _show(arguments, settings_of(arguments)))


def _add(
    parser: argparse.ArgumentParser,
    add_settings_options: Callable[[argparse.ArgumentParser], None],
    handler: Callable[[argparse.Namespace], int],
) -> None:
    add_settings_options(parser)
    parser.add_argument("--json", action="store_true", help="print the machine-readable form")
    parser.set_defaults(handler=handler)


def _compare(
    arguments: argparse.Namespace, settings: Settings, overrides_of: Callable[[argparse.Namespace], Mapping[str, Any]]
) -> int:
    from ljwx_pipeline.model_comparison.candidates import candidates
    from ljwx_pipeline.supervisor import child_environment, require_checkout

    root, overrides = Path.cwd(), dict(overrides_of(arguments))
    require_checkout(root)
    candidates(settings.model, arguments.names, arguments.candidates)  # a wrong one is told before anything starts
    command = [sys.executable, "-m", "jobs.compare", "--profile", settings.profile]
    command += ["--overrides-json", json.dumps(overrides, default=str)]
    command += ["--candidates", str(arguments.candidates.absolute())] if arguments.candidates is not None else []
    command += ["--json"] if arguments.json else []
    command += ["--", *arguments.names]
    return run_in_own_group(command, cwd=root, environment=child_environment(settings, overrides))


def _paths(
    arguments: argparse.Namespace, settings: Settings, overrides_of: Callable[[argparse.Namespace], Mapping[str, Any]]
) -> int:
    from ljwx_pipeline.dataset.combinatorial_folds import require_choice
    from ljwx_pipeline.supervisor import child_environment, require_checkout

    root, overrides = Path.cwd(), dict(overrides_of(arguments))
    require_checkout(root)
    require_choice(arguments.groups, arguments.tested)
    splits = math.comb(arguments.groups, arguments.tested)
    if splits > SPLITS_UNASKED and not (arguments.yes or arguments.dry_run):
        raise ConfigError(
            f"--groups {arguments.groups} --tested {arguments.tested} make {splits} splits, each a model to train, "
            f"and {splits * arguments.tested // arguments.groups} paths, each a trial",
            "add --yes if that is meant, or choose fewer groups; --dry-run says more",
        )
    command = [sys.executable, "-m", "jobs.paths", "--profile", settings.profile]
    command += ["--overrides-json", json.dumps(overrides, default=str)]
    command += ["--groups", str(arguments.groups), "--tested", str(arguments.tested)]
    command += ["--dry-run"] if arguments.dry_run else []
    command += ["--json"] if arguments.json else []
    command += ["--", arguments.version] if arguments.version is not None else []
    return run_in_own_group(command, cwd=root, environment=child_environment(settings, overrides))


def _list(arguments: argparse.Namespace, settings: Settings) -> int:
    registry, model = _registry(settings)
    lines = _record(settings, model)
    rows = [_told(registry, version, lines) for version in registry.versions(model)]
    body = {"model": model, "versions": rows}
    headers = ("version", "state", "alias", "gate said", *MAIN_METRICS.values(), "bundle", "run")
    table = [
        (
            row["version"],
            row["state"] or "-",
            row["alias"] or "-",
            row["decision"] or "-",
            *(_number(row["metrics"].get(name)) for name in MAIN_METRICS),
            row["hashes"]["bundle"][:12],
            row["run_id"],
        )
        for row in rows
    ]
    text = (
        f"{model}\n\n{grid(headers, table)}\n{MEASURED_ON}"
        if rows
        else f"{model} has no version yet: `ljwx run` registers one"
    )
    return show_result(arguments, body, text)


def _show(arguments: argparse.Namespace, settings: Settings) -> int:
    from ljwx_pipeline.promotion.told import REASONS_APART, reasons_told

    registry, model = _registry(settings)
    versions = {version.version: version for version in registry.versions(model)}
    champion = registry.aliases(model).get(CHAMPION)
    wanted = champion if arguments.version == CHAMPION else arguments.version
    if wanted not in versions:
        what = CHAMPION if arguments.version == CHAMPION else f"version {arguments.version!r}"
        there = [*([CHAMPION] if champion in versions else []), *versions]
        raise RegistryError(
            f"{model} has no {what}", f"choose among {', '.join(there)}" if there else "register one: `ljwx run`"
        )
    version = versions[wanted]
    card, reason = _card(registry, version)
    body = {**_told(registry, version, _record(settings, model)), "model": model, "card": card, "no_card": reason}
    lines = [f"{model} version {version.version}", ""]
    shown = {"state": "state", "decided": "decided", "alias": "alias", "decision": "gate said", "run_id": "run_id"}
    once = {**body, "decided": body["decided"].removesuffix(f": {body['reasons']}")}  # they follow line by line
    lines += [f"{said:16} {once[key] or '-'}" for key, said in shown.items()]
    reasons = body["reasons"].split(REASONS_APART) if card is None else reasons_told(body["decision"], body["reasons"])
    for label, one in zip_longest(("because",), reasons, fillvalue=""):
        lines.append(f"{label:16} {one or '-'}")
    lines += [f"{said:16} {_number(body['metrics'].get(name))}" for name, said in MAIN_METRICS.items()]
    lines += [f"{name:16} {value}" for name, value in body["hashes"].items()]
    lines += ["", MEASURED_ON, "", card or f"no card: {reason}"]
    return show_result(arguments, body, "\n".join(lines))


def _registry(settings: Settings) -> tuple[Registry, str]:
    from ljwx_pipeline.registry import open_registry

    return open_registry(settings.mlflow, home=ljwx_home()), registered_model(settings)


def _record(settings: Settings, model: str) -> list[ChampionLine]:
    from ljwx_pipeline.tracking.champion import ChampionRecord

    return ChampionRecord(market_home(settings) / "tracking").lines(model)


def _told(registry: Registry, version: ModelVersion, lines: Sequence[ChampionLine]) -> dict[str, Any]:
    """Return what is known of a version: its tags, those of a run that made it, what the record says was decided.

    A run may have made several versions: decision and figures are those of its decision on this one, where it has any.
    """
    from ljwx_pipeline.promotion.told import decision_told
    from ljwx_pipeline.registry import PARENT_TAG
    from ljwx_pipeline.tracking.champion import state_of

    decided = [line for line in lines if line.what == "decided" and line.bundle_hash == version.bundle_hash]
    aliases = registry.aliases(version.name)
    run = next(iter(registry.researches_of(version)), None)
    judged = [one for one in registry.decisions_on(version) if run and one.tags.get(PARENT_TAG) == run.run_id][:1]
    run_tags: Mapping[str, str] = {} if run is None else run.tags
    own_tags = {**run_tags, **{name: value for one in judged for name, value in one.tags.items()}}
    metrics: Mapping[str, float] = {} if run is None else run.metrics
    metrics = {**metrics, **{name: value for one in judged for name, value in one.metrics.items()}}
    tags = registry.version_tags(version)
    alias = [name for name, number in aliases.items() if number == version.version]
    hashes = {"bundle": version.bundle_hash, "factors": tags.get("factor_hash", "")}
    hashes |= {name: run_tags.get(f"{name}_hash", "") for name in ("data", "dataset", "config")}
    return {
        "version": version.version,
        "state": state_of(lines, version, aliases) or "",
        "decided": decision_told(decided[-1]) if decided else "",
        "alias": ", ".join(sorted(alias)),
        "decision": own_tags.get("decision", ""),
        "reasons": own_tags.get("reasons", ""),
        "run_id": version.run_id if run is None else run.run_id,
        "metrics": {name: metrics[name] for name in MAIN_METRICS if name in metrics},
        "hashes": {**hashes, "git": run_tags.get("git_revision", "")},
        "restated": tags.get("data_restated", ""),
    }


def _card(registry: Registry, version: ModelVersion) -> tuple[str | None, str]:
    """Return the card in the bundle, or None and why it cannot be had: the rest is shown all the same."""
    from ljwx_pipeline.scoring.bundle import CARD  # heavy: the model's library

    with tempfile.TemporaryDirectory(prefix="ljwx-card-") as folder:
        try:
            card = registry.download_bundle(version, Path(folder)) / CARD
        except BundleError as error:
            return None, str(error)
        except RegistryError as error:  # MLflow answers, as everything else of the version is asked of it too
            said = " ".join(str(error.__cause__ or error.fact).replace("#", " ").split())
            return None, (
                f"the files of version {version.version} of {version.name} cannot be fetched ({said}): restore them "
                "from a backup, or run the research job again, which registers the bundle anew"
            )
        return card.read_text(encoding="utf-8", errors="replace"), ""


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
