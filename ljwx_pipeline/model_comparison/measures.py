"""What a candidate's scores are worth: how they order stocks, and what the configured strategy earns after costs.

Not here: the formulas (``coefficients.py``, ``evaluation/``), training (``walk.py``).
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ljwx_pipeline.backtest.engine import run_backtest
from ljwx_pipeline.backtest.sweep import result_of, stored
from ljwx_pipeline.backtest.sweep_input import SweepInput
from ljwx_pipeline.backtest.sweep_store import SweepStore, VariantResult
from ljwx_pipeline.backtest.sweep_variants import Variant
from ljwx_pipeline.config import Settings
from ljwx_pipeline.dataset import Dataset
from ljwx_pipeline.evaluation.benchmarks import monthly_excess, session_excess
from ljwx_pipeline.evaluation.ic import ic_of_rows, ic_summary
from ljwx_pipeline.evaluation.metrics import MONTHS_PER_YEAR, annual_return, annual_turnover, sharpe
from ljwx_pipeline.evaluation.resampled import bootstrap_intervals
from ljwx_pipeline.market.panel import dense
from ljwx_pipeline.model_comparison.walk import Walked
from ljwx_pipeline.promotion.statistics import mean_interval

#: Share of the distribution inside every interval shown, as much left out below as above.
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Measured:
    """A candidate's row, its trial, and the series behind its pictures.

    Parameters
    ----------
    row
        Name, measures and hashes as plain values; None for what cannot be measured. Measures that have a name of the
        gate's are the gate's: ``net_excess_annual_return`` is of months, compounded; the Sharpe ratio is of sessions.
    trial
        The backtest as the trial ledger counts it.
    evidence
        Hash of what it was tried on.
    rank_ic
        By session, of rows that could be scored and entered.
    """

    row: dict[str, Any]
    trial: VariantResult
    evidence: str
    rank_ic: pd.Series


def measured(
    walked: Walked, dataset: Dataset, inputs: SweepInput, settings: Settings, *, store: Path | None = None
) -> Measured:
    """Return the measures of a walked candidate.

    Parameters
    ----------
    dataset
        The one it was walked over.
    inputs
        Market, benchmark and sessions of the backtest; its scores are replaced by the candidate's.
    settings
        Strategy and costs of the backtest, purge of the interval.
    store
        Where the returns of the backtest are kept; None: nowhere.
    """
    rows = dataset.with_outcomes(walked.predictions)
    found = measured_rows(walked.candidate.name, rows, dataset.purge_sessions, inputs, settings, store=store)
    trained = {
        "training_seconds": walked.seconds,
        "folds": len(walked.folds),
        "trained_now": not walked.known,
        "key": walked.key,
    }
    return dataclasses.replace(found, row=found.row | trained)


def measured_rows(
    name: str,
    rows: pd.DataFrame,
    purge_sessions: int,
    inputs: SweepInput,
    settings: Settings,
    *,
    store: Path | None = None,
) -> Measured:
    """Return the measures of scored rows: of their order on every session, of their strategy on those of ``inputs``.

    Parameters
    ----------
    name
        What they are called.
    rows
        Columns symbol, session_date, score, forward_return, enterable, scorable.
    purge_sessions
        Sessions ahead that a label reads.
    inputs, settings, store
        As ``measured``.
    """
    seen = rows[rows["enterable"] & rows["scorable"]]
    table = ic_of_rows(seen)
    rank_ic = table.set_index("session_date")["rank_ic"].dropna()
    interval = mean_interval(rank_ic.to_numpy(), purge_sessions=purge_sessions, confidence=1 - (1 - CONFIDENCE) / 2)
    scores = dense(rows[rows["scorable"]], "score", inputs.market.symbols, inputs.market.sessions)
    tried = dataclasses.replace(inputs, scores=np.asfortranarray(scores), may_buy=None)
    result = run_backtest(
        tried.market, tried.scores, strategy=settings.strategy, costs=settings.costs, first=tried.first, last=tried.last
    )
    variant = Variant(f"model {name}", settings.strategy, settings.costs)
    sought, trial = tried.key(), result_of(tried, variant, result)
    if store is not None:
        (trial,) = stored(tried, [trial], SweepStore(store, sought))
    close = _benchmark_close(tried, result.equity)
    excess = session_excess(result.equity, close).to_numpy()
    months = monthly_excess(result.equity, close)
    around = bootstrap_intervals(excess)["sharpe"]
    summary = ic_summary(table)
    row: dict[str, Any] = {
        "name": name,
        "rank_ic": interval.mean,
        "rank_ic_lower": interval.lower,
        "rank_ic_upper": 2 * interval.mean - interval.lower,
        "rank_icir": summary["rank_icir"],
        "ic": summary["ic_mean"],
        "net_excess_annual_return": annual_return(months, periods_per_year=MONTHS_PER_YEAR),
        "net_sharpe": sharpe(excess),
        "net_sharpe_lower": around.lower,
        "net_sharpe_upper": around.upper,
        "turnover": annual_turnover(result),
    }
    return Measured({key: _plain(value) for key, value in row.items()}, trial, sought.evidence, rank_ic)


def _benchmark_close(inputs: SweepInput, equity: pd.Series) -> pd.Series:
    """Return the benchmark's level at each close of ``equity``, 1 at the first; flat where there is no benchmark."""
    returns = np.zeros(len(equity) - 1) if inputs.benchmark_returns is None else inputs.benchmark_returns
    return pd.Series(np.concatenate([[1.0], np.cumprod(1 + returns)]), equity.index)


def _plain(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value
