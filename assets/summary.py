"""The machine-readable summary of a run, assembled from what the assets left, and the folder people open.

Not here: any computation of a figure; each stands in the document of the asset that measured it.
"""

from __future__ import annotations

import json
import os
import shutil
from typing import Any

import pandas as pd

from assets.datasets import MATRIX
from assets.io_managers import read_json
from assets.lineage import lineage_of
from assets.panels import feature_table_path
from assets.report import run_folder
from assets.resources import Line
from assets.tracking import research_run_id
from ljwx_pipeline.evaluation.run_files import FILES
from ljwx_pipeline.lake.atomic_parquet import file_sha256, write_bytes


def assemble_summary(
    line: Line, seconds: dict[str, float], checks: dict[str, int], *, up_command: str
) -> dict[str, Any]:
    """Return the summary of the line's last finished research.

    Parameters
    ----------
    seconds
        Wall seconds by step, and ``total``.
    checks
        ``passed``, ``failed`` and ``blocked`` of this run.
    up_command
        What a person types to start the pages of this market.
    """
    tables, settings = line.tables, line.settings
    bars = line.checked_bars()
    walk, back = read_json(tables, "walk_forward_summary"), read_json(tables, "backtest_summary")
    model = read_json(tables, "champion_model")
    decision = read_json(tables, "promotion_decision") | {key: model[key] for key in ("decision", "reasons")}
    description = line.source().describe()
    lineage = lineage_of(line)
    promoted = decision["decision"] == "promoted"
    aliases = line.registry().aliases(line.registered_model)
    held = sorted(alias for alias, number in aliases.items() if number == model["version"])
    trading = line.registry().champion(line.registered_model) is not None
    summary: dict[str, Any] = {
        "profile": settings.profile,
        "simulated": description.simulated,
        "source": description.name,
        "data": data_section(bars, line.sessions(), lineage["data_hash"]),
        "checks": checks,
        "factors": {"count": read_json(tables, "dataset_meta")["factors"], "hash": lineage["factor_hash"]},
        "mlflow": {
            "experiment": settings.mlflow.experiment,
            "run_id": research_run_id(line),
            "tracked_runs": line.registry().tracked_runs(),
        },
        "walk_forward": {key: value for key, value in walk.items() if key != "oracle_rank_ic"},
        "backtest": back["backtest"],
        "benchmarks": back["benchmarks"],
        "promotion": {key: decision[key] for key in ("decision", "reasons", "measured", "thresholds")},
        "model": {
            "name": model["name"],
            "version": model["version"],
            "alias": model["alias"] if promoted else ", ".join(held) or "none",
        },
        "deployment": deployment_section(line, promoted=promoted, trading=trading),
        "account": account_section(line, trading=trading),
        "lineage": lineage,
        "artifacts": artifact_hashes(line),
        "seconds": seconds,
        "unknown": [{"what": item.what, "consequence": item.consequence} for item in description.unknown],
    }
    if "oracle_rank_ic" in walk:
        summary["truth"] = {
            "planted_rank_ic": settings.simulated.oracle_rank_ic,
            "oracle_rank_ic": walk["oracle_rank_ic"],
        }
    summary["where"] = where_to_look(line, up_command)
    return summary


def artifact_hashes(line: Line) -> dict[str, str]:
    """Return the SHA-256 of the bytes of everything a replay has to make again."""
    tables = line.tables
    files = {
        "feature_table": feature_table_path(line),
        "dataset_features": tables / MATRIX,
        "dataset_rows": tables / "dataset_rows.parquet",
        "walk_forward_predictions": tables / "walk_forward_predictions.parquet",
        "model": tables / "trained_model" / "trained.json",  # names every member's text by its hash
        "backtest_orders": tables / "backtest_orders.parquet",
        "net_backtest": tables / "net_backtest.parquet",
    }
    return {name: file_sha256(path) for name, path in files.items()}


def data_section(bars: pd.DataFrame, sessions: pd.DatetimeIndex, data_hash: str) -> dict[str, Any]:
    """Return symbols, sessions, rows, first, last and hash of the checked bars."""
    return {
        "symbols": int(bars["symbol"].nunique()),
        "sessions": len(sessions),
        "rows": len(bars),
        "first": f"{bars['session_date'].min():%Y-%m-%d}",
        "last": f"{bars['session_date'].max():%Y-%m-%d}",
        "hash": data_hash,
    }


def deployment_section(line: Line, *, promoted: bool, trading: bool) -> dict[str, Any]:
    """Return how the champion reached the runner; a refused model is not deployed, an earlier champion goes on."""
    if not promoted:
        return {"status": "not requested: the earlier champion goes on" if trading else "not requested: no champion"}
    return read_json(line.tables, "deployment")


def account_section(line: Line, *, trading: bool) -> dict[str, Any]:
    """Return the paper account; an unopened one where no model has ever been promoted."""
    if not trading or not (line.tables / "live_account.json").exists():
        return {"equity_cny": line.settings.strategy.capital_cny, "positions": 0, "orders": 0, "opened": False}
    account = read_json(line.tables, "live_account")
    by_state = account["orders"]
    return {**account, "orders": sum(by_state.values()), "orders_by_state": by_state, "opened": True}


def where_to_look(line: Line, up_command: str) -> list[str]:
    """Return the commands and files that show more."""
    ui = line.settings.ui
    return [
        f"start the pages        {up_command}",
        f"Dagster                {ui.page(ui.dagster_port)}/asset-groups",
        f"MLflow                 {ui.page(ui.mlflow_port)}/{line.registry().runs_page()}",
        f"paper account          {ui.page(ui.console_port)}",
        f"report                 {line.reports / 'latest' / 'report.html'}",
        "summary for machines   ljwx summary --json",
    ]


def publish_summary(line: Line, summary: dict[str, Any]) -> None:
    """Put summary and report into ``reports/<run>/`` and point ``reports/latest`` at it in one step."""
    folder = line.reports / run_folder(line, summary["mlflow"]["run_id"])
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("report.html", *FILES):
        shutil.copyfile(line.home / "report" / name, folder / name)
    write_bytes(
        folder / "summary.json", (json.dumps(summary, indent=2, ensure_ascii=False, default=str) + "\n").encode()
    )
    latest, draft = line.reports / "latest", line.reports / f".latest.{os.getpid()}"
    draft.unlink(missing_ok=True)
    draft.symlink_to(folder.name)
    draft.replace(latest)
