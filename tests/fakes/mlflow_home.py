"""An MLflow database that is migrated once, as that takes seconds, and copied for each test; and what it then holds."""

from __future__ import annotations

import shutil
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ljwx_pipeline.config import MlflowSettings
from ljwx_pipeline.registry import Registry, open_registry

SETTINGS = MlflowSettings(tracking_uri="", artifact_root="", experiment="tests", model_name="tiny")


@lru_cache(maxsize=1)
def empty_database() -> tuple[Path, TemporaryDirectory[str]]:
    folder = TemporaryDirectory(prefix="ljwx-mlflow-template-")
    home = Path(folder.name)
    assert open_registry(SETTINGS, home).champion("tiny") is None
    return home / "mlflow" / "mlflow.db", folder


def registry_in(home: Path) -> Registry:
    """Return a registry on an empty database of its own below ``home``."""
    (home / "mlflow").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(empty_database()[0], home / "mlflow" / "mlflow.db")
    return open_registry(SETTINGS, home)


def stored_runs(registry: Registry, kind: str | None = None) -> list[Any]:
    """Return every run that MLflow itself holds, of one kind or of all."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=registry.tracking_uri)
    experiment = client.get_experiment_by_name(registry.experiment)
    runs = [] if experiment is None else client.search_runs([experiment.experiment_id], max_results=5000)
    return [run for run in runs if kind is None or run.data.tags.get("kind") == kind]


def gone_for_good(registry: Registry, run_id: str) -> None:
    """Delete a run as ``mlflow gc`` does: its rows and its artifacts."""
    from mlflow import MlflowClient
    from mlflow.tracking._tracking_service.utils import _get_store

    MlflowClient(tracking_uri=registry.tracking_uri).delete_run(run_id)
    _get_store(registry.tracking_uri)._hard_delete_run(run_id)
    shutil.rmtree(Path(str(registry.artifact_root).removeprefix("file://")) / run_id, ignore_errors=True)
