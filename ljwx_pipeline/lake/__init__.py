"""The bitemporal store: Parquet tables whose every version says when it became known; nothing is overwritten.

``Lake`` is the face; ``content_hash`` names content, ``manifest`` records versions, ``atomic_parquet`` writes files
that are whole or absent, ``locking`` keeps two writers apart. Not here: what the columns mean (``market/tables.py``)
and whether the rows are good (``quality/``).
"""

from ljwx_pipeline.lake.manifest import TableVersion
from ljwx_pipeline.lake.store import Lake

__all__ = ["Lake", "TableVersion"]
