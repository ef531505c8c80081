"""Rows in their stored form: Arrow tables from frames and back, in the order of their keys.

Not here: what identifies a row across two tables (``keys.py``), files (``atomic_parquet.py``).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.lake.content_hash import content_hash
from ljwx_pipeline.lake.keys import SESSION, SORT_KEYS, is_sorted, order_codes

#: What a caller may hand to the lake.
Rows: TypeAlias = pd.DataFrame | pa.Table


def as_table(rows: Rows, *, joined: bool = True) -> pa.Table:
    """Return ``rows`` as one Arrow table whose index is dropped and whose columns each have one plain type.

    A column without any value is text. Text that an Arrow table holds as a dictionary becomes plain text. With
    ``joined`` every column is one piece of memory.

    Raises
    ------
    LakeError
        For a repeated column name or a column that cannot be stored.
    """
    if isinstance(rows, pd.DataFrame):
        if not rows.columns.is_unique:
            raise LakeError(f"columns {list(rows.columns)} repeat a name", "rename one of them")
        try:
            table = pa.Table.from_pandas(rows, preserve_index=False)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            content_hash(rows)  # names the column and the value, when it can
            fact = f"rows cannot be stored as Parquet ({error})"
            raise LakeError(fact, "give every column one plain type") from error
        return _with_types(table, {pa.null(): pa.string()})
    if len(set(rows.column_names)) != rows.num_columns:
        raise LakeError(f"columns {rows.column_names} repeat a name", "rename one of them")
    table = _decoded(_with_types(rows, {pa.null(): pa.string(), pa.large_string(): pa.string()}))
    return table.combine_chunks() if joined else table


def as_frame(table: pa.Table) -> pd.DataFrame:
    """Return ``table`` as a frame; equal words share one string, which costs a tenth of decoding each row's."""
    extension = _pandas_extension_columns(table)
    words: dict[str, np.ndarray[Any, Any]] = {}
    table = table.unify_dictionaries()
    for position, field in enumerate(table.schema):
        if not pa.types.is_dictionary(field.type) or not _was_plain_text(table, field):
            continue
        column = table.column(position)
        if field.name in extension:
            table = table.set_column(position, field.name, column.cast(pa.string()))
        else:
            words[field.name] = _words(column)
            # any narrow stand-in keeps the column's place until the words are laid in
            table = table.set_column(position, field.name, pa.nulls(len(table), pa.bool_()))
    frame: pd.DataFrame = table.to_pandas()
    for name, values in words.items():
        frame[name] = values
    return frame


def ordered(name: str, table: pa.Table) -> pa.Table:
    """Return the rows of canonical table ``name`` in the order of its keys (stable); others as they are."""
    keys = SORT_KEYS.get(name, [])
    if not keys or not set(keys) <= set(table.column_names) or len(table) < 2:
        return table
    if is_sorted([table.column(key) for key in keys]):
        return table
    codes = [order_codes(table.column(key)) for key in keys]
    return table.take(pa.array(np.lexsort(codes[::-1])))


def concatenated(tables: Sequence[pa.Table]) -> pa.Table:
    """Return the rows of ``tables`` one after another; an empty one does not change the others' types."""
    kept = [table for table in tables if len(table)] or list(tables[:1])
    if all(table.schema.equals(kept[0].schema) for table in kept[1:]):
        return pa.concat_tables([table.replace_schema_metadata(kept[0].schema.metadata) for table in kept])
    return pa.concat_tables([_decoded(table) for table in kept], promote_options="permissive")


def between(table: pa.Table, first: date | None, last: date | None) -> pa.Table:
    """Return the rows whose ``session_date`` lies within ``first`` and ``last``, both inclusive, None being open."""
    if first is None and last is None:
        return table
    days = table.column(SESSION)
    keep = np.ones(len(table), dtype=bool)
    if first is not None:
        keep &= _known(pc.greater_equal(days, _instant(first, days.type)))
    if last is not None:
        keep &= _known(pc.less_equal(days, _instant(last, days.type)))
    chosen = np.flatnonzero(keep)
    if len(chosen) == 0:
        return table.slice(0, 0)
    if chosen[-1] - chosen[0] + 1 == len(chosen):
        return table.slice(int(chosen[0]), len(chosen))
    return table.take(pa.array(chosen))


def session_span(table: pa.Table) -> tuple[date, date] | None:
    """Return the first and last ``session_date`` of ``table``, or None where it has none or a row has none."""
    if SESSION not in table.column_names or not pa.types.is_timestamp(table.schema.field(SESSION).type):
        return None
    if table.column(SESSION).null_count:
        return None  # such rows stand last, whatever the span of the others
    ends = pc.min_max(table.column(SESSION)).as_py()
    return None if ends["min"] is None else (pd.Timestamp(ends["min"]).date(), pd.Timestamp(ends["max"]).date())


def split_by_month(rows: Rows, *, pattern: str = "%Y-%m-01", column: str = SESSION) -> dict[str, pa.Table]:
    """Return ``rows`` in parts by month of ``column``, named by ``pattern``; rows in date order are not copied.

    Raises
    ------
    LakeError
        When a row has no date: it belongs to no month.
    """
    table = as_table(rows, joined=False)  # a copy of the whole would cost more than all that follows
    days = table.column(column)
    if days.null_count:
        raise LakeError(f"{days.null_count} rows have no {column}", "give every row its date before it is stored")
    instants = days.cast(pa.timestamp("ns")).to_numpy()
    if (instants[1:] < instants[:-1]).any():
        months = instants.astype("M8[M]")
        order = np.argsort(months, kind="stable")
        table, instants = table.take(pa.array(order)), months[order]
    starts = np.flatnonzero(np.r_[np.ones(min(len(instants), 1), dtype=bool), instants[1:] != instants[:-1]])
    months = instants[starts].astype("M8[M]").astype(np.int64)  # of each day once
    edges = [*starts[np.flatnonzero(np.diff(months, prepend=-(2**40)))], len(instants)]
    parts: dict[str, pa.Table] = {}
    for start, stop in itertools.pairwise(edges):
        name = pd.Timestamp(instants[start]).strftime(pattern)
        if name in parts:
            raise LakeError(f"pattern {pattern!r} gives two months the name {name}", "put %Y and %m into it")
        parts[name] = table.slice(int(start), int(stop - start))
    return parts


def _decoded(table: pa.Table) -> pa.Table:
    kinds = {field.type: pa.string() for field in table.schema if _is_text_dictionary(field.type)}
    return _with_types(table, kinds)


def _with_types(table: pa.Table, changes: Mapping[Any, Any]) -> pa.Table:
    for position, field in enumerate(table.schema):
        if field.type in changes:
            column = table.column(position).cast(changes[field.type])
            table = table.set_column(position, field.with_type(changes[field.type]), column)
    return table


def _is_text_dictionary(kind: Any) -> bool:
    return bool(pa.types.is_dictionary(kind) and pa.types.is_string(kind.value_type))


def _was_plain_text(table: pa.Table, field: Any) -> bool:
    """Return whether a dictionary column came from text and not from a pandas categorical."""
    if not _is_text_dictionary(field.type):
        return False
    return _pandas_kinds(table).get(field.name, ("unicode", "object"))[0] != "categorical"


def _pandas_extension_columns(table: pa.Table) -> set[str]:
    return {name for name, (_, numpy_type) in _pandas_kinds(table).items() if numpy_type != "object"}


def _pandas_kinds(table: pa.Table) -> dict[str, tuple[str, str]]:
    metadata = (table.schema.metadata or {}).get(b"pandas")
    if metadata is None:
        return {}
    return {
        column["field_name"]: (column["pandas_type"], column["numpy_type"])
        for column in json.loads(metadata)["columns"]
    }


def _words(column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    joined = column.combine_chunks()
    dictionary = np.array([*joined.dictionary.to_pylist(), None], dtype=object)
    values: np.ndarray[Any, Any] = dictionary[joined.indices.fill_null(len(dictionary) - 1).to_numpy()]
    return values


def _known(mask: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    values: np.ndarray[Any, Any] = pc.fill_null(mask, False).to_numpy()
    return values


def _instant(day: date, kind: Any) -> pa.Scalar:
    return pa.scalar(pd.Timestamp(day), type=kind)
