"""The splits of a combinatorial cross-validation trained once and kept: under the same hashes they are read again.

Each is kept as soon as it is finished, so that what was interrupted goes on where it was. Not here: how one is trained
(``models/split.py``), what the paths of their scores are worth (``paths.py``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.dataset import Dataset
from ljwx_pipeline.dataset.combinatorial_folds import CombinatorialFold
from ljwx_pipeline.model_comparison.candidates import Candidate
from ljwx_pipeline.model_comparison.walk import keep, read_kept, with_times
from ljwx_pipeline.models.split import score_split

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Split:
    """One split's scores and how it went.

    Parameters
    ----------
    key
        Hash of all that decides the scores.
    scores
        Of its test rows, joined in their order; NaN where there is none.
    record
        Figures of ``SplitRecord``, and ``began_at`` and ``ended_at`` of its training (ISO, UTC).
    known
        Whether it was kept before and nothing was trained now.
    """

    key: str
    scores: Float
    record: Mapping[str, Any]
    known: bool


def scored_splits(
    candidate: Candidate,
    dataset: Dataset,
    folds: Sequence[CombinatorialFold],
    tuned: Mapping[str, float | int],
    *,
    code: str,
    store: Path,
    workers: int = 1,
    on_split: Callable[[Split], None] | None = None,
) -> list[Split]:
    """Return every split of ``folds``, from ``store`` where it was finished under the same hashes.

    Parameters
    ----------
    tuned
        Hyperparameters that the model is fitted with.
    code
        Hash of the code and packages that compute.
    store
        Folder of kept splits, one below it each.
    workers
        Splits at work at a time, each in a thread with its share of ``model.threads``: the same bits as one after the
        other.
    on_split
        Called with each split, in the order of ``folds``: progress.

    Raises
    ------
    ModelError
        When a split cannot be trained.
    """

    def one(fold: CombinatorialFold) -> Split:
        key = split_key(candidate, dataset, fold, tuned, code=code)
        kept = read_kept(store / key)
        if kept is not None:
            return Split(key, kept[0]["score"].to_numpy(), kept[1][0], known=True)
        made = score_split(dataset, fold, tuned, candidate.settings, workers=workers)
        (record,) = keep(store / key, pd.DataFrame({"score": made.scores}), [with_times(asdict(made.record))])
        return Split(key, made.scores, record, known=False)

    done = []
    with ThreadPoolExecutor(max_workers=workers) as pool:
        try:
            # LightGBM computes outside Python's lock
            for split in map(one, folds) if workers == 1 else pool.map(one, folds):
                done.append(split)
                if on_split is not None:
                    on_split(split)
        except BaseException:
            pool.shutdown(cancel_futures=True)  # what is at work is finished and kept, none is begun
            raise
    return done


def finished_splits(
    candidate: Candidate,
    dataset: Dataset,
    folds: Sequence[CombinatorialFold],
    tuned: Mapping[str, float | int],
    *,
    code: str,
    store: Path,
) -> int:
    """Return how many of ``folds`` ``scored_splits`` would not train."""
    keys = (split_key(candidate, dataset, fold, tuned, code=code) for fold in folds)
    return sum(read_kept(store / key) is not None for key in keys)


def splits_name(splits: Sequence[Split], walk: str) -> str:
    """Return the name of the folder of their paths: the same splits and walk forward write the same files again."""
    return hashlib.sha256("".join([walk, *(split.key for split in splits)]).encode()).hexdigest()[:12]


def split_key(
    candidate: Candidate,
    dataset: Dataset,
    fold: CombinatorialFold,
    tuned: Mapping[str, float | int],
    *,
    code: str,
) -> str:
    """Return the hash of all that decides a split's scores."""
    decided = {
        "dataset": dataset.hash,
        "train": [[rows.start, rows.stop] for rows in fold.train_rows],
        "test": [[rows.start, rows.stop] for rows in fold.test_rows],
        "model": candidate.settings.model_dump(mode="json"),
        "tuned": dict(tuned),
        "code": code,
    }
    return hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()[:24]
