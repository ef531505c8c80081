"""Partitions of the few assets that have them.

Raw bars are partitioned by month: every partition of every partitioned asset costs two rows of Dagster's event log
(about 20 ms each), so sessions would be too fine and years too coarse for a daily increment.
"""

from __future__ import annotations

from datetime import date

import dagster as dg

from ljwx_pipeline.config import OPEN, SourceSettings


def month_partitions(source: SourceSettings) -> dg.MonthlyPartitionsDefinition:
    """Return one partition a month from the source's first session to its last or, while that is open, on and on.

    Without the offset a month would be a partition only once it is over, and no session could be loaded on its day.
    """
    return dg.MonthlyPartitionsDefinition(
        start_date=source.first_session.replace(day=1).isoformat(),
        end_date=None if source.last_session == OPEN else _next_month(source.last_session).isoformat(),
        end_offset=1,
    )


def range_tags(first_key: str, last_key: str) -> dict[str, str]:
    """Return the run tags of a single-run backfill from ``first_key`` to ``last_key``, inclusive."""
    return {"dagster/asset_partition_range_start": first_key, "dagster/asset_partition_range_end": last_key}


def _next_month(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)
