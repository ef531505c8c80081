"""Making one file of the many that appends left: another storage of the same content, which no reader can tell apart.

The files it replaces stay: older versions list them, and a reader may be reading them. Those that no version lists
are removed by ``retention.py``.
"""

from __future__ import annotations

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.lake.commit import commit
from ljwx_pipeline.lake.content_hash import content_hash
from ljwx_pipeline.lake.manifest import TableVersion
from ljwx_pipeline.lake.partition import Partition
from ljwx_pipeline.lake.scan import rows_of
from ljwx_pipeline.lake.store import Lake, mended


def compact(lake: Lake, table: str, partition: str) -> TableVersion:
    """Rewrite the newest version of ``partition`` into one file and return it: same number, hash and instant.

    A version of one file is left as it is.

    Raises
    ------
    LakeError
        When the partition does not exist, a file of it is damaged, or its rows are not those its manifest names.
    """
    with lake.lock(table):
        newest = Partition(lake.partition_folder(table, partition)).newest
        if newest is None:
            raise LakeError(f"table {table} has no partition {partition}", "load it, or check the spelling")
        if len(newest.files) == 1:
            return newest
        whole = rows_of([newest])
        if content_hash(whole) != newest.content_hash:
            raise LakeError(
                f"the files of {table}/{partition} do not hold what version {newest.version} is recorded to hold",
                "restore the partition's folder from a backup, or write the whole partition again",
            )
        made = mended(newest, whole)
        commit([made])
    return made.version
