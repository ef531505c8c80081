"""Which cells of two stored tables differ."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.lake.atomic_parquet import write_parquet
from ljwx_pipeline.reproduction.cells import different_cells


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "symbol": ["A", "B", "A", "B"],
            "session_date": pd.to_datetime(["2024-01-02", "2024-01-02", "2024-01-03", "2024-01-03"]),
            "x": np.array([1.0, np.nan, 3.0, 4.0], dtype=np.float32),
            "kept": [True, False, True, True],
        }
    )


def both(folder: Path, was: pd.DataFrame, now: pd.DataFrame) -> tuple[Path, Path]:
    for name, table in (("was", was), ("now", now)):
        (folder / name).mkdir()
        write_parquet(folder / name / "t.parquet", table)
    return folder / "was" / "t.parquet", folder / "now" / "t.parquet"


def test_a_changed_cell_is_named_by_symbol_session_and_column(tmp_path: Path, frame: pd.DataFrame) -> None:
    other = frame.copy()
    other.loc[2, "x"] = np.float32(3.5)
    cells = different_cells(*both(tmp_path, frame, other))
    assert cells.count == 1
    assert cells.said == ("A 2024-01-03 x: 3 then, 3.5 now",)


def test_a_value_where_none_was_differs_and_two_missing_ones_do_not(tmp_path: Path, frame: pd.DataFrame) -> None:
    other = frame.copy()
    other.loc[0, "x"] = np.nan
    cells = different_cells(*both(tmp_path, frame, other))
    assert cells.said == ("A 2024-01-02 x: 1 then, nan now",)


def test_rows_that_one_side_alone_has_are_named(tmp_path: Path, frame: pd.DataFrame) -> None:
    cells = different_cells(*both(tmp_path, frame, frame.iloc[1:]))
    assert cells.count == 1
    assert cells.said == ("A 2024-01-02: a row then, none now",)


def test_columns_that_came_or_went_are_named(tmp_path: Path, frame: pd.DataFrame) -> None:
    cells = different_cells(*both(tmp_path, frame, frame.rename(columns={"x": "y"})))
    assert cells.said == ("column x is no longer there", "column y is new")


def test_a_damaged_table_is_told_as_one(tmp_path: Path, frame: pd.DataFrame) -> None:
    was, now = both(tmp_path, frame, frame)
    was.write_bytes(was.read_bytes()[:-9])
    assert "is damaged" in different_cells(was, now).said[0]


def test_a_cell_of_a_matrix_is_named_by_what_stands_beside_it(tmp_path: Path) -> None:
    axes = tmp_path / "tables"
    axes.mkdir()
    write_parquet(axes / "dataset_rows.parquet", pd.DataFrame({"session_index": [0, 1], "symbol_index": [1, 0]}))
    meta = {"symbols": ["A", "B"], "sessions": ["2024-01-02", "2024-01-03"], "factor_names": ["F", "G"]}
    (axes / "dataset_meta.json").write_text(json.dumps(meta), encoding="utf-8")
    matrix = np.array([[1, 2], [3, np.nan]], dtype=np.float32)
    np.save(tmp_path / "was.npy", matrix)
    matrix[0, 1] = 9
    np.save(tmp_path / "now.npy", matrix)
    cells = different_cells(tmp_path / "was.npy", tmp_path / "now.npy", axes=axes)
    assert cells.count == 1
    assert cells.said == ("B 2024-01-02 G: 2 then, 9 now",)


def test_a_line_of_a_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "was.txt").write_text("tree\nleaf=1\n", encoding="utf-8")
    (tmp_path / "now.txt").write_text("tree\nleaf=2\n", encoding="utf-8")
    cells = different_cells(tmp_path / "was.txt", tmp_path / "now.txt")
    assert cells.said == ("line 2: 'leaf=1' then, 'leaf=2' now",)
