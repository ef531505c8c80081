"""W15: metrics recorded a second, ours against a loop of ``MlflowClient.log_metric``, on SQLite, in turn.

Ours is what a run of the line does: each step's values are appended to the journal beside the market and forced to
disk, and sent when the run ends, in as few requests as MLflow's limits allow. The peer calls MLflow once a value, as
MLflow's own examples do, and is durable as far as SQLite is. Both write the same values into a fresh experiment of the
same database file; each round is checked to have arrived whole.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ljwx_pipeline.config import MlflowSettings
from ljwx_pipeline.registry import Registry, open_registry
from ljwx_pipeline.tracking import Tracker

#: A walk forward of many folds: so many values at each of so many steps.
VALUES, STEPS, ROUNDS = 20, 250, 3
#: Of the peer so many steps are timed: it takes its time, and a value costs the same at any step.
PEER_STEPS = 10
GOAL, GOAL_RATIO = "at least 20 times the metrics a second of a loop of log_metric, stretch 50", 20.0


def run(quick: bool = False) -> dict[str, Any]:
    """Return the result entry; ``quick`` takes a tenth of the steps once."""
    steps, rounds = (STEPS // 10, 1) if quick else (STEPS, ROUNDS)
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    with tempfile.TemporaryDirectory(prefix="ljwx-w15-") as folder:
        home = Path(folder)
        settings = MlflowSettings(tracking_uri="", artifact_root="", experiment="w15", model_name="w15")
        registry = open_registry(settings, home)
        assert registry.tracked_runs() == 0  # makes the database, connects
        _ours(registry, home / "warm-up", 1)
        _peer(registry, 1)
        timed = [(_ours(registry, home / f"round-{i}", steps), _peer(registry, PEER_STEPS)) for i in range(rounds)]
    ours = [(steps * VALUES / wall, wall, cpu) for (wall, cpu), _ in timed]
    peer = [(PEER_STEPS * VALUES / wall, wall, cpu) for _, (wall, cpu) in timed]
    rates = [statistics.median(one[0] for one in side) for side in (ours, peer)]
    return {
        "id": "W15",
        "what": f"{steps * VALUES:,} metrics of one run, journal and MLflow on SQLite (peer: {PEER_STEPS * VALUES:,})",
        "ours": {
            "wall_s": round(statistics.median(one[1] for one in ours), 4),
            "cpu_s": round(statistics.median(one[2] for one in ours), 4),
            "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            "metrics_per_s": round(rates[0]),
        },
        "peer": {
            "name": "MlflowClient.log_metric",
            "version": version("mlflow"),
            "wall_s": round(statistics.median(one[1] for one in peer), 4),
            "metrics_per_s": round(rates[1], 1),
        },
        "ratio": rates[0] / rates[1],
        "ratios": [round(mine[0] / theirs[0], 1) for mine, theirs in zip(ours, peer, strict=True)],
        "goal": GOAL,
        "holds": rates[0] >= GOAL_RATIO * rates[1],
        "command": "python -m benchmarks.w15_tracking",
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _values(step: int) -> dict[str, float]:
    return {f"fold.measure_{i:02d}": step + i / VALUES for i in range(VALUES)}


def _ours(registry: Registry, folder: Path, steps: int) -> tuple[float, float]:
    tracker, ids = Tracker(folder, registry), []

    def record() -> None:
        with tracker.run("ours", kind="evaluation") as opened:
            for step in range(steps):
                opened.metrics(_values(step), step=step)
        ids.append(opened.run_id)

    return _timed(record, lambda: _arrived(registry, ids[0], steps))


def _peer(registry: Registry, steps: int) -> tuple[float, float]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=registry.tracking_uri)
    experiment = client.get_experiment_by_name(registry.experiment)
    ids = []

    def record() -> None:
        ids.append(client.create_run(experiment.experiment_id, run_name="peer").info.run_id)
        for step in range(steps):
            for name, value in _values(step).items():
                client.log_metric(ids[0], name, value, step=step)
        client.set_terminated(ids[0])

    return _timed(record, lambda: _arrived(registry, ids[0], steps))


def _arrived(registry: Registry, run_id: str, steps: int) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=registry.tracking_uri)
    for name in (f"fold.measure_{i:02d}" for i in range(VALUES)):
        assert len(client.get_metric_history(run_id, name)) == steps
    assert client.get_run(run_id).info.status == "FINISHED"


def _timed(call: Callable[[], None], check: Callable[[], None]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    took = time.perf_counter() - wall, time.process_time() - cpu
    check()
    return took


if __name__ == "__main__":
    print(json.dumps(run("--quick" in sys.argv), indent=2))
