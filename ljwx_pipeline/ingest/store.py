"""One month into the lake: new sessions are appended, other content for a held session is a new version, never silent.

Not here: fetching (``bars.py``, ``tables.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from ljwx_pipeline.lake import Lake, TableVersion
from ljwx_pipeline.lake.store import SORT_KEYS


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
    held = _held(lake, table, month)
    if held is None:
        return StoredMonth(table, month, lake.write(table, rows, partition=month, known_at=known_at), len(rows), 0, None)
    asked = held["session_date"].isin(fetched)
    sessions_before = pd.DatetimeIndex(held["session_date"].unique())
    new = ~rows["session_date"].isin(sessions_before)
    changed = _changed_sessions(table, held[asked], rows[~new])
    if changed.empty and not new.any():
        version = next(version for version in lake.current(table) if version.partition == month)
        return StoredMonth(table, month, version, 0, 0, None)
    if changed.empty:
        version = lake.append(table, rows[new], partition=month, known_at=known_at)
        return StoredMonth(table, month, version, int(new.sum()), 0, None)
    whole = pd.concat([held[~asked], rows], ignore_index=True)
    version = lake.write(table, whole, partition=month, known_at=known_at)
    return StoredMonth(table, month, version, int(new.sum()), len(changed), (changed.min(), changed.max()))


def _held(lake: Lake, table: str, month: str) -> pd.DataFrame | None:
    if not lake.holds(table) or month not in {version.partition for version in lake.current(table)}:
        return None
    return lake.read(table, partitions=[month])


def _changed_sessions(table: str, before: pd.DataFrame, after: pd.DataFrame) -> pd.DatetimeIndex:
    """Return the session of every row that only one side has: a changed row counts once, by its key."""
    keys = SORT_KEYS[table]
    both = before.merge(after, how="outer", on=list(before.columns), indicator=True)
    odd = both.loc[both["_merge"] != "both"].drop_duplicates(keys)
    return pd.DatetimeIndex(odd["session_date"])
