"""`ljwx run` as a person types it, on settings small enough for a test: its exit code, its output and its summary."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
#: The small simulated world.
WORLD = {"simulated.symbols": 40, "simulated.oracle_rank_ic": 0.2}
SMALL = {
    "source.first_session": "2022-01-04",
    "walk_forward.first_test_year": 2024,
    "walk_forward.min_train_sessions": 240,
    "tune.trials": 2,
    "tune.inner_folds": 1,
    "tune.rounds": 20,
    "model.max_rounds": 30,
    "model.early_stopping_tail_sessions": 60,
    "strategy.top_k": 8,
    "strategy.n_drop": 2,
    "risk.max_weight_per_name_frac": 0.3,
    "gate.kpi_enabled": "false",
    "gate.min_months": 12,
    "gate.left_out": '["overfitting", "drift", "calibration"]',  # two trials, three years, one of them tested
    "gate.rank_ic_confidence": 0.95,
    "feast.parity_rows": 50,
    "ui.runner_port": 1099,  # nothing listens there: the deployment goes through the inbox
}


@dataclass(frozen=True)
class Run:
    """One finished command: its exit code, what it printed, and how long it took."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def summary(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self.out)
        return loaded


def ljwx(home: Path, *arguments: str, settings: Mapping[str, Any] | None = None, world: bool = True) -> Run:
    keys = [f"--set={key}={value}" for key, value in {**(WORLD if world else {}), **SMALL, **(settings or {})}.items()]
    environment = dict(os.environ, LJWX_HOME=str(home))
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "ljwx_pipeline.cli", "run", *arguments, *keys],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )
    return Run(done.returncode, done.stdout, done.stderr, time.monotonic() - started)
