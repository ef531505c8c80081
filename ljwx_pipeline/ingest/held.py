"""How far the lake reaches, read from its newest manifest alone: cheap enough for a schedule's tick.

Not here: every session held (``plan.held_sessions``).
"""

from __future__ import annotations

from datetime import date

from ljwx_pipeline.ingest.plan import RAW_BARS
from ljwx_pipeline.ingest.store import newest_version
from ljwx_pipeline.lake import Lake
from ljwx_pipeline.lake.store import folders_in


def last_session_held(lake: Lake, table: str = RAW_BARS) -> date | None:
    """Return the last session of which ``table``, kept by month, holds a row; None when it holds none.

    A manifest that does not say its sessions counts as the first day of its month.
    """
    for folder in reversed(folders_in(lake.table_folder(table))):
        version = newest_version(lake, table, folder.name)
        if version is not None and version.rows:
            return date.fromisoformat(folder.name) if version.sessions is None else version.sessions[1]
    return None
