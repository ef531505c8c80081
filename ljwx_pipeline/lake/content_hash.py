"""A hash of what a table says, not of how it was stored.

The bytes of a Parquet file change with the writer's version, and a pandas string column has several dtypes; the hash
here covers column names, types and values only, so equal content has an equal hash on every machine, in a frame or in
an Arrow table, in one file or in several.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ljwx_pipeline.errors import LakeError

#: Pieces are hashed together until they are so many.
JOINED_BYTES = 1 << 20


def content_hash(rows: pd.DataFrame | pa.Table) -> str:
    """Return the SHA-256 of the columns' names, types and values, in column and row order; the index is ignored.

    Every NaN is the same NaN and -0.0 is 0.0. A missing string is told apart from an empty one. Dates are compared as
    nanoseconds since 1970 whatever their unit.

    Raises
    ------
    LakeError
        For a repeated column name, or a column that is not text, number, bool or date.
    """
    names = [str(name) for name in (rows.columns if isinstance(rows, pd.DataFrame) else rows.column_names)]
    if len(set(names)) < len(names):
        raise LakeError(f"columns {names} repeat a name", "rename one of them")
    digest = _Digest()
    digest.add(f"rows={len(rows)}".encode())
    for position, name in enumerate(names):
        if isinstance(rows, pd.DataFrame):
            kind, chunks = _canonical(name, rows.iloc[:, position])
        else:
            kind, chunks = _canonical_arrow(name, rows.column(position))
        digest.add(f"|{len(name)}:{name}:{kind}|".encode())
        for chunk in chunks:
            digest.add(len(chunk).to_bytes(8, "little"))
            digest.add(chunk)
    return digest.hexdigest()


class _Digest:
    """SHA-256 of pieces: small ones are joined, as each call lets other threads in and then waits for its turn."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._waiting: list[bytes | memoryview] = []
        self._size = 0

    def add(self, piece: bytes | memoryview) -> None:
        self._waiting.append(piece)
        self._size += piece.nbytes if isinstance(piece, memoryview) else len(piece)
        if self._size >= JOINED_BYTES:
            self._flush()

    def hexdigest(self) -> str:
        self._flush()
        return self._hash.hexdigest()

    def _flush(self) -> None:
        self._hash.update(self._waiting[0] if len(self._waiting) == 1 else b"".join(self._waiting))
        self._waiting, self._size = [], 0


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
        return str(dtype), [_floats(column.to_numpy(dtype=np.float64))]
    if isinstance(dtype, np.dtype) and dtype.kind in "iub":
        return str(dtype), [_plain(column, "<u8" if dtype.kind == "u" else "<i8")]
    return "text", _text(name, column)


def _canonical_arrow(name: str, column: pa.ChunkedArray) -> tuple[str, list[bytes | memoryview]]:
    """Return what ``_canonical`` returns for the column a frame would hold, without making the frame."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        if kind.unit != "ns":
            column = column.cast(pa.timestamp("ns", kind.tz))
        nanoseconds = column.to_numpy().astype("M8[ns]", copy=False).view(np.int64)  # NaT is the least integer
        return f"datetime[{kind.tz}]" if kind.tz else "datetime", [nanoseconds.astype("<i8", copy=False).data]
    if pa.types.is_integer(kind) and not column.null_count:
        to = "<u8" if pa.types.is_unsigned_integer(kind) else "<i8"
        return str(kind), [column.to_numpy().astype(to, copy=False).data]
    if pa.types.is_floating(kind) or pa.types.is_integer(kind):  # integers with a gap are floats in a frame
        label = {pa.float32(): "float32", pa.float16(): "float16"}.get(kind, "float64")
        return label, [_floats(column.to_numpy().astype(np.float64, copy=False))]
    if pa.types.is_boolean(kind) and not column.null_count:
        return "bool", [column.to_numpy().astype("<i8").data]
    if pa.types.is_null(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        plain = column if pa.types.is_string(kind) else column.cast(pa.string())
        return "text", _words_and_codes(plain.combine_chunks().dictionary_encode())
    if pa.types.is_dictionary(kind):
        return "text", _words_and_codes(_by_first_appearance(name, column))
    return "text", _text(name, column.to_pandas())


def _by_first_appearance(name: str, column: pa.ChunkedArray) -> Any:
    joined = column.unify_dictionaries().combine_chunks()
    dictionary = joined.dictionary
    if not pa.types.is_string(dictionary.type) or dictionary.null_count or len(dictionary.unique()) < len(dictionary):
        return _encoded(name, column)
    codes = joined.indices.dictionary_encode()
    return pa.DictionaryArray.from_arrays(codes.indices, dictionary.take(codes.dictionary))


def _floats(values: NDArray[np.float64]) -> memoryview:
    values = values + 0.0  # a copy, and -0.0 becomes 0.0
    missing = np.isnan(values)
    if missing.any():
        values[missing] = np.nan  # of the many NaN one
    return values.astype("<f8", copy=False).data


def _plain(column: pd.Series, to: str) -> memoryview:
    values: NDArray[np.generic] = np.ascontiguousarray(column.to_numpy())
    return values.astype(to).data if values.dtype.kind != "M" else values.view("i8").astype(to, copy=False).data


def _text(name: str, column: pd.Series) -> list[bytes | memoryview]:
    return _words_and_codes(_encoded(name, column))


def _encoded(name: str, column: Any) -> Any:
    # not pandas' factorize, which takes text to end at its first NUL character
    values = column if isinstance(column, pd.Series) else column.to_pandas()
    try:
        return pa.array(values, type=pa.string(), from_pandas=True).dictionary_encode()
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        word = next(word for word in values if not isinstance(word, str) and not pd.isna(word))
        raise LakeError(
            f"column {name} holds {word!r} of type {type(word).__name__}, not text",
            "convert the column to text, numbers, bools or dates before it is stored",
        ) from None


def _words_and_codes(encoded: Any) -> list[bytes | memoryview]:
    # codes by first appearance: a million symbols hash as fast as a million integers
    codes = (encoded.indices.fill_null(-1) if encoded.null_count else encoded.indices).to_numpy(zero_copy_only=False)
    words = encoded.dictionary
    lengths = pc.binary_length(words).to_numpy().astype("<i8")
    return [codes.astype("<i8").data, lengths.data, b"".join(words.cast(pa.binary()).to_pylist())]
