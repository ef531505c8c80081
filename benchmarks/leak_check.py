"""leak_check: every leak check of Alpha158 over 300 symbols x 2,500 sessions, and the gallery of seeded leaks.

The check computes the whole panel and compares it, on every symbol, with what the sessions around three cuts give alone
and under another future. Measured warm: the first call, which loads the compiled kernels, is left out. The gallery is
run once and timed, and its counts decide with the time whether the goal holds.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from datetime import UTC, datetime
from typing import Any

from benchmarks.w1_alpha158 import SESSIONS, SYMBOLS, THREADS, seeded_panel
from ljwx_pipeline.factors.alpha158 import alpha158
from ljwx_pipeline.factors.leaks import check_leaks
from ljwx_pipeline.factors.leaks.gallery import run_gallery

GOAL_S = 5.0
GOAL = "the check under 5 s; every seeded leak caught, no honest twin and no factor of the catalogue accused"


def run(quick: bool = False) -> dict[str, Any]:
    """Return the result entry; ``quick`` takes a tenth of the symbols and three leaks."""
    symbols = SYMBOLS // 10 if quick else SYMBOLS
    panel, factors = seeded_panel(symbols, SESSIONS), alpha158()
    check_leaks(factors, panel.sessions_slice(0, 300), threads=THREADS)
    walls, cpus, findings = [], [], 0
    for _ in range(1 if quick else 5):
        wall, cpu = time.perf_counter(), time.process_time()
        findings += len(check_leaks(factors, panel, threads=THREADS).findings)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    gallery = run_gallery(("negative_shift", "survivors", "overlapping_folds") if quick else None)
    wall_s = statistics.median(walls)
    return {
        "id": "leak_check",
        "what": f"leak checks of {len(factors.names)} factors, {symbols} symbols x {SESSIONS} sessions, all symbols",
        "ours": {
            "wall_s": round(wall_s, 3),
            "best_wall_s": round(min(walls), 3),
            "cpu_s": round(statistics.median(cpus), 3),
            "catalogue_findings": findings,
            "gallery": gallery.as_dict(),
            "gallery_s": round(gallery.seconds, 2),
            "threads": THREADS,
        },
        "peer": None,
        "ratio": None,
        "ratio_goal": False,
        "goal": GOAL,
        "holds": wall_s < GOAL_S and findings == 0 and gallery.holds,
        "command": "python -m benchmarks.leak_check" + (" --quick" if quick else ""),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


if __name__ == "__main__":
    print(json.dumps(run("--quick" in sys.argv), indent=2))
