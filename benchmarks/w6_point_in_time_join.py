"""W6: what was known of 687,000 (symbol, instant) pairs: 30 features, joined to the feature table as of each instant.

From the questions in memory to float32 values in memory, the feature table on disk, the median of five joins in a
process of its own, the processes in turn: Feast's duckdb store, raw polars (``make bench-peers``), ours through
``FeatureStoreClient``. All three must give
the same values.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.feature_home import FEATURES, TIME_TO_LIVE_DAYS, make_home, questions
from benchmarks.peers.environment import ChildRun, interpreter, run_child, run_peer
from benchmarks.w1_alpha158 import SYMBOLS

LEAST_TIMES_FEAST, MOST_TIMES_POLARS, MOST_MIB = 30.0, 1.3, 1536.0
GOAL = "at least 30 times Feast's speed, at most 1.3 times raw polars, at most 1.5 GiB"


def run(quick: bool = False) -> dict[str, Any]:
    """Return the result entry; ``quick`` asks about a tenth of the symbols, once."""
    with tempfile.TemporaryDirectory(prefix="ljwx-w6-") as name:
        folder = Path(name)
        client = make_home(folder, SYMBOLS // 10 if quick else SYMBOLS)
        asked = questions(client.feature_table)
        asked.to_parquet(folder / "questions.parquet", index=False)
        runs, equal = in_turn(folder, 1 if quick else 3)
    ours, feast, polars = (runs.get(by, []) for by in ("ours", "feast", "polars"))
    ratio = round(kernel_s(feast) / kernel_s(ours), 2)
    to_polars = round(kernel_s(ours) / kernel_s(polars), 2) if polars else None
    peak = max(child.peak_mib for child in ours)
    return {
        "id": "W6",
        "what": f"point-in-time join, {len(asked)} questions x {len(FEATURES)} features",
        "ours": {
            **costs(ours),
            "times_polars": to_polars,
            "values_equal": equal,
        },
        "peer": {"name": feast[0].answer["name"], "version": feast[0].answer["version"], **costs(feast)},
        "other_peers": [{"name": "polars", "version": polars[0].answer["version"], **costs(polars)}] if polars else [],
        "ratio": ratio,
        "goal": GOAL,
        "holds": equal
        and ratio >= LEAST_TIMES_FEAST
        and to_polars is not None
        and to_polars <= MOST_TIMES_POLARS
        and peak <= MOST_MIB,
        "command": "make bench ONLY=W6",
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def in_turn(folder: Path, turns: int) -> tuple[dict[str, list[ChildRun]], bool]:
    """Return the runs of each, and whether all gave the same values."""
    runs: dict[str, list[ChildRun]] = {}
    command = [sys.executable, "-m", "benchmarks.historical_join"]
    for _ in range(turns):
        for by in ("feast", "ours"):
            child = run_child(command, folder, "--by", by, "--values", folder / f"{by}.npy")
            runs.setdefault(by, []).append(child)
        if interpreter() is not None:
            days = ("--days", str(TIME_TO_LIVE_DAYS))
            child = run_peer("polars_join.py", folder, "--values", folder / "polars.npy", *days)
            runs.setdefault("polars", []).append(child)
    answers = [np.load(folder / f"{by}.npy") for by in runs]
    return runs, all(np.array_equal(answers[0], other, equal_nan=True) for other in answers[1:])


def costs(children: Sequence[ChildRun]) -> dict[str, Any]:
    """Return the join's median seconds, and CPU and memory of its whole process."""
    return {
        "wall_s": round(kernel_s(children), 3),
        "first_wall_s": round(statistics.median(float(child.answer["first_wall_s"]) for child in children), 3),
        "process_wall_s": round(statistics.median(child.wall_s for child in children), 2),
        "cpu_s": round(statistics.median(child.cpu_s for child in children), 2),
        "peak_mib": round(max(child.peak_mib for child in children), 1),
        "runs": len(children),
    }


def kernel_s(children: Sequence[ChildRun]) -> float:
    """Return the median seconds of the join alone."""
    return statistics.median(float(child.answer["kernel_wall_s"]) for child in children)


if __name__ == "__main__":
    print(json.dumps(run("--quick" in sys.argv), indent=2))
