"""What changed between two states of a table: keys added and removed, rows changed, columns from what to what.

Whole columns are compared at once; only partitions whose content hash differs are read. Not here: which partitions two
datasets pin (``catalogue.py``), every version of one row (``row_history.py``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ljwx_pipeline.lake.content_hash import combined_hash
from ljwx_pipeline.lake.keys import SORT_KEYS, joined_codes, key_codes, keys_of, positions
from ljwx_pipeline.lake.manifest import TableVersion
from ljwx_pipeline.lake.reads import Read, ReadsJournal
from ljwx_pipeline.lake.scan import rows_of
from ljwx_pipeline.lake.store import Lake

SAMPLE_ROWS = 20


@dataclass(frozen=True)
class RowChange:
    """One changed row: its key, and of each changed column what it was and what it is."""

    key: Mapping[str, Any]
    columns: Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True)
class TableDiff:
    """What changed between two states of one table.

    Parameters
    ----------
    table
        Its name.
    rows_before, rows_after
        Rows of the whole table.
    added, removed, changed
        Rows whose key is new, is gone, or whose other columns differ.
    changed_by_column
        Rows in which each column differs; columns without a difference are left out.
    columns_added, columns_removed
        Columns that only one side has; they are not compared.
    partitions
        Partitions whose content differs.
    changed_sample, added_sample, removed_sample
        The first few of each, in row order.
    readers
        Recorded reads that saw what is no longer so.
    """

    table: str
    rows_before: int
    rows_after: int
    added: int = 0
    removed: int = 0
    changed: int = 0
    changed_by_column: Mapping[str, int] | None = None
    columns_added: tuple[str, ...] = ()
    columns_removed: tuple[str, ...] = ()
    partitions: tuple[str, ...] = ()
    changed_sample: tuple[RowChange, ...] = ()
    added_sample: tuple[Mapping[str, Any], ...] = ()
    removed_sample: tuple[Mapping[str, Any], ...] = ()
    readers: tuple[Read, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether both states say the same."""
        return not (self.added or self.removed or self.changed or self.columns_added or self.columns_removed)

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON, dates as text."""
        return {
            "table": self.table,
            "rows_before": self.rows_before,
            "rows_after": self.rows_after,
            "added": self.added,
            "removed": self.removed,
            "changed": self.changed,
            "changed_by_column": dict(self.changed_by_column or {}),
            "columns_added": list(self.columns_added),
            "columns_removed": list(self.columns_removed),
            "partitions": list(self.partitions),
            "changed_sample": [
                {
                    "key": plain_values(row.key),
                    "columns": {
                        name: {"before": plain_value(before), "after": plain_value(after)}
                        for name, (before, after) in row.columns.items()
                    },
                }
                for row in self.changed_sample
            ],
            "added_sample": [plain_values(row) for row in self.added_sample],
            "removed_sample": [plain_values(row) for row in self.removed_sample],
            "readers": [
                {"reader": item.reader, "run_id": item.run_id, "at": item.at.isoformat()} for item in self.readers
            ],
        }


def diff_as_of(
    lake: Lake,
    table: str,
    before: datetime,
    after: datetime | None = None,
    *,
    keys: Sequence[str] | None = None,
    sample_rows: int = SAMPLE_ROWS,
) -> TableDiff:
    """Return what changed in ``table`` between two instants (``after``: now, when None).

    Raises
    ------
    LakeError
        When nothing was known at one of them, or a file is damaged.
    """
    return diff_versions(
        lake,
        lake.current(table, as_of=before),
        lake.current(table, as_of=after),
        keys=keys,
        sample_rows=sample_rows,
    )


def diff_versions(
    lake: Lake,
    before: Sequence[TableVersion],
    after: Sequence[TableVersion],
    *,
    keys: Sequence[str] | None = None,
    sample_rows: int = SAMPLE_ROWS,
) -> TableDiff:
    """Return what changed between two sets of versions of one table, with the reads that saw the old ones.

    Parameters
    ----------
    lake
        The lake they are in.
    before, after
        At most one version a partition each, as ``Lake.current`` or ``Catalogue.versions`` return them.
    keys
        What identifies a row, for a table that is not canonical.
    sample_rows
        How many changed, added and removed rows are given in full.
    """
    table = (*before, *after)[0].table
    old = {version.partition: version for version in before}
    new = {version.partition: version for version in after}
    differing = [name for name in sorted({*old, *new}) if _hash_of(old.get(name)) != _hash_of(new.get(name))]
    result = TableDiff(
        table, sum(version.rows for version in before), sum(version.rows for version in after), changed_by_column={}
    )
    if not differing:
        return result
    old_rows, new_rows = _rows(old, differing), _rows(new, differing)
    if old_rows is None or new_rows is None:
        empty = (old_rows if new_rows is None else new_rows).slice(0, 0)
        old_rows, new_rows = (empty if rows is None else rows for rows in (old_rows, new_rows))
    found = diff_rows(table, old_rows, new_rows, keys=keys, sample_rows=sample_rows)
    outdated = {old[name].content_hash for name in differing if name in old}
    outdated.add(combined_hash({name: version.content_hash for name, version in old.items()}))
    return replace(
        found,
        rows_before=result.rows_before,
        rows_after=result.rows_after,
        partitions=tuple(differing),
        readers=tuple(ReadsJournal(lake).readers_of_any(table, outdated)),
    )


def diff_rows(
    table: str,
    old: pa.Table,
    new: pa.Table,
    *,
    keys: Sequence[str] | None = None,
    sample_rows: int = SAMPLE_ROWS,
) -> TableDiff:
    """Return what changed between two Arrow tables of rows.

    Missing values are equal to each other, as is every NaN. Where nothing says what identifies a row, the whole row
    does: then rows are added and removed, none changed. Of a repeated key the second row is compared with the
    second.
    """
    shared = [name for name in new.column_names if name in old.column_names]
    names = keys_of(table, shared, keys) if keys or table in SORT_KEYS else shared
    old_codes, new_codes, size = key_codes(old, new, names, count_repeats=True)
    places = positions(new_codes, old_codes, size)
    matched = np.flatnonzero(places >= 0)
    partners = places[matched]
    kept = np.zeros(len(old), dtype=bool)
    kept[partners] = True
    any_change = np.zeros(len(matched), dtype=bool)
    masks: dict[str, NDArray[np.bool_]] = {}
    for name in shared:
        if name not in names:
            mask = _differs(old.column(name), new.column(name), partners, matched)
            if mask.any():
                masks[name] = mask
                any_change |= mask
    sampled = np.flatnonzero(any_change)[:sample_rows]
    added = np.flatnonzero(places < 0)
    removed = np.flatnonzero(~kept)
    return TableDiff(
        table=table,
        rows_before=len(old),
        rows_after=len(new),
        added=len(added),
        removed=len(removed),
        changed=int(any_change.sum()),
        changed_by_column={name: int(mask.sum()) for name, mask in masks.items()},
        columns_added=tuple(name for name in new.column_names if name not in shared),
        columns_removed=tuple(name for name in old.column_names if name not in shared),
        changed_sample=_changes(old, new, names, masks, sampled, partners, matched),
        added_sample=tuple(_taken(new, added[:sample_rows])),
        removed_sample=tuple(_taken(old, removed[:sample_rows])),
    )


def plain_value(value: Any) -> Any:
    """Return a stored value as JSON can hold it: NaN as null, an instant as text, midnight as its date."""
    if value is None or value is pd.NaT:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, datetime):
        stamp = pd.Timestamp(value)
        is_day = stamp.tzinfo is None and stamp == stamp.normalize()
        return stamp.date().isoformat() if is_day else stamp.isoformat()
    return value


def plain_values(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as JSON can hold it."""
    return {name: plain_value(value) for name, value in row.items()}


def _rows(versions: Mapping[str, TableVersion], names: Sequence[str]) -> Any:
    chosen = [versions[name] for name in names if name in versions]
    return rows_of(chosen) if chosen else None


def _hash_of(version: TableVersion | None) -> str | None:
    return None if version is None else version.content_hash


def _differs(
    old: pa.ChunkedArray, new: pa.ChunkedArray, old_rows: NDArray[np.int64], new_rows: NDArray[np.int64]
) -> NDArray[np.bool_]:
    if pa.types.is_floating(old.type) and pa.types.is_floating(new.type):
        before, after = old.to_numpy()[old_rows], new.to_numpy()[new_rows]
        floats: NDArray[np.bool_] = (before != after) & ~(np.isnan(before) & np.isnan(after))
        return floats
    codes = joined_codes(old, new)
    differing: NDArray[np.bool_] = codes[0][old_rows] != codes[1][new_rows]
    return differing


def _changes(
    old: pa.Table,
    new: pa.Table,
    keys: Sequence[str],
    masks: Mapping[str, NDArray[np.bool_]],
    sampled: NDArray[np.int64],
    partners: NDArray[np.int64],
    matched: NDArray[np.int64],
) -> tuple[RowChange, ...]:
    before, after = _taken(old, partners[sampled]), _taken(new, matched[sampled])
    return tuple(
        RowChange(
            key={name: now[name] for name in keys},
            columns={name: (was[name], now[name]) for name, mask in masks.items() if mask[row]},
        )
        for row, was, now in zip(sampled, before, after, strict=True)
    )


def _taken(table: pa.Table, rows: NDArray[np.int64]) -> list[dict[str, Any]]:
    taken: list[dict[str, Any]] = table.take(pa.array(rows)).to_pylist()
    return taken
