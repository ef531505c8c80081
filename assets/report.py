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
        gate_benchmark=settings.gate.benchmark,
        performance=back["backtest"],
        benchmarks=back["benchmarks"],
        equity=indexed["equity_cny"],
        index_closes=closes,
        monthly_excess=monthly_excess(indexed["equity_cny"], closes[settings.gate.benchmark]),
        rank_ic=rank_ic,
        rank_ic_summary=shown_coefficients(walk, planted=settings.simulated.oracle_rank_ic != 0),
        quantiles=quantiles_of(tables.predictions),
        folds=folds_table(read_json(line.tables, "walk_forward_folds")["folds"], rank_ic),
        fees=fees_of(orders),
        slippage_cny=slippage_of(orders, tables.bars),
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


def shown_coefficients(walk: dict[str, Any], *, planted: bool) -> dict[str, Any]:
    """Return the information coefficients; where nothing is planted there is no truth to be measured."""
    left_out = {"folds"} if planted else {"folds", "oracle_rank_ic"}
    return {name: value for name, value in walk.items() if name not in left_out}


def folds_table(records: list[dict[str, Any]], rank_ic: pd.DataFrame) -> pd.DataFrame:
    """Return a row a fold under the headings of the report; ``rank_ic`` as ``rank_ic_table`` gives it."""
    enterable = rank_ic.groupby("fold")["rank_ic"].mean()
    return pd.DataFrame(
        {
            "Fold": record["name"],
            "Trained on": f"{record['train_first']} to {record['train_last']}",
            "Tested on": f"{record['test_first']} to {record['test_last']}",
            "Training rows": record["train_rows"],
            "Test rows": record["test_rows"],
            "Trees": record["rounds"],
            "Rank IC, every scored row": record["rank_ic"],
            "Rank IC, rows that could be bought": enterable.get(record["name"]),
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
    kinds = {"commission": "commission_fen", "stamp duty": "stamp_duty_fen", "transfer fee": "transfer_fee_fen"}
    return {label: float(orders[column].sum()) / 100 for label, column in kinds.items()}


def slippage_of(orders: pd.DataFrame, bars: pd.DataFrame) -> float:
    """Return what the fills lost against the session's close, CNY."""
    fills = orders.loc[orders["fill_shares"] != 0, ["session_date", "symbol", "fill_shares", "price_e4"]]
    closes = bars[["session_date", "symbol", "close_cny"]]
    priced = fills.merge(closes, on=["session_date", "symbol"], how="left", validate="many_to_one")
    lost_cny = (priced["price_e4"] / 10_000 - priced["close_cny"]) * priced["fill_shares"]
    return float(lost_cny.sum())


def pictures(folder: Path) -> tuple[Picture, ...]:
    """Return the pictures that explain the model, in order of name."""
    return tuple(
        Picture(PICTURE_CAPTIONS.get(path.stem, path.stem), path.read_bytes()) for path in sorted(folder.glob("*.png"))
    )
