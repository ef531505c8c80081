"""The lake: append-only tables in two times, when a row happened (its date column) and when it was known.

Layout: ``ROOT/TABLE/PARTITION/v00000001.json`` beside ``v00000001-HASH.parquet``. A version exists once its manifest
does; data files without one are remains of a writer that died and are ignored.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.lake.atomic_parquet import read_parquet, write_parquet
from ljwx_pipeline.lake.content_hash import combined_hash, content_hash
from ljwx_pipeline.lake.locking import exclusive
from ljwx_pipeline.lake.manifest import PATTERN, TableVersion, read_manifest, write_manifest

LOCK_TIMEOUT_S = 60.0
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")

#: Row order of the canonical tables, on disk and as read; a table not named here keeps the order it was given in.
SORT_KEYS = {
    "bars": ["session_date", "symbol"],
    "raw_bars": ["session_date", "symbol"],
    "index_bars": ["session_date", "index_code"],
    "securities": ["symbol"],
    "st_spells": ["symbol", "start_date"],
    "industries": ["symbol", "start_date"],
    "index_members": ["index_code", "symbol", "start_date"],
    "market_values": ["session_date", "symbol"],
    "corporate_actions": ["ex_date", "symbol"],
    "news": ["published_at", "symbol", "title"],
    "macro": ["released_at", "series"],
}


class Lake:
    """Versioned tables under one folder.

    Parameters
    ----------
    root
        Folder of the lake; made at the first write.
    lock_timeout_s
        Seconds a writer waits for another one before it gives up.
    """

    def __init__(self, root: Path, *, lock_timeout_s: float = LOCK_TIMEOUT_S) -> None:
        self.root = root
        self._lock_timeout_s = lock_timeout_s

    def write(self, table: str, frame: pd.DataFrame, *, partition: str = "all", known_at: datetime) -> TableVersion:
        """Append a version of ``table``'s ``partition`` and return it; content equal to the newest adds nothing.

        When the newest version's file is missing or damaged, equal content mends it: same version, same content.

        Parameters
        ----------
        table, partition
            Letters, digits, ``.``, ``_`` and ``-``.
        frame
            The whole partition. Its index is dropped; canonical tables are sorted by their keys.
        known_at
            Timezone-aware instant at which these rows became known; later than the newest version's, because an
            ``as_of`` read that was answered once must be answered the same for ever.

        Raises
        ------
        LakeError
            For a bad name, a naive or backdated instant, a column that cannot be stored, a full disk, or another
            writer that does not finish. Nothing is half-written.
        """
        folder = self._table_folder(table) / _checked_name("partition", partition)
        known = _in_utc("known_at", known_at)
        ordered = _ordered(table, frame)
        digest = content_hash(ordered)
        with exclusive(self._table_folder(table) / ".lock", timeout_s=self._lock_timeout_s):
            existing = _versions_in(folder)
            newest = existing[-1] if existing else None
            if newest is not None and newest.content_hash == digest:
                return newest if _is_intact(newest) else _rewritten(newest, ordered)
            if newest is not None and known <= newest.known_at:
                raise LakeError(
                    f"{table}/{partition} has version {newest.version} known at {newest.known_at.isoformat()}; "
                    f"other content cannot be known at {known.isoformat()}",
                    "append with a later known_at: what was known by then is history and stays as it was",
                )
            number = newest.version + 1 if newest is not None else 1
            path = folder / f"v{number:08d}-{digest[:12]}.parquet"
            version = TableVersion(
                table=table,
                partition=partition,
                version=number,
                rows=len(ordered),
                content_hash=digest,
                known_at=known,
                path=path,
                file_sha256=write_parquet(path, ordered),
                columns=tuple(str(name) for name in ordered.columns),
            )
            write_manifest(version)
        return version

    def read(
        self, table: str, *, as_of: datetime | None = None, partitions: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """Return ``table`` as it was known at ``as_of`` (now, when None).

        Of each partition the newest version known by then is read, checked against its hash, and all are
        concatenated in the table's row order. A partition that was not known yet contributes nothing.

        Raises
        ------
        LakeError
            When the table or a named partition was not known by then, a file is missing or damaged, or partitions
            disagree on their columns.
        """
        chosen = self.current(table, as_of=as_of)
        if partitions is not None:
            by_name = {version.partition: version for version in chosen}
            missing = [name for name in partitions if name not in by_name]
            if missing or not partitions:
                raise LakeError(
                    f"table {table} has no partition {', '.join(missing) or '(none was named)'}{_at(as_of)}",
                    f"load it, or name some of: {', '.join(sorted(by_name))}",
                )
            chosen = [by_name[name] for name in dict.fromkeys(partitions)]
        columns = chosen[0].columns
        for version in chosen:
            if version.columns != columns:
                raise LakeError(
                    f"{table}/{version.partition} has columns {list(version.columns)}, "
                    f"{table}/{chosen[0].partition} has {list(columns)}",
                    "load the older partition again",
                )
        frames = [_frame_of(version) for version in chosen]
        if len(frames) == 1:
            return frames[0]
        kept = [frame for frame in frames if len(frame)] or frames[:1]
        return _ordered(table, pd.concat(kept, ignore_index=True))

    def current(self, table: str, *, as_of: datetime | None = None) -> list[TableVersion]:
        """Return the version of each partition that a read at ``as_of`` sees, in partition order.

        Raises
        ------
        LakeError
            When the table does not exist or nothing of it was known by then.
        """
        limit = None if as_of is None else _in_utc("as_of", as_of)
        newest: dict[str, TableVersion] = {}
        for version in self.versions(table):
            if limit is None or version.known_at <= limit:
                newest[version.partition] = version
        if not newest:
            raise LakeError(f"nothing of table {table} was known{_at(as_of)}", "ask for a later instant")
        return [newest[name] for name in sorted(newest)]

    def holds(self, table: str) -> bool:
        """Return whether ``table`` was ever written."""
        folder = self._table_folder(table)
        return folder.is_dir() and any(folder.glob(f"*/{PATTERN}"))

    def versions(self, table: str) -> list[TableVersion]:
        """Return every version of ``table``, by partition and then version.

        Raises
        ------
        LakeError
            When the table was never written or a manifest is damaged.
        """
        folder = self._table_folder(table)
        folders = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
        found = [version for path in folders for version in _versions_in(path)]
        if not found:
            raise LakeError(f"table {table} is not in the lake {self.root}", "run the step that loads it first")
        return found

    def content_hash(self, table: str, *, as_of: datetime | None = None) -> str:
        """Return one hash of everything a read at ``as_of`` sees."""
        return combined_hash({version.partition: version.content_hash for version in self.current(table, as_of=as_of)})

    def _table_folder(self, table: str) -> Path:
        return self.root / _checked_name("table", table)


def _versions_in(folder: Path) -> list[TableVersion]:
    with _folder_named(folder):
        found = sorted((read_manifest(path) for path in folder.glob(PATTERN)), key=lambda version: version.version)
    for expected, version in enumerate(found, start=1):
        if version.version != expected:
            raise LakeError(
                f"{folder} has no manifest of version {expected}", f"restore it from a backup, or {_reload(folder)}"
            )
    return found


def _frame_of(version: TableVersion) -> pd.DataFrame:
    with _folder_named(version.path.parent):
        return read_parquet(version.path, sha256=version.file_sha256)


@contextmanager
def _folder_named(folder: Path) -> Iterator[None]:
    """Tell which partition's folder to delete when what it holds cannot be read."""
    try:
        yield
    except LakeError as error:
        raise LakeError(error.fact, f"{error.remedy}; without a backup, {_reload(folder)}") from error


def _reload(folder: Path) -> str:
    return f"delete the folder {folder} and load the data again"


def _is_intact(version: TableVersion) -> bool:
    try:
        data = version.path.read_bytes()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise LakeError(
            f"{version.path} cannot be read ({error.strerror})", "check the disk and permissions"
        ) from error
    return hashlib.sha256(data).hexdigest() == version.file_sha256


def _rewritten(version: TableVersion, frame: pd.DataFrame) -> TableVersion:
    mended = replace(version, file_sha256=write_parquet(version.path, frame))
    if mended != version:  # another release of the Parquet writer gives other bytes for the same content
        write_manifest(mended)
    return mended


def _checked_name(what: str, name: str) -> str:
    if not _NAME.match(name):
        raise LakeError(f"{what} name {name!r} is refused", "use letters, digits, '.', '_' and '-' only")
    return name


def _in_utc(what: str, instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise LakeError(f"{what} {instant.isoformat()} has no time zone", "pass an aware datetime, for example in UTC")
    return instant.astimezone(UTC)


def _ordered(table: str, frame: pd.DataFrame) -> pd.DataFrame:
    keys = SORT_KEYS.get(table, [])
    if not keys or not set(keys) <= set(frame.columns):
        return frame.reset_index(drop=True)
    return frame.sort_values(keys, kind="stable", ignore_index=True)


def _at(as_of: datetime | None) -> str:
    return "" if as_of is None else f" at {as_of.isoformat()}"
