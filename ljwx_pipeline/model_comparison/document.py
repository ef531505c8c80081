"""What a comparison found: the document, the page with its pictures, the run in MLflow, the table on a terminal.

Not here: the measures (``measures.py``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ljwx_pipeline.command_output import grid
from ljwx_pipeline.config import Settings, dotted, market_name
from ljwx_pipeline.errors import RegistryError
from ljwx_pipeline.lake.atomic_parquet import write_bytes, write_parquet
from ljwx_pipeline.model_comparison.measures import Measured
from ljwx_pipeline.model_comparison.walk import Walked
from ljwx_pipeline.page import page_environment
from ljwx_pipeline.plot_style import BLUE, GREY, ORANGE, RED, canvas, inline, plain_dates

if TYPE_CHECKING:  # loaded when something is recorded
    from ljwx_pipeline.tracking import JournaledRun

DOCUMENT, PAGE, TABLE = "comparison.json", "comparison.html", "comparison.parquet"
COLOURS = (BLUE, RED, ORANGE, GREY, "#3d8f5f", "#7a4fa3", "#2f9aa0", "#a3873d")
#: Numbers of a row that are metrics of its run in MLflow.
_METRICS = (
    "rank_ic", "rank_ic_lower", "rank_ic_upper", "rank_icir", "ic", "net_excess_annual_return", "net_sharpe",
    "net_sharpe_lower", "net_sharpe_upper", "turnover", "training_seconds",
)  # fmt: skip
FOLD_METRICS = ("rank_ic", "tail_rank_ic", "rounds", "train_rows", "test_rows", "seconds")
_FOLD_SPANS = ("train_first", "train_last", "test_first", "test_last")
#: Measures whose best value is a metric of the comparison.
_BEST = ("rank_ic", "net_sharpe", "net_excess_annual_return")
#: Names of candidates in the name of a run, and letters of one: MLflow's table cuts names off.
_NAMES_SHOWN, _NAME_SHOWN = 4, 40


def comparison_name(keys: Sequence[str]) -> str:
    """Return the name of a comparison's folder: the same candidates on the same data write the same files again."""
    return hashlib.sha256("".join(sorted(keys)).encode()).hexdigest()[:12]


def figures(found: Sequence[Measured]) -> dict[str, str]:
    """Return SVG pictures by caption: cumulative rank IC by session, and net Sharpe with its interval."""
    with canvas(8.6, 3.4, salt="comparison-ic") as (axis, out):
        for position, item in enumerate(found):
            colour = COLOURS[position % len(COLOURS)]
            axis.plot(item.rank_ic.index, item.rank_ic.cumsum(), label=item.row["name"], color=colour, linewidth=1.3)
        axis.set_ylabel("cumulative rank IC")
        axis.legend(fontsize=8)
        plain_dates(axis)
    lines = inline(out)
    rows = [item.row for item in found]
    with canvas(8.6, 1.0 + 0.34 * len(rows), salt="comparison-sharpe") as (axis, out):
        places = np.arange(len(rows))[::-1]
        values = [or_nan(row["net_sharpe"]) for row in rows]
        axis.barh(places, values, height=0.6, color=[COLOURS[i % len(COLOURS)] for i in range(len(rows))], alpha=0.75)
        for place, row in zip(places, rows, strict=True):
            ends = [or_nan(row["net_sharpe_lower"]), or_nan(row["net_sharpe_upper"])]
            axis.plot(ends, [place, place], color="#1f2933", linewidth=1.2, marker="|", markersize=7)
        axis.set_yticks(places, [row["name"] for row in rows])
        axis.axvline(0, color="#66727f", linewidth=0.8)
        axis.set_xlabel("Sharpe ratio of the net return less the benchmark's")
    return {"Cumulative rank IC out of sample": lines, "Net Sharpe ratio, with its 95 % interval": inline(out)}


def write_comparison(folder: Path, body: Mapping[str, Any], found: Sequence[Measured]) -> None:
    """Write table, page and document into ``folder``, each whole or not at all, the document last."""
    from markupsafe import Markup  # only a page needs it

    folder.mkdir(parents=True, exist_ok=True)
    write_parquet(folder / TABLE, pd.DataFrame([item.row for item in found]))
    pictures = {name: Markup(svg) for name, svg in figures(found).items()}  # noqa: S704 - our own SVG
    template = page_environment("ljwx_pipeline.model_comparison").get_template("comparison.html.j2")
    write_bytes(folder / PAGE, template.render(**body, figures=pictures).encode())
    write_document(folder, body)


def write_document(folder: Path, body: Mapping[str, Any]) -> None:
    """Write the document alone."""
    write_bytes(folder / DOCUMENT, json.dumps(body, indent=1, ensure_ascii=False, default=str).encode())


def track_comparison(
    settings: Settings,
    folder: Path,
    body: Mapping[str, Any],
    walks: Sequence[Walked],
    found: Sequence[Measured],
    *,
    tags: Mapping[str, str],
    began_at: datetime,
) -> str | None:
    """Record the comparison, its candidates and their folds as nested tracked runs; return the outer one's MLflow id.

    The same comparison is the same run, recorded once. A candidate and its folds begin and end with their training,
    long before the comparison where they were kept. None while MLflow is away: it is told later.

    Parameters
    ----------
    tags
        Those of ``SHARED_TAGS`` that neither ``settings`` nor ``body`` tell: ``factors`` and ``git_revision``.
    began_at
        When the comparison was begun.
    """
    from ljwx_pipeline.tracking import open_tracker, stable_id

    tracker, market = open_tracker(settings), market_name(settings)
    outer = stable_id("comparison", market, folder.name)
    shared = {
        "profile": settings.profile,
        "market": market,
        "simulated": body["simulated"],
        "model_kind": settings.model.kind,
        "strategy": settings.strategy.kind,
        "study": body["study"],
        **body["hashes"],
        **tags,
    }
    if not tracker.recorded(outer):
        names = [walk.candidate.name for walk in walks]
        about = {**shared, **_page_tags(names, body, shared)}
        with tracker.run(
            _run_name(names, settings.profile), kind="comparison", event=outer, tags=about, started_at=began_at
        ) as run:
            run.params({"candidates": ", ".join(names), "folds": body["folds"]})
            run.metrics({"candidates": float(len(walks)), "trials_of_family": float(body["trials_of_family"])})
            run.metrics(_best(found))
            run.inputs([training_input(body, body["hashes"]["dataset_hash"])])
            for walk, item in zip(walks, found, strict=True):
                _track_candidate(run, walk, item, body=body, tags={**shared, **_own_tags(settings, walk)})
            run.artifacts(folder, "comparison")
    try:
        return tracker.run_id_of(outer)
    except RegistryError:
        return None


def _track_candidate(
    run: JournaledRun, walk: Walked, item: Measured, *, body: Mapping[str, Any], tags: Mapping[str, Any]
) -> None:
    """Record a candidate below the comparison, and its folds below it."""
    from ljwx_pipeline.models.tune import reads_tuned  # heavy: Optuna
    from ljwx_pipeline.tracking import stable_id

    name, event, model = walk.candidate.name, stable_id("candidate", run.event, walk.key), walk.candidate.settings
    with run.child(
        name,
        tags={**tags, "candidate_key": walk.key},
        kind="candidate",
        event=event,
        started_at=walk.began_at,
        ended_at=walk.ended_at,
    ) as child:
        tuned = {f"tuned.{key}": value for key, value in body["tuned"].items()} if reads_tuned(model) else {}
        child.params({**dotted({"model": model.model_dump(mode="json")}), **tuned})
        child.metrics({name: item.row[name] for name in _METRICS if item.row[name] is not None})
        child.inputs([training_input(body, walk.dataset_hash)])
        for fold in walk.folds:
            with child.child(
                f"{name} fold {fold['name']}",
                tags={**tags, "fold": fold["name"]},
                kind="fold",
                event=stable_id("candidate fold", event, fold["name"]),
                started_at=datetime.fromisoformat(fold["began_at"]),
                ended_at=datetime.fromisoformat(fold["ended_at"]),
            ) as nested:
                nested.params({name: fold[name] for name in _FOLD_SPANS})
                nested.metrics({name: float(fold[name]) for name in FOLD_METRICS})


def _run_name(names: Sequence[str], profile: str) -> str:
    """Return what MLflow's table shows: who is compared comes first, as it cuts names off."""
    shown = ", ".join(name if len(name) <= _NAME_SHOWN else f"{name[:_NAME_SHOWN]}..." for name in names[:_NAMES_SHOWN])
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return f"{shown}{more} {profile}"


def _page_tags(names: Sequence[str], body: Mapping[str, Any], shared: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags that MLflow's own page reads: the description, where the run came from, the commit."""
    note = (
        f"{'**Simulated market.** ' if body['simulated'] else ''}Profile `{shared['profile']}`, market "
        f"`{shared['market']}`, {body['first_session']} to {body['last_session']} out of sample, {body['folds']} "
        f"folds, over {body['benchmark']}. Models: {', '.join(f'`{name}`' for name in names)}, each with the "
        f"hyperparameters of study `{body['study']}` where it reads any. The candidates are runs below this one, "
        "their folds below them; the page is the artifact `comparison/comparison.html`."
    )
    return {
        "mlflow.note.content": note,
        "mlflow.source.name": "ljwx models compare",
        "mlflow.source.type": "JOB",
        "mlflow.source.git.commit": str(shared["git_revision"]).removesuffix("-dirty"),
    }


def _best(found: Sequence[Measured]) -> dict[str, float]:
    """Return the highest value of each measure that is better when higher, whichever candidate has it."""
    best = {}
    for name in _BEST:
        values = [item.row[name] for item in found if item.row[name] is not None]
        if values:
            best[f"best.{name}"] = float(max(values))
    return best


def training_input(body: Mapping[str, Any], dataset_hash: str) -> dict[str, str]:
    """Return the dataset that was learned from, as MLflow is told of it."""
    from ljwx_pipeline.tracking.inputs import dataset_input

    return dataset_input(
        "training_dataset",
        dataset_hash,
        source={"dataset_hash": dataset_hash, "data_hash": body["hashes"]["data_hash"]},
    )


def _own_tags(settings: Settings, walk: Walked) -> dict[str, str]:
    """Return the tags in which a candidate differs from the configured model."""
    model = walk.candidate.settings
    config_hash = settings.model_copy(update={"model": model}).config_hash
    return {"model_kind": model.kind, "dataset_hash": walk.dataset_hash, "config_hash": config_hash}


def comparison_table(body: Mapping[str, Any]) -> str:
    """Return the comparison as text for a person."""
    headers = ("model", "rank IC", "95 % interval", "ICIR", "IC", "net excess", "net Sharpe", "95 % interval",
               "turnover", "training s")  # fmt: skip
    lines = [
        (
            row["name"],
            number_text(row["rank_ic"], 4),
            f"{number_text(row['rank_ic_lower'], 4)} to {number_text(row['rank_ic_upper'], 4)}",
            number_text(row["rank_icir"], 2),
            number_text(row["ic"], 4),
            "-" if row["net_excess_annual_return"] is None else f"{row['net_excess_annual_return']:.1%}",
            number_text(row["net_sharpe"], 2),
            f"{number_text(row['net_sharpe_lower'], 2)} to {number_text(row['net_sharpe_upper'], 2)}",
            number_text(row["turnover"], 1),
            number_text(row["training_seconds"], 1) + ("" if row["trained_now"] else " (kept)"),
        )
        for row in body["rows"]
    ]
    failed = [f"not trained: {name}: {reason}" for name, reason in body["failed"].items()]
    return "\n".join(
        [
            f"{body['profile']}: {body['first_session']} to {body['last_session']}, {body['folds']} folds, over "
            f"{body['benchmark']}; each model counts as a trial, {body['trials_of_family']} of this family by now",
            f"tuned hyperparameters of every model that reads any: study {body['study']}",
            "",
            grid(headers, lines),
            *failed,
            "",
            f"page       {body['page']}",
            f"MLflow     run {body['mlflow_run_id']}",
        ]
    )


def or_nan(value: float | None) -> float:
    """Return NaN for what could not be measured."""
    return float("nan") if value is None else value


def number_text(value: float | None, digits: int) -> str:
    """Return a number for a table on a terminal, a dash for what could not be measured."""
    return "-" if value is None else f"{value:.{digits}f}"
