"""A small study of hyperparameters, in this process or in another."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
from pydantic import SecretStr

from ljwx_pipeline.config import TuneSettings
from ljwx_pipeline.dataset import Dataset, Fold
from ljwx_pipeline.models.tune import tune
from ljwx_pipeline.studies import storage
from tests.fakes.model_settings import model_settings
from tests.fakes.planted import fold, planted_dataset

MODEL = model_settings(max_rounds=20, early_stopping_rounds=5, early_stopping_tail_sessions=40)
TUNING = TuneSettings(
    trials=6,
    inner_folds=2,
    rounds=5,
    seed=3,
    sampler="tpe",
    objectives=("rank_ic",),
    pareto_rank_ic_frac=0.95,
    batch=1,
    workers=1,
    pruning_percentile=0.0,
    pruning_warmup_trials=3,
    pruning_warmup_folds=1,
    warm_start=False,
    study="",
    storage=SecretStr(""),
)


def two_folds(dataset: Dataset) -> list[Fold]:
    return [
        fold(dataset, "a", test_first=100, test_stop=130),
        fold(dataset, "b", test_first=130, test_stop=160),
    ]


def best_minus_mean(scores: np.ndarray, first: int, last: int) -> np.ndarray:
    """A stand-in for a backtest: the score spread of each session after the first."""
    window = scores[:, first + 1 : last + 1]
    return np.nanmax(window, axis=0) - np.nanmean(window, axis=0)


def kill_self(scores: np.ndarray, first: int, last: int) -> np.ndarray:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def study(journal: str, url: str, *, trials: int, pause_s: float, heartbeat_s: int = 1) -> None:
    """Run a study of four to a batch, resting a while in each trial, with a line for each trial that is done."""
    storage.HEARTBEAT_S = heartbeat_s

    def slowly(scores: np.ndarray, first: int, last: int) -> np.ndarray:
        time.sleep(pause_s)
        return best_minus_mean(scores, first, last)

    dataset = planted_dataset(sessions=200, symbols=20)
    tune(
        dataset,
        two_folds(dataset),
        net_returns=slowly,
        tuning=TUNING.model_copy(update={"trials": trials, "batch": 4, "storage": SecretStr(url)}),
        model=MODEL,
        top_k=5,
        journal=Path(journal),
        on_trial=lambda _, trial: os.write(1, b"trial %d\n" % trial.number),
    )
