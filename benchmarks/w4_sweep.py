"""W4: a sweep of 500 variants of W3b, every rule and fee in each, from arrays in memory to results on disk, on threads.

The grid varies how many names are held, replaced and kept, and the slippage. Each repeat starts from an empty store:
the scores are ranked, the arrays hashed, every variant run, measured and kept. Compilation is left out (one variant
warms up). Afterwards each variant is run alone through ``run_backtest`` and compared bit for bit.

No peer is run: vectorbt, whose 0.137 s for a variant without limits, lots or T+1 others quote, is under a licence that
keeps it out of our environments.
"""

from __future__ import annotations

import json
import resource
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.w3b_topk_dropout import SESSIONS, SYMBOLS, _panel
from ljwx_pipeline.backtest.engine import run_backtest
from ljwx_pipeline.backtest.sweep import Sweep, run_sweep
from ljwx_pipeline.backtest.sweep_variants import Variant, expand_grid
from ljwx_pipeline.backtest.trial_ledger import TrialLedger
from ljwx_pipeline.config import load_settings
from ljwx_pipeline.evaluation.metrics import returns_of
from ljwx_pipeline.market.tables import empty_table
from ljwx_pipeline.trading.market_arrays import MarketArrays, market_arrays

GRID = {
    "top_k": [10, 20, 30, 40, 50],
    "n_drop": [1, 2, 3, 5, 8],
    "min_hold_sessions": [1, 2, 3, 5, 10],
    "costs.slippage_bps": [0.0, 5.0, 10.0, 20.0],
}
WORKERS = 2
GOAL_S = 1.5


def run(quick: bool = False) -> dict[str, Any]:
    """Return the result entry; ``quick`` runs a tenth of the sessions, for a look at the bench itself."""
    sessions = SESSIONS // 10 if quick else SESSIONS
    bars, securities, scores = _panel(SYMBOLS, sessions)
    days = pd.DatetimeIndex(np.sort(bars["session_date"].unique()), name="session_date")
    nothing = (empty_table("st_spells"), empty_table("corporate_actions"))
    symbols = tuple(securities["symbol"])
    market = market_arrays(bars, securities, *nothing, symbols=symbols, sessions=days, adjustment="raw")
    root = Path(__file__).resolve().parent.parent
    settings = load_settings(profile="simulated", config_file=root / "ljwx.toml", environ={})
    strategy = settings.strategy.model_copy(update={"capital_cny": 100_000_000.0})
    variants = expand_grid(GRID, strategy=strategy, costs=settings.costs)
    _sweep(market, scores, variants[:1])
    walls, cpus = [], []
    for _ in range(2 if quick else 7):
        wall, cpu = time.perf_counter(), time.process_time()
        found = _sweep(market, scores, variants)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    wall_s = statistics.median(walls)
    identical = all(
        _alone(market, scores, v).tobytes() == found.net_returns[i].tobytes() for i, v in enumerate(variants)
    )
    return {
        "id": "W4",
        "what": f"a sweep of {len(variants)} variants, each {sessions} sessions x {SYMBOLS} symbols under every rule, "
        f"{WORKERS} threads, results kept and counted",
        "ours": {
            "wall_s": round(wall_s, 4),
            "cpu_s": round(statistics.median(cpus), 4),
            "peak_mib": round(peak_mib, 1),
            "fastest_wall_s": round(min(walls), 4),
            "variant_cpu_ms": round(statistics.median(cpus) / len(variants) * 1000, 3),
            "identical_to_single_runs": identical,
        },
        "peer": None,
        "ratio": None,
        "ratio_goal": False,
        "goal": f"{GOAL_S:g} s or less, each result that of its backtest alone bit for bit",
        "holds": wall_s <= GOAL_S and identical,
        "command": "python -m benchmarks.w4_sweep" + (" (quick)" if quick else ""),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _sweep(market: MarketArrays, scores: np.ndarray, variants: tuple[Variant, ...]) -> Sweep:
    """Run the sweep as the command does: into an empty store and an empty ledger."""
    with tempfile.TemporaryDirectory(prefix="ljwx-bench-") as folder, ThreadPoolExecutor(WORKERS) as pool:
        trials = TrialLedger(Path(folder) / "trials.sqlite").of("w4", "sweep")
        first, last = market.sessions[0].date(), market.sessions[-1].date()
        return run_sweep(
            market, scores, variants, first=first, last=last, executor=pool, store=Path(folder), trials=trials
        )


def _alone(market: MarketArrays, scores: np.ndarray, variant: Variant) -> np.ndarray:
    first, last = market.sessions[0].date(), market.sessions[-1].date()
    result = run_backtest(market, scores, strategy=variant.strategy, costs=variant.costs, first=first, last=last)
    return returns_of(result.equity).to_numpy()


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
