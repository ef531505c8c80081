"""What a sweep found: the document with its verdict, the files, the run in MLflow.

Not here: running variants (``backtest/sweep.py``), what the best is worth (``promotion/sweep_verdict.py``), the
page's markup (``backtest/sweep_page.py``).
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ljwx_pipeline.command_output import plain_rows
from ljwx_pipeline.config import Settings, ljwx_home
from ljwx_pipeline.sweeping.task import SweepTask

if TYPE_CHECKING:  # pandas and numba: loaded when the command runs, not when the parser is built
    import pandas as pd

    from ljwx_pipeline.backtest.sweep import Sweep

Values = dict[str, list[Any]]

#: Variants printed on the terminal and shown on the page; the files hold all of them.
SHOWN_VARIANTS = 10


def sweep_document(
    settings: Settings, task: SweepTask, found: Sweep, *, kind: str, axes: Values, how: str
) -> dict[str, Any]:
    """Return all that is said of a sweep as plain values: verdict, the luck to expect, cliff, every variant.

    Parameters
    ----------
    kind, how
        ``sweep`` or ``tune``; what ran the variants.
    axes
        Values tried by setting.

    Raises
    ------
    LakeError
        When the trial ledger cannot be read.
    """
    import numpy as np

    from ljwx_pipeline.backtest.sweep_cliff import cliff
    from ljwx_pipeline.backtest.trial_ledger import TrialLedger
    from ljwx_pipeline.promotion.sweep_verdict import sweep_verdict
    from ljwx_pipeline.promotion.trial_count import counted_trials

    counted = counted_trials(task.study, ledger=TrialLedger(task.ledger), family=task.family)
    frame = with_ratio(found.frame)
    sharpes = frame["session_sharpe"].to_numpy(dtype=np.float64)
    verdict = sweep_verdict(
        frame["name"].tolist(),
        sharpes,
        found.net_returns - np.asarray(task.inputs.benchmark_returns),
        trial_sharpes=counted.sharpes,
        variance_floor=counted.variance_floor,
    )
    around = cliff(frame, verdict.best, "information_ratio")
    worst = around.worst
    rows = plain_rows(frame.sort_values("information_ratio", ascending=False, kind="stable"))
    return {
        **task.about,
        "kind": kind,
        "how": how,
        "grid": {name: list(values) for name, values in axes.items()},
        "variants": len(frame),
        "known": found.known,
        "computed": len(frame) - found.known,
        "trials_of_family": len(counted.sharpes),
        "trials_of_study": len(task.study),
        "verdict": {**asdict(verdict), "sentence": verdict.sentence + ".", "luck": verdict.luck},
        "cliff": None
        if worst is None
        else {
            "neighbour": worst.name,
            "parameter": worst.parameter,
            "information_ratio": worst.measure,
            "worst_fall_frac": _finite(around.worst_fall_frac),
            "mean_fall_frac": _finite(around.mean_fall_frac),
            "sentence": f"Of its {len(around.neighbours)} nearest neighbours the worst, {worst.name}, shows "
            f"{worst.measure:.2f}.",
        },
        "best": rows[:SHOWN_VARIANTS],
        "all": rows,
        "hashes": {**task.hashes, "configuration_hash": settings.config_hash},
    }


def with_ratio(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the sweep's table with ``information_ratio``: ``session_sharpe`` over a year's sessions."""
    from ljwx_pipeline.market.calendar import SESSIONS_PER_YEAR

    return frame.assign(information_ratio=frame["session_sharpe"] * math.sqrt(SESSIONS_PER_YEAR))


def write_sweep(folder: Path, body: dict[str, Any], found: Sweep) -> None:
    """Write ``sweep.parquet``, ``sweep.json`` and ``sweep.html`` into ``folder``, each whole or not at all."""
    from ljwx_pipeline.backtest.sweep_figures import surface_figures
    from ljwx_pipeline.backtest.sweep_page import render_sweep
    from ljwx_pipeline.lake.atomic_parquet import write_bytes, write_parquet

    frame = with_ratio(found.frame)
    write_parquet(folder / "sweep.parquet", frame)
    write_json(folder, body)
    figures = surface_figures(frame, "information_ratio")
    write_bytes(folder / "sweep.html", render_sweep(body, figures).encode())


def write_json(folder: Path, body: dict[str, Any]) -> None:
    """Write ``sweep.json`` alone."""
    from ljwx_pipeline.lake.atomic_parquet import write_bytes

    write_bytes(folder / "sweep.json", json.dumps(body, indent=1, ensure_ascii=False).encode())


def earlier_run(folder: Path, found: Sweep) -> str | None:
    """Return the MLflow run that recorded this very sweep; a repeat that computed nothing is no second run."""
    if found.known < len(found.frame):
        return None
    try:
        earlier = json.loads((folder / "sweep.json").read_text(encoding="utf-8"))
        run_id = earlier["mlflow_run_id"] if earlier["variants"] == len(found.frame) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return run_id if isinstance(run_id, str) else None


def log_sweep(settings: Settings, folder: Path, body: dict[str, Any], *, kind: str, axes: Values) -> str:
    """Record the sweep and its files as one MLflow run and return its id."""
    from ljwx_pipeline.registry import open_registry

    registry, verdict = open_registry(settings.mlflow, home=ljwx_home()), body["verdict"]
    measured = {
        "variants": body["variants"],
        "trials_of_family": body["trials_of_family"],
        "best.information_ratio": verdict["information_ratio"],
        "expected_of_noise": verdict["expected_of_noise"],
    }
    if verdict["deflated_probability"] is not None:
        measured["deflated_probability"] = verdict["deflated_probability"]
    with registry.run(f"{kind}-{settings.profile}", tags={"kind": kind, **body["hashes"]}) as run:
        run.params({f"grid.{name}": json.dumps(values) for name, values in axes.items()})
        run.params({"variants": body["variants"], "executor": body["how"], "best": verdict["best"]})
        run.metrics({name: float(value) for name, value in measured.items()})
        run.artifacts(folder, "sweep")
        return run.run_id


def sweep_name(task: SweepTask, found: Sweep) -> str:
    """Return the name of the sweep's folder: the same sweep of the same data writes the same files again."""
    stated = [task.inputs.key().evidence, *sorted(found.frame["variant_hash"])]
    return hashlib.sha256("".join(stated).encode()).hexdigest()[:12]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
