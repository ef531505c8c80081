"""Layer 4, research: hyperparameters tuned on data before the first test fold, every trial kept and counted.

Not here: how a study searches (``ljwx_pipeline.models.tune``).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd

from assets import reuse
from assets.datasets import load_dataset
from assets.metadata import embedded, preview
from assets.panels import TradingTables, trading_market
from assets.research import GROUP, OWNERS, training_dataset
from assets.resources import Line
from assets.tracking import research_run, track_trial
from assets.trials import JOURNAL, STUDIES, count_studies_of, count_trial, family_of
from ljwx_pipeline.config import market_name, replayed
from ljwx_pipeline.evaluation.benchmarks import index_close
from ljwx_pipeline.evaluation.net_excess import NetExcess
from ljwx_pipeline.label import label_hash
from ljwx_pipeline.lake.content_hash import content_hash


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
    """The chosen trial on purged inner folds before the first test fold; every trial is kept, counted and drawn."""
    from ljwx_pipeline.dataset import folds, inner_folds
    from ljwx_pipeline.models.tune import Trial, fold_rows, trials_asked, tune
    from ljwx_pipeline.models.tune_report import write_study_report
    from ljwx_pipeline.promotion.study_trials import study_evidence, study_note
    from ljwx_pipeline.studies import WarmStart

    settings, dataset = line.settings, load_dataset(line.tables)
    outer = folds(dataset, settings.walk_forward)
    inner = inner_folds(dataset, outer[0].train_rows, settings.tune.inner_folds, settings.walk_forward.embargo_sessions)
    market = trading_market(line, TradingTables(checked_bars, securities, st_spells, corporate_actions), calendar)
    first, last = (int(dataset.session_index[row]) for row in (inner[0].test_rows.start, inner[-1].test_rows.stop - 1))
    tested = dataset.sessions[first : last + 1]
    close = index_close(index_bars, settings.gate.benchmark, tested)

    stated = json.loads(Path(line.made_again_warm_start).read_bytes()) if line.made_again_warm_start else {}

    def evidence(study: str) -> str:
        return study_evidence(study, dataset_hash=dataset.hash, folds=fold_rows(inner))

    def said(study: str, trial: Trial) -> None:
        count_trial(line, study, asdict(trial), evidence=evidence(study))  # before anybody is told how well it did
        context.log.info(trial_line(trial, trials_asked(settings.model, settings.tune)))
        track_trial(line, study, asdict(trial))

    study = tune(
        dataset,
        inner,
        net_returns=NetExcess(market, close, settings.strategy, settings.costs),
        earned_under=earned_under(line),
        alike={"market": market_name(replayed(settings)), "label_hash": label_hash(settings.label)},
        warm=WarmStart(stated["study"], stated["params"]) if stated else None,
        tuning=settings.tune,
        model=settings.model,
        top_k=settings.strategy.top_k,
        journal=line.home / STUDIES / JOURNAL,
        note=study_note(market=market_name(settings), family=family_of(line)),
        on_trial=said,
    )
    count_studies_of(line, dataset_hash=dataset.hash)
    for trial in study.trials:  # those that a killed run left untold
        track_trial(line, study.name, asdict(trial))
    folder = line.home / STUDIES / study.name
    report = write_study_report(study, settings.tune, folder)
    pruned = sum(trial.state == "pruned" for trial in study.trials)
    with research_run(line) as run:
        run.params({f"tuned.{name}": value for name, value in study.best_params.items()})
        run.tags({"study": study.name, "study_warm_start": study.warm_start or "none"})
        run.metrics({"study.trials": len(study.trials), "study.pruned": pruned})
        run.artifacts(folder, "tuning")
        run.artifacts(line.home / STUDIES / f"{study.name}.returns.parquet", "tuning")
    found = {
        "study": study.name,
        "evidence": evidence(study.name),
        "best_params": study.best_params,
        "best_trial": study.best.number,
        "best_rank_ic": study.best.rank_ic,
        "pareto": list(study.pareto),
        "warm_start": study.warm_start,
        "trials": [asdict(trial) for trial in study.trials],
        "earlier_trials": stated["earlier_trials"] if stated else earlier_trials(study.earlier),
    }
    return dg.Output(
        found,
        metadata={
            "study": study.name,
            "trials": len(study.trials),
            "pruned": pruned,
            "best_trial": study.best.number,
            "best_rank_ic": study.best.rank_ic,
            "best_params": dg.MetadataValue.json(study.best_params),
            "importance": preview(report.importance, rows=max(len(report.importance), 1)),
            **{picture.stem: dg.MetadataValue.md(embedded(picture)) for picture in report.pictures},
        },
    )


def earlier_trials(earlier: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Return what the gate counts of the trials of the studies that this one was warm-started from."""
    return [
        {"study": name, "number": trial.number, "session_sharpe": trial.session_sharpe}
        for name, trials in earlier.items()
        for trial in trials
    ]


def trial_line(trial: Any, trials: int) -> str:
    """Return what the log says of a trial that has just finished, by the number that it has everywhere."""
    given_up = f", given up after fold {trial.pruned_after_fold}" if trial.state == "pruned" else ""
    which = "the only one" if trials == 1 else f"of 0 to {trials - 1}"
    return f"trial {trial.number}, {which}: rank IC {trial.rank_ic:.4f}{given_up}"


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
