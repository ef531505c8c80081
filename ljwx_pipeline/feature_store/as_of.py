"""What was known when: for each (symbol, instant) the row of the feature table that was valid, as Feast defines it.

Feast 0.67's rule (``point_in_time_join`` and ``deduplicate`` in its ``offline_stores/ibis.py``): of a symbol's rows
whose instant is at or before the question's, and whose instant plus the time to live is at or after it, the one with
the latest instant, of those the one created last. A value missing in that row is missing; no earlier row fills it.
Feast leaves open which of two rows with the same instant and creation answers; here the later one in the table does.
Not here: Feast (``client.py`` compares with it).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ljwx_pipeline.errors import LakeError

Scalar = TypeVar("Scalar", bound=np.generic)
_MICROSECOND = timedelta(microseconds=1)
_MICROSECONDS = pa.timestamp("us", tz="UTC")
_LONG_AGO_US = -(2**62)
#: A table of more (symbol, instant) pairs than this is none of sessions: 1 GiB of positions.
_MOST_PAIRS = 2**28
#: Questions worked on at a time: few enough for what is made on the way to stay in the cache.
_CHUNK = 2**16


@dataclass(frozen=True)
class TableKeys:
    """The feature table's keys: which row is the newest of a symbol at each of the table's instants.

    Parameters
    ----------
    symbols
        Every symbol of the table, once.
    event_us
        The row's instant, microseconds since 1970 in UTC, shape ``(n_rows,)``.
    instants_us
        Every instant of the table once, ascending.
    newest
        Position of the symbol's newest row at or before each instant, -1 where there is none, shape
        ``(n_symbols + 1, n_instants + 1)``. Column 0 is before every instant, the last row of no symbol.
    """

    symbols: pd.Index
    event_us: NDArray[np.int64]
    instants_us: NDArray[np.int64]
    newest: NDArray[np.int32]

    @classmethod
    def read(cls, path: Path) -> TableKeys:
        """Read the keys of the table at ``path``; its rows may stand in any order.

        Raises
        ------
        LakeError
            When a row has no instant, or instants are so many that they are no sessions' closes.
        """
        with pq.ParquetFile(path, memory_map=True, pre_buffer=False, read_dictionary=["symbol"]) as file:
            table = file.read(columns=["symbol", "event_timestamp"], use_threads=False)
        symbol = table["symbol"].combine_chunks()
        if table["event_timestamp"].null_count:
            fact = f"{table['event_timestamp'].null_count} rows of the feature table {path} have no event_timestamp"
            raise LakeError(fact, "materialise the feature table again")
        event = _microseconds(table["event_timestamp"])
        codes, instants = pd.factorize(event)
        by_instant = np.argsort(instants)
        rank = np.empty(len(instants), dtype=np.int64)
        rank[by_instant] = np.arange(1, len(instants) + 1)
        width = len(instants) + 1
        if (len(symbol.dictionary) + 1) * width > _MOST_PAIRS:
            fact = f"the feature table {path} has {len(instants)} instants for {len(event)} rows: no sessions' closes"
            raise LakeError(fact, "materialise the feature table again")
        key = symbol.indices.to_numpy().astype(np.int64) * width + rank[codes]
        newest = np.full((len(symbol.dictionary) + 1) * width, -1, dtype=np.int32)
        newest[key] = np.arange(len(key), dtype=np.int32)
        if np.count_nonzero(newest >= 0) < len(key):  # several rows of one symbol and instant: the last created counts
            created = pq.read_table(path, columns=["created_timestamp"])["created_timestamp"]
            order = np.lexsort((_microseconds(created), key))
            newest[key[order]] = order
        return cls(
            pd.Index(symbol.dictionary.to_pandas()), event, instants[by_instant], _carried(newest.reshape(-1, width))
        )

    def rows_as_of(
        self, symbols: pd.Series, instants_us: NDArray[np.int64], time_to_live: timedelta | None
    ) -> NDArray[np.int64]:
        """Return the position of the row valid for each (symbol, instant), -1 where there is none.

        Parameters
        ----------
        symbols, instants_us
            The questions, in any order; a symbol that the table does not hold, or a missing one, has no row.
        time_to_live
            How long a row is valid, both ends included; None for ever.
        """
        codes, asked = pd.factorize(symbols)
        symbol_of = np.append(self.symbols.get_indexer(asked), -1)  # a missing symbol is -1, the appended one
        width, most_us = self.newest.shape[1], None if time_to_live is None else time_to_live // _MICROSECOND
        rows = reused_memory((len(codes),), np.int64)
        for start in range(0, len(codes), _CHUNK):
            part = slice(start, start + _CHUNK)
            at = np.searchsorted(self.instants_us, instants_us[part], side="right")
            row = np.take(self.newest, symbol_of[codes[part]] * width + at, mode="wrap")
            if most_us is not None and len(self.event_us):
                row[instants_us[part] - self.event_us[row] > most_us] = -1
            rows[part] = row
        return rows


def _carried(newest: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return each symbol's row at an instant, or the one before it."""
    columns = np.where(newest >= 0, np.arange(newest.shape[1], dtype=np.int32), 0)
    np.maximum.accumulate(columns, axis=1, out=columns)
    return np.take_along_axis(newest, columns, axis=1)


def gather(
    path: Path, rows: NDArray[np.int64], names: Sequence[str], *, threads: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the features at given rows of a Parquet file and how many of them are missing in each row.

    A column is read, gathered and let go before the next, so that memory is the answer's and one column's a thread.

    Parameters
    ----------
    path
        A table whose features are float32.
    rows
        Positions in the table; -1 gives missing values only.
    names
        Features to read.
    threads
        How many columns are worked on at a time.

    Returns
    -------
    tuple
        float32, shape ``(len(names), len(rows))``, NaN where missing; int64, shape ``(len(rows),)``.

    Raises
    ------
    LakeError
        When the file lacks a feature, or holds it as another type than float32.
    """
    schema = pq.read_schema(path)
    for name in names:
        if name not in schema.names:
            raise LakeError(f"the feature table {path} lacks column {name}", "materialise the feature table again")
        if schema.field(name).type != pa.float32():
            fact = f"column {name} of the feature table {path} is {schema.field(name).type}, not float32"
            raise LakeError(fact, "materialise the feature table again")
    answered = rows >= 0
    values = reused_memory((len(names), len(rows)), np.float32)

    def columns_from(first: int) -> NDArray[np.int32]:
        missing = np.zeros(len(rows), dtype=np.int32)
        with pq.ParquetFile(path, memory_map=True, pre_buffer=False) as file:
            for j in range(first, len(names), threads):
                column = file.read(columns=[names[j]], use_threads=False).column(0).to_numpy()
                for start in range(0, len(rows), _CHUNK):
                    part = slice(start, start + _CHUNK)
                    out = values[j, part]
                    if len(column):
                        np.take(column, rows[part], out=out, mode="clip")
                    out[~answered[part]] = np.nan
                    missing[part] += np.isnan(out)
        return missing

    with ThreadPoolExecutor(threads) as pool:
        counts = list(pool.map(columns_from, range(threads)))
    return values, np.sum(counts, axis=0, dtype=np.int64)


def reused_memory(shape: tuple[int, ...], dtype: type[Scalar]) -> NDArray[Scalar]:
    """Return an array of undefined values in Arrow's memory, which keeps what earlier answers gave back.

    NumPy hands large arrays back to the system, and a page touched for the first time costs more than what is put in.
    """
    buffer = pa.allocate_buffer(math.prod(shape) * np.dtype(dtype).itemsize)
    return np.frombuffer(buffer, dtype=dtype).reshape(shape)


def question_instants(questions: pd.DataFrame, features: Sequence[str]) -> NDArray[np.int64]:
    """Return the questions' instants in microseconds of UTC, or refuse the questions.

    Raises
    ------
    LakeError
        When a column is absent or stands twice, an instant has no time zone or is missing, or a column has the name of
        an answer.
    """
    for name in ("symbol", "event_timestamp"):
        if name not in questions.columns:
            raise LakeError(f"the questions lack column {name}", "ask with columns symbol and event_timestamp")
    if not questions.columns.is_unique:
        twice = questions.columns[questions.columns.duplicated()][0]
        raise LakeError(f"the questions have column {twice} twice", "drop one of the two")
    taken = [name for name in questions.columns if name in {*features, "missing_count"}]
    if taken:
        raise LakeError(f"the questions have a column {taken[0]}, as the answer does", "rename it before asking")
    asked = questions["event_timestamp"]
    if not isinstance(asked.dtype, pd.DatetimeTZDtype):
        fact = f"event_timestamp of the questions is {asked.dtype}, not an instant with a time zone"
        raise LakeError(fact, "localise it, as with .dt.tz_localize('Asia/Shanghai')")
    if asked.isna().any():
        fact = f"{int(asked.isna().sum())} questions have no event_timestamp"
        raise LakeError(fact, "drop them, or give the instant asked about")
    return np.asarray(asked.dt.as_unit("us").astype(np.int64), dtype=np.int64)


def _microseconds(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return instants as integers; a missing one counts as long ago, so that any other comes after it."""
    whole = column.cast(_MICROSECONDS, safe=False).cast(pa.int64())
    return np.asarray(whole.fill_null(_LONG_AGO_US).to_numpy(), dtype=np.int64)
