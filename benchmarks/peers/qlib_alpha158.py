"""Runs qlib's Alpha158 over a folder that ``qlib_store.py`` wrote; for the peers' interpreter.

``python qlib_alpha158.py <folder> <answer.json> [--workers 2] [--values <out.npz>]``. The answer holds the version, the
seconds spent in qlib's own loader (the import is not among them) and the rows computed.
"""

from __future__ import annotations

import argparse
import json
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np


def main() -> None:
    """Compute, then write what it took and, where asked, the values."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("answer", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--values", type=Path, help="write names, symbols and float32 values (name, symbol, session)")
    options = parser.parse_args()

    import qlib
    from qlib.contrib.data.loader import Alpha158DL
    from qlib.data.dataset.loader import QlibDataLoader

    qlib.init(provider_uri=str(options.folder), region="cn", kernels=options.workers, expression_cache=None,
              dataset_cache=None, clear_mem_cache=True, logging_level="ERROR")  # fmt: skip
    fields, names = Alpha158DL.get_feature_config()
    loader = QlibDataLoader(config={"feature": (fields, names)})
    began = time.perf_counter()
    frame = loader.load(instruments="all")
    wall_s = time.perf_counter() - began
    if options.values is not None:
        frame = frame["feature"]
        symbols = sorted(frame.index.get_level_values("instrument").unique())
        cube = np.stack([frame.xs(symbol, level="instrument").to_numpy(np.float32).T for symbol in symbols], axis=1)
        np.savez_compressed(options.values, names=np.array(names), symbols=np.array(symbols), values=cube)
    answer = {"name": "qlib", "version": version("pyqlib"), "kernel_wall_s": wall_s, "rows": len(frame)}
    options.answer.write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main()
