"""A hash of what a table says, not of how it was stored.

The bytes of a Parquet file change with the writer's version, and a pandas string column has several dtypes; the hash
here covers column names, types and values only, so equal content has an equal hash on every machine.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ljwx_pipeline.errors import LakeError


def content_hash(frame: pd.DataFrame) -> str:
    """Return the SHA-256 of the columns' names, types and values, in column and row order; the index is ignored.

    Every NaN is the same NaN and -0.0 is 0.0. A missing string is told apart from an empty one. Dates are compared as
    nanoseconds since 1970 whatever their unit.

    Raises
    ------
    LakeError
        For a repeated column name, or a column that is not text, number, bool or date.
    """
    if not frame.columns.is_unique:
        raise LakeError(f"columns {list(frame.columns)} repeat a name", "rename one of them")
    digest = hashlib.sha256(f"rows={len(frame)}".encode())
    for name, column in frame.items():
        kind, chunks = _canonical(str(name), column)
        digest.update(f"|{len(str(name))}:{name}:{kind}|".encode())
        for chunk in chunks:
            digest.update(len(chunk).to_bytes(8, "little"))
            digest.update(chunk)
    return digest.hexdigest()


def combined_hash(parts: dict[str, str]) -> str:
    """Return one hash for named parts, independent of the order in which they are given."""
    digest = hashlib.sha256()
    for name in sorted(parts):
        digest.update(f"{len(name)}:{name}={parts[name]};".encode())
    return digest.hexdigest()


def _canonical(name: str, column: pd.Series) -> tuple[str, list[bytes | memoryview]]:
    dtype = column.dtype
    if isinstance(dtype, pd.DatetimeTZDtype):
        return f"datetime[{dtype.tz}]", [
            _plain(column.dt.tz_convert("UTC").dt.tz_localize(None).astype("M8[ns]"), "<i8")
        ]
    if isinstance(dtype, np.dtype) and dtype.kind == "M":
        return "datetime", [_plain(column.astype("M8[ns]"), "<i8")]
    if isinstance(dtype, np.dtype) and dtype.kind == "f":
        values = column.to_numpy(dtype=np.float64) + 0.0  # a copy, and -0.0 becomes 0.0
        values[np.isnan(values)] = np.nan
        return str(dtype), [values.astype("<f8", copy=False).data]
    if isinstance(dtype, np.dtype) and dtype.kind in "iub":
        return str(dtype), [_plain(column, "<u8" if dtype.kind == "u" else "<i8")]
    return "text", _text(name, column)


def _plain(column: pd.Series, to: str) -> memoryview:
    values: NDArray[np.generic] = np.ascontiguousarray(column.to_numpy())
    return values.astype(to).data if values.dtype.kind != "M" else values.view("i8").astype(to, copy=False).data


def _text(name: str, column: pd.Series) -> list[bytes | memoryview]:
    # codes by first appearance: a million symbols hash as fast as a million integers. Not pandas' factorize, which
    # takes text to end at its first NUL character
    try:
        encoded = pa.array(column, type=pa.string(), from_pandas=True).dictionary_encode()
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        word = next(word for word in column if not isinstance(word, str) and not pd.isna(word))
        raise LakeError(
            f"column {name} holds {word!r} of type {type(word).__name__}, not text",
            "convert the column to text, numbers, bools or dates before it is stored",
        ) from None
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    words = encoded.dictionary.to_pylist()
    lengths = np.array([len(word.encode()) for word in words], dtype="<i8")
    return [codes.astype("<i8").data, lengths.data, "".join(words).encode()]
