"""The point-in-time join in raw polars; for the peers' interpreter.

``python polars_join.py <folder> <answer.json> --values <out.npy>``: reads the folder's feature table and joins it to
``questions.parquet``. The answer holds the seconds from the questions in memory to the values in memory, the median of
``CALLS`` and the first one's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import polars as pl

CALLS = 5


def main() -> None:
    """Join, then write what it took and the values."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("answer", type=Path)
    parser.add_argument("--values", type=Path, required=True)
    parser.add_argument("--days", type=int, required=True)
    options = parser.parse_args()
    questions = pl.read_parquet(options.folder / "questions.parquet")
    (path,) = (options.folder / "home" / "feature_table").glob("*.parquet")
    walls = []
    for _ in range(CALLS):
        began = time.perf_counter()
        table = pl.read_parquet(path)
        names = [name for name in table.columns if name.startswith("F")]
        table = table.select("symbol", "event_timestamp", *names).sort("event_timestamp")
        asked = questions.sort("event_timestamp")
        joined = asked.join_asof(table, on="event_timestamp", by="symbol", tolerance=f"{options.days}d")
        answers = joined.sort("question").select(names)
        walls.append(time.perf_counter() - began)
    np.save(options.values, answers.to_numpy().astype(np.float32))
    said = {"name": "polars", "version": pl.__version__, "kernel_wall_s": statistics.median(walls)}
    said["first_wall_s"] = walls[0]
    options.answer.write_text(json.dumps(said), encoding="utf-8")


if __name__ == "__main__":
    main()
