"""Which rows and cells of two stored tables differ, read a column at a time.

Not here: whether they should be compared (``stages.py``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

KEYS = ("symbol", "session_date")
#: Cells spelled out of those that differ.
SHOWN = 5
_CHUNK_ROWS = 65_536


@dataclass(frozen=True)
class Cells:
    """What differs between a table and another: a count of cells, and the first of them as sentences."""

    count: int
    said: tuple[str, ...]


def different_cells(was: Path, now: Path, *, axes: Path | None = None) -> Cells:
    """Return what differs between two Parquet tables, two matrices or two texts of one name.

    Parameters
    ----------
    axes
        For matrices: the folder whose ``dataset_rows`` and ``dataset_meta`` say which row and factor a cell is of.
    """
    try:
        if was.suffix == ".npy":
            return _of_matrices(was, now, axes)
        return _of_tables(was, now) if was.suffix == ".parquet" else _of_texts(was, now)
    except (OSError, ValueError, pa.ArrowException) as error:
        return Cells(1, (f"{was} cannot be read ({str(error).splitlines()[0]}): it is damaged",))


def _of_tables(was: Path, now: Path) -> Cells:
    before, after = pq.ParquetFile(was), pq.ParquetFile(now)
    names, others = before.schema_arrow.names, after.schema_arrow.names
    if names != others:
        gone = [f"column {name} is no longer there" for name in names if name not in others]
        new = [f"column {name} is new" for name in others if name not in names]
        return Cells(len(gone) + len(new), tuple((gone + new)[:SHOWN]) or ("columns stand in another order",))
    keys = [name for name in KEYS if name in names]
    if before.metadata.num_rows != after.metadata.num_rows or not _same_keys(before, after, keys):
        return _of_rows(before, after, keys)
    labels: pd.DataFrame | None = None
    count, said = 0, list[str]()
    for name in names:
        left, right = (file.read(columns=[name]).column(name).to_numpy() for file in (before, after))
        differ = np.flatnonzero(~_equal(left, right))
        count += len(differ)
        for row in differ[: max(SHOWN - len(said), 0)]:
            if labels is None:
                labels = before.read(columns=keys).to_pandas() if keys else pd.DataFrame(index=range(len(left)))
            said.append(f"{_label(labels, int(row))} {name}: {_shown(left[row])} then, {_shown(right[row])} now")
    return Cells(count, tuple(said) or ("the values are equal, their encoding on disk is not",))


def _same_keys(before: pq.ParquetFile, after: pq.ParquetFile, keys: Sequence[str]) -> bool:
    return not keys or bool(before.read(columns=list(keys)).equals(after.read(columns=list(keys))))


def _of_rows(before: pq.ParquetFile, after: pq.ParquetFile, keys: Sequence[str]) -> Cells:
    if not keys:
        rows = before.metadata.num_rows, after.metadata.num_rows
        return Cells(abs(rows[0] - rows[1]), (f"{rows[0]} rows then, {rows[1]} now",))
    sides = [file.read(columns=list(keys)).to_pandas() for file in (before, after)]
    joined = sides[0].merge(sides[1], on=list(keys), how="outer", indicator=True)
    lone = joined[joined["_merge"] != "both"].reset_index(drop=True)
    said = [
        f"{_label(lone, row)}: {'a row then, none now' if lone.loc[row, '_merge'] == 'left_only' else 'a new row'}"
        for row in range(min(SHOWN, len(lone)))
    ]
    return Cells(len(lone), tuple(said) or ("the rows stand in another order",))


def _of_matrices(was: Path, now: Path, axes: Path | None) -> Cells:
    left, right = np.load(was, mmap_mode="r"), np.load(now, mmap_mode="r")
    if left.shape != right.shape:
        return Cells(abs(left.size - right.size), (f"shape {left.shape} then, {right.shape} now",))
    count, first = 0, list[tuple[int, int]]()
    for start in range(0, len(left), _CHUNK_ROWS):
        block = slice(start, start + _CHUNK_ROWS)
        differ = np.argwhere(~_equal(left[block], right[block]))
        count += len(differ)
        first += [(start + int(row), int(column)) for row, column in differ[: max(SHOWN - len(first), 0)]]
    name = _cell_names(axes)
    said = [f"{name(*at)}: {_shown(left[at])} then, {_shown(right[at])} now" for at in first]
    return Cells(count, tuple(said) or ("the values are equal, their encoding on disk is not",))


def _cell_names(axes: Path | None) -> Callable[[int, int], str]:
    """Return a function from row and column of the dataset's matrix to symbol, session and factor."""
    if axes is None or not (axes / "dataset_rows.parquet").exists():
        return lambda row, column: f"row {row}, column {column}"
    meta: Mapping[str, Any] = json.loads((axes / "dataset_meta.json").read_text(encoding="utf-8"))
    rows = pq.read_table(axes / "dataset_rows.parquet", columns=["session_index", "symbol_index"]).to_pandas()

    def named(row: int, column: int) -> str:
        at = rows.iloc[row]
        symbol, session = meta["symbols"][int(at["symbol_index"])], meta["sessions"][int(at["session_index"])]
        return f"{symbol} {session} {meta['factor_names'][column]}"

    return named


def _of_texts(was: Path, now: Path) -> Cells:
    left, right = was.read_text(encoding="utf-8").splitlines(), now.read_text(encoding="utf-8").splitlines()
    differ = [i for i, pair in enumerate(zip(left, right, strict=False)) if pair[0] != pair[1]]
    count = len(differ) + abs(len(left) - len(right))
    said = [f"line {i + 1}: {_cut(left[i])} then, {_cut(right[i])} now" for i in differ[:SHOWN]]
    return Cells(count, tuple(said) or (f"{len(left)} lines then, {len(right)} now",))


def _equal(left: Any, right: Any) -> Any:
    same = np.asarray(left == right)
    if np.issubdtype(np.asarray(left).dtype, np.floating) and np.issubdtype(np.asarray(right).dtype, np.floating):
        return same | (np.isnan(left) & np.isnan(right))
    return same | (pd.isna(left) & pd.isna(right))


def _label(frame: pd.DataFrame, row: int) -> str:
    parts = [frame[name].iloc[row] for name in KEYS if name in frame]
    texts = [f"{part:%Y-%m-%d}" if isinstance(part, pd.Timestamp) else str(part) for part in parts]
    return " ".join(texts) or f"row {row}"


def _shown(value: Any) -> str:
    return f"{value:.9g}" if isinstance(value, float | np.floating) else str(value)


def _cut(text: str, limit: int = 60) -> str:
    return repr(text if len(text) <= limit else text[:limit] + "...")
