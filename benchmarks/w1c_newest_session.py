"""W1c: one new session of 5,400 symbols: its 158 factors from the last 61 sessions held in memory.

Measured from the new session's bars at hand (they are appended and the oldest session dropped) to the values, on two
threads, warm. No peer: the others compute the whole history again.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from datetime import UTC, datetime
from typing import Any

import numpy as np

from benchmarks.w1_alpha158 import THREADS, peak_mib, seeded_panel
from ljwx_pipeline.factors.alpha158 import alpha158
from ljwx_pipeline.factors.increment import newest_session
from ljwx_pipeline.market.panel import Float, Panel

SYMBOLS = 5_400
MOST_SECONDS = 1.0
GOAL = "under 1 s"


def run(quick: bool = False) -> dict[str, Any]:
    """Return the result entry; ``quick`` computes a tenth of the symbols."""
    symbols = SYMBOLS // 10 if quick else SYMBOLS
    ours = measure(symbols, 3 if quick else 15)
    return {
        "id": "W1c",
        "what": f"Alpha158 of one new session of {symbols} symbols, {alpha158().window} sessions held",
        "ours": ours,
        "peer": None,
        "ratio": None,
        "ratio_goal": False,
        "goal": GOAL,
        "holds": ours["wall_s"] < MOST_SECONDS,
        "command": "make bench ONLY=W1c",
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def measure(symbols: int, repeats: int) -> dict[str, Any]:
    """Return seconds and memory of this very process."""
    factors = alpha158()
    window = factors.window
    whole = seeded_panel(symbols, window + repeats + 1)
    held = whole.sessions_slice(0, window)
    walls, cpus = [], []
    for session in range(window, window + repeats + 1):
        arriving = {name: values[:, session] for name, values in whole.fields.items()}
        wall, cpu = time.perf_counter(), time.process_time()
        held = appended(held, whole, session, arriving)
        newest_session(factors.expressions, held, THREADS)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return {
        "wall_s": round(statistics.median(walls[1:]), 4),
        "best_wall_s": round(min(walls[1:]), 4),
        "cpu_s": round(statistics.median(cpus[1:]), 4),
        "first_wall_s": round(walls[0], 3),
        "peak_mib": round(peak_mib(), 1),
        "threads": THREADS,
    }


def appended(held: Panel, whole: Panel, session: int, arriving: dict[str, Float]) -> Panel:
    """Return ``held`` without its oldest session and with the arriving one."""
    fields = {name: np.column_stack([values[:, 1:], arriving[name]]) for name, values in held.fields.items()}
    return Panel(held.symbols, whole.sessions[session - len(held.sessions) + 1 : session + 1], fields)


if __name__ == "__main__":
    print(json.dumps(run("--quick" in sys.argv), indent=2))
