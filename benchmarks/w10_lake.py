"""W10: ten years of daily bars, 300 symbols, from a Parquet file to checked bars in the lake, and read back as of then.

What is timed: read the file, split it into months, store them as raw (hash every month's content, force its data file
and manifest to disk), judge every row by the schema and every hard rule on bars beside securities, limits and
suspensions (``quality/checks.py``), and store what passed, with scores and quarantine, in the checked lake. With the
statistics (``quality/anomalies.py``), as the line judges, is timed beside it. Reading checks every file against its
hash and returns one frame. The disk's own speed is in the figures: every round goes to fresh folders.
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

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.whole_market import WholeMarket
from ljwx_pipeline.ingest.beside import BESIDE_BY_DATE
from ljwx_pipeline.ingest.judged import BAR_CHECKS, Judgement, judge_bars
from ljwx_pipeline.ingest.judged_block import merged
from ljwx_pipeline.ingest.plan import RAW_BARS
from ljwx_pipeline.ingest.released import read_releases
from ljwx_pipeline.lake import Lake, split_by_month
from ljwx_pipeline.lake.diff import diff_as_of
from ljwx_pipeline.market.tables import DATE_COLUMNS
from ljwx_pipeline.quality.checks import CHECKS
from ljwx_pipeline.quality.rule import Check
from ljwx_pipeline.sources.base import BarUnit

SYMBOLS, FIRST, LAST = 300, date(2015, 1, 5), date(2024, 12, 31)
#: Every hard rule on bars; the schema is judged with them.
HARD_RULES = tuple(check for check in CHECKS if check.name.startswith("bars."))

KNOWN = datetime(2025, 1, 1, tzinfo=UTC)
ROWS_A_SECOND = 1_000_000
READ_S = 1.0


def run(quick: bool = False) -> dict[str, Any]:
    """Return the result entry; ``quick`` takes a tenth of the symbols."""
    symbols = SYMBOLS // 10 if quick else SYMBOLS
    measured = measure(symbols, 2 if quick else 7)
    return {
        "id": "W10",
        "what": f"{measured['rows']} daily bars from Parquet to the checked lake, every hard rule judged",
        "ours": measured,
        "peer": None,
        "ratio": None,
        "ratio_goal": False,
        "goal": f"at least {ROWS_A_SECOND:,} rows a second; as_of read under {READ_S:g} s",
        "holds": measured["rows_a_second"] >= ROWS_A_SECOND and measured["as_of_read_s"] < READ_S,
        "command": "python -m benchmarks.w10_lake" + (" --quick" if quick else ""),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def measure(symbols: int, repeats: int) -> dict[str, Any]:
    """Return medians over ``repeats`` fresh lakes."""
    stored, walls, cpus, with_statistics, reads, month_reads, appends, diffs = ([] for _ in range(8))
    market = WholeMarket(symbols, FIRST, LAST, fetches="at_hand")
    with tempfile.TemporaryDirectory(prefix="ljwx-w10-") as folder:
        file = Path(folder) / "bars.parquet"
        bars = seeded_bars(market)
        pq.write_table(bars, file)
        for number in range(repeats):
            raw, checked = (Lake(Path(folder) / f"{name}{number}") for name in ("raw", "checked"))
            store_beside(market, raw)
            began, cpu = time.perf_counter(), time.process_time()
            stored.append(_seconds(lambda raw=raw: _store(raw, file)))
            judged = _judge(market, raw, checked, HARD_RULES)
            walls.append(time.perf_counter() - began)
            cpus.append(time.process_time() - cpu)
            other = Lake(Path(folder) / f"other{number}")
            judging = _seconds(lambda raw=raw, other=other: _judge(market, raw, other, BAR_CHECKS))
            with_statistics.append(stored[-1] + judging)
            assert judged == len(bars), "a clean row is in quarantine"
            reads.append(_seconds(lambda lake=checked: lake.read("bars", as_of=KNOWN)))
            month = {"first": date(2020, 1, 1), "last": date(2020, 1, 31), "columns": ["symbol", "close_cny"]}
            month_reads.append(_seconds(lambda lake=checked, month=month: lake.read("bars", as_of=KNOWN, **month)))
            _restate(checked)
            diffs.append(_seconds(lambda lake=checked: diff_as_of(lake, "bars", KNOWN)))
            appends.append(_seconds(lambda lake=checked: _append(lake)))
        size = sum(path.stat().st_size for path in raw.table_folder(RAW_BARS).rglob("*.parquet"))
    wall = statistics.median(walls)
    return {
        "rows": len(bars),
        "wall_s": round(wall, 4),
        "best_wall_s": round(min(walls), 4),
        "cpu_s": round(statistics.median(cpus), 4),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "rows_a_second": round(len(bars) / wall),
        "best_rows_a_second": round(len(bars) / min(walls)),
        "rows_a_cpu_second": round(len(bars) / statistics.median(cpus)),
        "store_raw_s": round(statistics.median(stored), 4),
        "store_raw_rows_a_second": round(len(bars) / statistics.median(stored)),
        "with_statistics_s": round(statistics.median(with_statistics), 4),
        "with_statistics_rows_a_second": round(len(bars) / statistics.median(with_statistics)),
        "as_of_read_s": round(statistics.median(reads), 4),
        "month_of_two_columns_read_s": round(statistics.median(month_reads), 4),
        "diff_of_every_month_s": round(statistics.median(diffs), 4),
        "append_one_session_s": round(statistics.median(appends), 4),
        "lake_mib": round(size / 2**20, 1),
    }


def seeded_bars(market: WholeMarket) -> pa.Table:
    """Return every bar of ``market``, in session order, that no rule refuses; the same for the same size."""
    frame = market.bars_of(BarUnit("all", market.days[0].date(), market.days[-1].date()))
    return pa.Table.from_pandas(frame, preserve_index=False)


def store_beside(market: WholeMarket, raw: Lake) -> None:
    """Store what bars are judged beside; not part of what is timed."""
    first, last = market.days[0].date(), market.days[-1].date()
    raw.write("securities", market.securities(), known_at=KNOWN)
    for name in BESIDE_BY_DATE:
        months = split_by_month(getattr(market, name)(first, last), column=DATE_COLUMNS.get(name, "session_date"))
        raw.write_partitions(name, months, known_at=KNOWN)


def _store(raw: Lake, file: Path) -> None:
    raw.write_partitions(RAW_BARS, split_by_month(pq.read_table(file)), known_at=KNOWN)


def _judge(market: WholeMarket, raw: Lake, checked: Lake, checks: tuple[Check, ...]) -> int:
    """Return how many rows passed."""
    judgement = Judgement(market.describe(), market.days, read_releases(raw), 0.2, "bench", checks)
    blocks = judge_bars(raw, checked, judgement, as_of=None, known_at=KNOWN)
    assert not any(result.blocks for result in merged(blocks))
    return sum(block.rows - block.quarantined_rows for block in blocks)


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
