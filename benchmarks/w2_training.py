"""W2: training with qlib's published parameters on 460,000 x 158, and how soon a second training can begin.

The peer is LightGBM called directly on the same head and tail: two datasets of numbers, the same parameters and
evaluation each round; both are counted to train as many rounds. Ours is ``train`` with bins of its own: rows binned
once, subsets for head and tail, its rank IC and its model read back. Then the construction stage alone: ``bin_rows`` on
a new dataset, and again on bins it kept. All in this process, in turn, ours after a warm run that loads the compiled
kernels; medians of CPU seconds give the ratios.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np

from benchmarks.clocked import clocked, costs, median
from benchmarks.training_rows import QLIB, SYMBOLS, model_settings, training_rows
from ljwx_pipeline.config import ModelSettings
from ljwx_pipeline.dataset import Dataset
from ljwx_pipeline.models.binned import bin_rows, dataset_params
from ljwx_pipeline.models.train import train

SESSIONS, ROUNDS, TAIL_SESSIONS, TURNS = 1_534, 100, 240, 3
MOST_TIMES_RAW, LEAST_TIMES_SOONER = 1.03, 20.0
GOAL = (
    f"training at most {MOST_TIMES_RAW:g} times raw LightGBM, construction of a second training at least "
    f"{LEAST_TIMES_SOONER:g} times faster"
)


def run(quick: bool = False) -> dict[str, Any]:
    """Return the result entry; ``quick`` trains a tenth of the rounds on a fifth of the rows, once."""
    dataset = training_rows(SESSIONS // 5 if quick else SESSIONS)
    tail = TAIL_SESSIONS // 5 if quick else TAIL_SESSIONS
    settings = model_settings(max_rounds=ROUNDS // 10 if quick else ROUNDS, early_stopping_tail_sessions=tail)
    mine, raw, first, second = [], [], [], []
    _ours(training_rows(SESSIONS // 5), model_settings(max_rounds=1, early_stopping_tail_sessions=TAIL_SESSIONS // 5))
    rounds = set()
    for _ in range(1 if quick else TURNS):
        for train_once, into in ((_ours, mine), (_raw, raw)):
            with _counted_rounds() as made:
                into.append(clocked(partial(train_once, dataset, settings))[0])
            rounds.add(len(made))
        with tempfile.TemporaryDirectory(prefix="ljwx-w2-") as folder:
            kept = replace(dataset, kept_in=Path(folder))
            first.append(clocked(partial(_construct, dataset, settings))[0])
            _construct(kept, settings)
            second.append(clocked(partial(_construct, kept, settings))[0])
    equal_work = rounds == {settings.max_rounds}
    times_raw = median(mine, "cpu_s") / median(raw, "cpu_s")
    sooner = median(first, "cpu_s") / median(second, "cpu_s")
    shape = " x ".join(map(str, dataset.features.shape))
    return {
        "id": "W2",
        "what": f"LightGBM with qlib's parameters, {shape}, {settings.max_rounds} rounds",
        "ours": {
            **costs(mine),
            "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            "times_raw": round(times_raw, 4),
            "construction": {"first": costs(first), "second": costs(second), "times_sooner": round(sooner, 1)},
        },
        "peer": {"name": "LightGBM", "version": lgb.__version__, **costs(raw)},
        "ratio": round(1 / times_raw, 3),
        "goal": GOAL,
        "holds": equal_work and times_raw <= MOST_TIMES_RAW and sooner >= LEAST_TIMES_SOONER and not quick,
        "command": "python -m benchmarks.w2_training" + (" --quick" if quick else ""),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@contextmanager
def _counted_rounds() -> Iterator[list[None]]:
    """Yield a list that grows by one with each boosting round of this process."""
    plain, made = lgb.Booster.update, list[None]()

    def update(self: lgb.Booster, *args: Any, **kwargs: Any) -> bool:
        made.append(None)
        return plain(self, *args, **kwargs)

    lgb.Booster.update = update  # type: ignore[method-assign]
    try:
        yield made
    finally:
        lgb.Booster.update = plain  # type: ignore[method-assign]


def _ours(dataset: Dataset, settings: ModelSettings) -> None:
    train(dataset, slice(0, len(dataset.label)), QLIB, settings)


def _raw(dataset: Dataset, settings: ModelSettings) -> None:
    """Train on what our path takes as head, and evaluate on its tail, as LightGBM's manual does."""
    first_tail = len(dataset.sessions) - settings.early_stopping_tail_sessions
    head, tail = dataset.rows_between(0, first_tail - dataset.purge_sessions), slice(first_tail * SYMBOLS, None)
    params = {**dataset_params(settings), "objective": "regression", "metric": "l2", "seed": settings.seed, **QLIB}
    known = np.isfinite(dataset.label[tail])
    features, label = dataset.features[tail][known], dataset.label[tail][known]
    learned = lgb.Dataset(dataset.features[head], label=dataset.label[head], params=params)
    tested = lgb.Dataset(features, label=label, reference=learned, params=params)
    stopper = lgb.early_stopping(settings.early_stopping_rounds, verbose=False)
    booster = lgb.train(params, learned, num_boost_round=settings.max_rounds, valid_sets=[tested], callbacks=[stopper])
    booster.predict(features, num_threads=settings.threads)


def _construct(dataset: Dataset, settings: ModelSettings) -> None:
    stop = len(dataset.label)
    bin_rows(dataset, edges=slice(0, stop), stop=stop, settings=settings)


if __name__ == "__main__":
    print(json.dumps(run("--quick" in sys.argv), indent=2))
