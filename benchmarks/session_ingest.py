"""session_ingest: one session of the whole market from its arrival to checked bars in the lake.

The lake holds sixty sessions of 5,400 stocks, judged. A session arrives: its bars, price limits and suspensions are
ingested, and what changed is judged by every rule and statistic. The process is warm: the session before went the same
way. Great Expectations' report is made apart and is not part of it.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import tempfile
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from benchmarks.whole_market import WholeMarket, ingest_beside
from ljwx_pipeline.clock import utc_now
from ljwx_pipeline.ingest.bars import ingest_bars
from ljwx_pipeline.ingest.judged import Judgement, judge_bars
from ljwx_pipeline.ingest.released import read_releases
from ljwx_pipeline.lake import Lake

SYMBOLS, QUICK_SYMBOLS, HELD_SESSIONS, ARRIVALS = 5_400, 200, 60, 5
FIRST, LAST = date(2024, 1, 2), date(2024, 4, 30)
GOAL_S = 2.0


def run(quick: bool = False) -> dict[str, Any]:
    """Return the result entry; ``quick`` takes few symbols."""
    market = WholeMarket(QUICK_SYMBOLS if quick else SYMBOLS, FIRST, LAST)
    ingests, judgings, cpus, rows = [], [], [], []
    with tempfile.TemporaryDirectory(prefix="ljwx-session-") as folder:
        raw, checked = Lake(Path(folder) / "raw"), Lake(Path(folder) / "checked")
        for held in range(HELD_SESSIONS, HELD_SESSIONS + ARRIVALS + 2):
            market.published = market.days[held - 1].date()
            cpu, began = time.process_time(), time.perf_counter()
            report = ingest_bars(market, raw, FIRST, LAST, staging=Path(folder) / "staging", recheck_sessions=0)
            ingest_beside(market, raw, Path(folder))
            ingested = time.perf_counter()
            asked = Judgement(market.describe(), market.sessions(FIRST, LAST), read_releases(raw), 0.2, "bench")
            judge_bars(raw, checked, asked, as_of=None, known_at=utc_now())
            ingests.append(ingested - began)
            judgings.append(time.perf_counter() - ingested)
            cpus.append(time.process_time() - cpu)
            rows.append(report.added_rows)
        kept = len(checked.read("bars"))
    # the first brought sixty sessions, the second warmed the process
    walls = [ingest + judge for ingest, judge in zip(ingests[2:], judgings[2:], strict=True)]
    return {
        "id": "session_ingest",
        "what": f"one session of {len(market.names):,} stocks, {HELD_SESSIONS} held: ingested, judged, stored",
        "ours": {
            "rows": int(statistics.median(rows[2:])),
            "wall_s": round(statistics.median(walls), 3),
            "worst_wall_s": round(max(walls), 3),
            "ingest_s": round(statistics.median(ingests[2:]), 3),
            "judge_s": round(statistics.median(judgings[2:]), 3),
            "cpu_s": round(statistics.median(cpus[2:]), 3),
            "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        },
        "peer": None,
        "ratio": None,
        "ratio_goal": False,
        "goal": f"under {GOAL_S:g} s",
        "holds": max(walls) < GOAL_S and kept == sum(rows),
        "command": "python -m benchmarks.session_ingest" + (" --quick" if quick else ""),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


if __name__ == "__main__":
    print(json.dumps(run("--quick" in sys.argv), indent=2))
