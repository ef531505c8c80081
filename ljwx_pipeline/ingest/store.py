"""One month into the lake: new sessions are appended, other content for a held session is a new version, never silent.

A month is read, compared and written: ``only_ingest`` keeps a second ingest of the market from writing in between.

Not here: fetching (``bars.py``, ``tables.py``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from ljwx_pipeline.clock import SHANGHAI, utc_now
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.lake import Lake, TableVersion
from ljwx_pipeline.lake.keys import SORT_KEYS
from ljwx_pipeline.lake.locking import exclusive
from ljwx_pipeline.lake.partition import Partition
from ljwx_pipeline.lake.store import read_versions
from ljwx_pipeline.market.tables import DATE_COLUMNS

#: A second ingest waits so long: for another table, not for another backfill.
LOCK_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class StoredMonth:
    """What became of one month's rows.

    Parameters
    ----------
    table, month
        Partition of the lake.
    version
        The version that now holds it, and its number of rows.
    added_rows, restated_rows
        Rows of sessions not held before; rows of held sessions that came, went or changed.
    restated_sessions
        First and last session with such a row; None without one.
    """

    table: str
    month: str
    version: TableVersion
    added_rows: int
    restated_rows: int
    restated_sessions: tuple[pd.Timestamp, pd.Timestamp] | None


@contextmanager
def only_ingest(lake: Lake, *, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[None]:
    """Be the only ingest of the lake's market, across processes, for the ``with`` block; it does not nest.

    Raises
    ------
    LakeError
        When another ingest still goes on after ``timeout_s`` seconds, named by its process and its start.
    """
    lock_file = lake.root.parent / "ingest.lock"
    with ExitStack() as held:
        try:
            held.enter_context(exclusive(lock_file, timeout_s=timeout_s))
        except LakeError as error:
            if isinstance(error.__cause__, OSError):
                raise
            raise LakeError(
                f"{lock_file.parent} is being loaded by {lock_file.read_text(encoding='utf-8') or 'another process'}",
                "wait for it or stop it, then run again: what is stored stays",
            ) from None
        lock_file.write_text(f"process {os.getpid()} since {utc_now():%Y-%m-%d %H:%M:%S} UTC", encoding="utf-8")
        yield


def store_month(
    lake: Lake, table: str, month: str, rows: pd.DataFrame, fetched: pd.DatetimeIndex, known_at: datetime
) -> StoredMonth:
    """Store ``rows`` of one month as known at ``known_at``.

    Parameters
    ----------
    rows
        Every row the source gives for the sessions of ``fetched`` that lie in the month.
    fetched
        Sessions that were asked for: what the lake holds of other sessions stays; a held row of these that ``rows``
        lacks is gone.
    """
    newest = newest_version(lake, table, month)
    if newest is None:
        return StoredMonth(
            table, month, lake.write(table, rows, partition=month, known_at=known_at), len(rows), 0, None
        )
    held = read_versions([newest])
    days_held = days_of(table, held)
    asked = days_held.isin(fetched)
    new = ~days_of(table, rows).isin(days_held.unique())
    changed = changed_days(table, held[asked], rows[~new])
    if changed.empty and not new.any():
        return StoredMonth(table, month, newest, 0, 0, None)
    if changed.empty:
        version = lake.append(table, rows[new], partition=month, known_at=known_at)
        return StoredMonth(table, month, version, int(new.sum()), 0, None)
    whole = pd.concat([held[~asked], rows], ignore_index=True)
    version = lake.write(table, whole, partition=month, known_at=known_at)
    return StoredMonth(table, month, version, int(new.sum()), len(changed), (changed.min(), changed.max()))


def store_whole_months(
    lake: Lake, table: str, months: Mapping[str, pd.DataFrame], known_at: datetime
) -> list[StoredMonth]:
    """Store months of which ``months`` holds every row; as ``store_month`` does, but many at a time."""
    before = {month: newest_version(lake, table, month) for month in months}
    stored = []
    for version in lake.write_partitions(table, months, known_at=known_at):
        month = version.partition
        earlier, rows = before[month], months[month]
        if earlier is None:
            stored.append(StoredMonth(table, month, version, len(rows), 0, None))
        elif earlier.version == version.version:
            stored.append(StoredMonth(table, month, version, 0, 0, None))
        else:
            held = read_versions([earlier])
            new = ~days_of(table, rows).isin(days_of(table, held).unique())
            changed = changed_days(table, held, rows[~new])
            span = (changed.min(), changed.max()) if len(changed) else None
            stored.append(StoredMonth(table, month, version, int(new.sum()), len(changed), span))
    return stored


def newest_version(lake: Lake, table: str, month: str) -> TableVersion | None:
    """Return the newest version of the partition ``month`` of ``table``; None when there never was one."""
    return Partition(lake.partition_folder(table, month)).newest


def days_of(table: str, frame: pd.DataFrame) -> pd.Series:
    """Return the day of each row: of its instant in Asia/Shanghai where the table is dated by one."""
    column: pd.Series = frame[DATE_COLUMNS.get(table, "session_date")]
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_convert(SHANGHAI).dt.tz_localize(None).dt.normalize()
    return column


def changed_days(table: str, before: pd.DataFrame, after: pd.DataFrame) -> pd.DatetimeIndex:
    """Return the day of every row that only one side has; a changed row counts once, by its key."""
    if before.reset_index(drop=True).equals(after.reset_index(drop=True)):
        return pd.DatetimeIndex([])
    both = before.merge(after, how="outer", on=list(before.columns), indicator=True)
    odd = both.loc[both["_merge"] != "both"].drop_duplicates(SORT_KEYS[table])
    return pd.DatetimeIndex(days_of(table, odd))
