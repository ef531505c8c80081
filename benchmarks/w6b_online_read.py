"""W6b: the online features of 300 symbols x 30, as the last session left them: our client and Feast's own call in turn.

Both over the line's online store (SQLite). Feast's part is ``get_online_features(...).to_df()`` and nothing else; ours
is ``FeatureStoreClient.online``, which also refuses a symbol without a row and a row of another session or catalogue.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.feature_home import FEATURES, make_home
from benchmarks.w1_alpha158 import SYMBOLS, peak_mib
from ljwx_pipeline.feature_store import FeatureStoreClient

MOST_MS = 2.0
GOAL = "at most 2 ms through our port, Feast's values"


def run(quick: bool = False) -> dict[str, Any]:
    """Return the result entry; ``quick`` reads a tenth of the symbols."""
    with tempfile.TemporaryDirectory(prefix="ljwx-w6b-") as folder:
        ours, feast = measure(make_home(Path(folder), SYMBOLS // 10 if quick else SYMBOLS), 5 if quick else 40)
    return {
        "id": "W6b",
        "what": f"online read, {ours.pop('rows')} symbols x {len(FEATURES)} features",
        "ours": ours,
        "peer": {"name": "Feast sqlite", "version": version("feast"), **feast},
        "ratio": round(feast["wall_s"] / ours["wall_s"], 2),
        "goal": GOAL,
        "holds": ours["values_equal"] and ours["p50_ms"] <= MOST_MS,
        "command": "make bench ONLY=W6b",
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def measure(client: FeatureStoreClient, reads: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the figures of ours and of Feast's own call."""
    keys = pd.read_parquet(client.feature_table, columns=["symbol", "session_date"])
    session = keys["session_date"].max()
    symbols = sorted(keys.loc[keys["session_date"] == session, "symbol"])
    client.materialize_online(session.date())
    store, names = client.feast_store, list(FEATURES)
    service = store.get_feature_service(client.feature_service)
    asked = [{"symbol": symbol} for symbol in symbols]
    seconds: dict[str, list[tuple[float, float]]] = {"ours": [], "feast": []}
    for _ in range(reads + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        mine = client.online(symbols, session.date())
        seconds["ours"].append((time.perf_counter() - wall, time.process_time() - cpu))
        wall, cpu = time.perf_counter(), time.process_time()
        theirs = store.get_online_features(service, asked).to_df()
        seconds["feast"].append((time.perf_counter() - wall, time.process_time() - cpu))
    equal = np.array_equal(
        mine[names].to_numpy(np.float32),
        theirs.set_index("symbol").loc[symbols, names].to_numpy(np.float32),
        equal_nan=True,
    )
    ours, feast = (costs(seconds[by][1:]) for by in ("ours", "feast"))
    return {**ours, "rows": len(symbols), "values_equal": equal, "peak_mib": round(peak_mib(), 1)}, feast


def costs(seconds: list[tuple[float, float]]) -> dict[str, Any]:
    """Return medians of wall and CPU seconds, and the wall's percentiles in milliseconds."""
    walls = [wall for wall, _ in seconds]
    return {
        "wall_s": round(statistics.median(walls), 5),
        "cpu_s": round(statistics.median(cpu for _, cpu in seconds), 5),
        "p50_ms": round(1e3 * statistics.median(walls), 3),
        "p99_ms": round(1e3 * float(np.quantile(walls, 0.99)), 3),
    }


if __name__ == "__main__":
    print(json.dumps(run("--quick" in sys.argv), indent=2))
