"""Layer 4, research: the walk forward, a model for each test fold, and what its scores foretold.

Not here: how a fold is trained (``ljwx_pipeline.models``), what scores are worth in money (``evaluation.py``).
"""

from dataclasses import asdict
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd

from assets import reuse
from assets.column_lineage import predictions_lineage
from assets.datasets import load_dataset
from assets.io_managers import read_json, read_table, write_json, write_table
from assets.metadata import frame_metadata, line_plot
from assets.report import rank_ic_table
from assets.research import GROUP, OWNERS, training_dataset
from assets.resources import Line
from assets.tracking import research_run, track_fold
from ljwx_pipeline.dataset import Dataset
from ljwx_pipeline.market.calendar import session_positions


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"lightgbm"}, deps=[training_dataset])
def walk_forward_predictions(
    context: dg.AssetExecutionContext, line: Line, tuned_hyperparameters: dict[str, Any]
) -> dg.MaterializeResult[None]:
    """Out-of-sample scores: for each test year a model trained on what came before, purged by the label's reach."""
    from ljwx_pipeline.backtest.trial_ledger import SCORED_UNDER, scored_under
    from ljwx_pipeline.dataset import folds
    from ljwx_pipeline.models.walk_forward import FoldRecord, walk_forward

    name, settings, dataset = "walk_forward_predictions", line.settings, load_dataset(line.tables)
    best = tuned_hyperparameters["best_params"]
    key: reuse.Key = {
        "dataset": dataset.hash,
        "params": best,
        "model": settings.model.model_dump(),
        "walk_forward": settings.walk_forward.model_dump(),
    }
    if not reuse.is_current(line.tables, name, key):
        reuse.forget(line.tables, name)

        def said(record: FoldRecord) -> None:
            trees = "1 tree" if record.rounds == 1 else f"{record.rounds} trees"
            context.log.info(f"fold {record.name}: rank IC {record.rank_ic:.4f}, {trees}")
            track_fold(line, reuse.stated(key), asdict(record))

        walked = walk_forward(dataset, folds(dataset, settings.walk_forward), best, settings.model, on_fold=said)
        write_table(line.tables, name, with_outcomes(dataset, walked.predictions))
        write_json(line.tables, "walk_forward_folds", {"folds": [asdict(record) for record in walked.folds]})
        files = [line.tables / f"{name}.parquet", line.tables / "walk_forward_folds.json"]
        reuse.remember(line.tables, name, key, files)
    write_json(line.tables, SCORED_UNDER, scored_under(settings))
    frame, records = read_table(line.tables, name), read_json(line.tables, "walk_forward_folds")["folds"]
    summary = walk_forward_summary(line, frame) | {"folds": len(records)}
    write_json(line.tables, "walk_forward_summary", summary)
    with research_run(line) as run:
        # before the folds': MLflow's comparison opens on the metric that was recorded first
        run.metrics({key: value for key, value in summary.items() if value is not None})
        for position, record in enumerate(records):
            measured = {key: record[key] for key in ("rank_ic", "tail_rank_ic", "rounds", "train_rows", "test_rows")}
            track_fold(line, reuse.stated(key), record)  # those that a killed run left untold
            run.metrics({f"fold.{key}": value for key, value in measured.items()}, step=position)
    cumulative = rank_ic_table(frame).set_index("session_date")[["rank_ic"]].cumsum()
    return dg.MaterializeResult(
        metadata=frame_metadata(frame, predictions_lineage(line.catalogue))
        | {
            "summary": dg.MetadataValue.json(summary),
            "cumulative_rank_ic": dg.MetadataValue.md(line_plot(cumulative, "Cumulative rank IC")),
        }
    )


def with_outcomes(dataset: Dataset, predictions: pd.DataFrame) -> pd.DataFrame:
    """Return predictions with the forward return of each row and whether it could be entered and scored."""
    symbols = np.asarray(dataset.symbols, dtype=object)
    rows = pd.DataFrame(
        {
            "symbol": symbols[dataset.symbol_index],
            "session_date": dataset.sessions[dataset.session_index],
            "forward_return": dataset.forward_return,
            "enterable": dataset.enterable,
            "scorable": dataset.scorable,
        }
    )
    return predictions.merge(rows, on=["symbol", "session_date"], how="left", validate="one_to_one")


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
    from ljwx_pipeline.evaluation.ic import ic_by_session, ic_summary

    sessions = pd.DatetimeIndex(np.sort(frame["session_date"].unique()))
    index = session_positions(frame["session_date"], sessions)
    return ic_summary(ic_by_session(frame[column].to_numpy(), frame["forward_return"].to_numpy(), index, sessions))
