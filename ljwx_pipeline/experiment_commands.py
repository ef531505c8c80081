"""The bodies of ``ljwx experiments`` and ``ljwx tracking``: what was tracked, and what MLflow still lacks.

Not here: recording (``tracking/``), the reports of runs of the line (``report_commands.py``).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ljwx_pipeline.command_output import grid, show_result
from ljwx_pipeline.config import Settings, ljwx_home, market_name, tracking_uri
from ljwx_pipeline.errors import ConfigError, RegistryError

if TYPE_CHECKING:  # loaded when a command runs
    from ljwx_pipeline.registry import Registry, TrackedView

#: Metrics of the table by kind, and how each is written; names every kind, so that reading a command loads no
#: tracking.
MAIN_METRICS: dict[str, dict[str, str]] = {
    "research": {"rank_ic_mean": "+.4f", "backtest.sharpe": ".2f", "backtest.annual_return": "+.1%"},
    "training": {"rounds": ".0f", "tail_rank_ic": "+.4f"},
    "trial": {"rank_ic": "+.4f", "session_sharpe": "+.3f"},
    "fold": {"rank_ic": "+.4f", "rounds": ".0f"},
    "evaluation": {"backtest.sharpe": ".2f", "backtest.annual_return": "+.1%", "backtest.max_drawdown": ".1%"},
    "promotion": {"gate.rank_ic_mean": "+.4f", "gate.deflated_sharpe_probability": ".3f"},
    "sweep": {"variants": ".0f", "best.information_ratio": ".2f"},
    "comparison": {"candidates": ".0f", "best.rank_ic": "+.4f", "best.net_sharpe": ".2f", "trials_of_family": ".0f"},
    "candidate": {"rank_ic": "+.4f", "net_sharpe": ".2f", "net_excess_annual_return": "+.1%", "turnover": ".1f"},
    "paths": {
        "paths": ".0f", "paths.rank_ic_least": "+.4f", "paths.rank_ic_median": "+.4f", "paths.rank_ic_most": "+.4f",
        "walk_forward.rank_ic": "+.4f",
    },
    "path": {"rank_ic": "+.4f", "rank_icir": ".2f", "net_sharpe": ".2f"},
}  # fmt: skip
#: Kinds that stand alone; the others are below one of these.
TOP_KINDS = ("research", "sweep", "comparison", "paths")
#: Tag of a finished run that says more than its status, by kind.
STATE_TAGS = {"research": "decision", "promotion": "decision", "trial": "state"}
#: Tags that a comparison shows where they differ.
COMPARED_TAGS = (
    "decision", "profile", "market", "factors", "model_kind", "strategy", "study", "changed", "candidate_key",
    "dataset_hash", "data_hash", "factor_hash", "label_hash", "config_hash", "git_revision", "python",
    "package.lightgbm", "simulated",
)  # fmt: skip
#: Metrics that have a value for each of several things in turn: the last one alone stands for nothing.
BY_STEP = {"fold.": "last fold", "variant.": "last variant"}
SettingsOf = Callable[[argparse.Namespace], Settings]


def add_experiment_commands(
    subparsers: Any,
    *,
    add_settings_options: Callable[[argparse.ArgumentParser], None],
    settings_of: SettingsOf,
) -> None:
    """Add ``experiments`` and ``tracking`` to the command line.

    Parameters
    ----------
    subparsers
        What ``ArgumentParser.add_subparsers`` returned.
    add_settings_options, settings_of
        How the command line names a profile and reads it.
    """
    text = "what was trained, tried, judged and promoted, as MLflow keeps it"
    experiments = subparsers.add_parser("experiments", help=text, description=text)
    commands = experiments.add_subparsers(required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="runs with their main metrics, the newest first")
    listing.add_argument("--kind", choices=MAIN_METRICS, help=f"one kind (default: {', '.join(TOP_KINDS)})")
    listing.add_argument("--limit", type=int, default=20, metavar="N", help="so many runs of each kind (default: 20)")
    listing.add_argument("--all-markets", action="store_true", help="of every market, not of the profile's alone")
    showing = commands.add_parser("show", help="one run: tags, metrics, inputs, and the runs below it")
    showing.add_argument("run", metavar="RUN", help="the beginning of a run's id, or latest")
    comparing = commands.add_parser("compare", help="metrics side by side, and the parameters and hashes that differ")
    comparing.add_argument("runs", nargs="+", metavar="RUN", help="the beginning of a run's id, or latest")
    for parser, body in ((listing, _list), (showing, _show), (comparing, _compare)):
        _finish(parser, add_settings_options, settings_of, body)

    text = "what is written down beside the market and MLflow does not have yet"
    tracking = subparsers.add_parser("tracking", help=text, description=text)
    commands = tracking.add_subparsers(required=True, metavar="COMMAND")
    flushing = commands.add_parser("flush", help="send it; twice changes nothing")
    status = commands.add_parser("status", help="say how much it is, and contact nobody")
    for parser, body in ((flushing, _flush), (status, _status)):
        _finish(parser, add_settings_options, settings_of, body)


def _finish(
    parser: argparse.ArgumentParser,
    add_settings_options: Callable[[argparse.ArgumentParser], None],
    settings_of: SettingsOf,
    body: Callable[[Settings, argparse.Namespace], int],
) -> None:
    add_settings_options(parser)
    parser.add_argument("--json", action="store_true", help="print the machine-readable form")
    parser.set_defaults(handler=lambda arguments: body(settings_of(arguments), arguments))


def _list(settings: Settings, arguments: argparse.Namespace) -> int:
    if arguments.limit < 1:
        raise ConfigError(f"--limit {arguments.limit} shows nothing", "ask for one run at least")
    registry, market = _registry(settings), None if arguments.all_markets else market_name(settings)
    kinds = TOP_KINDS if arguments.kind is None else (arguments.kind,)
    found = {kind: registry.views(kind=kind, market=market, limit=arguments.limit) for kind in kinds}
    tables = [_table(kind, runs, with_parent=kind not in TOP_KINDS) for kind, runs in found.items() if runs]
    unsent = _unsent(settings)
    if unsent:
        tables.append(f"{unsent} runs of this market are not sent yet: run `ljwx tracking flush`")
    nothing = f"no run of kind {' or '.join(kinds)} is recorded{'' if market is None else f' of market {market}'}"
    text = "\n\n".join(tables) or f"{nothing}: run `ljwx run` first, or look with --all-markets"
    body = {"runs": [run.as_dict() for runs in found.values() for run in runs], "unsent": unsent}
    return show_result(arguments, body, text)


def _show(settings: Settings, arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.promotion.told import reasons_told

    registry = _registry(settings)
    run = _found(registry, settings, arguments.run)
    below: dict[str, list[TrackedView]] = {}
    for child in registry.views(parent=run.run_id, limit=1000):
        below.setdefault(child.kind, []).append(child)
    lines = [("run", f"{run.name}  {run.run_id}"), ("kind", run.kind), ("status", run.status), ("began", _at(run))]
    lines += [
        ("because" if place == 0 else "", one)
        for place, one in enumerate(reasons_told(run.tags.get("decision", ""), run.tags.get("reasons", "")))
    ]
    lines += [(name, run.tags[name]) for name in COMPARED_TAGS if name in run.tags]
    lines += [(f"input {one['name']}", one["digest"]) for one in run.inputs]
    width = max(len(name) for name, _ in lines)
    parts = ["\n".join(f"{name:<{width}}  {value}" for name, value in lines)]
    if run.metrics:
        parts.append(
            grid(["metric", "value"], [(_named(name), f"{value:.6g}") for name, value in sorted(run.metrics.items())])
        )
    parts += [_table(kind, children) for kind, children in below.items()]
    body = {**run.as_dict(), "below": [child.as_dict() for children in below.values() for child in children]}
    return show_result(arguments, body, "\n\n".join(parts))


def _compare(settings: Settings, arguments: argparse.Namespace) -> int:
    if len(arguments.runs) < 2:
        raise ConfigError("one run alone has nothing to be compared with", "name two runs at least")
    registry = _registry(settings)
    runs = [_found(registry, settings, name) for name in arguments.runs]
    if len({run.run_id for run in runs}) < len(runs):
        raise ConfigError(f"{' '.join(arguments.runs)} names a run twice", "name different runs")
    heads = [f"{run.name} {run.run_id[:8]}" for run in runs]
    names = sorted(set().union(*(run.metrics for run in runs)))
    metrics = {name: [run.metrics.get(name) for run in runs] for name in names}
    params = _differing([run.params for run in runs])
    tags = {name: row for name, row in _differing([run.tags for run in runs]).items() if name in COMPARED_TAGS}
    rows = [
        [_named(name), *("-" if value is None else f"{value:.6g}" for value in row)] for name, row in metrics.items()
    ]
    parts = [grid(["metric", *heads], rows)]
    for title, table in (("parameters that differ", params), ("hashes and versions that differ", tags)):
        shown = [[name, *("-" if value is None else value[:40] for value in row)] for name, row in table.items()]
        parts.append(grid([title, *heads], shown) if shown else f"{title}: none")
    body = {"runs": [run.as_dict() for run in runs], "metrics": metrics, "params": params, "tags": tags}
    return show_result(arguments, body, "\n\n".join(parts))


def _flush(settings: Settings, arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.tracking import open_tracker

    told = open_tracker(settings).flush()
    body = {"sent": told.sent, "left": told.left, "reason": told.reason}
    if told.left:
        show_result(arguments, body, f"{told.sent} runs sent, {told.left} left")
        raise RegistryError(f"{told.left} runs could not be sent ({told.reason})", "mend that and flush again")
    return show_result(arguments, body, f"{told.sent} runs sent, none left" if told.sent else "MLflow has everything")


def _status(settings: Settings, arguments: argparse.Namespace) -> int:
    unsent = _unsent(settings)
    text = f"{unsent} runs are not sent yet: run `ljwx tracking flush`" if unsent else "MLflow has everything"
    return show_result(arguments, {"unsent": unsent}, text)


def _unsent(settings: Settings) -> int:
    from ljwx_pipeline.tracking import unsent_events

    return len(unsent_events(settings))


def _registry(settings: Settings) -> Registry:
    from ljwx_pipeline.registry import open_registry

    database = tracking_uri(settings.mlflow, ljwx_home()).removeprefix("sqlite:///")
    if not settings.mlflow.tracking_uri and not (ljwx_home() / "mlflow" / "mlflow.db").exists():
        raise RegistryError(f"nothing was ever recorded: {database} does not exist", "run `ljwx run` first")
    return open_registry(settings.mlflow, home=ljwx_home())


def _found(registry: Registry, settings: Settings, named: str) -> TrackedView:
    """Return the run that ``named`` means: the newest research run of the market, or the only one of that beginning."""
    if named == "latest":
        newest = registry.views(kind="research", market=market_name(settings), limit=1)
        if not newest:
            raise RegistryError(
                f"no research run of market {market_name(settings)} is recorded", "run `ljwx run` first"
            )
        return newest[0]
    if len(named) < 4 or not all(digit in "0123456789abcdef" for digit in named):
        raise ConfigError(f"{named!r} is no beginning of a run's id", "take one that `ljwx experiments list` shows")
    found = registry.views_beginning(named)
    if not found:
        raise RegistryError(f"no run's id begins with {named}", "take one that `ljwx experiments list` shows")
    if len(found) > 1:
        raise ConfigError(f"{len(found)} runs begin with {named}", "write more of its digits")
    return found[0]


def _table(kind: str, runs: Sequence[TrackedView], *, with_parent: bool = False) -> str:
    """Return runs of one kind, with the run that each is below where that is not the run shown."""
    from ljwx_pipeline.registry import PARENT_TAG

    main = MAIN_METRICS.get(kind, {})
    above = ["below"] if with_parent else []
    headers = [kind, "run", *above, "began (UTC)", "took", *main, STATE_TAGS.get(kind, "status")]
    lines = [
        [
            run.name,
            run.run_id[:8],
            *[run.tags.get(PARENT_TAG, "-")[:8] for _ in above],
            _at(run),
            _took(run),
            *(format(run.metrics[name], form) if name in run.metrics else "-" for name, form in main.items()),
            _state(kind, run),
        ]
        for run in runs
    ]
    return grid(headers, lines)


def _state(kind: str, run: TrackedView) -> str:
    """Return what became of a run: the gate's decision, of a trial complete or pruned, otherwise MLflow's status."""
    status = run.status.lower()
    return run.tags.get(STATE_TAGS[kind], status) if kind in STATE_TAGS and status == "finished" else status


def _named(metric: str) -> str:
    """Return a metric's name, and of which step its value is where it has one for each of several things."""
    step = next((step for beginning, step in BY_STEP.items() if metric.startswith(beginning)), "")
    return f"{metric} ({step})" if step else metric


def _at(run: TrackedView) -> str:
    return f"{datetime.fromtimestamp(run.started_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def _took(run: TrackedView) -> str:
    return "-" if run.ended_ms is None else f"{(run.ended_ms - run.started_ms) / 1000:.1f} s"


def _differing(trees: Sequence[dict[str, str]]) -> dict[str, list[str | None]]:
    names = sorted(set().union(*trees))
    rows = {name: [tree.get(name) for tree in trees] for name in names}
    return {name: row for name, row in rows.items() if len(set(row)) > 1}
