"""A seeded panel as the Parquet file the benchmarks read: one row a bar, by symbol and session.

Not here: the panel itself (``w1_alpha158.seeded_panel``), and reading it (``ljwx_pipeline/market/panel_file.py``).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ljwx_pipeline.market.panel import Panel

FIELDS = ("open", "high", "low", "close", "vwap", "volume")


def write_bars(panels: Iterable[Panel], path: Path, number: pa.DataType) -> int:
    """Write the bars of ``panels``, whose symbols follow each other, a row group each; return the rows.

    Parameters
    ----------
    panels
        Each holds other symbols over the same sessions.
    number
        Type of the fields, ``pa.float32()`` or ``pa.float64()``.
    """
    keys = [pa.field("symbol", pa.string()), pa.field("session_date", pa.date32())]
    schema = pa.schema(keys + [pa.field(name, number) for name in FIELDS])
    rows = 0
    with pq.ParquetWriter(path, schema, compression="lz4", use_dictionary=["symbol", "session_date"]) as writer:
        for panel in panels:
            symbol, session = np.nonzero(~np.isnan(panel.fields["close"]))
            names = pa.DictionaryArray.from_arrays(symbol.astype(np.int32), list(panel.symbols)).cast(pa.string())
            days = panel.sessions.to_numpy().astype("datetime64[D]")[session]
            values = [pa.array(panel.fields[name][symbol, session]).cast(number, safe=False) for name in FIELDS]
            writer.write_table(pa.table([names, pa.array(days), *values], schema=schema))
            rows += len(symbol)
    return rows
