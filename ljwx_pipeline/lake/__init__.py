"""The bitemporal store: Parquet tables whose every version says when it became known; nothing is overwritten.

``Lake`` is the face and ``Catalogue`` names what belongs together. Below them ``content_hash`` names content, ``keys``
and ``rows`` say what a row is, ``manifest``, ``partition`` and ``documents`` record versions, ``scan`` reads them,
``commit``, ``atomic_parquet`` and ``folders`` write files that are whole or absent, ``locking`` keeps two writers
apart. Beside them ``compaction``, ``retention``, ``diff``, ``row_history`` and ``reads``; ``adoption`` and
``shared_files`` where two lakes hold one file. Not here: what the columns mean (``market/tables.py``) and whether the
rows are good (``quality/``).
"""

from ljwx_pipeline.lake.catalogue import Catalogue, Dataset
from ljwx_pipeline.lake.manifest import DataFile, TableVersion
from ljwx_pipeline.lake.rows import split_by_month
from ljwx_pipeline.lake.store import Lake

__all__ = ["Catalogue", "DataFile", "Dataset", "Lake", "TableVersion", "split_by_month"]
