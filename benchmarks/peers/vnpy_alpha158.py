"""Runs vnpy.alpha's Alpha158 over a Parquet file of bars; for the peers' interpreter.

``python vnpy_alpha158.py <bars.parquet> <answer.json> [--workers 2]``. The file has the columns vt_symbol, datetime,
open, high, low, close, volume and vwap, one row a bar. The answer holds the version, the seconds of ``prepare_data``
(which starts its own processes) and the rows computed; the label that the dataset always adds is switched off.
"""

from __future__ import annotations

import argparse
import json
import time
from importlib.metadata import version
from pathlib import Path


def main() -> None:
    """Compute, then write what it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bars", type=Path)
    parser.add_argument("answer", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()

    import polars as pl
    from vnpy.alpha.dataset.datasets.alpha_158 import Alpha158

    bars = pl.read_parquet(options.bars).sort("datetime", "vt_symbol")
    first, last = (f"{day:%Y-%m-%d}" for day in (bars["datetime"].min(), bars["datetime"].max()))
    dataset = Alpha158(bars, (first, last), (first, last), (first, last))
    dataset.label_expression = ""
    began = time.perf_counter()
    dataset.prepare_data(max_workers=options.workers)
    wall_s = time.perf_counter() - began
    rows, columns = dataset.raw_df.shape
    answer = {
        "name": "vnpy.alpha",
        "version": version("vnpy"),
        "kernel_wall_s": wall_s,
        "rows": rows,
        "factors": columns - 2,
    }
    options.answer.write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main()
