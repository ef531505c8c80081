"""A panel read from one Parquet file of bars, a column at a time.

A data frame of a whole market costs gigabytes before the panel is made of it; here only one column is in memory beside
the panel. Not here: reading a checked table of the lake (``lake/``), and adjusting prices (``adjustment.py``): the file
holds the values as they are to be used.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.market.panel import Panel
from ljwx_pipeline.units import NS_PER_DAY


def read_panel(path: Path, fields: Sequence[str]) -> Panel:
    """Return the panel of every symbol and session that the file has a bar of.

    Parameters
    ----------
    path
        Parquet with the columns ``symbol`` (text), ``session_date`` (a date, or midnight without a time zone) and one a
        field (any real type), one row a bar, in any order.
    fields
        Columns to read.

    Returns
    -------
    Panel
        float64; NaN where there is no row, and where the file has null.

    Raises
    ------
    DataQualityError
        When the file lacks a column or a column is of another kind, when it holds no row or a row without symbol or
        date, or when two rows share a symbol and session.
    """
    with pq.ParquetFile(path, read_dictionary=["symbol"]) as file:
        missing = [name for name in ("symbol", "session_date", *fields) if name not in file.schema_arrow.names]
        if missing:
            raise DataQualityError(f"{path} has no column {missing[0]}", "write the bars with it, or do not ask for it")
        if file.metadata.num_rows == 0:
            raise DataQualityError(f"{path} holds no row", "write at least one bar")
        symbols, row_of = _symbols(file)
        sessions, column_of = _sessions(file)
        cells = row_of * np.int64(len(sessions)) + column_of
        del row_of, column_of
        taken = np.zeros(len(symbols) * len(sessions), dtype=np.bool_)
        taken[cells] = True
        if np.count_nonzero(taken) != len(cells):
            raise DataQualityError(f"two rows of {path} share a symbol and session", "remove the duplicates")
        values = {}
        for name in fields:
            kind = file.schema_arrow.field(name).type
            if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
                raise DataQualityError(f"column {name} of {path} is {kind}, not a number", "write it as a real number")
            whole = np.full(len(taken), np.nan)
            whole[cells] = _column(file, name).to_numpy()
            values[name] = whole.reshape(len(symbols), len(sessions))
    return Panel(symbols, sessions, values)


def _symbols(file: pq.ParquetFile) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """Return the symbols, ascending, and each row's position among them."""
    whole = file.read(columns=["symbol"]).column("symbol").unify_dictionaries()
    _refuse_null(whole, "symbol")
    names = whole.chunk(0).dictionary.to_pylist()
    position = np.empty(len(names), dtype=np.int32)
    position[np.argsort(np.array(names))] = np.arange(len(names))
    codes = np.concatenate([chunk.indices.to_numpy() for chunk in whole.chunks])
    return tuple(sorted(names)), position[codes]


def _sessions(file: pq.ParquetFile) -> tuple[pd.DatetimeIndex, NDArray[np.int32]]:
    """Return the sessions that any row is of, ascending, and each row's position among them."""
    whole = _column(file, "session_date")
    _refuse_null(whole, "session_date")
    days = _days(whole)
    first = int(days.min())
    present = np.zeros(int(days.max()) - first + 1, dtype=np.bool_)
    present[days - first] = True
    position = np.cumsum(present, dtype=np.int32) - np.int32(1)
    found = (np.flatnonzero(present) + first) * NS_PER_DAY
    return pd.DatetimeIndex(found.astype("datetime64[ns]"), name="session_date"), position[days - first]


def _days(instants: pa.ChunkedArray) -> NDArray[np.int32]:
    """Return days since 1970-01-01."""
    kind = instants.type
    dated = pa.types.is_date(kind) or (pa.types.is_timestamp(kind) and kind.tz is None)
    days = instants.cast(pa.date32()) if dated else None
    if days is None or not days.cast(kind).equals(instants):
        raise DataQualityError(f"session_date ({kind}) is no date", "write midnight without a time zone")
    counted: NDArray[np.int32] = days.cast(pa.int32()).to_numpy()
    return counted


def _column(file: pq.ParquetFile, name: str) -> pa.ChunkedArray:
    return file.read(columns=[name]).column(name)


def _refuse_null(values: pa.ChunkedArray, name: str) -> None:
    if values.null_count:
        raise DataQualityError(f"{values.null_count} rows have no {name}", "remove them from the file")
