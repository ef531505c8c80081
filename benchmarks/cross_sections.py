"""Cross-sections: 20 factors that rank, standardise or neutralise across a market, most of them within a time series.

The first call (which loads or compiles the kernels) is not measured. The panel is in memory. Peak memory is the
process's own, so the bench wants a fresh one. pandas ranks the same sessions in turn, for one of the twenty.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.w1_alpha158 import seeded_panel
from ljwx_pipeline.expressions.evaluate import evaluate
from ljwx_pipeline.expressions.nodes import Expr
from ljwx_pipeline.expressions.operators import cs_rank, cs_zscore, field, log, mean, neutralise, ref, std, winsorise
from ljwx_pipeline.market.panel import Panel

SYMBOLS, SESSIONS, INDUSTRIES = 1_000, 2_500, 30
WINDOWS = (5, 10, 20, 30, 60)
THREADS = 2
GOAL = "one ranked series at most half of pandas' CPU time"


def run(quick: bool = False) -> dict[str, Any]:
    """Return the result entry; ``quick`` computes a tenth of the symbols."""
    panel = market(SYMBOLS // 10 if quick else SYMBOLS)
    expressions = factors()
    ranked = {"rank": cs_rank(field("close") / ref(field("close"), 1) - 1)}
    evaluate(expressions, panel, THREADS)
    evaluate(ranked, panel)
    close = pd.DataFrame(panel.fields["close"])
    repeats = 1 if quick else 3
    ours = cost(lambda: evaluate(expressions, panel, THREADS), repeats)
    one = cost(lambda: evaluate(ranked, panel), repeats)
    pandas = cost(lambda: (close / close.shift(1, axis=1) - 1).rank(pct=True), repeats)
    ratio = pandas["cpu_s"] / one["cpu_s"]
    peak_mib = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    return {
        "id": "cross_sections",
        "what": f"20 factors with cross-sections, {len(panel.symbols)} symbols x {SESSIONS} sessions",
        "ours": {**ours, "one_rank_cpu_s": one["cpu_s"], "peak_mib": peak_mib, "threads": THREADS},
        "peer": {"name": "pandas, one rank", "version": pd.__version__, **pandas},
        "ratio": round(ratio, 1),
        "goal": GOAL,
        "holds": bool(ratio >= 2),
        "command": "python -m benchmarks.cross_sections" + (" --quick" if quick else ""),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def factors() -> dict[str, Expr]:
    """Return the twenty."""
    close, volume, industry = field("close"), field("volume"), field("industry")
    change = close / ref(close, 1) - 1
    made: dict[str, Expr] = {}
    for n in WINDOWS:
        made[f"RANK{n}"] = cs_rank(mean(change, n))
        made[f"SMOOTH{n}"] = mean(cs_rank(change), n)
        made[f"SCORE{n}"] = cs_zscore(winsorise(std(change, n)))
        made[f"NEUTRAL{n}"] = neutralise(mean(change, n), log(mean(volume, n)), by=industry)
    return made


def market(symbols: int) -> Panel:
    """Return the seeded panel with an industry for every symbol."""
    panel = seeded_panel(symbols, SESSIONS)
    industry = np.random.default_rng(30).integers(0, INDUSTRIES, (symbols, 1)).astype(np.float64)
    return panel.with_fields({"industry": np.repeat(industry, SESSIONS, axis=1)})


def cost(work: Callable[[], object], repeats: int) -> dict[str, float]:
    """Return the median wall and CPU seconds of ``work``."""
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return {"wall_s": round(statistics.median(walls), 4), "cpu_s": round(statistics.median(cpus), 4)}


if __name__ == "__main__":
    print(json.dumps(run("--quick" in sys.argv), indent=2))
