"""Who read which rows: a journal of reads, so that a restatement can name what was made from the old ones.

One line a read, forced to disk; a line cut by a crash is taken off by the next writer. Which partitions a table's hash
stands for is stored once for each hash. Not here: what changed (``diff.py``).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ljwx_pipeline.clock import utc_now
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.lake.atomic_parquet import write_bytes
from ljwx_pipeline.lake.content_hash import combined_hash
from ljwx_pipeline.lake.documents import checksum, read_sealed, sealed
from ljwx_pipeline.lake.folders import make_folder, sync_folder
from ljwx_pipeline.lake.locking import exclusive
from ljwx_pipeline.lake.manifest import TableVersion
from ljwx_pipeline.lake.store import Lake, checked_name, in_utc

FOLDER = ".reads"
FORMAT = 1
LOCK_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Read:
    """One recorded read.

    Parameters
    ----------
    reader
        Asset or model name.
    run_id
        The run it happened in.
    table
        What was read.
    content_hash
        Hash of what was seen: the table's combined hash, or one partition's.
    at
        Instant (UTC).
    """

    reader: str
    run_id: str
    table: str
    content_hash: str
    at: datetime


class ReadsJournal:
    """The reads of one lake.

    Parameters
    ----------
    lake
        The lake that is read.
    """

    def __init__(self, lake: Lake) -> None:
        self._folder = lake.root / FOLDER
        self._file = self._folder / "reads.jsonl"

    def record_read(
        self,
        reader: str,
        run_id: str,
        table: str,
        content_hash: str,
        at: datetime | None = None,
        *,
        partitions: Mapping[str, str] | None = None,
    ) -> Read:
        """Record, durably, that ``reader`` saw ``content_hash`` of ``table``.

        Parameters
        ----------
        reader, run_id, table, content_hash
            As in ``Read``.
        at
            The clock's instant when None.
        partitions
            Content hash of each partition that was read; with it a reader is found by any of them.
        """
        made = Read(reader, run_id, table, content_hash, utc_now() if at is None else in_utc("at", at))
        body = {
            "reader": made.reader,
            "run_id": made.run_id,
            "table": checked_name("table", made.table),
            "content_hash": made.content_hash,
            "at": made.at.isoformat(),
        }
        line = json.dumps({**body, "checksum": checksum(body)[:16]}, ensure_ascii=False).encode() + b"\n"
        seen = self._seen(content_hash)
        with self._lock():
            if partitions is not None and not seen.exists():
                write_bytes(seen, sealed({"format": FORMAT, "partitions": dict(partitions)}))
            self._append(line)
        return made

    def record_versions(self, reader: str, run_id: str, versions: Iterable[TableVersion]) -> Read:
        """Record that ``reader`` saw ``versions`` of one table, partition by partition."""
        seen = list(versions)
        hashes = {version.partition: version.content_hash for version in seen}
        return self.record_read(reader, run_id, seen[0].table, combined_hash(hashes), partitions=hashes)

    def readers_of_any(self, table: str, content_hashes: set[str]) -> list[Read]:
        """Return the reads that saw any of these contents of ``table``, its own hashes or partitions', as they came."""
        known: dict[str, bool] = {}
        found = []
        for item in self.reads():
            if item.table != table:
                continue
            if item.content_hash not in known:
                known[item.content_hash] = bool(content_hashes & {item.content_hash, *self._parts(item.content_hash)})
            if known[item.content_hash]:
                found.append(item)
        return found

    def reads(self) -> Iterator[Read]:
        """Yield every recorded read, oldest first.

        Raises
        ------
        LakeError
            When a line was changed since it was written.
        """
        try:
            data = self._file.read_bytes()
        except FileNotFoundError:
            return
        lines = data.split(b"\n")[:-1]  # what follows the last line's end was cut by a crash
        for number, line in enumerate(lines, start=1):
            try:
                body = json.loads(line)
                whole = body.pop("checksum") == checksum(body)[:16]
                item = Read(**{**body, "at": datetime.fromisoformat(body["at"])})
            except (ValueError, KeyError, TypeError, AttributeError):
                whole = False
            if not whole:
                raise LakeError(f"{self._file} line {number} is damaged", "restore it from a backup")
            yield item

    def _append(self, line: bytes) -> None:
        try:
            above = make_folder(self._folder)
            fresh = not self._file.exists()
            descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                os.lseek(descriptor, _end_of_last_line(descriptor), os.SEEK_SET)
                rest = memoryview(line)
                while rest.nbytes:  # a disk that is nearly full takes part of it and says no fault
                    rest = rest[os.write(descriptor, rest) :]
                os.truncate(descriptor, os.lseek(descriptor, 0, os.SEEK_CUR))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            for folder in [*above, self._folder] if fresh else []:
                sync_folder(folder)
        except OSError as error:
            raise LakeError(
                f"{self._file} cannot be written ({error.strerror})", "free some space or correct the permissions"
            ) from error

    def _parts(self, content_hash: str) -> Iterable[str]:
        try:
            body = read_sealed(self._seen(content_hash), what="record", formats=(FORMAT,))
        except FileNotFoundError:
            return ()
        partitions: dict[str, str] = body["partitions"]
        return partitions.values()

    def _seen(self, content_hash: str) -> Path:
        return self._folder / f"{checked_name('content hash', content_hash)}.json"

    def _lock(self) -> AbstractContextManager[None]:
        return exclusive(self._folder / ".lock", timeout_s=LOCK_TIMEOUT_S)


def _end_of_last_line(descriptor: int) -> int:
    """Return the offset after the last whole line."""
    end = os.lseek(descriptor, 0, os.SEEK_END)
    while end > 0:
        start = max(end - 4096, 0)
        block = os.pread(descriptor, end - start, start)
        cut = block.rfind(b"\n")
        if cut >= 0:
            return start + cut + 1
        end = start
    return 0
