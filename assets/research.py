"""Layer 4, research: training dataset, tuned hyperparameters, walk forward, model bundle and its explanation.

Not here: how a model learns (``ljwx_pipeline.models``) or what its scores are worth (``evaluation.py``).
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assets import reuse
from assets.column_lineage import dataset_lineage, explanation_lineage, predictions_lineage
from assets.datasets import build, dataset_dtypes, load_dataset, save_dataset
from assets.features import feature_table
from assets.io_managers import read_json, read_table, write_json, write_table
from assets.lineage import flat_settings, git_revision, lineage_of, record_lineage, record_reads
from assets.metadata import column_metadata, embedded, frame_metadata, line_plot, preview
from assets.panels import TradingTables, trading_market
from assets.report import rank_ic_table
from assets.resources import Line
from assets.restatements import pin_dataset
from assets.tracking import begin_research_run, research_run, research_run_id
from ljwx_pipeline.backtest.engine import run_backtest
from ljwx_pipeline.clock import utc_now
from ljwx_pipeline.config import ljwx_home
from ljwx_pipeline.dataset import Dataset
from ljwx_pipeline.evaluation.benchmarks import index_close, session_excess
from ljwx_pipeline.label import label_hash
from ljwx_pipeline.lake.content_hash import content_hash
from ljwx_pipeline.market.calendar import session_positions
from ljwx_pipeline.trading.market_arrays import MarketArrays

GROUP = "research"
OWNERS = ["team:quant"]
SHAP_ROWS = 2000
TOP_FACTORS = 15


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"numpy"}, deps=[feature_table, "index_members"])
def training_dataset(
    context: dg.AssetExecutionContext,
    line: Line,
    forward_return_label: pd.DataFrame,
    checked_bars: pd.DataFrame,
    securities: pd.DataFrame,
    st_spells: pd.DataFrame,
    corporate_actions: pd.DataFrame,
    calendar: pd.DataFrame,
) -> dg.MaterializeResult[None]:
    """Features and label by row, with who may be scored and entered; also opens the MLflow run of this research."""
    tables = TradingTables(checked_bars, securities, st_spells, corporate_actions)
    dataset = build(line, forward_return_label, tables, calendar)
    save_dataset(line.tables, dataset)
    lineage = record_lineage(line)
    record_reads(line, "training_dataset", context.run_id)
    run_id = begin_research_run(
        line,
        tags={
            **lineage,
            "dataset_hash": dataset.hash,
            "profile": line.settings.profile,
            "simulated": line.source().describe().simulated,
        },
        params=flat_settings(line),
    )
    columns = dataset_lineage(line.catalogue, line.settings.universe, security_columns=securities.columns)
    return dg.MaterializeResult(
        metadata={
            **column_metadata(dataset_dtypes(line.tables), columns),
            "dagster/row_count": len(dataset.label),
            "factors": len(dataset.factor_names),
            "scorable_rows": int(dataset.scorable.sum()),
            "enterable_rows": int(dataset.enterable.sum()),
            "dataset_hash": dataset.hash,
            "mlflow_run_id": run_id,
        }
    )


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"optuna"}, deps=[training_dataset])
def tuned_hyperparameters(
    context: dg.AssetExecutionContext,
    line: Line,
    checked_bars: pd.DataFrame,
    securities: pd.DataFrame,
    st_spells: pd.DataFrame,
    corporate_actions: pd.DataFrame,
    index_bars: pd.DataFrame,
    calendar: pd.DataFrame,
) -> dg.Output[dict[str, Any]]:
    """The best trial by purged inner rank IC, on data before the first test fold; every trial is kept and counted."""
    from ljwx_pipeline.dataset import folds, inner_folds
    from ljwx_pipeline.models.tune import Trial, tune

    settings, dataset = line.settings, load_dataset(line.tables)
    outer = folds(dataset, settings.walk_forward)
    inner = inner_folds(dataset, outer[0].train_rows, settings.tune.inner_folds, settings.walk_forward.embargo_sessions)
    market = trading_market(line, TradingTables(checked_bars, securities, st_spells, corporate_actions), calendar)
    first, last = (int(dataset.session_index[row]) for row in (inner[0].test_rows.start, inner[-1].test_rows.stop - 1))
    tested = dataset.sessions[first : last + 1]
    earned = NetExcess(line, market, index_close(index_bars, settings.gate.benchmark, tested))

    def said(trial: Trial) -> None:
        context.log.info(f"trial {trial.number + 1} of {settings.tune.trials}: rank IC {trial.rank_ic:.4f}")
        with research_run(line) as run, run.child(f"trial-{trial.number}", tags={"kind": "trial"}) as child:
            child.params(trial.params)
            child.metrics({"rank_ic": trial.rank_ic, "session_sharpe": trial.session_sharpe, "seconds": trial.seconds})

    study = tune(
        dataset,
        inner,
        net_returns=earned,
        earned_under=earned_under(line),
        tuning=settings.tune,
        model=settings.model,
        journal=line.home / "studies" / "journal.log",
        on_trial=said,
    )
    with research_run(line) as run:
        run.params({f"tuned.{name}": value for name, value in study.best_params.items()})
    found = {
        "study": study.name,
        "best_params": study.best_params,
        "best_rank_ic": study.best.rank_ic,
        "trials": [asdict(trial) for trial in study.trials],
    }
    return dg.Output(
        found,
        metadata={
            "trials": len(study.trials),
            "best_rank_ic": study.best.rank_ic,
            "best_params": dg.MetadataValue.json(study.best_params),
        },
    )


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
    made_now = not reuse.is_current(line.tables, name, key)
    if made_now:
        reuse.forget(line.tables, name)

        def said(record: FoldRecord) -> None:
            trees = "1 tree" if record.rounds == 1 else f"{record.rounds} trees"
            context.log.info(f"fold {record.name}: rank IC {record.rank_ic:.4f}, {trees}")

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
        for position, record in enumerate(records):
            measured = {key: record[key] for key in ("rank_ic", "tail_rank_ic", "rounds", "train_rows", "test_rows")}
            if made_now:
                with run.child(f"fold-{record['name']}", tags={"kind": "fold", "fold": record["name"]}) as child:
                    child.metrics(measured)
            run.metrics({f"fold.{key}": value for key, value in measured.items()}, step=position)
        run.metrics({key: value for key, value in summary.items() if value is not None})
    cumulative = rank_ic_table(frame).set_index("session_date")[["rank_ic"]].cumsum()
    return dg.MaterializeResult(
        metadata=frame_metadata(frame, predictions_lineage(line.catalogue))
        | {
            "summary": dg.MetadataValue.json(summary),
            "cumulative_rank_ic": dg.MetadataValue.md(line_plot(cumulative, "Cumulative rank IC")),
        }
    )


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"lightgbm"}, deps=[training_dataset])
def model_bundle(
    context: dg.AssetExecutionContext,
    line: Line,
    tuned_hyperparameters: dict[str, Any],
) -> dg.MaterializeResult[None]:
    """The model trained on everything research may see, as a signed bundle, registered as the challenger."""
    from ljwx_pipeline.models.train import train
    from ljwx_pipeline.scoring.bundle import BUNDLE_FILES, Manifest, write_bundle
    from ljwx_pipeline.scoring.signing import public_key, signing_key

    settings, dataset, keys = line.settings, load_dataset(line.tables), ljwx_home() / "keys"
    best = tuned_hyperparameters["best_params"]
    key: reuse.Key = {
        "dataset": dataset.hash,
        "factors": line.catalogue.version_hash,  # another formula may give the same bits, and be another version
        "params": best,
        "config": settings.config_hash,
        "git": git_revision(),
    }
    if not reuse.is_current(line.tables, "model_bundle", key):
        reuse.forget(line.tables, "model_bundle")
        context.log.info(f"training on {len(dataset.label)} rows")
        trained = train(dataset, slice(0, len(dataset.label)), best, settings.model)
        lineage = lineage_of(line)
        manifest = Manifest(
            model_name=line.registered_model,
            profile=settings.profile,
            simulated=line.source().describe().simulated,
            factor_names=dataset.factor_names,
            factor_hash=lineage["factor_hash"],
            label_hash=label_hash(settings.label),
            data_hash=lineage["data_hash"],
            config_hash=lineage["config_hash"],
            git_revision=lineage["git_revision"],
            first_session=dataset.sessions[int(dataset.session_index[0])].date(),
            last_session=dataset.sessions[int(dataset.session_index[-1])].date(),
            params=trained.params,
            rounds=trained.rounds,
        )
        path = write_bundle(
            line.home / "bundles",
            manifest,
            booster_text=trained.booster_text,
            key=signing_key(keys),
            created_at=utc_now(),
        )
        write_json(line.tables, "bundle_made", {"bundle_hash": path.name, "path": str(path), "rounds": trained.rounds})
        files = [line.tables / "bundle_made.json", *(path / name for name in BUNDLE_FILES)]
        reuse.remember(line.tables, "model_bundle", key, files)
    made = read_json(line.tables, "bundle_made")
    registry = line.registry()
    version = registry.register(Path(made["path"]), run_id=research_run_id(line), public_key=public_key(keys))
    registry.set_alias("challenger", version)
    dataset = pin_dataset(line, version.name, str(version.version), research_run_id(line))
    write_json(line.tables, "model_bundle", {**made, "version": version.version, "name": version.name})
    return dg.MaterializeResult(
        metadata={
            "bundle_hash": made["bundle_hash"],
            "version": version.version,
            "pinned_dataset": dataset,
            "rounds": made["rounds"],
            "path": dg.MetadataValue.path(made["path"]),
        }
    )


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"shap"}, deps=[training_dataset])
def shap_explanation(line: Line, model_bundle: dict[str, Any]) -> dg.Output[pd.DataFrame]:
    """Which factors the model leans on: mean absolute SHAP on a seeded sample; pictures in MLflow and the report."""
    from ljwx_pipeline.models.explain import explain

    dataset, settings = load_dataset(line.tables), line.settings
    images = line.home / "explanations" / model_bundle["bundle_hash"]
    explanation = explain(
        (Path(model_bundle["path"]) / "model.txt").read_text(encoding="utf-8"),
        dataset.features,
        dataset.factor_names,
        sample_rows=SHAP_ROWS,
        seed=settings.model.seed,
        threads=settings.model.threads,
        images_dir=images,
    )
    with research_run(line) as run:
        run.artifacts(images, "shap")
    return dg.Output(
        explanation.table,
        metadata=frame_metadata(explanation.table, explanation_lineage(line.catalogue))
        | {
            "sample_rows": explanation.sample_rows,
            "preview": preview(explanation.table.head(TOP_FACTORS), rows=TOP_FACTORS),
            **{image.stem: dg.MetadataValue.md(embedded(image)) for image in explanation.images},
        },
    )


def earned_under(line: Line) -> dict[str, object]:
    """Return all that decides what a trial's scores earn beyond the dataset: another of these is another study."""
    settings = line.settings
    tables = ("index_bars", "securities", "st_spells", "corporate_actions")
    return {
        "strategy": settings.strategy.model_dump(),
        "costs": settings.costs.model_dump(),
        "benchmark": settings.gate.benchmark,
        "code": reuse.code_hash(),
        **{table: content_hash(line.market_table(table)) for table in tables},
    }


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


@dataclass(frozen=True)
class NetExcess:
    """Net returns over the gate's benchmark that a score matrix would have earned: what a trial is judged by."""

    line: Line
    market: MarketArrays
    close_points: pd.Series

    def __call__(self, scores: NDArray[np.float64], first: int, last: int) -> NDArray[np.float64]:
        """Return one net excess return a session from ``first`` to ``last``, positions on the dataset's sessions."""
        sessions, settings = self.market.sessions, self.line.settings
        padded = np.full(self.market.close_e4.shape, np.nan)
        padded[:, : scores.shape[1]] = scores
        result = run_backtest(
            self.market,
            padded,
            strategy=settings.strategy,
            costs=settings.costs,
            first=sessions[first].date(),
            last=sessions[last].date(),
        )
        return session_excess(result.equity, self.close_points.loc[result.sessions]).to_numpy()
