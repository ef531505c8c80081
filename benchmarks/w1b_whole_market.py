"""W1b: Alpha158 over 5,000 symbols x 2,500 sessions, from a Parquet file, in bounded memory.

A fresh process reads 11.4 million bars (float32 on disk) and computes every factor, a block of symbols at a time: the
whole result would take 7.9 GB. Wall seconds are those of the whole process, from its start to its end; peak memory is
its largest proportional set size. No peer: qlib would hold about 22 GiB.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.bars_file import write_bars
from benchmarks.peers.environment import run_child
from benchmarks.w1_alpha158 import THREADS, seeded_panel
from ljwx_pipeline.market.panel import Panel

SYMBOLS, SESSIONS = 5_000, 2_500
BLOCK_SYMBOLS = 64
MOST_SECONDS, MOST_MIB = 20, 4096
GOAL = "a fresh process completes within 20 s and 4 GiB"


def run(quick: bool = False) -> dict[str, Any]:
    """Return the result entry; ``quick`` computes a twenty-fifth of the symbols."""
    symbols = SYMBOLS // 25 if quick else SYMBOLS
    with tempfile.TemporaryDirectory(prefix="ljwx-w1b-") as folder:
        bars = Path(folder) / "bars.parquet"
        rows = write_bars(market(symbols), bars, pa.float32())
        command = [sys.executable, "-m", "benchmarks.fresh_alpha158"]
        blocks = ("--threads", str(THREADS), "--block-symbols", str(BLOCK_SYMBOLS))
        run_child(command, bars, *blocks)  # compiles where there is no cache, and warms the file
        runs = [run_child(command, bars, *blocks) for _ in range(1 if quick else 3)]
    wall, peak = statistics.median(each.wall_s for each in runs), max(each.peak_mib for each in runs)
    middle = sorted(runs, key=lambda each: each.wall_s)[len(runs) // 2]
    return {
        "id": "W1b",
        "what": f"Alpha158, {symbols} symbols x {SESSIONS} sessions, {rows} rows, from Parquet, in blocks",
        "ours": {
            "wall_s": round(wall, 2),
            "cpu_s": round(statistics.median(each.cpu_s for each in runs), 2),
            "peak_mib": round(peak, 1),
            "read_s": middle.answer["read_s"],
            "factors_s": middle.answer["factors_s"],
            "block_symbols": BLOCK_SYMBOLS,
            "threads": THREADS,
        },
        "peer": None,
        "ratio": None,
        "ratio_goal": False,
        "goal": GOAL,
        "holds": wall <= MOST_SECONDS and peak <= MOST_MIB,
        "command": "make bench ONLY=W1b",
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def market(symbols: int) -> Iterator[Panel]:
    """Yield the symbols a hundred at a time: the walks of W1's panel on other levels, under other names."""
    walks = seeded_panel(100, SESSIONS)
    for start in range(0, symbols, 100):
        names = tuple(f"S{start + row:05d}.SIM" for row in range(100))
        scale = 1.0 + start / symbols
        fields = {
            name: np.roll(values * (1.0 if name == "volume" else scale), start, axis=1)
            for name, values in walks.fields.items()
        }
        yield Panel(names, walks.sessions, fields)


if __name__ == "__main__":
    import json

    print(json.dumps(run("--quick" in sys.argv), indent=2))
