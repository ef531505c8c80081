"""Taking versions over from another lake as they are: their data files are linked, not written again.

A published file is never changed, and removing it from one lake leaves it in the other, so no reader can tell; damage
reaches both (``shared_files.py``). Not here: whether the rows deserve it (``ingest/judged.py``).
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

from ljwx_pipeline.lake.atomic_parquet import Draft, discard, draft_bytes, read_bytes
from ljwx_pipeline.lake.commit import Drafted, commit, drafted_in_threads
from ljwx_pipeline.lake.folders import make_folder
from ljwx_pipeline.lake.manifest import TableVersion, manifest_bytes, manifest_path
from ljwx_pipeline.lake.partition import Partition
from ljwx_pipeline.lake.scan import rows_of
from ljwx_pipeline.lake.store import Lake, file_name, in_utc, is_intact, require_later, written


def adopt(lake: Lake, table: str, versions: Sequence[TableVersion], *, known_at: datetime) -> list[TableVersion]:
    """Store what ``versions`` of another lake's table say as ``table`` of ``lake``; return the versions that say it.

    As ``Lake.write_partitions`` does with their rows: content equal to the newest adds nothing.

    Parameters
    ----------
    versions
        One a partition. Rows in several files are written into one.
    known_at
        Instant at which they became known to ``lake``.

    Raises
    ------
    LakeError
        For whatever ``Lake.write_partitions`` refuses, or when a file is gone.
    """
    known = in_utc("known_at", known_at)
    folders = [lake.partition_folder(table, version.partition) for version in versions]
    with lake.lock(table):
        pairs = zip(versions, folders, strict=True)
        tasks = [partial(_adopted, table, folder, version, known) for version, folder in pairs]
        made = drafted_in_threads(tasks) if tasks else []
        commit([item for item in made if isinstance(item, Drafted)])
    return [item.version if isinstance(item, Drafted) else item for item in made]


def _adopted(table: str, folder: Path, given: TableVersion, known: datetime) -> TableVersion | Drafted:
    if len(given.files) != 1:
        return written(table, folder, rows_of([given]), known)
    newest = Partition(folder).newest
    if newest is not None and newest.content_hash == given.content_hash:
        if is_intact(newest):
            return newest
        number, known = newest.version, newest.known_at
    else:
        require_later(table, folder, newest, known)
        number = 1 if newest is None else newest.version + 1
    name = file_name(number, given.content_hash)
    version = replace(
        given,
        table=table,
        partition=folder.name,
        version=number,
        known_at=known,
        folder=folder,
        files=(replace(given.files[0], name=name),),
    )
    data = _linked(given.paths[0], folder / name)
    try:
        manifest = draft_bytes(manifest_path(folder, number), manifest_bytes(version))
    except BaseException:
        discard([data])
        raise
    return Drafted(version, data, manifest)


def _linked(source: Path, path: Path) -> Draft:
    """Return a draft of ``path`` that is ``source`` under a second name, or a copy where the disk has no such thing."""
    above = make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        with suppress(FileNotFoundError):
            if path.samefile(source):
                path.unlink()  # left by a writer that died: renaming a name of the same file over it would do nothing
        os.link(source, temporary)
    except OSError:
        copy = draft_bytes(path, read_bytes(source))
        return replace(copy, above=(*above, *copy.above))
    return Draft(path, temporary, tuple(above))
