"""W10: ten years of daily bars, 300 symbols, from a Parquet file into the lake, and read back as of an instant.

Storing is: read the file, split it into months, hash every month's content, and make each month durable (data file and
manifest forced to disk). Reading checks every file against its hash and returns one frame. The quality checks are W7's
and not part of it. The disk's own speed is in the figures: every round goes to a fresh folder.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.w1_alpha158 import SESSIONS, SYMBOLS, seeded_panel
from ljwx_pipeline.lake import Lake, split_by_month
from ljwx_pipeline.lake.diff import diff_as_of

KNOWN = datetime(2025, 1, 1, tzinfo=UTC)
STORED_ROWS_A_SECOND = 1_000_000
READ_S = 1.0


def run(quick: bool = False) -> dict[str, Any]:
    """Return the result entry; ``quick`` takes a tenth of the symbols."""
    symbols = SYMBOLS // 10 if quick else SYMBOLS
    measured = measure(symbols, 2 if quick else 7)
    return {
        "id": "W10",
        "what": f"{measured['rows']} daily bars from Parquet into the lake by month; wall s is storing them",
        "ours": measured,
        "peer": None,
        "ratio": None,
        "ratio_goal": False,
        "goal": f"store at least {STORED_ROWS_A_SECOND:,} rows a second; as_of read under {READ_S:g} s",
        "holds": measured["rows_a_second"] >= STORED_ROWS_A_SECOND and measured["as_of_read_s"] < READ_S,
        "command": "python -m benchmarks.w10_lake" + (" --quick" if quick else ""),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def measure(symbols: int, repeats: int) -> dict[str, Any]:
    """Return medians over ``repeats`` fresh lakes."""
    stored, cpus, reads, month_reads, appends, diffs = ([] for _ in range(6))
    with tempfile.TemporaryDirectory(prefix="ljwx-w10-") as folder:
        file = Path(folder) / "bars.parquet"
        bars = seeded_bars(symbols)
        pq.write_table(bars, file)
        for number in range(repeats):
            lake = Lake(Path(folder) / f"lake{number}")
            cpu = time.process_time()
            stored.append(_seconds(lambda lake=lake: _store(lake, file)))
            cpus.append(time.process_time() - cpu)
            reads.append(_seconds(lambda lake=lake: lake.read("bars", as_of=KNOWN)))
            year = {"first": date(2020, 1, 1), "last": date(2020, 1, 31), "columns": ["symbol", "close_cny"]}
            month_reads.append(_seconds(lambda lake=lake, year=year: lake.read("bars", as_of=KNOWN, **year)))
            _restate(lake)
            diffs.append(_seconds(lambda lake=lake: diff_as_of(lake, "bars", KNOWN)))
            appends.append(_seconds(lambda lake=lake: _append(lake)))
        size = sum(path.stat().st_size for path in lake.root.rglob("*.parquet"))
    wall = statistics.median(stored)
    return {
        "rows": len(bars),
        "wall_s": round(wall, 4),
        "best_wall_s": round(min(stored), 4),
        "cpu_s": round(statistics.median(cpus), 4),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "rows_a_second": round(len(bars) / wall),
        "best_rows_a_second": round(len(bars) / min(stored)),
        "as_of_read_s": round(statistics.median(reads), 4),
        "month_of_two_columns_read_s": round(statistics.median(month_reads), 4),
        "diff_of_every_month_s": round(statistics.median(diffs), 4),
        "append_one_session_s": round(statistics.median(appends), 4),
        "lake_mib": round(size / 2**20, 1),
    }


def seeded_bars(symbols: int) -> pa.Table:
    """Return canonical bars of random walks with suspensions, in session order; the same for the same size."""
    panel = seeded_panel(symbols, SESSIONS)
    fields = panel.fields
    traded = ~np.isnan(fields["close"].T)
    day, symbol = np.nonzero(traded)
    close = fields["close"].T[traded]
    volume = fields["volume"].T[traded]
    columns = {
        "symbol": pa.array(panel.symbols).take(pa.array(symbol)),
        "session_date": pa.array(panel.sessions.to_numpy().astype("M8[ns]")[day]),
        **{f"{name}_cny": pa.array(fields[name].T[traded]) for name in ("open", "high", "low", "close")},
        "pre_close_cny": pa.array(np.round(close * 0.999, 2)),
        "volume_shares": pa.array(volume),
        "amount_cny": pa.array(np.round(fields["vwap"].T[traded] * volume, 2)),
        "adj_factor": pa.array(1.0 + day // 500 * 0.1),
    }
    return pa.table(columns)


def _store(lake: Lake, file: Path) -> None:
    lake.write_partitions("bars", split_by_month(pq.read_table(file)), known_at=KNOWN)


def _restate(lake: Lake) -> None:
    """Change one close in a hundred, in every month."""
    bars = lake.read("bars")
    bars.loc[::100, "close_cny"] += 0.01
    lake.write_partitions("bars", split_by_month(bars), known_at=KNOWN + timedelta(days=1))


def _append(lake: Lake) -> None:
    """Add one session of the newest month's symbols under a month of its own size."""
    newest = lake.current("bars")[-1]
    rows = lake.read("bars", partitions=[newest.partition])
    last = rows["session_date"].max()
    fresh = rows[rows["session_date"] == last].assign(session_date=last + pd.Timedelta(days=1))
    lake.append("bars", fresh, partition=newest.partition, known_at=KNOWN + timedelta(days=2))


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    print(json.dumps(run("--quick" in sys.argv), indent=2))
