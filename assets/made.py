"""What a research run leaves in MLflow so that it can be made again: its settings, where it ran, the hashes it made.

Three files below ``config`` of the run's artifacts; ``ljwx reproduce`` reads them. Not here: comparing
(``ljwx_pipeline.reproduction``).
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, Protocol

from assets.datasets import MATRIX
from assets.io_managers import read_json
from assets.panels import feature_table_path
from assets.resources import Line
from assets.reuse import file_sha256
from ljwx_pipeline.config import market_name
from ljwx_pipeline.reproduction.environment import environment
from ljwx_pipeline.reproduction.record import CONFIG, ENVIRONMENT, MADE, SETTINGS
from ljwx_pipeline.scoring.bundle import MANIFEST, SIGNATURE

#: Tables that a replay makes again, by the name of the artefact.
TABLES = {
    "forward_return_label": "forward_return_label.parquet",
    "dataset_rows": "dataset_rows.parquet",
    "dataset_features": MATRIX,
    "walk_forward_predictions": "walk_forward_predictions.parquet",
    "net_backtest": "net_backtest.parquet",
}


class Records(Protocol):
    """What a run in MLflow offers: files copied below a folder of its artifacts."""

    def artifacts(self, source: Path, folder: str | None = None) -> None:
        """Copy a file, or the content of a directory."""
        ...


def record_config(line: Line, run: Records) -> None:
    """Record the resolved settings, the market and the packages of a research run that begins."""
    settings = line.settings.model_dump(mode="json")
    settings["mlflow"]["tracking_uri"] = ""  # may hold a password, and a replay keeps its own
    _record(run, {SETTINGS: settings, ENVIRONMENT: {"market": market_name(line.settings), **environment()}})


def record_made(line: Line, run: Records) -> None:
    """Record the hashes of all that a research run made, at its end."""
    _record(run, {MADE: made(line)})


def made(line: Line) -> dict[str, Any]:
    """Return SHA-256 and place (below the market's home) of every artefact, hyperparameters and bundle hash."""
    bundle = read_json(line.tables, "model_bundle")
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
        "best_params": read_json(line.tables, "tuned_hyperparameters")["best_params"],
        "bundle_hash": bundle["bundle_hash"],
        "bundle": str(folder.relative_to(line.home)),
    }


def made_features(line: Line) -> dict[str, dict[str, str]]:
    """Return SHA-256 and place of the feature table: what a replay without a model makes."""
    return {"feature_table": _artefact(line, feature_table_path(line))}


def _artefact(line: Line, path: Path) -> dict[str, str]:
    return {"sha256": file_sha256(path), "path": str(path.relative_to(line.home))}


def _record(run: Records, documents: dict[str, dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory(prefix="ljwx-config-") as folder:
        for name, document in documents.items():
            path = Path(folder) / name
            path.write_text(json.dumps(document, indent=1, sort_keys=True), encoding="utf-8")
            run.artifacts(path, CONFIG)
