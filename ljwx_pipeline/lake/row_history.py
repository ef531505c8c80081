"""The restatement story of one row: every version in which it said something else, and when that became known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.lake.content_hash import content_hash
from ljwx_pipeline.lake.keys import SESSION
from ljwx_pipeline.lake.manifest import TableVersion
from ljwx_pipeline.lake.scan import Selection, rows_of
from ljwx_pipeline.lake.store import Lake


@dataclass(frozen=True)
class RowVersion:
    """What one version of a partition says of the row.

    Parameters
    ----------
    partition, version
        Which version first said so.
    known_at
        Instant (UTC) from which it was known.
    rows
        The rows of that key: none when the version has taken it out, several when it is repeated.
    """

    partition: str
    version: int
    known_at: datetime
    rows: tuple[Mapping[str, Any], ...]


def row_history(lake: Lake, table: str, *, symbol: str, session: date) -> list[RowVersion]:
    """Return what the lake said of one symbol's session, oldest first; versions that say the same are told once.

    Raises
    ------
    LakeError
        When the table has no symbol or session column, or no version that is there holds the row.
    """
    selection = Selection(first=session, last=session)
    story: list[RowVersion] = []
    for partition in lake.partitions(table):
        said: str | None = None
        for version in partition.versions:
            rows = _row(version, symbol, selection)
            saying = content_hash(rows) if len(rows) else None
            if saying != said:
                said = saying
                story.append(RowVersion(version.partition, version.version, version.known_at, tuple(rows.to_pylist())))
    if not story:
        raise LakeError(f"{table} has no row of {symbol} on {session}", "check the symbol and the session")
    return sorted(story, key=lambda item: item.known_at)


def _row(version: TableVersion, symbol: str, selection: Selection) -> pa.Table:
    for column in ("symbol", SESSION):
        if column not in version.columns:
            raise LakeError(f"table {version.table} has no column {column}", "ask for a table of symbols and sessions")
    rows = rows_of([version], selection)
    return rows.filter(pc.equal(rows.column("symbol").cast(pa.string()), symbol))
