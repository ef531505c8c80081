"""One hash of every table that can change a result: what a run came from, and whether a later reader sees the same.

Not here: the hash of one table (``lake/content_hash.py``), those of factors and configuration.
"""

from __future__ import annotations

import pandas as pd

from ljwx_pipeline.ingest.tables import read_market_table
from ljwx_pipeline.lake import Lake
from ljwx_pipeline.lake.content_hash import combined_hash, content_hash

#: Every table a result depends on, beside the checked bars.
DATA_TABLES = (
    "index_bars",
    "securities",
    "st_spells",
    "corporate_actions",
    "industries",
    "index_members",
    "market_values",
)


def data_hash(lake: Lake, checked_bars: pd.DataFrame) -> str:
    """Return the hash of ``checked_bars`` and of ``DATA_TABLES`` as ``lake`` holds them now.

    Parameters
    ----------
    lake
        The market's lake: what its source said.
    checked_bars
        The bars of the sessions at work that passed the checks, in canonical order.

    Raises
    ------
    LakeError
        When the lake was never filled.
    """
    hashes = {table: content_hash(read_market_table(lake, table)) for table in DATA_TABLES}
    hashes["checked_bars"] = content_hash(checked_bars)
    return combined_hash(hashes)
