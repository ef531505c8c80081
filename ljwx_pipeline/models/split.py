"""One split of combinatorial purged cross-validation: a model of stretches of sessions, and its scores of the rest.

Not here: which stretches those are and the paths that scores make (``dataset/combinatorial_folds.py``), folds in time
order (``walk_forward.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.clock import Clock, SystemClock
from ljwx_pipeline.coefficients import mean_rank_ic
from ljwx_pipeline.config import ModelSettings
from ljwx_pipeline.dataset import Dataset
from ljwx_pipeline.dataset.combinatorial_folds import CombinatorialFold, training_dataset
from ljwx_pipeline.models.task import Params
from ljwx_pipeline.models.train import train
from ljwx_pipeline.models.walk_forward import scored_rows

Float = NDArray[np.float64]


@dataclass(frozen=True)
class SplitRecord:
    """How one split went.

    Parameters
    ----------
    name
        The groups tested, as ``CombinatorialFold`` names them.
    rounds, tail_rank_ic
        Boosting rounds, and mean rank IC on the early-stopping tail: the last of the sessions it trains on.
    rank_ic
        Mean rank IC on its test sessions; NaN when none has a known return.
    train_rows, test_rows
        Rows learned from and rows scored.
    train, test
        First and last session of each stretch: ``2019-01-02 to 2019-12-20, ...``.
    seconds
        Wall time.
    """

    name: str
    rounds: int
    tail_rank_ic: float
    rank_ic: float
    train_rows: int
    test_rows: int
    train: str
    test: str
    seconds: float


@dataclass(frozen=True)
class ScoredSplit:
    """One split: how it went, and the scores of its ``test_rows`` joined in their order, NaN where there is none."""

    record: SplitRecord
    scores: Float


def score_split(
    dataset: Dataset,
    split: CombinatorialFold,
    tuned: Params,
    settings: ModelSettings,
    *,
    workers: int = 1,
    clock: Clock | None = None,
) -> ScoredSplit:
    """Train on a split's stretches as on one window and score its test rows.

    Rows are binned with edges of the training rows alone. Some of those come after the tested ones.

    Parameters
    ----------
    tuned
        From ``tune.py``.
    workers
        How many splits are at work at a time: this one takes its share of ``settings.threads``, and nothing it returns
        shows how many that were. It holds its training rows once more, five bytes a row and factor.

    Raises
    ------
    ModelError
        When the stretches together are too short.
    """
    timer = clock or SystemClock()
    started = timer.monotonic_s()
    shared = settings.model_copy(update={"threads": max(1, settings.threads // workers)})
    learned = training_dataset(dataset, split)
    trained = train(learned, slice(0, len(learned.label)), tuned, shared)
    said = [scored_rows(dataset, rows, trained.model, threads=shared.threads) for rows in split.test_rows]
    at, scores = (np.concatenate(parts) for parts in zip(*said, strict=True))
    every = np.concatenate([np.arange(rows.start, rows.stop) for rows in split.test_rows])
    joined = np.full(len(every), np.nan)
    joined[np.searchsorted(every, at)] = scores
    record = SplitRecord(
        name=split.name,
        rounds=trained.rounds,
        tail_rank_ic=trained.tail_rank_ic,
        rank_ic=mean_rank_ic(scores, dataset.forward_return[at], dataset.session_index[at]),
        train_rows=trained.rows,
        test_rows=len(at),
        train=_spans(dataset, split.train),
        test=_spans(dataset, split.test),
        seconds=timer.monotonic_s() - started,
    )
    return ScoredSplit(record, joined)


def _spans(dataset: Dataset, stretches: Sequence[tuple[int, int]]) -> str:
    days = dataset.sessions
    return ", ".join(f"{days[first]:%Y-%m-%d} to {days[stop - 1]:%Y-%m-%d}" for first, stop in stretches)
