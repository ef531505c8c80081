"""The lake: append-only tables in two times, when a row happened (its date column) and when it was known.

Layout: ``ROOT/TABLE/PARTITION/v00000001.json`` beside the ``.parquet`` files it lists. A version exists once its
manifest does; data files without one are remains of a writer that died and are ignored. Not here: making one file of
many (``compaction.py``), removing old versions (``retention.py``), comparing (``diff.py``), naming (``catalogue.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.lake.atomic_parquet import read_bytes
from ljwx_pipeline.lake.commit import Drafted, commit, draft, drafted_in_threads
from ljwx_pipeline.lake.content_hash import combined_hash, content_hash
from ljwx_pipeline.lake.keys import key_codes, keys_of, positions
from ljwx_pipeline.lake.locking import exclusive
from ljwx_pipeline.lake.manifest import PATTERN, TableVersion
from ljwx_pipeline.lake.partition import Partition
from ljwx_pipeline.lake.rows import Rows, as_frame, as_table, concatenated, ordered
from ljwx_pipeline.lake.scan import Selection, rows_of

LOCK_TIMEOUT_S = 60.0
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")


class Lake:
    """Versioned tables under one folder.

    Rows are given as frames or Arrow tables; a frame's index is dropped and canonical tables are sorted by their keys.
    Every ``known_at`` is a timezone-aware instant later than the newest version's of that partition, because an
    ``as_of`` read that was answered once must be answered the same for ever. Take it right before writing: a version is
    seen once it is on disk, so an ``as_of`` of the moments in between is answered without it until then.

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

    def write(self, table: str, rows: Rows, *, partition: str = "all", known_at: datetime) -> TableVersion:
        """Append a version of ``table``'s ``partition`` and return it; content equal to the newest adds nothing.

        When a file of the newest version is missing or damaged, equal content mends it: same version, same content.

        Parameters
        ----------
        table, partition
            Letters, digits, ``.``, ``_`` and ``-``.
        rows
            The whole partition.
        known_at
            Instant at which these rows became known.

        Raises
        ------
        LakeError
            For a bad name, a naive or backdated instant, a column that cannot be stored, a full disk, or another
            writer that does not finish. Nothing is half-written.
        """
        return self.write_partitions(table, {partition: rows}, known_at=known_at)[0]

    def write_partitions(self, table: str, parts: Mapping[str, Rows], *, known_at: datetime) -> list[TableVersion]:
        """Write every partition of ``parts`` as ``write`` does, many at a time, and return their versions.

        A fault before the last file is on disk leaves every partition as it was; a crash later leaves each of them
        old or new, and writing the same again completes it.
        """
        known = in_utc("known_at", known_at)
        folders = {name: self.partition_folder(table, name) for name in parts}
        with self.lock(table):
            tasks = [partial(written, table, folders[name], parts[name], known) for name in parts]
            made = drafted_in_threads(tasks) if tasks else []
            commit([item for item in made if isinstance(item, Drafted)])
        return [item.version if isinstance(item, Drafted) else item for item in made]

    def append(
        self,
        table: str,
        rows: Rows,
        *,
        partition: str = "all",
        known_at: datetime,
        keys: Sequence[str] | None = None,
    ) -> TableVersion:
        """Add rows of new keys to ``partition`` as a file of their own; return the version that holds old and new.

        The old files are not rewritten. Rows that are all stored already, value for value, add nothing: an append
        that is tried again after a crash is no fault.

        Parameters
        ----------
        table, partition, known_at
            As for ``write``.
        rows
            The new rows only.
        keys
            What identifies a row, for a table that is not canonical.

        Raises
        ------
        LakeError
            When a key is stored already (that is a revision: ``revise`` or ``write``), the columns differ, and for
            whatever ``write`` refuses.
        """
        known = in_utc("known_at", known_at)
        folder = self.partition_folder(table, partition)
        with self.lock(table):
            newest = Partition(folder).newest
            made = written(table, folder, rows, known) if newest is None else _appended(newest, rows, known, keys)
            if isinstance(made, TableVersion):
                return made
            commit([made])
        return made.version

    def revise(
        self,
        table: str,
        rows: Rows,
        *,
        partition: str = "all",
        known_at: datetime,
        keys: Sequence[str] | None = None,
    ) -> TableVersion:
        """Lay ``rows`` over ``partition``: a stored key takes the new values, a new key is added; return the version.

        Parameters
        ----------
        table, partition, known_at, keys
            As for ``append``.
        rows
            The rows that were restated or are new.
        """
        folder = self.partition_folder(table, partition)
        known = in_utc("known_at", known_at)
        with self.lock(table):
            newest = Partition(folder).newest
            whole: Rows = rows
            if newest is not None:
                stored, new = _comparable(newest, rows)
                old_codes, new_codes, size = key_codes(stored, new, keys_of(table, stored.column_names, keys))
                kept = np.flatnonzero(positions(old_codes, new_codes, size) < 0)
                whole = concatenated([stored.take(pa.array(kept)), new])
            made = written(table, folder, whole, known)
            if isinstance(made, TableVersion):
                return made
            commit([made])
        return made.version

    def read(
        self,
        table: str,
        *,
        as_of: datetime | None = None,
        partitions: Sequence[str] | None = None,
        columns: Sequence[str] | None = None,
        first: date | None = None,
        last: date | None = None,
    ) -> pd.DataFrame:
        """Return ``table`` as it was known at ``as_of`` (now, when None).

        Of each partition the newest version known by then is read, every file checked against its hash, and all are
        concatenated in the table's row order. A partition that was not known yet contributes nothing.

        Parameters
        ----------
        table, as_of, partitions
            What to read; every partition when None.
        columns
            Columns in the order wanted; all when None.
        first, last
            First and last ``session_date``, inclusive: files without such sessions are not opened.

        Raises
        ------
        LakeError
            When the table or a named partition was not known by then, retention removed what was known then, a file
            is missing or damaged, a column does not exist, or partitions disagree on their columns.
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
        return read_versions(chosen, columns=columns, first=first, last=last)

    def iter_partitions(
        self,
        table: str,
        *,
        as_of: datetime | None = None,
        columns: Sequence[str] | None = None,
        first: date | None = None,
        last: date | None = None,
    ) -> Iterator[tuple[str, pd.DataFrame]]:
        """Yield each partition's name and rows in turn, so that the memory needed is that of one partition.

        Which versions are read is decided at the first step; parameters as for ``read``. Partitions without a row
        among the sessions asked for are left out.
        """
        selection = Selection(None if columns is None else tuple(columns), first, last)
        for version in self.current(table, as_of=as_of):
            if not selection.misses(version.sessions):
                rows = rows_of([version], selection)
                if len(rows) or not selection.by_session:
                    yield version.partition, as_frame(rows)

    def current(self, table: str, *, as_of: datetime | None = None) -> list[TableVersion]:
        """Return the version of each partition that a read at ``as_of`` sees, in partition order.

        Raises
        ------
        LakeError
            When the table does not exist, nothing of it was known by then, or retention removed what was.
        """
        if not (chosen := self._known(self.partitions(table), table, as_of)):
            raise LakeError(f"nothing of table {table} was known{_at(as_of)}", "ask for a later instant")
        return chosen

    def known(self, table: str, *, as_of: datetime | None = None) -> list[TableVersion]:
        """Return what ``current`` does, and nothing of a table that was not known then or never written.

        Raises
        ------
        LakeError
            When retention removed what was known then.
        """
        found = [Partition(path) for path in folders_in(self.table_folder(table))]
        return self._known(found, table, as_of)

    def _known(self, partitions: Sequence[Partition], table: str, as_of: datetime | None) -> list[TableVersion]:
        limit = None if as_of is None else in_utc("as_of", as_of)
        chosen: list[TableVersion] = []
        for partition in partitions:
            found = partition.known_by(limit)
            if isinstance(found, TableVersion):
                chosen.append(found)
            elif found is not None:
                raise LakeError(
                    f"what {table}/{partition.folder.name} said{_at(as_of)} was version {found.version}, "
                    "which retention removed",
                    "ask for a later instant, or restore it from a backup",
                )
        return chosen

    def holds(self, table: str) -> bool:
        """Return whether ``table`` was ever written."""
        folder = self.table_folder(table)
        return folder.is_dir() and any(folder.glob(f"*/{PATTERN}"))

    def tables(self) -> list[str]:
        """Return the names of the tables that were ever written."""
        return [folder.name for folder in folders_in(self.root) if self.holds(folder.name)]

    def partitions(self, table: str) -> list[Partition]:
        """Return the histories of ``table``'s partitions, by name.

        Raises
        ------
        LakeError
            When the table was never written.
        """
        folders = folders_in(self.table_folder(table))
        found = [partition for path in folders if (partition := Partition(path)).exists]
        if not found:
            raise LakeError(f"table {table} is not in the lake {self.root}", "run the step that loads it first")
        return found

    def versions(self, table: str) -> list[TableVersion]:
        """Return every version of ``table`` that is there, by partition and then version.

        Raises
        ------
        LakeError
            When the table was never written or a manifest is damaged.
        """
        return [version for partition in self.partitions(table) for version in partition.versions]

    def content_hash(self, table: str, *, as_of: datetime | None = None) -> str:
        """Return one hash of everything a read at ``as_of`` sees."""
        return combined_hash({version.partition: version.content_hash for version in self.current(table, as_of=as_of)})

    def lock(self, table: str) -> AbstractContextManager[None]:
        """Keep other writers off ``table`` for a ``with`` block."""
        return exclusive(self.table_folder(table) / ".lock", timeout_s=self._lock_timeout_s)

    def table_folder(self, table: str) -> Path:
        """Return the folder of ``table``."""
        return self.root / checked_name("table", table)

    def partition_folder(self, table: str, partition: str) -> Path:
        """Return the folder of one partition."""
        return self.table_folder(table) / checked_name("partition", partition)


def read_versions(
    versions: Sequence[TableVersion],
    *,
    columns: Sequence[str] | None = None,
    first: date | None = None,
    last: date | None = None,
) -> pd.DataFrame:
    """Return the rows of chosen versions of one table, as ``Lake.read`` would."""
    return as_frame(rows_of(versions, Selection(None if columns is None else tuple(columns), first, last)))


def folders_in(folder: Path) -> list[Path]:
    """Return the folders of tables in a lake or of partitions in a table, by name, with those a dead writer began."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and _NAME.match(path.name))


def file_name(number: int, digest: str, *, added: bool = False) -> str:
    """Return the name of the file that holds all rows of a version, or only those it ``added``."""
    return f"v{number:08d}{'-add' if added else ''}-{digest[:12]}.parquet"


def checked_name(what: str, name: str) -> str:
    """Return ``name`` when it can be a folder's; refuse one that could lead elsewhere."""
    if not _NAME.match(name):
        raise LakeError(f"{what} name {name!r} is refused", "use letters, digits, '.', '_' and '-' only")
    return name


def in_utc(what: str, instant: datetime) -> datetime:
    """Return ``instant`` in UTC; refuse one without a time zone."""
    if instant.tzinfo is None:
        raise LakeError(f"{what} {instant.isoformat()} has no time zone", "pass an aware datetime, for example in UTC")
    return instant.astimezone(UTC)


def written(table: str, folder: Path, rows: Rows, known: datetime) -> TableVersion | Drafted:
    """Return the newest version when it says the same as ``rows``, else a draft of the next."""
    whole = ordered(table, as_table(rows))
    digest = content_hash(whole)
    newest = Partition(folder).newest
    if newest is not None and newest.content_hash == digest:
        return newest if is_intact(newest) else mended(newest, whole)
    version = _next(table, folder, newest, whole, digest, known)
    return draft(version, whole, file_name(version.version, digest))


def _appended(newest: TableVersion, rows: Rows, known: datetime, keys: Sequence[str] | None) -> TableVersion | Drafted:
    stored, new = _comparable(newest, rows)
    if not len(new):
        return newest
    names = keys_of(newest.table, stored.column_names, keys)
    old_codes, new_codes, size = key_codes(stored, new, names)
    places = positions(new_codes, old_codes, size)
    if (places >= 0).all() and _same_values(stored.take(pa.array(places)), new):
        return newest
    if (places >= 0).any():
        row = new.select(names).slice(int(np.argmax(places >= 0)), 1).to_pylist()[0]
        key = ", ".join(f"{name} {value}" for name, value in row.items())
        raise LakeError(
            f"{newest.table}/{newest.partition} holds {(places >= 0).sum()} of the {len(new)} new keys already, "
            f"the first is {key}",
            "append rows of new keys only; a restatement goes through revise or write",
        )
    new = ordered(newest.table, new)
    whole = ordered(newest.table, concatenated([stored, new]))
    version = _next(newest.table, newest.folder, newest, whole, content_hash(whole), known)
    return draft(version, new, file_name(version.version, content_hash(new), added=True), beside=newest.files)


def _comparable(newest: TableVersion, rows: Rows) -> tuple[pa.Table, pa.Table]:
    """Return the stored rows and the new ones, in the same columns and types."""
    stored, new = rows_of([newest]), as_table(rows)
    if set(new.column_names) != set(stored.column_names):
        raise LakeError(
            f"{newest.table}/{newest.partition} has columns {stored.column_names}, the new rows have "
            f"{new.column_names}",
            "give every column, or write the whole partition anew",
        )
    return stored, new.select(stored.column_names)


def _same_values(old: pa.Table, new: pa.Table) -> bool:
    return content_hash(old) == content_hash(new)


def _next(
    table: str, folder: Path, newest: TableVersion | None, whole: pa.Table, digest: str, known: datetime
) -> TableVersion:
    require_later(table, folder, newest, known)
    return TableVersion(
        table=table,
        partition=folder.name,
        version=1 if newest is None else newest.version + 1,
        rows=len(whole),
        content_hash=digest,
        known_at=known,
        folder=folder,
        files=(),
        columns=tuple(whole.column_names),
    )


def require_later(table: str, folder: Path, newest: TableVersion | None, known: datetime) -> None:
    """Refuse other content at an instant of which the newest version has spoken."""
    if newest is not None and known <= newest.known_at:
        behind_s = (newest.known_at - known).total_seconds()
        raise LakeError(
            f"{table}/{folder.name} has version {newest.version} known at {newest.known_at.isoformat()}; "
            f"other content cannot be known at {known.isoformat()}, {behind_s:,.0f} s before it",
            "look at this machine's clock (`date -u`): set it right where it is behind, else run again once it is past "
            "the instant of that version; what was known by then is history and stays as it was",
        )


def is_intact(version: TableVersion) -> bool:
    """Return whether every file of ``version`` holds the bytes that were written."""
    try:
        for path, file in zip(version.paths, version.files, strict=True):
            read_bytes(path, sha256=file.sha256)
    except LakeError:
        return False
    return True


def mended(version: TableVersion, whole: pa.Table) -> Drafted:
    """Return a draft of the same version with all its rows in one file."""
    return draft(version, whole, file_name(version.version, version.content_hash))


def _at(as_of: datetime | None) -> str:
    return "" if as_of is None else f" at {as_of.isoformat()}"
