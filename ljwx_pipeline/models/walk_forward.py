"""The walk forward: for each test fold a model that has seen nothing of it, and its scores.

Not here: where folds begin and end (``dataset/``), what the scores are worth in money (``backtest/``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.clock import Clock, SystemClock
from ljwx_pipeline.coefficients import mean_rank_ic
from ljwx_pipeline.config import ModelSettings
from ljwx_pipeline.dataset import Dataset, Fold
from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.models.binned import Binned, bin_rows
from ljwx_pipeline.models.fit import reads_bins
from ljwx_pipeline.models.task import Params
from ljwx_pipeline.models.train import train
from ljwx_pipeline.scoring.model import Model

Float = NDArray[np.float64]
Int = NDArray[np.int64]


@dataclass(frozen=True)
class FoldRecord:
    """How one fold went.

    Parameters
    ----------
    name
        The fold's, for instance ``"2021"``.
    rounds, tail_rank_ic
        Boosting rounds, and mean rank IC on the early-stopping tail of its training window.
    rank_ic
        Mean rank IC on its test sessions; NaN when none has a known return.
    train_rows, test_rows
        Rows learned from and rows scored.
    train_first, train_last, test_first, test_last
        Sessions, inclusive.
    seconds
        Wall time.
    """

    name: str
    rounds: int
    tail_rank_ic: float
    rank_ic: float
    train_rows: int
    test_rows: int
    train_first: date
    train_last: date
    test_first: date
    test_last: date
    seconds: float


@dataclass(frozen=True)
class WalkedFold:
    """One fold: how it went, its scores out of sample, and the model that made them.

    Parameters
    ----------
    predictions
        Columns symbol, session_date, score, fold; by session, then symbol; one row for each scorable row of the test
        window that has any factor.
    """

    record: FoldRecord
    predictions: pd.DataFrame
    model: Model


@dataclass(frozen=True)
class WalkForward:
    """Scores out of sample, how each fold went, and each fold's model.

    Parameters
    ----------
    predictions
        Of all folds together, as ``WalkedFold``'s.
    folds, models
        In test order.
    """

    predictions: pd.DataFrame
    folds: tuple[FoldRecord, ...]
    models: tuple[Model, ...]


def walk_forward(
    dataset: Dataset,
    folds: Sequence[Fold],
    tuned: Params,
    settings: ModelSettings,
    *,
    workers: int = 1,
    on_fold: Callable[[FoldRecord], None] | None = None,
    clock: Clock | None = None,
) -> WalkForward:
    """Train and score each fold; rows are binned once, with edges from the first training window.

    Parameters
    ----------
    folds
        From ``dataset.folds``: test windows in time order, training windows that end a purge before them.
    tuned
        From ``tune.py``.
    workers
        Folds at work at a time, each in a thread with its share of ``settings.threads``: the same bits as one after the
        other. Each worker holds its fold's rows once more, a byte a row and factor.
    on_fold
        Called with each fold's record, in test order: progress, tracking.

    Raises
    ------
    ModelError
        Without a fold, or when a window is too short.
    """
    binned = bin_folds(dataset, folds, settings)

    def walked(fold: Fold) -> WalkedFold:
        return walk_fold(dataset, fold, tuned, settings, binned=binned, workers=workers, clock=clock)

    done = []
    with ThreadPoolExecutor(max_workers=workers) as pool:
        # LightGBM computes outside Python's lock
        for one in map(walked, folds) if workers == 1 else pool.map(walked, folds):
            done.append(one)
            if on_fold is not None:
                on_fold(one.record)
    return WalkForward(
        pd.concat([one.predictions for one in done], ignore_index=True),
        tuple(one.record for one in done),
        tuple(one.model for one in done),
    )


def bin_folds(dataset: Dataset, folds: Sequence[Fold], settings: ModelSettings) -> Binned | None:
    """Return the rows of all training windows binned, with edges from the first one; None where no fit reads bins.

    Raises
    ------
    ModelError
        Without a fold.
    """
    if not folds:
        raise ModelError("there is no test fold", "lower walk_forward.first_test_year or add data")
    if not reads_bins(settings):
        return None
    return bin_rows(
        dataset, edges=folds[0].train_rows, stop=max(fold.train_rows.stop for fold in folds), settings=settings
    )


def walk_fold(
    dataset: Dataset,
    fold: Fold,
    tuned: Params,
    settings: ModelSettings,
    *,
    binned: Binned | None,
    workers: int = 1,
    clock: Clock | None = None,
) -> WalkedFold:
    """Train on one fold's window and score its test rows.

    Parameters
    ----------
    binned
        From ``bin_folds``.
    workers
        How many folds are at work at a time: this one takes its share of ``settings.threads``, and nothing it returns
        shows how many that were.

    Raises
    ------
    ModelError
        When the training window is too short.
    """
    timer = clock or SystemClock()
    started = timer.monotonic_s()
    shared = settings.model_copy(update={"threads": max(1, settings.threads // workers)})
    trained = train(dataset, fold.train_rows, tuned, shared, binned=binned)
    scored, scores = scored_rows(dataset, fold.test_rows, trained.model, threads=shared.threads)
    first, last = _sessions(dataset, fold.train_rows), _sessions(dataset, fold.test_rows)
    record = FoldRecord(
        name=fold.name,
        rounds=trained.rounds,
        tail_rank_ic=trained.tail_rank_ic,
        rank_ic=mean_rank_ic(scores, dataset.forward_return[scored], dataset.session_index[scored]),
        train_rows=trained.rows,
        test_rows=len(scored),
        train_first=first[0],
        train_last=first[1],
        test_first=last[0],
        test_last=last[1],
        seconds=timer.monotonic_s() - started,
    )
    return WalkedFold(record, _frame(dataset, scored, scores, fold.name), trained.model)


def scored_rows(dataset: Dataset, rows: slice, model: Model, *, threads: int) -> tuple[Int, Float]:
    """Return the positions of those of ``rows`` that may be scored and have any factor, and their scores."""
    scored = np.flatnonzero(dataset.scorable[rows]) + int(rows.start)
    features = dataset.features[scored]
    seen = ~np.isnan(features).all(axis=1)
    scored = scored[seen]
    groups = None if dataset.groups is None else dataset.groups[scored]
    return scored, model.predict(features[seen], groups, threads=threads).score


def _frame(dataset: Dataset, rows: np.ndarray, scores: np.ndarray, fold: str) -> pd.DataFrame:
    symbols = np.asarray(dataset.symbols, dtype=object)
    return pd.DataFrame(
        {
            "symbol": symbols[dataset.symbol_index[rows]],
            "session_date": dataset.sessions[dataset.session_index[rows]],
            "score": scores,
            "fold": fold,
        }
    )


def _sessions(dataset: Dataset, rows: slice) -> tuple[date, date]:
    index = dataset.session_index[rows]
    return dataset.sessions[index[0]].date(), dataset.sessions[index[-1]].date()
