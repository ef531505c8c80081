"""What the evaluation report shows, gathered from the tables of the assets before it.

Not here: how the page looks (``ljwx_pipeline.evaluation.report``) or how a figure is computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from assets.io_managers import read_json, read_table
from assets.lineage import flat_settings, lineage_of
from assets.resources import Line
from assets.result_lint import findings
from ljwx_pipeline.evaluation.benchmarks import monthly_excess
from ljwx_pipeline.evaluation.bootstrap import BootstrapParams
from ljwx_pipeline.evaluation.comparison import STRATEGY
from ljwx_pipeline.evaluation.ic import ic_of_rows, quantile_returns
from ljwx_pipeline.evaluation.performance_file import PARQUET_NAME, read_performance
from ljwx_pipeline.evaluation.report import GateLine, Picture, ReportInputs
from ljwx_pipeline.evaluation.run_files import FILES, RunNumbers, numbers_of_findings
from ljwx_pipeline.evaluation.terms import terms
from ljwx_pipeline.market.calendar import session_positions

#: How the intervals of the figures are made.
INTERVALS = BootstrapParams()
#: Folder of the figures that ``net_backtest`` leaves.
FIGURES = "backtest_figures"
_SUFFIXES = ("_points", "_level")


@dataclass(frozen=True)
class ReportTables:
    """The tables the report reads."""

    predictions: pd.DataFrame
    backtest: pd.DataFrame
    bars: pd.DataFrame


def report_inputs(
    line: Line, tables: ReportTables, *, decision: dict[str, Any], bundle: dict[str, Any]
) -> ReportInputs:
    """Return everything the page shows."""
    settings, source = line.settings, line.source().describe()
    back = read_json(line.tables, "backtest_summary")
    indexed = tables.backtest.set_index("session_date")
    equity, curves = indexed["equity_cny"], curves_of(indexed)
    (figures,) = read_performance(line.tables / FIGURES / PARQUET_NAME).values()
    walk = read_json(line.tables, "walk_forward_summary")
    rank_ic = rank_ic_table(tables.predictions)
    orders = read_table(line.tables, "backtest_orders")
    hashes = lineage_of(line)
    return ReportInputs(
        profile=settings.profile,
        source=source,
        first=tables.bars["session_date"].min().date(),
        last=tables.bars["session_date"].max().date(),
        counts={
            "symbols": int(tables.bars["symbol"].nunique()),
            "sessions": int(tables.bars["session_date"].nunique()),
            "rows": len(tables.bars),
            "factors": int(read_json(line.tables, "dataset_meta")["factors"]),
        },
        hashes={**hashes, "bundle_hash": bundle["bundle_hash"]},
        model=f"{bundle['name']} version {bundle['version']}",
        decision=decision["decision"],
        gate=tuple(gate_line(check) for check in decision["checks"]),
        terms=terms(
            settings.strategy,
            settings.costs,
            settings.uncertainty,
            abstained_frac=back["backtest"].get("abstained_frac"),
        ),
        gate_benchmark=settings.gate.benchmark,
        figures=figures,
        comparison=read_table(line.tables, "backtest_comparison").set_index("measure"),
        confidence=INTERVALS.confidence,
        resamples=INTERVALS.resamples,
        findings=findings(line),
        equity=equity,
        curves=curves,
        account=account_of(indexed),
        monthly_excess=monthly_excess(equity, curves[settings.gate.benchmark]),
        fees=fees_of(orders),
        inside_prices={kind: float(indexed[f"{kind}_cny"].sum()) for kind in ("slippage", "impact")},
        traded_cny=float(orders["value_fen"].sum()) / 100,
        rejects=back["rejects"],
        names=read_table(line.tables, "backtest_names"),
        trades=read_table(line.tables, "closed_trades"),
        rank_ic=rank_ic,
        rank_ic_summary=shown_coefficients(walk, planted=settings.simulated.oracle_rank_ic != 0),
        quantiles=quantiles_of(tables.predictions),
        folds=folds_table(read_json(line.tables, "walk_forward_folds")["folds"], rank_ic),
        shap=pictures(line.home / "explanations" / bundle["model_hash"]),
        files=FILES,
    )


def run_numbers(line: Line, inputs: ReportInputs, *, run_id: str) -> RunNumbers:
    """Return the numbers of the report for the files beside it; ``run_id`` is the MLflow run's."""
    return RunNumbers(
        run=run_folder(line, run_id),
        about={
            "profile": inputs.profile,
            "source": inputs.source.name,
            "simulated": inputs.source.simulated,
            "model": inputs.model,
            "decision": inputs.decision,
            "first_session": f"{inputs.equity.index[0]:%Y-%m-%d}",
            "last_session": f"{inputs.equity.index[-1]:%Y-%m-%d}",
            "sessions": len(inputs.equity),
            "gate_benchmark": inputs.gate_benchmark,
            "confidence": inputs.confidence,
            "resamples": inputs.resamples,
            "mlflow_run_id": run_id,
            **{name: value for name, value in inputs.rank_ic_summary.items() if value is not None},
        },
        hashes=inputs.hashes,
        settings=flat_settings(line),
        figures=inputs.figures,
        findings=numbers_of_findings(inputs.findings),
        curves=pd.DataFrame({STRATEGY: inputs.equity, **inputs.curves}),
    )


def run_folder(line: Line, run_id: str) -> str:
    """Return the name of the folder below ``reports`` that keeps a run's report."""
    return f"{line.home.name}-{run_id[:12]}"


def curve_column(name: str) -> str:
    """Return the column of ``net_backtest`` that holds a curve: points of an index (with a dot), level of others."""
    return f"{name}{_SUFFIXES[0 if '.' in name else 1]}"


def curves_of(indexed: pd.DataFrame) -> dict[str, pd.Series]:
    """Return what the net backtest stands beside, by name: the indices, then the others."""
    return {
        str(column).removesuffix(suffix): indexed[column]
        for suffix in _SUFFIXES
        for column in indexed.columns
        if str(column).endswith(suffix)
    }


def account_of(indexed: pd.DataFrame) -> pd.DataFrame:
    """Return invested share, largest weight and turnover by session."""
    equity = indexed["equity_cny"]
    return pd.DataFrame(
        {
            "invested_frac": 1 - indexed["cash_cny"] / equity,
            "largest_weight_frac": indexed["largest_position_cny"] / equity,
            "turnover_frac": indexed["turnover_frac"],
        }
    )


def gate_line(check: dict[str, Any]) -> GateLine:
    """Return one requirement as the report shows it."""
    return GateLine(check["name"], check["outcome"], check["measured"], check["threshold"], check["sentence"])


def rank_ic_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return rank IC by session with its fold, on rows that could be entered."""
    rows = predictions[predictions["enterable"]]
    table = ic_of_rows(rows)
    fold_of = rows.groupby("session_date")["fold"].first()
    return table.assign(fold=table["session_date"].map(fold_of))


def shown_coefficients(walk: dict[str, Any], *, planted: bool) -> dict[str, Any]:
    """Return the information coefficients; where nothing is planted there is no truth to be measured."""
    left_out = {"folds"} if planted else {"folds", "oracle_rank_ic"}
    return {name: value for name, value in walk.items() if name not in left_out}


def folds_table(records: list[dict[str, Any]], rank_ic: pd.DataFrame) -> pd.DataFrame:
    """Return a row a fold under keys of the report's labels; ``rank_ic`` as ``rank_ic_table`` gives it."""
    enterable = rank_ic.groupby("fold")["rank_ic"].mean()
    return pd.DataFrame(
        {
            "fold": record["name"],
            "trained_on": f"{record['train_first']} – {record['train_last']}",
            "tested_on": f"{record['test_first']} – {record['test_last']}",
            "training_rows": record["train_rows"],
            "test_rows": record["test_rows"],
            "trees": record["rounds"],
            "rank_ic_scored": record["rank_ic"],
            "rank_ic_enterable": enterable.get(record["name"]),
        }
        for record in records
    )


def quantiles_of(predictions: pd.DataFrame) -> np.ndarray:
    """Return the mean excess forward return of each score decile."""
    sessions = pd.DatetimeIndex(np.sort(predictions["session_date"].unique()))
    index = session_positions(predictions["session_date"], sessions)
    return quantile_returns(predictions["score"].to_numpy(), predictions["forward_return"].to_numpy(), index)


def fees_of(orders: pd.DataFrame) -> dict[str, float]:
    """Return what the fills cost beside their price, CNY by kind."""
    return {kind: float(orders[f"{kind}_fen"].sum()) / 100 for kind in ("commission", "stamp_duty", "transfer_fee")}


def pictures(folder: Path) -> tuple[Picture, ...]:
    """Return the pictures that explain the model, in order of name."""
    return tuple(Picture(path.stem, path.read_bytes()) for path in sorted(folder.glob("*.png")))
