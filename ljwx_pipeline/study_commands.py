"""The bodies of ``ljwx studies``: what was tried, whatever is tried now. Nothing is changed by looking.

Not here: going on with a study (``models/tune.py``, ``backtest/sweep_tune.py``), the rest of the command line
(``cli.py``).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from ljwx_pipeline.command_output import cell, grid, show_result
from ljwx_pipeline.config import Settings, market_home
from ljwx_pipeline.errors import ModelError

if TYPE_CHECKING:  # Optuna: loaded when a command runs
    from ljwx_pipeline.studies import Place, StudySummary

#: Below a market's home: the journals of the model's studies and of ``ljwx sweep --optuna``.
JOURNALS = ("studies/journal.log", "sweeps/journal.log")


def add_study_commands(
    subparsers: Any,
    *,
    add_settings_options: Callable[[argparse.ArgumentParser], None],
    settings_of: Callable[[argparse.Namespace], Settings],
) -> None:
    """Add ``studies list`` and ``studies show`` to the command line.

    Parameters
    ----------
    subparsers
        What ``ArgumentParser.add_subparsers`` returned.
    add_settings_options, settings_of
        How the command line names a profile and reads it; a profile is a market, and a market has its studies.
    """
    text = "the studies of hyperparameters and of strategies: their trials, values, parameters and state"
    commands = subparsers.add_parser("studies", help=text, description=text).add_subparsers(
        dest="studies_command", required=True, metavar="COMMAND"
    )
    listed = commands.add_parser("list", help="every study of this market")
    shown = commands.add_parser("show", help="one study: its trials and what decided them")
    shown.add_argument("name", metavar="NAME", help="a name that `ljwx studies list` says")
    for parser, body in ((listed, _list), (shown, _show)):
        add_settings_options(parser)
        parser.add_argument("--json", action="store_true", help="print the machine-readable form")
        parser.set_defaults(handler=lambda arguments, body=body: body(settings_of(arguments), arguments))


def _list(settings: Settings, arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.studies import study_summaries

    found = [(place, study) for place in _places(settings) for study in study_summaries(place)]
    rows = [_row(place, study) for place, study in found]
    rows.sort(key=lambda row: row["began_at"] or "", reverse=True)
    if not rows:
        text = f"no study was ever made of {market_home(settings).name}: `ljwx run` makes the first"
    else:
        headers = ["study", "model", "state", "trials", "pruned", "best", "started from", "began (UTC)",
                   "finished (UTC)"]  # fmt: skip
        text = grid(headers, [_cells(row) for row in rows])
    return show_result(arguments, {"studies": rows}, text)


def _show(settings: Settings, arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.studies import study_summaries

    found = {study.name: (place, study) for place in _places(settings) for study in study_summaries(place)}
    if arguments.name not in found:
        near = get_close_matches(arguments.name, found, n=3, cutoff=0.4) or list(found)[:3]
        raise ModelError(
            f"there is no study {arguments.name} of {market_home(settings).name}",
            f"choose among {', '.join(near)}" if near else "make one first: `ljwx run`",
        )
    place, study = found[arguments.name]
    return show_result(arguments, _row(place, study) | asdict(_with_values(study)), _text(place, _with_values(study)))


def _places(settings: Settings) -> list[Place]:
    from ljwx_pipeline.studies import Place

    places = [Place(market_home(settings) / journal) for journal in JOURNALS]
    url = settings.tune.storage.get_secret_value()
    return [Place(url=url), *places] if url else places


def _row(place: Place, study: StudySummary) -> dict[str, Any]:
    values = [trial["values"][0] for trial in study.trials if trial["state"] == "complete"]
    return {
        "study": study.name,
        "kind": study.kind,
        "model_kind": study.model_kind or None,
        "state": study.state,
        "complete": study.counts.get("complete", 0),
        "pruned": study.counts.get("pruned", 0),
        "best": max(values, default=None),
        "warm_start": study.warm_start or None,
        "began_at": study.began_at or None,
        "finished_at": study.finished.get("at") or None,
        "place": str(place),
    }


def _cells(row: Mapping[str, Any]) -> list[str]:
    """Return a study's row as a person reads it; pruned trials are among its trials."""
    best = "-" if row["best"] is None else f"{row['best']:.4f}"
    plain = [cell(row[key]) for key in ("study", "model_kind", "state")]
    made = [cell(row["complete"] + row["pruned"]), cell(row["pruned"])]
    return [*plain, *made, best, cell(row["warm_start"]), _utc(row["began_at"]), _utc(row["finished_at"])]


def _utc(instant: str | None) -> str:
    return "-" if instant is None else f"{datetime.fromisoformat(instant).astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _with_values(study: StudySummary) -> StudySummary:
    """Return the study with the values its parameters stand for: a sweep's trials hold positions on its axes."""
    axes = study.decided.get("axes")
    if axes is None:
        return study
    trials = [
        {**trial, "params": {name: axes[name][int(at)] for name, at in trial["params"].items()}}
        for trial in study.trials
    ]
    return replace(study, trials=tuple(trials))


def _text(place: Place, study: StudySummary) -> str:
    counts = ", ".join(f"{count} {state}" for state, count in study.counts.items()) or "no trial"
    objectives = study.decided.get("objectives") or ["session_sharpe"]
    names = list(study.trials[0]["params"]) if study.trials else []
    headers = ["trial", "state", *objectives, *names]
    lines = [
        [
            str(trial["number"]),
            _state(trial),
            *[_number(trial["values"][at]) if len(trial["values"]) > at else "-" for at in range(len(objectives))],
            *[_number(trial["params"][name]) for name in names],
        ]
        for trial in study.trials
    ]
    started = f", started from {study.warm_start}" if study.warm_start else ""
    head = f"{study.name}, {study.state} ({counts}){started}, kept in {place}"
    chosen = study.finished.get("params")
    best = ["", "chosen: " + ", ".join(f"{name} {_number(value)}" for name, value in chosen.items())] if chosen else []
    return "\n".join([head, "", grid(headers, lines), *best])


def _state(trial: dict[str, Any]) -> str:
    after = trial.get("trial", {}).get("pruned_after_fold")
    return f"pruned after {after}" if after else str(trial["state"])


def _number(value: float | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
