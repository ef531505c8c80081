"""W3c's peer: alphalens-reloaded on the panel in a folder. Answers each line on stdin with a line of JSON.

``run`` measures once and answers its wall and CPU seconds; ``results`` also writes the numbers into the folder.
"""

import contextlib
import io
import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import alphalens
import numpy as np
import pandas as pd

QUANTILES = 5


def main(folder: Path) -> None:
    """Load the panel, then answer until stdin ends."""
    panel = np.load(folder / "panel.npz")
    horizons = [int(h) for h in panel["horizons"]]
    days = pd.bdate_range("2018-01-02", periods=panel["factor"].shape[0])
    names = [f"S{i:05d}" for i in range(panel["factor"].shape[1])]
    index = pd.MultiIndex.from_product([days, names], names=["date", "asset"])
    factor = pd.Series(panel["factor"].ravel(), index=index).dropna()
    forward = pd.DataFrame({f"{h}D": panel[f"forward_{h}"].ravel() for h in horizons}, index=index)
    print(json.dumps({"name": "alphalens-reloaded", "version": version("alphalens-reloaded")}), flush=True)
    for line in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        with contextlib.redirect_stdout(io.StringIO()):
            clean = alphalens.utils.get_clean_factor(factor, forward, quantiles=QUANTILES, max_loss=1.0)
            rank_ic = alphalens.performance.factor_information_coefficient(clean)
            returns, _ = alphalens.performance.mean_return_by_quantile(clean, by_date=True, demeaned=True)
        answer = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu, "rows": len(clean)}
        if line.strip() == "results":
            excess = returns.to_numpy().reshape(QUANTILES, len(rank_ic), len(horizons))
            np.savez(folder / "peer.npz", rank_ic=rank_ic.to_numpy(), excess=excess)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
