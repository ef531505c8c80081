"""Figures on disk: ``performance.json`` for people and other programs, ``performance.parquet`` for tables of many runs.

Both hold the same rows: run, measure, value, lower, upper, unit, basis. JSON has no NaN and no infinity: what does not
exist is null there, and infinity is the word ``Infinity``. Not here: measuring (``performance.py``).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.evaluation.performance import Figure
from ljwx_pipeline.lake.atomic_parquet import read_bytes, read_parquet, write_bytes, write_parquet

JSON_NAME, PARQUET_NAME = "performance.json", "performance.parquet"
#: Columns of the table, with their types.
COLUMNS = {
    "run": "object",
    "measure": "object",
    "value": "float64",
    "lower": "float64",
    "upper": "float64",
    "unit": "object",
    "basis": "object",
}
_NUMBERS = ("value", "lower", "upper")
_AGAIN = "run the backtest again, it writes the file anew"

Runs = Mapping[str, Mapping[str, Figure]]


def performance_frame(runs: Runs) -> pd.DataFrame:
    """Return the figures of each run as a table of ``COLUMNS``, in the order given."""
    rows = [
        {"run": run, "measure": measure, **asdict(figure)}
        for run, figures in runs.items()
        for measure, figure in figures.items()
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def write_performance(folder: Path, run: str, figures: Mapping[str, Figure]) -> tuple[Path, Path]:
    """Write one run's figures into ``folder`` as JSON and as Parquet, and return the two paths.

    Each file is written whole or not at all; the same figures give the same bytes.

    Raises
    ------
    LakeError
        When the disk refuses.
    """
    frame = performance_frame({run: figures})
    rows = [
        {name: _to_json(value) if name in _NUMBERS else value for name, value in row.items()}
        for row in frame.to_dict(orient="records")
    ]
    paths = folder / JSON_NAME, folder / PARQUET_NAME
    write_bytes(paths[0], (json.dumps(rows, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())
    write_parquet(paths[1], frame)
    return paths


def read_performance(path: Path) -> dict[str, dict[str, Figure]]:
    """Return the figures stored at ``path`` (``.json`` or ``.parquet``) by run and measure.

    Raises
    ------
    LakeError
        When the file is missing, damaged or holds no such table.
    """
    try:
        parquet = path.suffix == ".parquet"
        rows: Any = read_parquet(path).to_dict(orient="records") if parquet else json.loads(read_bytes(path))
        runs: dict[str, dict[str, Figure]] = {}
        for row in rows:
            numbers = {name: _from_json(row[name]) for name in _NUMBERS}
            figure = Figure(**numbers, unit=row["unit"], basis=row["basis"])
            runs.setdefault(row["run"], {})[row["measure"]] = figure
    except (ValueError, KeyError, TypeError) as error:
        raise LakeError(f"{path} holds no table of figures ({error})", _AGAIN) from None
    return runs


def _to_json(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")


def _from_json(value: float | str | None) -> float:
    return math.nan if value is None else float(value)
