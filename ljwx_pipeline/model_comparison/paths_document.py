"""What the paths of a cross-validation showed: the document, the page with its pictures, the run in MLflow, the table.

Not here: the measures (``measures.py``, ``paths.py``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ljwx_pipeline.command_output import grid
from ljwx_pipeline.config import ModelSettings, Settings, dotted, market_name
from ljwx_pipeline.errors import RegistryError
from ljwx_pipeline.lake.atomic_parquet import write_bytes, write_parquet
from ljwx_pipeline.model_comparison.document import FOLD_METRICS, number_text, or_nan, training_input
from ljwx_pipeline.model_comparison.measures import Measured
from ljwx_pipeline.model_comparison.splits import Split
from ljwx_pipeline.page import page_environment
from ljwx_pipeline.plot_style import BLUE, GREY, RED, canvas, inline, plain_dates

if TYPE_CHECKING:  # loaded when something is recorded
    from ljwx_pipeline.tracking import JournaledRun

DOCUMENT, PAGE, TABLE = "paths.json", "paths.html", "paths.parquet"
#: What each of the two rank ICs says, beside them wherever they are shown.
WALK_SAYS = (
    "walk forward: every session is scored by a model that saw only what came before it. This is a forecast, and what "
    "the gate judges"
)
PATHS_SAY = (
    "paths: most models saw the future of what they score, so that no path is a forecast and none could have been "
    "earned. Their spread says how much the result hangs on which sessions were learned from; where paths lie at or "
    "below zero, what the walk forward found may be luck"
)
#: Measures of a path that are metrics of its run in MLflow.
_METRICS = ("rank_ic", "rank_ic_lower", "rank_ic_upper", "rank_icir", "ic", "net_sharpe")
#: More paths than that are drawn without their names, and the picture grows no more.
_NAMED = 40


def figures(walked: Measured, paths: Sequence[Measured]) -> dict[str, str]:
    """Return SVG pictures by caption: cumulative rank IC by session, and mean rank IC with its interval."""
    with canvas(8.6, 3.4, salt="paths-ic") as (axis, out):
        for position, item in enumerate(paths):
            label = "paths" if position == 0 else None
            axis.plot(item.rank_ic.index, item.rank_ic.cumsum(), label=label, color=BLUE, linewidth=0.9, alpha=0.5)
        axis.plot(walked.rank_ic.index, walked.rank_ic.cumsum(), label="walk forward", color=RED, linewidth=1.5)
        axis.set_ylabel("cumulative rank IC")
        axis.legend(fontsize=8)
        plain_dates(axis)
    lines = inline(out)
    rows = [walked.row, *(item.row for item in paths)]
    with canvas(8.6, 1.0 + 0.26 * min(len(rows), _NAMED), salt="paths-interval") as (axis, out):
        places = np.arange(len(rows))[::-1]
        for place, row in zip(places, rows, strict=True):
            colour = RED if row is walked.row else BLUE
            axis.plot([or_nan(row["rank_ic_lower"]), or_nan(row["rank_ic_upper"])], [place, place], color=colour)
            axis.plot([or_nan(row["rank_ic"])], [place], marker="o", markersize=5, color=colour)
        names = ["walk forward", *(item.row["name"] for item in paths)]
        axis.set_yticks(places, names if len(rows) <= _NAMED else [""] * len(rows))
        axis.axvline(0, color=GREY, linewidth=0.8)
        axis.set_xlabel("mean rank IC")
    return {"Cumulative rank IC": lines, "Mean rank IC, with its 95 % interval": inline(out)}


def write_paths(folder: Path, body: Mapping[str, Any], walked: Measured, paths: Sequence[Measured]) -> None:
    """Write table, page and document into ``folder``, each whole or not at all, the document last."""
    from markupsafe import Markup  # only a page needs it

    folder.mkdir(parents=True, exist_ok=True)
    write_parquet(folder / TABLE, pd.DataFrame([body["walk_forward"], *body["paths"]]))
    pictures = {name: Markup(svg) for name, svg in figures(walked, paths).items()}  # noqa: S704 - our own SVG
    template = page_environment("ljwx_pipeline.model_comparison").get_template("paths.html.j2")
    write_bytes(folder / PAGE, template.render(**body, figures=pictures).encode())
    write_document(folder, body)


def write_document(folder: Path, body: Mapping[str, Any]) -> None:
    """Write the document alone."""
    write_bytes(folder / DOCUMENT, json.dumps(body, indent=1, ensure_ascii=False, default=str).encode())


def track_paths(
    settings: Settings,
    folder: Path,
    body: Mapping[str, Any],
    model: ModelSettings,
    splits: Sequence[Split],
    paths: Sequence[Measured],
    *,
    tags: Mapping[str, str],
    began_at: datetime,
) -> str | None:
    """Record a run of kind ``paths``, below it one for each path and each split; return its MLflow id.

    The same splits are the same run, recorded once. A split begins and ends with its training. None while MLflow is
    away: it is told later.

    Parameters
    ----------
    model
        What was fitted.
    tags
        ``factors`` and ``git_revision``, which neither ``settings`` nor ``body`` tell.
    began_at
        When the command was begun.
    """
    from ljwx_pipeline.models.tune import reads_tuned  # heavy: Optuna
    from ljwx_pipeline.tracking import open_tracker, stable_id

    tracker, market = open_tracker(settings), market_name(settings)
    event = stable_id("paths", market, folder.name)
    shared = {
        "profile": settings.profile,
        "market": market,
        "simulated": body["simulated"],
        "model_kind": model.kind,
        "strategy": settings.strategy.kind,
        "study": body["study"],
        **body["hashes"],
        **tags,
    }
    if not tracker.recorded(event):
        name = f"{body['model']}: {body['tested']} of {body['groups']} groups {settings.profile}"
        about = {**shared, **_page_tags(body, shared)}
        with tracker.run(name, kind="paths", event=event, tags=about, started_at=began_at) as run:
            tuned = {f"tuned.{key}": value for key, value in body["tuned"].items()} if reads_tuned(model) else {}
            run.params({name: body[name] for name in ("groups", "tested", "splits", "embargo_sessions")})
            run.params({**dotted({"model": model.model_dump(mode="json")}), **tuned})
            run.metrics({"paths": float(len(paths)), "trials_of_family": float(body["trials_of_family"])})
            run.metrics({f"paths.rank_ic_{name}": value for name, value in body["spread"].items()})
            run.metrics(_metrics(body["walk_forward"], "walk_forward."))
            run.inputs([training_input(body, body["hashes"]["dataset_hash"])])
            for item in paths:
                _track_path(run, item, shared)
            for split in splits:
                _track_split(run, split, shared)
            run.artifacts(folder, "paths")
    try:
        return tracker.run_id_of(event)
    except RegistryError:
        return None


def _track_path(run: JournaledRun, item: Measured, tags: Mapping[str, Any]) -> None:
    from ljwx_pipeline.tracking import stable_id

    name = item.row["name"]
    about = {**tags, "evidence": item.evidence}
    with run.child(name, tags=about, kind="path", event=stable_id("path", run.event, name)) as child:
        child.metrics(_metrics(item.row))


def _track_split(run: JournaledRun, split: Split, tags: Mapping[str, Any]) -> None:
    from ljwx_pipeline.tracking import stable_id

    record = split.record
    with run.child(
        record["name"],
        tags={**tags, "fold": record["name"]},
        kind="fold",
        event=stable_id("split", run.event, split.key),
        started_at=datetime.fromisoformat(record["began_at"]),
        ended_at=datetime.fromisoformat(record["ended_at"]),
    ) as child:
        child.params({name: record[name] for name in ("train", "test")})
        child.metrics({name: float(record[name]) for name in FOLD_METRICS})


def _metrics(row: Mapping[str, Any], before: str = "") -> dict[str, float]:
    return {f"{before}{name}": float(row[name]) for name in _METRICS if row[name] is not None}


def _page_tags(body: Mapping[str, Any], shared: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags that MLflow's own page reads: the description, where the run came from, the commit."""
    note = (
        f"{'**Simulated market.** ' if body['simulated'] else ''}Combinatorial purged cross-validation of "
        f"{body['model']}: {body['tested']} of {body['groups']} groups tested, {body['splits']} splits, "
        f"{len(body['paths'])} paths, {body['first_session']} to {body['last_session']}. {PATHS_SAY[0].upper()}"
        f"{PATHS_SAY[1:]}. Paths and splits are runs below this one; the page is the artifact `paths/{PAGE}`."
    )
    return {
        "mlflow.note.content": note,
        "mlflow.source.name": "ljwx models paths",
        "mlflow.source.type": "JOB",
        "mlflow.source.git.commit": str(shared["git_revision"]).removesuffix("-dirty"),
    }


def plan_text(body: Mapping[str, Any]) -> str:
    """Return what would be done, as text for a person."""
    fewest, most = body["train_sessions"]
    return "\n".join(
        [
            f"would train {body['model']} on {body['splits']} splits: each choice of {body['tested']} of "
            f"{body['groups']} groups of {body['group_sessions']} sessions or one more, {body['first_session']} to "
            f"{body['last_session']}",
            f"each learns from {fewest} to {most} sessions; {body['gap_sessions']} on either side of what it tests are "
            f"left out (the label's {body['purge_sessions']}, the embargo's {body['embargo_sessions']})",
            f"{body['kept']} of the {body['splits']} are kept from before, {body['workers']} at work at a time",
            f"paths that the scores make: {body['number_of_paths']}, each counted as a trial; so is the walk forward "
            "where it is new",
            "nothing was trained, counted or written",
        ]
    )


def paths_table(body: Mapping[str, Any]) -> str:
    """Return the paths and the walk forward as text for a person."""
    headers = ("scores", "rank IC", "95 % interval", "ICIR", "net Sharpe", "sessions")
    lines = [
        (
            row["name"],
            number_text(row["rank_ic"], 4),
            f"{number_text(row['rank_ic_lower'], 4)} to {number_text(row['rank_ic_upper'], 4)}",
            number_text(row["rank_icir"], 2),
            number_text(row["net_sharpe"], 2),
            str(row["sessions"]),
        )
        for row in (body["walk_forward"], *body["paths"])
    ]
    over = body["spread"]
    return "\n".join(
        [
            f"{body['profile']}: {body['model']}, {body['tested']} of {body['groups']} groups tested in "
            f"{body['splits']} splits, {body['first_session']} to {body['last_session']}; each path counts as a trial, "
            f"{body['trials_of_family']} of this family by now",
            f"hyperparameters of study {body['study']}",
            "",
            grid(headers, lines),
            "",
            f"rank IC over {len(body['paths'])} path{'' if len(body['paths']) == 1 else 's'}: "
            f"least {over['least']:.4f}, median {over['median']:.4f}, most {over['most']:.4f}; "
            f"at or below zero {over['at_or_below_zero_frac']:.0%}",
            f"of the walk forward: {number_text(body['walk_forward']['rank_ic'], 4)}",
            WALK_SAYS,
            PATHS_SAY,
            "",
            f"page       {body['page']}",
            f"MLflow     run {body['mlflow_run_id']}",
        ]
    )
