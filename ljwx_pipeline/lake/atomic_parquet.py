"""Files that are either whole or absent: write beside, force to disk, rename over; and Parquet written so.

A group of files is first drafted (written and forced to disk under temporary names) and then published (renamed), so
that a hundred files cost two passes over their folders, not a hundred. Not here: versions and manifests
(``commit.py``). The Dagster IO manager uses these helpers too.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.lake.folders import make_folder, sync_folder
from ljwx_pipeline.lake.threads import in_threads

#: Less processor time than zstd, for more bytes; prices hardly repeat, so nothing packs them well.
COMPRESSION = "lz4"
#: Rows in a row group: what a read of few sessions may skip.
ROW_GROUP_ROWS = 131_072
#: The kernel forces folders to disk together when it is asked for several at once.
SYNC_THREADS = 8


@dataclass(frozen=True)
class Draft:
    """A file that is on disk under a temporary name and is to be ``path``; ``above`` are folders with a new folder."""

    path: Path
    temporary: Path
    above: tuple[Path, ...] = ()


def write_bytes(path: Path, data: bytes | pa.Buffer) -> None:
    """Write ``data`` to ``path`` readable as the umask says; a reader sees the old file or the new one.

    Raises
    ------
    LakeError
        When the disk is full or the folder cannot be written; ``path`` is then unchanged and no temporary is left.
    """
    publish([draft_bytes(path, data)])


def draft_bytes(path: Path, data: bytes | pa.Buffer) -> Draft:
    """Write ``data`` beside ``path``, force it to disk and return the draft; ``path`` itself is untouched.

    Raises
    ------
    LakeError
        When the disk is full or the folder cannot be written; no temporary is left.
    """
    # not tempfile: its files are for the owner alone, and the mode would survive the rename
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        above = make_folder(path.parent)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            rest = memoryview(data)
            while rest.nbytes:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise _cannot_write(path, error) from error
    return Draft(path, temporary, tuple(above))


def publish(drafts: Iterable[Draft]) -> None:
    """Rename every draft to its path, then force the renames to disk.

    Raises
    ------
    LakeError
        When a rename is refused; the drafts not yet renamed are removed.
    """
    waiting = list(drafts)[::-1]
    folders = list(dict.fromkeys(folder for draft in waiting for folder in (*draft.above, draft.path.parent)))
    draft = None
    try:
        while waiting:
            draft = waiting[-1]
            draft.temporary.replace(draft.path)
            waiting.pop()
        in_threads(sync_folder, folders, SYNC_THREADS)
    except OSError as error:
        raise _cannot_write(draft.path if draft else Path(), error) from error
    finally:
        discard(waiting)


def discard(drafts: Iterable[Draft]) -> None:
    """Remove drafts that will not be published."""
    for draft in drafts:
        draft.temporary.unlink(missing_ok=True)


def write_parquet(path: Path, frame: pd.DataFrame) -> str:
    """Write ``frame`` (its index is dropped) to ``path`` atomically and return the SHA-256 of the file's bytes.

    Raises
    ------
    LakeError
        When a column cannot be stored as Parquet, or the disk refuses.
    """
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise LakeError(
            f"{path.name} cannot be stored as Parquet ({error})", "give every column one plain type"
        ) from error
    data = encoded(table)
    write_bytes(path, data)
    return hashlib.sha256(data).hexdigest()


def encoded(table: pa.Table) -> pa.Buffer:
    """Return ``table`` as the bytes of a Parquet file.

    Dictionaries and statistics only where they pay: text and dates repeat, prices do not.
    """
    repeated = [field.name for field in table.schema if _repeats(field.type)]
    dated = [field.name for field in table.schema if pa.types.is_temporal(field.type)]
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        compression=COMPRESSION,
        use_dictionary=repeated or False,
        write_statistics=dated or False,
        row_group_size=ROW_GROUP_ROWS,
    )
    return sink.getvalue()


def read_parquet(path: Path, *, sha256: str | None = None) -> pd.DataFrame:
    """Return the frame stored at ``path``; with ``sha256``, only if the file's bytes still have that hash.

    Raises
    ------
    LakeError
        When the file is missing, changed since it was written, or no Parquet.
    """
    data = read_bytes(path, sha256=sha256)
    try:
        frame: pd.DataFrame = pq.read_table(pa.BufferReader(data)).to_pandas()
    except (pa.ArrowInvalid, OSError) as error:
        raise _no_parquet(path, error) from error
    return frame


def open_parquet(path: Path, *, sha256: str, columns: Sequence[str]) -> Any:
    """Return ``path`` as an open ``pyarrow.parquet.ParquetFile`` that reads text among ``columns`` as dictionaries.

    Raises
    ------
    LakeError
        When the file is missing, changed since it was written, or no Parquet.
    """
    data = read_bytes(path, sha256=sha256)
    try:
        # asked of every column it is done to text and bytes alone; to learn first which is text costs a second opening
        opened = pq.ParquetFile(pa.BufferReader(data), read_dictionary=list(columns))
        made = [field for field in opened.schema_arrow if pa.types.is_dictionary(field.type)]
        return opened if all(pa.types.is_string(field.type.value_type) for field in made) else _plainly_opened(data)
    except (pa.ArrowInvalid, OSError) as error:
        raise _no_parquet(path, error) from error


def _plainly_opened(data: bytes) -> Any:
    plain = pq.ParquetFile(pa.BufferReader(data))
    text = [field.name for field in plain.schema_arrow if pa.types.is_string(field.type)]
    return pq.ParquetFile(pa.BufferReader(data), metadata=plain.metadata, read_dictionary=text)


def read_bytes(path: Path, *, sha256: str | None = None) -> bytes:
    """Return the bytes of ``path``; with ``sha256``, only if they still have that hash.

    Raises
    ------
    LakeError
        When the file is missing, cannot be read, or changed since it was written.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise LakeError(f"{path} is missing", "restore it from a backup, or load the data again") from None
    except OSError as error:
        raise LakeError(f"{path} cannot be read ({error.strerror})", "check the disk and permissions") from error
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise LakeError(
            f"{path} is damaged: its bytes are not the ones that were written",
            "restore it from a backup, or delete its partition's folder and load the data again",
        )
    return data


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _repeats(kind: Any) -> bool:
    return bool(pa.types.is_temporal(kind) or pa.types.is_string(kind) or pa.types.is_dictionary(kind))


def _no_parquet(path: Path, error: Exception) -> LakeError:
    return LakeError(f"{path} is damaged: not readable as Parquet ({error})", "load the data again")


def _cannot_write(path: Path, error: OSError) -> LakeError:
    return LakeError(
        f"{path} cannot be written ({error.strerror or error})",
        "free some space or correct the folder's permissions and run again; what was stored before is unchanged",
    )
