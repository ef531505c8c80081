"""backfill_memory: ten years of the whole market into the lake and through every check, within 1.5 GiB.

5,400 stocks over the exchange's sessions of ten years, asked for session by session and then, into another lake, symbol
by symbol: ingest the bars, ingest the price limits and suspensions beside them, judge every bar by every rule and
statistic, and every other table by its own. The source is a seeded generator (``whole_market.py``) whose cost and
memory are in the figures.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

from benchmarks.whole_market import WholeMarket, ingest_beside
from ljwx_pipeline.clock import utc_now
from ljwx_pipeline.ingest.bars import ingest_bars
from ljwx_pipeline.ingest.judged import Judgement, judge_bars
from ljwx_pipeline.ingest.judged_block import merged
from ljwx_pipeline.ingest.judged_tables import judge_tables
from ljwx_pipeline.ingest.released import read_releases
from ljwx_pipeline.lake import Lake

SYMBOLS, FIRST, LAST = 5_400, date(2015, 1, 5), date(2024, 12, 31)
QUICK_SYMBOLS, QUICK_FIRST = 200, date(2024, 7, 1)
GOAL_MIB = 1_536.0


def run(quick: bool = False) -> dict[str, Any]:
    """Return the result entry; ``quick`` takes few symbols and half a year."""
    wall, cpu = time.perf_counter(), time.process_time()
    market = WholeMarket(QUICK_SYMBOLS if quick else SYMBOLS, QUICK_FIRST if quick else FIRST, LAST)
    by_session = backfilled(market, "by_session", judged=True)
    by_symbol = backfilled(market, "by_symbol", judged=False)
    peak = _peak_mib()
    return {
        "id": "backfill_memory",
        "what": f"{by_session['rows']:,} bars of {len(market.names):,} stocks into the lake, every one checked",
        "ours": {
            "wall_s": round(time.perf_counter() - wall, 1),
            "cpu_s": round(time.process_time() - cpu, 1),
            "peak_mib": peak,
            "by_session": by_session,
            "by_symbol": by_symbol,
        },
        "peer": None,
        "ratio": None,
        "ratio_goal": False,
        "goal": f"peak memory below {GOAL_MIB / 1024:g} GiB, nothing lost, nothing clean refused",
        "holds": peak < GOAL_MIB and all(part["complete"] for part in (by_session, by_symbol)),
        "command": "python -m benchmarks.backfill_memory" + (" --quick" if quick else ""),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def backfilled(market: WholeMarket, fetches: Literal["by_session", "by_symbol"], *, judged: bool) -> dict[str, Any]:
    """Return seconds, rows and memory of a backfill into a fresh lake."""
    market.fetches = fetches
    first, last = market.days[0].date(), market.days[-1].date()
    with tempfile.TemporaryDirectory(prefix="ljwx-backfill-") as folder:
        raw, checked = Lake(Path(folder) / "raw"), Lake(Path(folder) / "checked")
        began = time.perf_counter()
        report = ingest_bars(market, raw, first, last, staging=Path(folder) / "staging", recheck_sessions=0)
        ingested = time.perf_counter()
        measured: dict[str, Any] = {
            "rows": report.added_rows,
            "ingest_s": round(ingested - began, 1),
            "ingest_rows_a_second": round(report.added_rows / (ingested - began)),
            "peak_after_ingest_mib": _peak_mib(),
            "complete": report.added_rows == int(market.traded.sum()),
        }
        if judged:
            ingest_beside(market, raw, Path(folder))
            began = time.perf_counter()
            asked = Judgement(market.describe(), market.days, read_releases(raw), 0.2, "bench")
            blocks = judge_bars(raw, checked, asked, as_of=None, known_at=utc_now())
            judged_s = time.perf_counter() - began
            results = [*merged(blocks), *judge_tables(raw, market.describe(), market.days)]
            kept = sum(version.rows for version in checked.current("bars"))
            measured |= {
                "judge_s": round(judged_s, 1),
                "judge_rows_a_second": round(report.added_rows / judged_s),
                "judge_tables_s": round(time.perf_counter() - began - judged_s, 1),
                "peak_after_judging_mib": _peak_mib(),
                "broken": [result.name for result in results if not result.passed],
                "complete": measured["complete"] and kept == report.added_rows,
            }
    return measured


def _peak_mib() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


if __name__ == "__main__":
    print(json.dumps(run("--quick" in sys.argv), indent=2))
