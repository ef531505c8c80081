"""dirt_corpus: how many kinds of dirt are found by the check meant for them, and how often clean tables block.

Kinds of ``tests/fakes/dirt`` in the simulated market and through files; clean are the simulated market and, where it
lies beside the checkout, the real raw panel and the real forward-adjusted one. It counts, and times nothing but itself.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ljwx_pipeline.sources.folder.source import FolderSource
from tests.fakes.dirt import FILE_KINDS, FIRST, LAST, TABLE_KINDS, all_results, clean_market, file_outcome, judged
from tests.fakes.provider_files import folder_settings

GOAL = "every kind found as meant, no clean table blocked"
QUICK_KINDS = 8
REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "licensed" / "qbot"
PANELS = (("daily_raw_2019_2020.parquet", "raw"), ("daily_qfq_2010_2020.parquet", "forward"))


def run(quick: bool = False) -> dict[str, Any]:
    """Return the result entry; ``quick`` tries a few kinds on the simulated market alone."""
    wall, cpu = time.perf_counter(), time.process_time()
    tables, sessions = clean_market()
    kinds = TABLE_KINDS[:QUICK_KINDS] if quick else TABLE_KINDS
    missed = []
    for kind in kinds:
        result = judged(kind, tables, sessions, np.random.default_rng(5))[kind.check]
        if result.passed or result.severity != kind.severity:
            missed.append(kind.name)
    files = () if quick else FILE_KINDS
    for kind in files:
        with tempfile.TemporaryDirectory(prefix="ljwx-dirt-") as folder:
            said = file_outcome(kind, Path(folder))
        if (kind.said not in said) if kind.said else said:
            missed.append(kind.name)
    clean = [(tables, sessions, "raw")] + ([] if quick else _real_panels())
    blocked, quarantined = 0, 0
    for panel, days, adjustment in clean:
        results = all_results(panel, days, adjustment)
        blocked += sum(result.blocks for result in results)
        quarantined += sum(len(result.rows) for result in results if result.quarantines)
    count = len(kinds) + len(files)
    rows = sum(len(panel["bars"]) for panel, _, _ in clean)
    return {
        "id": "dirt_corpus",
        "what": f"{count} kinds of dirt, and {len(clean)} clean panels of {rows:,} bars",
        "ours": {
            "kinds": count,
            "caught": count - len(missed),
            "false_blocks": int(blocked),
            "false_quarantines": int(quarantined),
            "missed": missed,
            "wall_s": round(time.perf_counter() - wall, 3),
            "cpu_s": round(time.process_time() - cpu, 3),
            "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        },
        "peer": None,
        "ratio": None,
        "ratio_goal": False,
        "goal": GOAL,
        "holds": not missed and blocked == 0,
        "command": "python -m benchmarks.dirt_corpus",
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _real_panels() -> list[tuple[dict[str, pd.DataFrame], pd.DatetimeIndex, str]]:
    panels = []
    for name, adjustment in PANELS if REAL.is_dir() else ():
        source = FolderSource(folder_settings(REAL / name, adjustment=adjustment))
        tables = {"bars": source.bars(FIRST, LAST), "securities": source.securities()}
        panels.append((tables, source.sessions(FIRST, LAST), adjustment))
    return panels


if __name__ == "__main__":
    print(json.dumps(run("--quick" in sys.argv), indent=2))
