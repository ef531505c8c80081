"""What identifies a row, and the order rows are kept in.

Not here: reading or writing them (``rows.py``, ``store.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ljwx_pipeline.errors import LakeError

#: The column by which reads are pruned.
SESSION = "session_date"
#: Row order of the canonical tables, on disk and as read, and what identifies a row; a table not named here keeps the
#: order it was given in.
SORT_KEYS = {
    "bars": ["session_date", "symbol"],
    "raw_bars": ["session_date", "symbol"],
    "index_bars": ["session_date", "index_code"],
    "securities": ["symbol"],
    "st_spells": ["symbol", "start_date"],
    "industries": ["symbol", "start_date"],
    "index_members": ["index_code", "symbol", "start_date"],
    "market_values": ["session_date", "symbol"],
    "corporate_actions": ["ex_date", "symbol"],
    "news": ["published_at", "symbol", "title"],
    "macro": ["released_at", "series", "reference_month"],
    "suspensions": ["session_date", "symbol"],
    "price_limits": ["session_date", "symbol"],
    "financial_indicators": ["announced_date", "symbol", "report_period", "indicator"],
}
_LAST = np.iinfo(np.int64).max
#: A lookup table may be this many times larger than the rows it serves.
_DENSE_FACTOR = 8


def keys_of(table: str, columns: Sequence[str], keys: Sequence[str] | None = None) -> list[str]:
    """Return the columns that identify a row of ``table``: those given, or the canonical ones.

    Raises
    ------
    LakeError
        When the table is not canonical and none were given, or it lacks one of them.
    """
    found = list(keys or SORT_KEYS.get(table, []))
    if not found:
        raise LakeError(f"nothing says what identifies a row of table {table}", "name its key columns")
    missing = [name for name in found if name not in columns]
    if missing:
        raise LakeError(f"table {table} has no key column {', '.join(missing)}", f"name some of: {', '.join(columns)}")
    return found


def order_codes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return integers that sort as the values do, a missing value last."""
    kind = column.type
    if pa.types.is_timestamp(kind) and not column.null_count:
        instants: NDArray[np.int64] = column.to_numpy().view(np.int64)
        return instants
    if pa.types.is_timestamp(kind):
        return _integers(column.cast(pa.timestamp(kind.unit)).cast(pa.int64()))
    if pa.types.is_integer(kind) and kind != pa.uint64():
        return _integers(column.cast(pa.int64()))
    if pa.types.is_string(kind) or pa.types.is_dictionary(kind):
        encoded = _encoded(column)
        ranks = np.empty(len(encoded.dictionary) + 1, dtype=np.int64)
        ranks[pc.sort_indices(encoded.dictionary).to_numpy()] = np.arange(len(encoded.dictionary))
        ranks[-1] = _LAST
        codes: NDArray[np.int64] = ranks[encoded.indices.fill_null(len(encoded.dictionary)).to_numpy()]
        return codes
    return np.unique(column.to_numpy(), return_inverse=True)[1].astype(np.int64)


def is_sorted(columns: Sequence[pa.ChunkedArray]) -> bool:
    """Return whether rows given by key columns, the first weighing most, never descend, a missing value being last."""
    undecided = np.ones(max(len(columns[0]) - 1, 0), dtype=bool)
    for number, column in enumerate(columns, start=1):
        if pa.types.is_string(column.type) and not column.null_count:
            # neighbours as they are: half the rows' work of numbering the words first
            words = column.combine_chunks()
            earlier, later = words.slice(0, len(words) - 1), words.slice(1)
            descends = pc.greater(earlier, later).to_numpy(zero_copy_only=False)
        else:
            earlier = later = None
            codes = order_codes(column)
            descends = codes[:-1] > codes[1:]
        if (undecided & descends).any():
            return False
        if number < len(columns):
            equal = codes[:-1] == codes[1:] if earlier is None else pc.equal(earlier, later).to_numpy(False)
            undecided &= equal
    return True


def key_codes(
    old: pa.Table, new: pa.Table, keys: Sequence[str], *, count_repeats: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Return an integer for each row of ``old`` and of ``new``, equal where all ``keys`` are, and their upper bound.

    With ``count_repeats`` the second row of a key differs from its first, so that every code is unique in its table.
    """
    joint = np.zeros(len(old) + len(new), dtype=np.int64)
    size = 1
    for key in keys:
        values = np.concatenate(joined_codes(old.column(key), new.column(key)))
        joint, size = _combined(joint, size, values)
    first, second = joint[: len(old)], joint[len(old) :]
    if count_repeats and (_repeats(first, size) or _repeats(second, size)):
        nth = [pd.Series(part).groupby(part).cumcount().to_numpy() for part in (first, second)]
        joint, size = _combined(joint, size, np.concatenate(nth))
        first, second = joint[: len(old)], joint[len(old) :]
    return first, second, size


def positions(codes: NDArray[np.int64], among: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Return where each of ``codes`` stands in ``among`` (its last place when repeated), -1 where it does not."""
    if size <= _DENSE_FACTOR * (len(codes) + len(among)) + 1024:
        table = np.full(size, -1, dtype=np.int64)
        table[among] = np.arange(len(among))
        found: NDArray[np.int64] = table[codes]
        return found
    last = pd.Series(np.arange(len(among)), index=among)
    last = last[~last.index.duplicated(keep="last")]
    places = pd.Index(last.index).get_indexer(pd.Index(codes))
    return np.where(places >= 0, last.to_numpy()[places] if len(last) else -1, -1)


def joined_codes(old: pa.ChunkedArray, new: pa.ChunkedArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return integers for two columns, equal where the values are (every missing value and NaN is the same)."""
    if _is_text(old.type) and _is_text(new.type):
        first, second = _encoded(old), _encoded(new)
        words = {word: code for code, word in enumerate(first.dictionary.to_pylist())}
        shared = [words.setdefault(word, len(words)) for word in second.dictionary.to_pylist()]
        renumbered = np.array([*shared, -1], dtype=np.int64)
        return (
            first.indices.fill_null(-1).to_numpy().astype(np.int64),
            renumbered[second.indices.fill_null(len(shared)).to_numpy()],
        )
    values = np.concatenate([_plain(old), _plain(new)])
    codes = pd.factorize(values, use_na_sentinel=False)[0].astype(np.int64)
    return codes[: len(old)], codes[len(old) :]


def _combined(joint: NDArray[np.int64], size: int, values: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    codes, distinct = pd.factorize(values)
    count = max(len(distinct), 1)
    if size > _LAST // count:
        joint, kept = pd.factorize(joint)
        size = max(len(kept), 1)
    return joint * count + codes, size * count


def _repeats(codes: NDArray[np.int64], size: int) -> bool:
    if size <= _DENSE_FACTOR * len(codes) + 1024:
        return bool(len(codes)) and bool(np.bincount(codes, minlength=1).max() > 1)
    return not pd.Index(codes).is_unique


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_dictionary(kind))


def _encoded(column: pa.ChunkedArray) -> Any:
    """Return one dictionary array without repeated words."""
    if isinstance(column, pa.ChunkedArray):
        column = (
            column.unify_dictionaries().combine_chunks()
            if pa.types.is_dictionary(column.type)
            else column.combine_chunks()
        )
    if not pa.types.is_dictionary(column.type):
        return column.dictionary_encode()
    if column.dictionary.null_count or len(pc.unique(column.dictionary)) < len(column.dictionary):
        return column.cast(column.type.value_type).dictionary_encode()
    return column


def _plain(column: pa.ChunkedArray) -> NDArray[Any]:
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("ns")) if column.type.tz is None else column.cast(pa.timestamp("ns", "UTC"))
    values: NDArray[Any] = column.to_numpy()
    return values + 0.0 if values.dtype.kind == "f" else values


def _integers(column: pa.ChunkedArray) -> NDArray[np.int64]:
    values: NDArray[np.int64] = pc.fill_null(column, _LAST).to_numpy()
    return values
