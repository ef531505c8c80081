"""W3: a walk forward of 10 folds x 20 rounds: rows binned once against a LightGBM dataset a fold, and folds at a time.

The peer makes of each fold's head and tail two datasets of numbers, trains with the same parameters and rounds, and
scores the test rows; so does ours, on subsets of rows that were binned once. Both in this process, in turn; medians of
CPU seconds give the ratio. Then two folds at a time against one, each on a thread of its own: medians of wall seconds,
which mean nothing on a machine that has other work. Scores must be the same bits for any number of workers.
"""

from __future__ import annotations

import json
import resource
import sys
from datetime import UTC, datetime
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd

from benchmarks.clocked import clocked, costs, median
from benchmarks.training_rows import QLIB, QLIB_BINS, model_settings, training_rows
from ljwx_pipeline.config import ModelSettings, WalkForwardSettings
from ljwx_pipeline.dataset import Dataset, Fold, folds
from ljwx_pipeline.models.binned import dataset_params
from ljwx_pipeline.models.walk_forward import walk_forward

SESSIONS, FOLDS, ROUNDS, TAIL_SESSIONS, TURNS = 2_290, 10, 20, 120, 3
MUST, MUST_SCALING = 1.8, 1.7
GOAL = f"at least {MUST:g} times the speed of a dataset a fold; two workers at least {MUST_SCALING:g} times one"


def run(quick: bool = False) -> dict[str, Any]:
    """Return the result entry; ``quick`` walks a fifth of the sessions once."""
    dataset = training_rows(SESSIONS // 5 if quick else SESSIONS)
    tail = TAIL_SESSIONS // 5 if quick else TAIL_SESSIONS
    settings = model_settings(max_rounds=ROUNDS, early_stopping_tail_sessions=tail, max_bin=QLIB_BINS)
    planned, turns = ten_folds(dataset), 1 if quick else TURNS
    mine, peer = [], []
    for _ in range(turns):
        mine.append(clocked(lambda: walk_forward(dataset, planned, QLIB, settings))[0])
        peer.append(clocked(lambda: a_dataset_a_fold(dataset, planned, settings))[0])
    one, two, found = [], [], []
    for _ in range(turns):
        for workers, into in ((1, one), (2, two)):
            shared = settings.model_copy(update={"threads": workers})  # one thread for each worker
            took, walked = clocked(lambda w=workers, s=shared: walk_forward(dataset, planned, QLIB, s, workers=w))
            into.append(took)
            found.append(walked.predictions)
    equal = all(_same(found[0], other) for other in found[1:])
    ratio, scaling = (median(a, key) / median(b, key) for a, b, key in ((peer, mine, "cpu_s"), (one, two, "wall_s")))
    return {
        "id": "W3",
        "what": f"walk forward, {len(planned)} folds x {ROUNDS} rounds, {' x '.join(map(str, dataset.features.shape))}",
        "ours": {
            **costs(mine),
            "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            "one_worker": costs(one),
            "two_workers": costs(two),
            "scaling": round(scaling, 2),
            "scores_equal": equal,
        },
        "peer": {"name": "LightGBM, a dataset a fold", "version": lgb.__version__, **costs(peer)},
        "ratio": round(ratio, 2),
        "goal": GOAL,
        "holds": equal and ratio >= MUST and scaling >= MUST_SCALING and not quick,
        "command": "python -m benchmarks.w3_walk_forward" + (" --quick" if quick else ""),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def ten_folds(dataset: Dataset) -> list[Fold]:
    """Return ten test folds over the sessions after the first third, as ``walk_forward.folds = 10`` gives them."""
    plain = {"test_sessions": 0, "scheme": "expanding", "train_sessions": 0, "embargo_sessions": 0, "workers": 1}
    return folds(dataset, WalkForwardSettings(first_test_year="auto", folds=FOLDS, min_train_sessions=60, **plain))


def a_dataset_a_fold(dataset: Dataset, planned: list[Fold], settings: ModelSettings) -> list[np.ndarray]:
    """Return each fold's scores, from datasets that LightGBM makes of that fold's numbers."""
    params = {**dataset_params(settings), "objective": "regression", "metric": "l2", "seed": settings.seed, **QLIB}
    scores = []
    for fold in planned:
        stop = int(dataset.session_index[fold.train_rows.stop - 1]) + 1
        first_tail = stop - settings.early_stopping_tail_sessions
        head = dataset.rows_between(0, first_tail - dataset.purge_sessions)
        tail = dataset.rows_between(first_tail, stop)
        learned = lgb.Dataset(dataset.features[head], label=dataset.label[head], params=params)
        tested = lgb.Dataset(dataset.features[tail], label=dataset.label[tail], reference=learned, params=params)
        stopper = lgb.early_stopping(settings.early_stopping_rounds, verbose=False)
        booster = lgb.train(
            params, learned, num_boost_round=settings.max_rounds, valid_sets=[tested], callbacks=[stopper]
        )
        booster.predict(dataset.features[tail], num_threads=settings.threads)
        scores.append(np.asarray(booster.predict(dataset.features[fold.test_rows], num_threads=settings.threads)))
    return scores


def _same(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    return bool(np.array_equal(one["score"], other["score"]) and one["fold"].equals(other["fold"]))


if __name__ == "__main__":
    print(json.dumps(run("--quick" in sys.argv), indent=2))
