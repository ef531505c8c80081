"""What a research run leaves in MLflow so that it can be made again: where it ran, the hashes it made.

Two files below ``config`` of the run's artifacts, beside its settings; ``ljwx reproduce`` reads all three.
Not here: comparing (``ljwx_pipeline.reproduction``).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assets.datasets import MATRIX
from assets.io_managers import read_json
from assets.panels import feature_table_path
from assets.resources import Line
from ljwx_pipeline.config import market_name
from ljwx_pipeline.lake.atomic_parquet import file_sha256
from ljwx_pipeline.reproduction.environment import environment
from ljwx_pipeline.reproduction.record import CONFIG, ENVIRONMENT, MADE
from ljwx_pipeline.scoring.bundle import MANIFEST, SIGNATURE
from ljwx_pipeline.tracking import JournaledRun

#: Tables that a replay makes again, by the name of the artefact.
TABLES = {
    "forward_return_label": "forward_return_label.parquet",
    "dataset_rows": "dataset_rows.parquet",
    "dataset_features": MATRIX,
    "walk_forward_predictions": "walk_forward_predictions.parquet",
    "net_backtest": "net_backtest.parquet",
}


def record_environment(line: Line, run: JournaledRun) -> None:
    """Record the market and the packages of a research run that begins; its settings lie beside them."""
    _record(run, ENVIRONMENT, {"market": market_name(line.settings), **environment()})


def record_made(line: Line, run: JournaledRun) -> None:
    """Record the hashes of all that a research run made, at its end."""
    _record(run, MADE, made(line))


def made(line: Line) -> dict[str, Any]:
    """Return SHA-256 and place (below the market's home) of every artefact, hyperparameters and bundle hash.

    With what the study tried early from an earlier one, which a replay has no way to find again.
    """
    bundle, tuned = read_json(line.tables, "model_bundle"), read_json(line.tables, "tuned_hyperparameters")
    folder = Path(bundle["path"])
    files = {name: line.tables / file for name, file in TABLES.items()}
    files |= {
        f"bundle/{path.name}": path
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name not in (MANIFEST, SIGNATURE)
    }
    return {
        "artifacts": {**made_features(line), **{name: _artefact(line, path) for name, path in files.items()}},
        "dataset_hash": read_json(line.tables, "dataset_meta")["hash"],
        "best_params": tuned["best_params"],
        "warm_start": warm_start_of(tuned),
        "bundle_hash": bundle["bundle_hash"],
        "bundle": str(folder.relative_to(line.home)),
    }


def made_features(line: Line) -> dict[str, dict[str, str]]:
    """Return SHA-256 and place of the feature table: what a replay without a model makes."""
    return {"feature_table": _artefact(line, feature_table_path(line))}


def warm_start_of(tuned: Mapping[str, Any]) -> dict[str, Any]:
    """Return study, parameters and earlier trials of ``tuned_hyperparameters``' warm start; nothing without one."""
    if not tuned.get("warm_start"):
        return {}
    tried = [trial["params"] for trial in tuned["trials"] if trial["origin"] == "warm start"]
    return {
        "study": tuned["warm_start"],
        "params": tried[0] if tried else {},  # a study of one trial tried none
        "earlier_trials": tuned["earlier_trials"],
    }


def _artefact(line: Line, path: Path) -> dict[str, str]:
    return {"sha256": file_sha256(path), "path": str(path.relative_to(line.home))}


def _record(run: JournaledRun, name: str, document: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory(prefix="ljwx-config-") as folder:
        path = Path(folder) / name
        path.write_text(json.dumps(document, indent=1, sort_keys=True), encoding="utf-8")
        run.artifacts(path, CONFIG)
