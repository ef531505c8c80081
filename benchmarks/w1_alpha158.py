"""W1: Alpha158 over 300 symbols x 2,500 sessions with suspensions, float32 out.

The first call (which loads the compiled kernels, or compiles them where there is no cache) is reported apart, then the
median of warm calls on two threads. The panel is in memory; reading it is not measured. Peak memory is the process's
own, so the bench wants a fresh one.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from ljwx_pipeline.expressions.evaluate import FactorValues, evaluate
from ljwx_pipeline.factors.alpha158 import alpha158
from ljwx_pipeline.market.panel import Panel

SYMBOLS, SESSIONS = 300, 2_500
SUSPENDED_FRAC = 0.084  # leaves about 687,000 rows
THREADS = 2
GOAL = "at least 40 times qlib's speed; peak at most 12 bytes a row and factor"


def run(quick: bool = False) -> dict[str, Any]:
    """Return the result entry; ``quick`` computes a tenth of the symbols, for a look at the bench itself."""
    symbols = SYMBOLS // 10 if quick else SYMBOLS
    measured = measure(symbols, 3 if quick else 7)
    return {
        "id": "W1",
        "what": f"Alpha158, {symbols} symbols x {SESSIONS} sessions, {measured.pop('rows')} rows, float32 out",
        "ours": measured,
        "peer": None,
        "ratio": None,
        "goal": GOAL,
        "holds": False,
        "command": "python -m benchmarks.w1_alpha158" + (" --quick" if quick else ""),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def measure(symbols: int, repeats: int) -> dict[str, Any]:
    """Return rows, seconds and memory of this very process."""
    panel = seeded_panel(symbols, SESSIONS)
    expressions = alpha158().expressions
    before_mib = peak_mib()
    began = time.perf_counter()
    values = evaluate(expressions, panel, THREADS)
    first_s = time.perf_counter() - began
    walls, cpus = [], []
    for _ in range(repeats):
        del values
        wall, cpu = time.perf_counter(), time.process_time()
        values = evaluate(expressions, panel, THREADS)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    rows = int((~np.isnan(panel.fields["close"])).sum())
    return {
        "rows": rows,
        "wall_s": round(statistics.median(walls), 4),
        "best_wall_s": round(min(walls), 4),
        "cpu_s": round(statistics.median(cpus), 4),
        "first_wall_s": round(first_s, 3),
        "peak_mib": round(peak_mib(), 1),
        "bytes_a_value": round((peak_mib() - before_mib) * 2**20 / (rows * len(expressions)), 2),
        "known_frac": round(_known_frac(values), 4),
        "threads": THREADS,
    }


def seeded_panel(symbols: int, sessions: int) -> Panel:
    """Return a random walk on the 0.01 tick with suspensions; the same for the same size."""
    rng = np.random.default_rng(158)
    shape = (symbols, sessions)
    close = np.round(20 * np.exp(np.cumsum(rng.normal(0, 0.02, shape), axis=1)) + 1, 2)
    open_ = np.round(close * np.exp(rng.normal(0, 0.006, shape)), 2)
    high = np.round(np.maximum(open_, close) * (1 + np.abs(rng.normal(0, 0.006, shape))), 2)
    low = np.round(np.minimum(open_, close) * (1 - np.abs(rng.normal(0, 0.006, shape))), 2)
    volume = np.round(rng.lognormal(14, 0.7, shape), -2)
    vwap = (open_ + high + low + close) / 4
    fields = {"open": open_, "high": high, "low": low, "close": close, "vwap": vwap, "volume": volume}
    suspended = rng.random(shape) < SUSPENDED_FRAC
    for values in fields.values():
        values[suspended] = np.nan
    names = tuple(f"S{number:05d}.SIM" for number in range(symbols))
    return Panel(names, pd.bdate_range("2015-01-05", periods=sessions, name="session_date"), fields)


def _known_frac(values: FactorValues) -> float:
    return float(np.mean([np.isfinite(values.of(name)).mean() for name in values.names]))


def peak_mib() -> float:
    """Return this process's own peak so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    print(json.dumps(run("--quick" in sys.argv), indent=2))
