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
from ljwx_pipeline.config import Settings, market_name
from ljwx_pipeline.errors import RegistryError
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

    counted = counted_trials(
        task.study, ledger=TrialLedger(task.ledger), family=task.family, counted=task.ledger.parent, own=task.home
    )
    frame = with_ratio(found.frame)
    sharpes = frame["session_sharpe"].to_numpy(dtype=np.float64)
    verdict = sweep_verdict(
        frame["name"].tolist(),
        sharpes,
        found.net_returns - np.asarray(task.inputs.benchmark_returns),
        trial_sharpes=counted.sharpes,
        luck=counted.variance,
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
        "hashes": {**task.hashes, "config_hash": settings.config_hash},
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


def log_sweep(settings: Settings, folder: Path, body: dict[str, Any], *, kind: str, axes: Values) -> str | None:
    """Record the sweep, its variants by step and its files as one tracked run; return its id in MLflow.

    The same sweep of the same evidence is the same run, recorded once. None while MLflow is away: it is told later.
    """
    from ljwx_pipeline.tracking import open_tracker, stable_id

    tracker, verdict = open_tracker(settings), body["verdict"]
    event = stable_id("sweep", market_name(settings), body["name"])
    if not tracker.recorded(event):
        measured = {
            "variants": body["variants"],
            "trials_of_family": body["trials_of_family"],
            "best.information_ratio": verdict["information_ratio"],
            "expected_of_noise": verdict["expected_of_noise"],
            "deflated_probability": verdict["deflated_probability"],
        }
        tags = {
            **body["hashes"],
            "profile": settings.profile,
            "market": market_name(settings),
            "search": "grid" if kind == "sweep" else "optuna",
            "sweep": body["name"],
        }
        named = f"{settings.profile} {settings.strategy.kind} {' x '.join(axes)}"
        with tracker.run(named, kind="sweep", tags=tags, event=event) as run:
            run.params({f"grid.{name}": json.dumps(values) for name, values in axes.items()})
            run.params({"variants": body["variants"], "executor": body["how"], "best": verdict["best"]})
            run.metrics({name: float(value) for name, value in measured.items() if value is not None})
            run.series([_numbers(row) for row in body["all"]])
            run.artifacts(folder, "sweep")
    try:
        return tracker.run_id_of(event)
    except RegistryError:
        return None


def _numbers(row: dict[str, Any]) -> dict[str, float]:
    """Return the measures of a variant as metrics; its step is its rank by information ratio."""
    shown = ("information_ratio", "session_sharpe", "sharpe", "annual_return", "max_drawdown", "turnover")
    return {f"variant.{name}": float(row[name]) for name in shown if row.get(name) is not None}


def sweep_name(task: SweepTask, found: Sweep) -> str:
    """Return the name of the sweep's folder: the same sweep of the same data writes the same files again."""
    stated = [task.inputs.key().evidence, *sorted(found.frame["variant_hash"])]
    return hashlib.sha256("".join(stated).encode()).hexdigest()[:12]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
