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
from assets.lineage import lineage_of
from assets.resources import Line
from ljwx_pipeline.evaluation.benchmarks import monthly_excess
from ljwx_pipeline.evaluation.ic import ic_by_session, quantile_returns
from ljwx_pipeline.evaluation.report import GateLine, Picture, ReportInputs
from ljwx_pipeline.market.calendar import session_positions

FOLD_COLUMNS = (
    "name",
    "train_first",
    "train_last",
    "test_first",
    "test_last",
    "train_rows",
    "test_rows",
    "rounds",
    "rank_ic",
)
PICTURE_CAPTIONS = {"shap_bar": "Mean absolute SHAP value by factor", "shap_beeswarm": "SHAP values by factor and row"}


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
    closes = {code: indexed[f"{code}_points"] for code in back["benchmarks"]}
    walk = read_json(line.tables, "walk_forward_summary")
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
        gate_benchmark=settings.gate.benchmark,
        performance=back["backtest"],
        benchmarks=back["benchmarks"],
        equity=indexed["equity_cny"],
        index_closes=closes,
        monthly_excess=monthly_excess(indexed["equity_cny"], closes[settings.gate.benchmark]),
        rank_ic=rank_ic_table(tables.predictions),
        rank_ic_summary={key: value for key, value in walk.items() if key != "folds"},
        quantiles=quantiles_of(tables.predictions),
        folds=pd.DataFrame(read_json(line.tables, "walk_forward_folds")["folds"])[list(FOLD_COLUMNS)],
        costs=costs_of(read_table(line.tables, "backtest_orders")),
        shap=pictures(line.home / "explanations" / bundle["bundle_hash"]),
    )


def gate_line(check: dict[str, Any]) -> GateLine:
    """Return one requirement as the report shows it."""
    return GateLine(check["name"], check["passed"], check["measured"], check["threshold"], check["sentence"])


def rank_ic_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return rank IC by session with its fold, on rows that could be entered."""
    rows = predictions[predictions["enterable"]]
    sessions = pd.DatetimeIndex(np.sort(rows["session_date"].unique()))
    index = session_positions(rows["session_date"], sessions)
    table = ic_by_session(rows["score"].to_numpy(), rows["forward_return"].to_numpy(), index, sessions)
    fold_of = rows.groupby("session_date")["fold"].first()
    return table.assign(fold=table["session_date"].map(fold_of))


def quantiles_of(predictions: pd.DataFrame) -> np.ndarray:
    """Return the mean excess forward return of each score decile."""
    sessions = pd.DatetimeIndex(np.sort(predictions["session_date"].unique()))
    index = session_positions(predictions["session_date"], sessions)
    return quantile_returns(predictions["score"].to_numpy(), predictions["forward_return"].to_numpy(), index)


def costs_of(orders: pd.DataFrame) -> dict[str, float]:
    """Return what the fills cost, CNY by kind."""
    kinds = {"commission": "commission_fen", "stamp duty": "stamp_duty_fen", "transfer fee": "transfer_fee_fen"}
    return {label: float(orders[column].sum()) / 100 for label, column in kinds.items()}


def pictures(folder: Path) -> tuple[Picture, ...]:
    """Return the pictures that explain the model, in order of name."""
    return tuple(
        Picture(PICTURE_CAPTIONS.get(path.stem, path.stem), path.read_bytes()) for path in sorted(folder.glob("*.png"))
    )
