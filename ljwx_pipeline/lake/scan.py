"""Reading versions: every file held to its hash, only the sessions and columns asked for decoded.

Not here: which version an instant sees (``partition.py``, ``store.py``).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.lake.atomic_parquet import open_parquet
from ljwx_pipeline.lake.keys import SESSION, SORT_KEYS
from ljwx_pipeline.lake.manifest import DataFile, TableVersion, manifest_path, read_manifest
from ljwx_pipeline.lake.partition import folder_named, read_retired
from ljwx_pipeline.lake.rows import between, concatenated, ordered
from ljwx_pipeline.lake.shared_files import damage_told
from ljwx_pipeline.lake.threads import in_threads

#: Files read at a time: decoding runs outside the interpreter's lock.
THREADS = 2


@dataclass(frozen=True)
class Selection:
    """What part of a table is asked for: columns (all, when None) and sessions, both ends inclusive."""

    columns: tuple[str, ...] | None = None
    first: date | None = None
    last: date | None = None

    @property
    def by_session(self) -> bool:
        """Whether sessions are left out."""
        return self.first is not None or self.last is not None

    def misses(self, sessions: tuple[date, date] | None) -> bool:
        """Return whether rows of these first and last sessions cannot be among those asked for."""
        if sessions is None:
            return False
        return (self.last is not None and sessions[0] > self.last) or (
            self.first is not None and sessions[1] < self.first
        )

    def holds(self, sessions: tuple[date, date] | None) -> bool:
        """Return whether every row of these first and last sessions is among those asked for."""
        if not self.by_session or sessions is None:
            return not self.by_session
        return (self.first is None or sessions[0] >= self.first) and (self.last is None or sessions[1] <= self.last)


EVERYTHING = Selection()


def rows_of(versions: Sequence[TableVersion], selection: Selection = EVERYTHING) -> pa.Table:
    """Return the rows of ``versions`` of one table, in the table's row order, text as dictionaries.

    Raises
    ------
    LakeError
        When versions disagree on their columns, one asked for does not exist, or a file is missing or damaged.
    """
    versions = [item for item in versions if not selection.misses(item.sessions)] or list(versions[:1])
    columns = _agreed_columns(versions)
    wanted = list(columns) if selection.columns is None else list(dict.fromkeys(selection.columns))
    table = versions[0].table
    unknown = [name for name in wanted if name not in columns]
    if unknown:
        raise LakeError(f"table {table} has no column {', '.join(unknown)}", f"name some of: {', '.join(columns)}")
    if selection.by_session and SESSION not in columns:
        raise LakeError(f"table {table} has no {SESSION}", "read it whole, without a first and last session")
    several = not _one_after_another(table, versions)
    helpers = [*(SORT_KEYS.get(table, []) if several else []), *([SESSION] if selection.by_session else [])]
    read = [*wanted, *(name for name in dict.fromkeys(helpers) if name in columns and name not in wanted)]
    parts = in_threads(lambda version: _version_rows(version, read, selection), versions, THREADS)
    rows = concatenated([part for tables in parts for part in tables])
    rows = ordered(table, rows) if several else rows
    return rows.select(wanted) if len(read) > len(wanted) or rows.column_names != wanted else rows


def _one_after_another(table: str, versions: Sequence[TableVersion]) -> bool:
    """Return whether the files' rows, each file's in the table's order, are in it together: by their sessions alone."""
    files = [file for version in versions for file in version.files]
    if len(files) == 1:
        return True
    spans = [file.sessions for file in files if file.rows]
    if SORT_KEYS.get(table, [""])[0] != SESSION or None in spans:
        return False
    known = [span for span in spans if span is not None]
    return all(earlier[1] < later[0] for earlier, later in itertools.pairwise(known))


def _agreed_columns(versions: Sequence[TableVersion]) -> tuple[str, ...]:
    columns = versions[0].columns
    for version in versions:
        if version.columns != columns:
            raise LakeError(
                f"{version.table}/{version.partition} has columns {list(version.columns)}, "
                f"{version.table}/{versions[0].partition} has {list(columns)}",
                "load the older partition again",
            )
    return columns


def _version_rows(version: TableVersion, columns: Sequence[str], selection: Selection) -> list[pa.Table]:
    """Return one table a file, none of them empty unless all are."""
    while True:
        chosen = [file for file in version.files if not selection.misses(file.sessions)] or list(version.files[:1])
        try:
            return [_named_rows(version.folder / file.name, file, columns, selection) for file in chosen]
        except LakeError:
            moved = _moved(version)
            if moved is None:
                raise
            version = moved


def _moved(version: TableVersion) -> TableVersion | None:
    """Return the version as its manifest says now, when compaction came between; None when nothing did.

    Raises
    ------
    LakeError
        When retention came between.
    """
    if version.version in read_retired(version.folder):
        raise LakeError(
            f"version {version.version} of {version.table}/{version.partition} was removed by retention",
            "ask for a later instant, or pin what must stay with a dataset",
        ) from None
    try:
        now = read_manifest(manifest_path(version.folder, version.version))
    except (FileNotFoundError, LakeError):
        return None
    return None if now.files == version.files else now


def _named_rows(path: Path, file: DataFile, columns: Sequence[str], selection: Selection) -> pa.Table:
    """Return a file's rows; when it is damaged, name every folder to delete."""
    try:
        with folder_named(path.parent):
            return _file_rows(path, file, columns, selection)
    except LakeError as error:
        raise damage_told(path, sha256=file.sha256) or error from error.__cause__


def _file_rows(path: Path, file: DataFile, columns: Sequence[str], selection: Selection) -> pa.Table:
    opened = open_parquet(path, sha256=file.sha256, columns=columns)
    try:
        if selection.holds(file.sessions):
            rows = opened.read(columns=list(columns), use_threads=False).select(list(columns))
            undated = selection.by_session and rows.column(SESSION).null_count
            return between(rows, selection.first, selection.last) if undated else rows
        groups = _groups_within(opened, selection)
        return between(
            opened.read_row_groups(groups, columns=list(columns), use_threads=False), selection.first, selection.last
        ).select(list(columns))
    except (pa.ArrowInvalid, OSError) as error:
        raise LakeError(f"{path} is damaged: not readable as Parquet ({error})", "load the data again") from error


def _groups_within(opened: Any, selection: Selection) -> list[int]:
    """Return the row groups that may hold sessions asked for, by the file's own statistics."""
    metadata = opened.metadata
    everyone = list(range(metadata.num_row_groups))
    if not selection.by_session:
        return everyone
    position = opened.schema_arrow.get_field_index(SESSION)
    statistics = [metadata.row_group(group).column(position).statistics for group in everyone]
    return [group for group in everyone if not selection.misses(_span(statistics[group]))]


def _span(statistics: Any) -> tuple[date, date] | None:
    if statistics is None or not statistics.has_min_max:
        return None
    return pd.Timestamp(statistics.min).date(), pd.Timestamp(statistics.max).date()
