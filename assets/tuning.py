"""Layer 4, research: hyperparameters tuned on data before the first test fold, every trial kept and counted.

Not here: how a study searches (``ljwx_pipeline.models.tune``).
"""

from dataclasses import asdict, dataclass
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assets import reuse
from assets.datasets import load_dataset
from assets.panels import TradingTables, trading_market
from assets.research import GROUP, OWNERS, training_dataset
from assets.resources import Line
from assets.tracking import research_run, track_trial
from ljwx_pipeline.backtest.engine import run_backtest
from ljwx_pipeline.evaluation.benchmarks import index_close, session_excess
from ljwx_pipeline.lake.content_hash import content_hash
from ljwx_pipeline.trading.market_arrays import MarketArrays


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

    named: list[str] = []

    def said(trial: Trial) -> None:
        context.log.info(f"trial {trial.number + 1} of {settings.tune.trials}: rank IC {trial.rank_ic:.4f}")
        track_trial(line, named[0], asdict(trial))

    study = tune(
        dataset,
        inner,
        net_returns=earned,
        earned_under=earned_under(line),
        tuning=settings.tune,
        model=settings.model,
        journal=line.home / "studies" / "journal.log",
        on_study=named.append,
        on_trial=said,
    )
    for trial in study.trials:  # those that a killed run left untold
        track_trial(line, study.name, asdict(trial))
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
