"""W5: exact SHAP values of 100 trees for 50,000 rows x 158 factors, against LightGBM's ``pred_contrib``.

The booster is grown on those rows with qlib's published parameters for Alpha158 (depth 8, at most 210 leaves, of which
their penalties leave about 50 on a target of unit noise; the entry states how many). Both run on two threads in this
process, in turn, ours after a warm run that loads the compiled kernels; ours includes reading the booster's text and
making the tables. Medians of CPU seconds give the ratio. The values must agree to 1e-9 of the score's standard
deviation, or the goal does not hold. ``shap.TreeExplainer`` is measured once, on a part of the rows, and stated per
1,000 rows.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.models.shap_trees import read_forest
from ljwx_pipeline.models.shap_values import shap_values

ROWS, FACTORS, TREES, THREADS, TURNS = 50_000, 158, 100, 2, 3
MISSING_FRAC = 0.02
#: qlib's benchmark of LightGBM on Alpha158, examples/benchmarks/LightGBM.
QLIB = {
    "objective": "regression",
    "learning_rate": 0.0421,
    "max_depth": 8,
    "num_leaves": 210,
    "feature_fraction": 0.8879,
    "bagging_fraction": 0.8789,
    "lambda_l1": 205.6999,
    "lambda_l2": 580.9768,
}
#: Rows that shap explains: it takes as long a row as LightGBM, and is only stated.
SHAP_ROWS = 1_000
MUST, TOLERANCE = 8.0, 1e-9
GOAL = f"at least {MUST:g} times LightGBM's speed, the same values to {TOLERANCE:g}"


def run(quick: bool = False) -> dict[str, Any]:
    """Return the result entry; ``quick`` explains a twentieth of the rows, for a look at the bench itself."""
    features, text, deviation = grown(ROWS // 20 if quick else ROWS, TREES // 10 if quick else TREES)
    booster = lgb.Booster(model_str=text)
    leaves = np.diff(read_forest(text).first_leaf)
    found = shap_values(text, features, threads=THREADS)  # warm: compiled kernels are loaded, or made
    ours, theirs, said = [], [], np.empty(0)
    for _ in range(1 if quick else TURNS):
        ours.append(_clocked(lambda: shap_values(text, features, threads=THREADS))[0])
        clocked, said = _clocked(lambda: booster.predict(features, pred_contrib=True, num_threads=THREADS))
        theirs.append(clocked)
    difference = float(np.abs(found.values - said[:, :-1]).max()) / deviation
    cost, peer = ({key: _median(one, key) for key in ("wall_s", "cpu_s")} for one in (ours, theirs))
    ratio = peer["cpu_s"] / cost["cpu_s"]
    return {
        "id": "W5",
        "what": f"exact SHAP, {len(leaves)} trees of {leaves.mean():.0f} leaves, depth {QLIB['max_depth']}, "
        f"{len(features)} x {FACTORS}",
        "ours": cost
        | {
            "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            "method": found.method,
            "largest_difference": difference,
            "wall_ratio": round(peer["wall_s"] / cost["wall_s"], 1),
            "shap_tree_explainer_s_per_1000_rows": tree_explainer_s(booster, features),
        },
        "peer": {"name": "LightGBM pred_contrib", "version": lgb.__version__, **peer},
        "ratio": round(ratio, 1),
        "goal": GOAL,
        "holds": ratio >= MUST and difference <= TOLERANCE and not quick,
        "command": "python -m benchmarks.w5_shap" + (" --quick" if quick else ""),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def grown(rows: int, trees: int) -> tuple[NDArray[np.float32], str, float]:
    """Return features with missing values, a booster's text grown on them, and the deviation of its scores."""
    rng = np.random.default_rng(5)
    features = rng.standard_normal((rows, FACTORS)).astype(np.float32)
    features[rng.random(features.shape) < MISSING_FRAC] = np.nan
    known = np.nan_to_num(features)
    label = 0.1 * known[:, :20].sum(axis=1) + known[:, 3] * known[:, 5] + rng.standard_normal(rows)
    params = {**QLIB, "seed": 5, "num_threads": THREADS, "deterministic": True, "verbosity": -1}
    booster = lgb.train(params, lgb.Dataset(features, label), trees)
    return features, booster.model_to_string(), float(np.std(booster.predict(features)))


def tree_explainer_s(booster: lgb.Booster, features: NDArray[np.float32]) -> float:
    """Return the seconds that ``shap.TreeExplainer`` takes for 1,000 rows."""
    import shap  # heavy, and only here

    explainer = shap.TreeExplainer(booster)
    some = features[:SHAP_ROWS]
    return round(_clocked(lambda: explainer.shap_values(some))[0]["wall_s"] / len(some) * 1000, 3)


def _clocked(call: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    wall, cpu = time.perf_counter(), time.process_time()
    said = call()
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}, said


def _median(measured: list[dict[str, float]], key: str) -> float:
    return round(statistics.median(one[key] for one in measured), 4)


if __name__ == "__main__":
    print(json.dumps(run("--quick" in sys.argv), indent=2))
