"""When each session's bars first became known, read from the manifests alone: whether a daily feed is late.

Not here: what lateness costs (``quality/score.py``) and when it is reported (``quality/history.py``).
"""

from __future__ import annotations

from datetime import datetime

import pandas as pd

from ljwx_pipeline.ingest.plan import RAW_BARS, months_of
from ljwx_pipeline.lake import Lake
from ljwx_pipeline.lake.partition import Partition
from ljwx_pipeline.market.calendar import session_closes
from ljwx_pipeline.market.tables import SourceDescription
from ljwx_pipeline.quality.history import lag_hours

#: What came later than this after its close was loaded as history, and is not late.
BACKFILL_DAYS = 10.0


def arrivals(lake: Lake, description: SourceDescription, sessions: pd.DatetimeIndex) -> pd.Series:
    """Return the instant (UTC) of the first version of ``raw_bars`` that held each of ``sessions``.

    NaT for a session that was loaded as history (it was over when the market was first loaded, or came more than
    ``BACKFILL_DAYS`` after its close), whose first version retention removed or does not name its sessions,
    and throughout for a source that has everything at hand: such rows were not waited for.
    """
    known = pd.Series(pd.NaT, index=sessions, dtype="datetime64[us, UTC]")
    if description.fetches == "at_hand":
        return known
    for month in months_of(sessions):
        partition = Partition(lake.partition_folder(RAW_BARS, month))
        seen = max(partition.retired, default=0) > 0
        reached = pd.Timestamp.min
        for version in partition.versions:
            if version.sessions is None:
                break
            first, last = (pd.Timestamp(day) for day in version.sessions)
            if not seen:
                known.loc[(sessions >= first) & (sessions <= last) & (sessions > reached)] = version.known_at
            seen, reached = False, max(reached, last)
    known = known.where(lag_hours(sessions, known) <= BACKFILL_DAYS * 24)
    if (first_load := _first_load(lake) if known.notna().any() else None) is not None:
        known = known.where(session_closes(sessions) > pd.Timestamp(first_load))
    return known


def _first_load(lake: Lake) -> datetime | None:
    """Return the instant at which the market's first bars became known."""
    known = [partition.first_known_at for partition in lake.partitions(RAW_BARS)]
    return min((instant for instant in known if instant is not None), default=None)
