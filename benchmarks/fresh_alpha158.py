"""A process of its own that reads bars from Parquet and computes the 158 factors; W1 and W1b measure it as a child.

``python -m benchmarks.fresh_alpha158 <bars.parquet> <answer.json> [--threads 2] [--block-symbols 128]``. Without blocks
the result is held whole, with them one block at a time is in memory. The answer says how the seconds were spent.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.bars_file import FIELDS
from ljwx_pipeline.expressions import evaluate as engine
from ljwx_pipeline.factors.alpha158 import alpha158
from ljwx_pipeline.market.panel import Panel
from ljwx_pipeline.market.panel_file import read_panel


def main() -> None:
    """Read, compute, and write what it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bars", type=Path)
    parser.add_argument("answer", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--block-symbols", type=int)
    options = parser.parse_args()
    began = time.perf_counter()
    panel = read_panel(options.bars, FIELDS)
    read_s = time.perf_counter() - began
    if options.block_symbols is None:
        values = engine.evaluate(alpha158().expressions, panel, options.threads).values
        known = int(np.isfinite(values[:, :, -1]).sum())
    else:
        blocks = blocks_of(panel, options.block_symbols, options.threads)
        known = sum(int(np.isfinite(values[:, :, -1]).sum()) for values in blocks)
    answer = {
        "read_s": round(read_s, 3),
        "factors_s": round(time.perf_counter() - began - read_s, 3),
        "symbols": len(panel.symbols),
        "sessions": len(panel.sessions),
        "known_of_last_session": known,
    }
    options.answer.write_text(json.dumps(answer), encoding="utf-8")


def blocks_of(panel: Panel, block_symbols: int, threads: int) -> Iterator[NDArray[np.floating[Any]]]:
    """Yield the values of ``block_symbols`` symbols after the other, shape ``(158, n_symbols, n_sessions)``."""
    expressions = alpha158().expressions
    if hasattr(engine, "evaluate_blocks"):  # one buffer for all blocks
        for block in engine.evaluate_blocks(expressions, panel, block_symbols=block_symbols, threads=threads):
            yield block.values
        return
    for start in range(0, len(panel.symbols), block_symbols):
        part = slice(start, start + block_symbols)
        fields = {name: values[part] for name, values in panel.fields.items()}
        yield engine.evaluate(expressions, Panel(panel.symbols[part], panel.sessions, fields), threads).values


if __name__ == "__main__":
    main()
