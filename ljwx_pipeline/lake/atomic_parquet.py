"""Files that are either whole or absent: write beside, force to disk, rename over.

Not here: versions and manifests (``store.py``). The Dagster IO manager uses these helpers too.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ljwx_pipeline.errors import LakeError

#: Fast to write and to read; the tables are small enough that the ratio matters less than the time.
COMPRESSION = "zstd"


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``, readable as the umask says; a reader sees the old file or the new one, never a part.

    Raises
    ------
    LakeError
        When the disk is full or the folder cannot be written; ``path`` is then unchanged and no temporary is left.
    """
    # not tempfile: its files are for the owner alone, and the mode would survive the rename
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise LakeError(
            f"{path} cannot be written ({error.strerror or error})",
            "free some space or correct the folder's permissions and run again; what was stored before is unchanged",
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


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
    sink = BytesIO()
    pq.write_table(table, sink, compression=COMPRESSION)
    data = sink.getvalue()
    write_bytes(path, data)
    return hashlib.sha256(data).hexdigest()


def read_parquet(path: Path, *, sha256: str | None = None) -> pd.DataFrame:
    """Return the frame stored at ``path``; with ``sha256``, only if the file's bytes still have that hash.

    Raises
    ------
    LakeError
        When the file is missing, changed since it was written, or no Parquet.
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
    try:
        frame: pd.DataFrame = pq.read_table(pa.BufferReader(data)).to_pandas()
    except (pa.ArrowInvalid, OSError) as error:
        raise LakeError(f"{path} is damaged: not readable as Parquet ({error})", "load the data again") from error
    return frame


def _sync_folder(folder: Path) -> None:
    """Force the rename itself to disk: without it a power cut may bring the old name back."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
