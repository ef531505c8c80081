"""An ingest of a history that came back different, killed at every point where it touches the disk.

``python -m tests.ingest.crashing BASE OUT``: as ``tests.lake.crashing``, of what the asset ``raw_bars`` does.
"""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime
from pathlib import Path

from ljwx_pipeline.clock import ManualClock
from ljwx_pipeline.ingest.bars import ingest_bars
from ljwx_pipeline.ingest.rewrites import begin_ingest, note_rewrites
from ljwx_pipeline.lake import Lake
from tests.fakes.remote_source import RemoteSource
from tests.lake.crashing import killed_at_every_point

FIRST, LAST = date(2024, 1, 2), date(2024, 2, 29)


def ingest(home: Path, source: RemoteSource, *, day: int) -> None:
    """Bring the lake at ``home`` up to ``source`` on a day of March."""
    lake, clock = Lake(home / "lake"), ManualClock(datetime(2024, 3, day, tzinfo=UTC))
    begin_ingest(home / "rewrites.json", lake)
    ingest_bars(source, lake, FIRST, LAST, staging=home / "staging", recheck_sessions=1, clock=clock)
    note_rewrites(home / "rewrites.json", lake, max_frac=0.2)


def restating_source() -> RemoteSource:
    """Return a source that tells January otherwise than the one before it."""
    source = RemoteSource(LAST, fetches="at_hand")
    january = source.sessions(FIRST, date(2024, 1, 31))
    for symbol in source.securities()["symbol"]:
        source.restated |= {(symbol, f"{day:%Y-%m-%d}"): 77.0 for day in january}
    source.market.bars(FIRST, LAST)  # computed once, not by every copy
    return source


if __name__ == "__main__":
    restating = restating_source()
    sys.exit(killed_at_every_point(Path(sys.argv[1]), Path(sys.argv[2]), lambda copy: ingest(copy, restating, day=2)))
