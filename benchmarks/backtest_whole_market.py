"""backtest_whole_market: TopkDropout(50, 5) over 5,000 symbols x 2,500 sessions from a Parquet file, in bounded memory.

A fresh process reads the bars, builds the trading view, ranks seeded scores that turn nearly the whole portfolio over
as fast as the strategy lets them, and runs the backtest with every rule. Reading the file is reported beside; the bound
is on what comes after it. Peak memory is the process's largest proportional set size, the bars included.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.peers.environment import run_child
from benchmarks.whole_market import WholeMarket
from ljwx_pipeline.market.calendar import sessions_between

SYMBOLS, SESSIONS = 5_000, 2_500
MOST_SECONDS, MOST_MIB = 5, 2048
GOAL = "arrays, ranking and backtest within 5 s, the whole process within 2 GiB, bit-identical across processes"


def run(quick: bool = False) -> dict[str, Any]:
    """Return the result entry; ``quick`` runs a twenty-fifth of the symbols."""
    symbols = SYMBOLS // 25 if quick else SYMBOLS
    with tempfile.TemporaryDirectory(prefix="ljwx-backtest-") as folder:
        bars = Path(folder) / "bars.parquet"
        rows = _write_bars(symbols, bars)
        command = [sys.executable, "-m", "benchmarks.fresh_backtest"]
        run_child(command, bars)  # compiles where there is no cache, and warms the file
        runs = [run_child(command, bars) for _ in range(1 if quick else 3)]
    answers = [each.answer for each in runs]
    parts = {name: statistics.median(one[name] for one in answers) for name in ("arrays_s", "rank_s", "backtest_s")}
    wall, peak = sum(parts.values()), max(each.peak_mib for each in runs)
    identical = len({one["equity_sha256"] for one in answers}) == 1
    return {
        "id": "backtest_whole_market",
        "what": f"TopkDropout(50, 5) with every rule, {symbols} symbols x {SESSIONS} sessions, {rows} bars",
        "ours": {
            "wall_s": round(wall, 3),
            "cpu_s": statistics.median(one["cpu_s"] for one in answers),
            "peak_mib": round(peak, 1),
            **parts,
            "read_s": statistics.median(one["read_s"] for one in answers),
            "process_cpu_s": round(statistics.median(each.cpu_s for each in runs), 2),
            "process_wall_s": round(statistics.median(each.wall_s for each in runs), 2),
            "orders": answers[0]["orders"],
            "bit_identical": identical,
        },
        "peer": None,
        "ratio": None,
        "ratio_goal": False,
        "goal": GOAL,
        "holds": wall <= MOST_SECONDS and peak <= MOST_MIB and identical,
        "command": "make bench ONLY=backtest_whole_market",
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _write_bars(symbols: int, path: Path) -> int:
    last = sessions_between(date(2010, 1, 4), date(2020, 12, 31))[SESSIONS - 1].date()
    market = WholeMarket(symbols, date(2010, 1, 4), last, fetches="at_hand")
    rows, writer = 0, None
    try:
        for unit in market.bar_units(market.days[0].date(), last):
            table = pa.Table.from_pandas(market.bars_of(unit).drop(columns="adj_factor"), preserve_index=False)
            writer = writer or pq.ParquetWriter(path, table.schema, compression="lz4")
            writer.write_table(table)
            rows += len(table)
    finally:
        if writer is not None:
            writer.close()
    return rows


if __name__ == "__main__":
    import json

    print(json.dumps(run("--quick" in sys.argv), indent=2))
