"""Catalogues: what each one costs over 300 symbols x 2,500 sessions of made-up fields, float32 out, on two threads.

The first call (which loads or compiles the kernels) is not measured. The panel is in memory. Peak memory is the
process's own and that of the dearest catalogue, so the bench wants a fresh one.
"""

from __future__ import annotations

import json
import resource
import sys
from datetime import UTC, datetime
from typing import Any

import numpy as np

from benchmarks.cross_sections import cost
from benchmarks.w1_alpha158 import SESSIONS, SYMBOLS, seeded_panel
from ljwx_pipeline.expressions.evaluate import evaluate
from ljwx_pipeline.factors.catalogues import CATALOGUES, open_catalogue
from ljwx_pipeline.market.panel import Panel

INDUSTRIES = 30
LIMIT_FRAC = 0.1
THREADS = 2
GOAL_CPU_S = 20.0
GOAL = f"every catalogue in at most {GOAL_CPU_S:.0f} CPU seconds"


def run(quick: bool = False) -> dict[str, Any]:
    """Return the result entry; ``quick`` computes a tenth of the symbols."""
    panel = market(SYMBOLS // 10 if quick else SYMBOLS)
    costs: dict[str, dict[str, float]] = {}
    for name in CATALOGUES:
        expressions = open_catalogue(name).expressions
        evaluate(expressions, market(4), THREADS)
        costs[name] = cost(lambda e=expressions: evaluate(e, panel, THREADS), 1 if quick else 3)
    return {
        "id": "catalogues",
        "what": f"every shipped catalogue, {len(panel.symbols)} symbols x {SESSIONS} sessions",
        "ours": {
            "wall_s": round(sum(each["wall_s"] for each in costs.values()), 4),
            "cpu_s": round(sum(each["cpu_s"] for each in costs.values()), 4),
            "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            "threads": THREADS,
            "each": {name: each | {"factors": len(open_catalogue(name).factors)} for name, each in costs.items()},
        },
        "peer": None,
        "ratio": None,
        "ratio_goal": False,
        "goal": GOAL,
        "holds": bool(max(each["cpu_s"] for each in costs.values()) <= GOAL_CPU_S),
        "command": "python -m benchmarks.catalogues" + (" --quick" if quick else ""),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def market(symbols: int) -> Panel:
    """Return the seeded panel with the fields of every table beside it: values, limits, spells, industries, index."""
    panel = seeded_panel(symbols, SESSIONS)
    rng = np.random.default_rng(101)
    close = panel.fields["close"]
    shape = close.shape
    before = np.roll(close, 1, axis=1)
    up = np.round(before * (1 + LIMIT_FRAC), 2)
    down = np.round(before * (1 - LIMIT_FRAC), 2)
    index = 3_000 * np.exp(np.cumsum(rng.normal(0, 0.01, SESSIONS)))
    st = np.sin(np.arange(SESSIONS) / 400 + rng.random((symbols, 1)) * 99) > 0.95
    fields = {
        "amount_cny": close * panel.fields["volume"],
        "market_value_cny": close * np.exp(rng.normal(20, 1, (symbols, 1))),
        "pre_close_cny": before,
        "limit_up_price_cny": up,
        "limit_down_price_cny": down,
        "limit_up": np.where(np.isnan(close), np.nan, close >= up),
        "limit_down": np.where(np.isnan(close), np.nan, close <= down),
        "is_st": st.astype(np.float64),
        "is_suspended": np.isnan(close).astype(np.float64),
        "listed_sessions": np.arange(SESSIONS) + rng.integers(0, 4_000, (symbols, 1)).astype(np.float64),
        "industry": np.repeat(rng.integers(0, INDUSTRIES, (symbols, 1)), SESSIONS, axis=1).astype(np.float64),
        "index_close": np.broadcast_to(index, shape).copy(),
    }
    fields |= {f"raw_{name}_cny": panel.fields[name] for name in ("open", "high", "low", "close")}
    return panel.with_fields(fields)


if __name__ == "__main__":
    print(json.dumps(run("--quick" in sys.argv), indent=2))
