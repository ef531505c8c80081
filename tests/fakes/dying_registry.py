"""Registering a bundle in a process that dies by SIGKILL at any of its calls to MLflow."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow  # noqa: F401 - a process forked from one that has imported it is up at once

from ljwx_pipeline.config import MlflowSettings
from ljwx_pipeline.registry import ModelVersion, Registry, open_registry

SETTINGS = MlflowSettings(tracking_uri="", artifact_root="", experiment="tests", model_name="tiny")


class WatchedRegistry(Registry):
    """A registry that calls ``before`` with the name of each of its calls to MLflow, before it."""

    before: Callable[[str], None]

    def _ask(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.before(call.__name__)
        return super()._ask(call, *args, **kwargs)


def watched(settings: MlflowSettings, home: Path, before: Callable[[str], None]) -> WatchedRegistry:
    opened = open_registry(settings, home)
    registry = WatchedRegistry(
        tracking_uri=opened.tracking_uri, artifact_root=opened.artifact_root, experiment=opened.experiment
    )
    registry.before = before
    return registry


def register_challenger(registry: Registry, bundle: Path, public_key: str) -> ModelVersion:
    """What the asset ``model_bundle`` does with a bundle, in a run of its own."""
    run_id = registry.begin("research")
    version = registry.register(bundle, run_id=run_id, public_key=public_key)
    registry.set_alias("challenger", version)
    registry.end(run_id, "FINISHED")
    return version


def register_and_die(home: Path, bundle: Path, public_key: str, die_at: int) -> None:
    """Register ``bundle``, killed before the call number ``die_at``, counted from 1; ends well when there are fewer."""
    calls = 0

    def count(_name: str) -> None:
        nonlocal calls
        calls += 1
        if calls == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    register_challenger(watched(SETTINGS, home, count), bundle, public_key)
