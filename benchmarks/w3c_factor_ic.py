"""W3c: rank IC and quantile returns of one factor, about 480,000 rows, 3 horizons, against alphalens-reloaded.

Both start from factor values and forward returns in their own form (dense arrays; a frame by date and asset), both make
the quantiles, the rank IC of every session and the quantiles' mean excess returns by session. They are measured in
turn, ours on one thread after a warm run; medians of CPU seconds give the ratio. Their numbers must agree to 1e-9, or
the goal does not hold.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.environment import PeerProcess, interpreter
from ljwx_pipeline.coefficients import by_session, panel_rank_ic
from ljwx_pipeline.research.quantiles import quantile_buckets, quantile_returns

SYMBOLS, SESSIONS, HORIZONS = 300, 1_640, (1, 5, 10)
MUST, TOLERANCE = 20.0, 1e-9
GOAL = f"at least {MUST:g} times alphalens' speed, the same numbers to {TOLERANCE:g}"

Panel = dict[str, NDArray[np.float64]]
Numbers = dict[str, NDArray[np.float64]]


def run(quick: bool = False) -> dict[str, Any]:
    """Return the result entry; ``quick`` measures a tenth of the sessions, for a look at the bench itself."""
    panel = seeded_panel(SYMBOLS, SESSIONS // 10 if quick else SESSIONS)
    rounds, rows = 2 if quick else 7, int(np.isfinite(panel["factor"]).sum())
    numbers = ours(panel)  # warm: compiled kernels are loaded, or made
    measured: list[dict[str, float]] = []
    peer: dict[str, Any] | None = None
    difference = None
    if interpreter() is not None:
        peer, measured, difference = _in_turn(panel, numbers, rounds)
    else:
        measured = [_measured(panel) for _ in range(rounds)]
    walls, cpus = [one["wall_s"] for one in measured], [one["cpu_s"] for one in measured]
    ratio = None if peer is None else peer["cpu_s"] / statistics.median(cpus)
    return {
        "id": "W3c",
        "what": f"rank IC and quantile returns, {rows} rows, {len(HORIZONS)} horizons",
        "ours": {
            "wall_s": round(statistics.median(walls), 5),
            "cpu_s": round(statistics.median(cpus), 5),
            "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            "largest_difference": difference,
        },
        "peer": peer,
        "ratio": None if ratio is None else round(ratio, 1),
        "goal": GOAL,
        "holds": ratio is not None and ratio >= MUST and difference is not None and difference <= TOLERANCE,
        "command": "python -m benchmarks.w3c_factor_ic" + (" --quick" if quick else ""),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def seeded_panel(symbols: int, sessions: int) -> Panel:
    """Return factor and forward returns, shape ``(n_sessions, n_symbols)``; known together or not at all.

    alphalens leaves out a row where any horizon is unknown, ours only that horizon: rows known together compare both.
    """
    rng = np.random.default_rng(31)
    shape = (sessions, symbols)
    forward = {horizon: rng.normal(0, 0.02 * horizon**0.5, shape) for horizon in HORIZONS}
    factor = rng.normal(size=shape) + 5 * forward[5]
    missing = rng.uniform(size=shape) < 0.024
    for values in (factor, *forward.values()):
        values[missing] = np.nan
    return {"factor": factor, **{f"forward_{horizon}": values for horizon, values in forward.items()}}


def ours(panel: Panel) -> Numbers:
    """Return rank IC ``(n_sessions, n_horizons)`` and excess ``(quantiles, n_sessions, n_horizons)``."""
    factor = by_session(panel["factor"].T)
    buckets = quantile_buckets(factor)
    rank_ic, excess = [], []
    for horizon in HORIZONS:
        returns = by_session(panel[f"forward_{horizon}"].T)
        rank_ic.append(panel_rank_ic(factor, returns))
        excess.append(quantile_returns(buckets, returns.values).excess.T)
    return {"rank_ic": np.stack(rank_ic, axis=-1), "excess": np.stack(excess, axis=-1)}


def _in_turn(panel: Panel, numbers: Numbers, rounds: int) -> tuple[dict[str, Any], list[dict[str, float]], float]:
    with tempfile.TemporaryDirectory(prefix="ljwx-w3c-") as name:
        folder = Path(name)
        np.savez(folder / "panel.npz", horizons=np.array(HORIZONS), **panel)
        with PeerProcess("w3c_alphalens.py", folder) as process:
            about = process.about
            process.ask("results")  # warm, and its numbers
            theirs = dict(np.load(folder / "peer.npz"))
            mine, other = [], []
            for _ in range(rounds):
                mine.append(_measured(panel))
                other.append(process.ask("run"))
    difference = max(float(np.abs(numbers[key] - theirs[key]).max()) for key in numbers)
    peer = {**about, **{key: round(statistics.median(one[key] for one in other), 4) for key in ("wall_s", "cpu_s")}}
    return peer, mine, difference


def _measured(panel: Panel) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    ours(panel)
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


if __name__ == "__main__":
    print(json.dumps(run("--quick" in sys.argv), indent=2))
