"""Layer 4, research: the walk forward, each test fold a step of its own, and what its scores foretold.

``plan_folds`` bins the rows once, ``fold[NAME]`` trains and scores one fold, ``collect_folds`` joins them. Nothing but
names passes between the steps: what a fold made is in its folder (``folds.py``), so that folds run in any process, one
that failed can be executed again alone, and a finished one is not trained again. Not here: how a fold is trained
(``ljwx_pipeline.models``), what scores are worth in money (``evaluation.py``).
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pandas as pd

from assets.column_lineage import predictions_lineage
from assets.datasets import load_dataset
from assets.io_managers import write_json, write_table
from assets.judged_settings import settings_mark
from assets.metadata import frame_metadata, line_plot, preview
from assets.report import rank_ic_table
from assets.research import GROUP, OWNERS
from assets.resources import Line
from assets.tracking import research_run, track_fold
from assets.trials import WALKED, count_walk
from ljwx_pipeline.lake.content_hash import content_hash
from ljwx_pipeline.tracking import stable_id

NAME = "walk_forward_predictions"
#: Tag of a run: how many folds are at work at a time, each with its share of ``model.threads``.
WORKERS_TAG = "ljwx/fold_workers"
MEASURED = ("rank_ic", "tail_rank_ic", "rounds", "train_rows", "test_rows")


@dg.op(ins={"training_dataset": dg.In(dg.Nothing)}, out=dg.DynamicOut(dg.Nothing))
def plan_folds(
    context: dg.OpExecutionContext, line: Line, tuned_hyperparameters: dict[str, Any]
) -> Iterator[dg.DynamicOutput[None]]:
    """Ask for a step a fold, and bin the rows that all of them share unless every fold is finished."""
    from assets.folds import drop_other_folds, kept_folds
    from ljwx_pipeline.dataset import folds
    from ljwx_pipeline.models.walk_forward import bin_folds

    dataset, model = load_dataset(line.tables), line.settings.model
    planned = folds(dataset, line.settings.walk_forward)
    kept = kept_folds(line.tables, dataset, planned, tuned_hyperparameters["best_params"], model)
    drop_other_folds(line.tables, {fold.name for fold in planned})
    missing = [name for name, fold in kept.items() if not fold.current]
    context.log.info(f"{len(planned)} folds, {len(missing)} to train")
    if missing:
        bin_folds(dataset, planned, model)
    for name in kept:
        yield dg.DynamicOutput(None, mapping_key=name)


@dg.op(name="fold", ins={"planned": dg.In(dg.Nothing)}, out=dg.Out(dg.Nothing))
def one_fold(context: dg.OpExecutionContext, line: Line, tuned_hyperparameters: dict[str, Any]) -> None:
    """Train and score the fold that this step is named by, unless it is finished."""
    from assets.folds import kept_folds, step_name
    from ljwx_pipeline.dataset import folds
    from ljwx_pipeline.models.walk_forward import bin_folds, walk_fold

    dataset, model, best = load_dataset(line.tables), line.settings.model, tuned_hyperparameters["best_params"]
    planned, step = folds(dataset, line.settings.walk_forward), str(context.get_mapping_key())
    kept = kept_folds(line.tables, dataset, planned, best, model)[step]
    trained_now = not kept.current
    if trained_now:
        fold = next(fold for fold in planned if step_name(fold) == step)
        binned = bin_folds(dataset, planned, model)
        workers = int(context.run.tags.get(WORKERS_TAG, "1"))
        kept.keep(walk_fold(dataset, fold, best, model, binned=binned, workers=workers))
    record = kept.record()
    count_walk(line, walk_name(line, dataset.hash, best))  # before anybody is told what it foretold
    measured = {key: record[key] for key in MEASURED}
    track_fold(line, kept.came_from, record)
    trees = {0: "", 1: ", 1 tree"}.get(record["rounds"], f", {record['rounds']} trees")  # a linear model has none
    context.log.info(f"fold {record['name']}: rank IC {record['rank_ic']:.4f}{trees}")
    spans = {key: str(record[key]) for key in ("train_first", "train_last", "test_first", "test_last")}
    context.add_output_metadata({**measured, **spans, "trained_now": trained_now, "seconds": record["seconds"]})


@dg.op(ins={"folds_done": dg.In(dg.Nothing)}, out=dg.Out(Any))
def collect_folds(context: dg.OpExecutionContext, line: Line, tuned_hyperparameters: dict[str, Any]) -> dg.Output[None]:
    """Join the folds' scores into one table with the outcome of each row, and say what they foretold."""
    from assets.folds import folds_shown, kept_folds, require_current
    from ljwx_pipeline.backtest.trial_ledger import SCORED_UNDER, scored_under
    from ljwx_pipeline.dataset import folds

    settings, dataset = line.settings, load_dataset(line.tables)
    planned = folds(dataset, settings.walk_forward)
    kept = kept_folds(line.tables, dataset, planned, tuned_hyperparameters["best_params"], settings.model).values()
    require_current(kept)
    records = [fold.record() for fold in kept]
    frame = dataset.with_outcomes(pd.concat([fold.predictions() for fold in kept], ignore_index=True))
    found = content_hash(frame)
    write_table(line.tables, NAME, frame)
    models = {fold.folder.name: fold.model_hash() for fold in kept}
    walk = walk_name(line, dataset.hash, tuned_hyperparameters["best_params"])
    walked = {"folds": records, "models": models, "walk": walk, "settings": settings_mark(settings)}
    write_json(line.tables, WALKED, {**walked, "dataset_hash": dataset.hash, "predictions_hash": found})
    write_json(line.tables, SCORED_UNDER, scored_under(settings))
    summary = walk_forward_summary(line, frame) | {"folds": len(records)}
    write_json(line.tables, "walk_forward_summary", summary)
    with research_run(line) as run:
        # before the folds': MLflow's comparison opens on the metric that was recorded first
        run.metrics({key: value for key, value in summary.items() if value is not None})
        for position, record in enumerate(records):
            run.metrics({f"fold.{key}": record[key] for key in MEASURED}, step=position)
        run.tags({"predictions_hash": found})
    cumulative = rank_ic_table(frame).set_index("session_date")[["rank_ic"]].cumsum()
    shown = folds_shown(records)
    context.log.info(f"{len(frame)} out-of-sample scores of {len(records)} folds")
    return dg.Output(
        None,
        metadata=frame_metadata(frame, predictions_lineage(line.catalogue))
        | {
            # one number an entry: Dagster plots those over the materializations
            **{name: dg.MetadataValue.float(float(value)) for name, value in summary.items() if value is not None},
            "model_kind": settings.model.kind,
            "folds": preview(shown, rows=len(shown)),
            "preview": preview(frame[frame["forward_return"].notna()]),
            "predictions_hash": found,
            "cumulative_rank_ic": dg.MetadataValue.md(line_plot(cumulative, "Cumulative rank IC")),
        },
    )


@dg.graph_asset(
    name=NAME,
    ins={
        "training_dataset": dg.AssetIn(dagster_type=dg.Nothing),
        "tuned_hyperparameters": dg.AssetIn(),
    },
    group_name=GROUP,
    owners=OWNERS,
    kinds={"lightgbm"},
    description="Out-of-sample scores: for each test fold a model trained on what came before, purged by the label's "
    "reach. Each fold is a step; their scores are one table.",
)
def walk_forward_predictions(training_dataset: Any, tuned_hyperparameters: Any) -> Any:
    """Compose the steps; runs nothing."""
    planned = plan_folds(training_dataset=training_dataset, tuned_hyperparameters=tuned_hyperparameters)
    done = planned.map(lambda name: one_fold(planned=name, tuned_hyperparameters=tuned_hyperparameters))
    return collect_folds(folds_done=done.collect(), tuned_hyperparameters=tuned_hyperparameters)


def walk_name(line: Line, dataset_hash: str, params: dict[str, Any]) -> str:
    """Return what names a walk forward: all that decides its scores but the code."""
    model, walk = line.settings.model.model_dump(), line.settings.walk_forward.model_dump()
    return stable_id("walk forward", dataset_hash, params, model, walk)


def walk_forward_summary(line: Line, frame: pd.DataFrame) -> dict[str, Any]:
    """Return the out-of-sample information coefficients, on all rows and on those that could be entered."""
    enterable = information_coefficients(frame[frame["enterable"]], "score")
    summary = information_coefficients(frame, "score")
    summary |= {f"{name}_enterable": value for name, value in enterable.items()}
    truth = getattr(line.source(), "truth", None)
    if truth is not None:
        joined = frame.merge(truth(), on=["symbol", "session_date"], how="left", validate="one_to_one")
        summary["oracle_rank_ic"] = information_coefficients(joined, "oracle_score")["rank_ic_mean"]
    return summary


def information_coefficients(frame: pd.DataFrame, column: str) -> dict[str, float | None]:
    """Return ``rank_ic_mean``, ``rank_icir`` and ``ic_mean`` of a score column against the forward return."""
    from ljwx_pipeline.evaluation.ic import ic_of_rows, ic_summary

    return ic_summary(ic_of_rows(frame, column))
