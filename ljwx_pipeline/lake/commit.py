"""Making a version durable: its new rows as a file, then its manifest, each whole or absent.

The order is what makes a crash harmless: data files are on disk, under their names, before a manifest that lists them.
Not here: whether a version is wanted (``store.py``, ``compaction.py``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pyarrow as pa

from ljwx_pipeline.lake.atomic_parquet import Draft, discard, draft_bytes, encoded, publish
from ljwx_pipeline.lake.manifest import DataFile, TableVersion, manifest_bytes, manifest_path
from ljwx_pipeline.lake.rows import session_span

#: Two encode while the others wait for the disk.
WRITERS = 6


@dataclass(frozen=True)
class Drafted:
    """A version whose files wait on disk under temporary names."""

    version: TableVersion
    data: Draft
    manifest: Draft


def draft(version: TableVersion, rows: pa.Table, name: str, *, beside: Sequence[DataFile] = ()) -> Drafted:
    """Write ``rows`` as a file of ``version`` and its manifest, without publishing them.

    Parameters
    ----------
    version
        The version to be; what its ``files`` say is replaced.
    rows
        The rows of the new file.
    name
        Its name in the partition's folder.
    beside
        Files of older versions whose rows belong to this one too.
    """
    data = encoded(rows)
    file = DataFile(name, hashlib.sha256(data).hexdigest(), len(rows), session_span(rows))
    version = replace(version, files=(*beside, file))
    data_draft = draft_bytes(version.folder / name, data)
    try:
        manifest = draft_bytes(manifest_path(version.folder, version.version), manifest_bytes(version))
    except BaseException:
        discard([data_draft])
        raise
    return Drafted(version, data_draft, manifest)


def commit(drafted: Sequence[Drafted]) -> None:
    """Publish the data files of all, then the manifests of all."""
    manifests = [item.manifest for item in drafted]
    try:
        publish(item.data for item in drafted)
    except BaseException:
        discard(manifests)
        raise
    publish(manifests)


def drafted_in_threads(
    tasks: Sequence[Callable[[], TableVersion | Drafted]],
) -> list[TableVersion | Drafted]:
    """Return what every task made, in order; when one fails, the drafts of the others are removed."""
    if len(tasks) == 1:
        return [tasks[0]()]
    with ThreadPoolExecutor(WRITERS) as pool:
        futures = [pool.submit(task) for task in tasks]
    failures = [fault for future in futures if (fault := future.exception()) is not None]
    made = [future.result() for future in futures if future.exception() is None]
    if failures:
        for item in made:
            if isinstance(item, Drafted):
                discard([item.data, item.manifest])
        raise failures[0]
    return made
