"""A candidate walked forward once and kept: under the same hashes it is read again, never trained again.

Not here: what its scores are worth (``measures.py``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from ljwx_pipeline.clock import utc_now
from ljwx_pipeline.config import ModelSettings
from ljwx_pipeline.dataset import Dataset, Fold
from ljwx_pipeline.dataset.groups import grouped_by
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.lake.atomic_parquet import read_parquet, write_bytes, write_parquet
from ljwx_pipeline.model_comparison.candidates import Candidate
from ljwx_pipeline.models.walk_forward import FoldRecord, walk_forward

_RECORD, _SCORES = "record.json", "predictions.parquet"


@dataclass(frozen=True)
class Walked:
    """A candidate's scores out of sample and how its folds went.

    Parameters
    ----------
    candidate
        Which.
    key
        Hash of all that decides the scores.
    predictions
        As ``walk_forward`` gives them.
    folds
        Figures of each fold, in test order: those of ``FoldRecord``, and ``began_at`` and ``ended_at`` of its training
        (ISO, UTC).
    known
        Whether they were kept before and nothing was trained now.
    dataset_hash
        Of the dataset it was walked over.
    """

    candidate: Candidate
    key: str
    predictions: pd.DataFrame
    folds: tuple[Mapping[str, Any], ...]
    known: bool
    dataset_hash: str

    @property
    def seconds(self) -> float:
        """Wall time of its folds when they were trained."""
        return float(sum(fold["seconds"] for fold in self.folds))

    @property
    def began_at(self) -> datetime:
        """When its first fold was begun; of a kept candidate, long ago."""
        return min(datetime.fromisoformat(fold["began_at"]) for fold in self.folds)

    @property
    def ended_at(self) -> datetime:
        """When its last fold was finished."""
        return max(datetime.fromisoformat(fold["ended_at"]) for fold in self.folds)


def has_what_it_learns_from(dataset: Dataset, model: ModelSettings) -> bool:
    """Return whether ``dataset`` holds the columns that ``model`` reads beyond those of every dataset.

    They are the groups it is fitted by, the returns over a blend's horizons, the amounts that rows are weighted by.
    """
    return (
        model.group_by in ("none", grouped_by(dataset.group_measure))
        and set(model.ensemble.label_horizons) <= set(dataset.further_returns)
        and (not model.liquidity_weight or dataset.mean_amount_cny is not None)
    )


def walked(
    candidate: Candidate,
    dataset: Dataset,
    folds: Sequence[Fold],
    tuned: Mapping[str, float | int],
    *,
    code: str,
    store: Path,
    on_fold: Callable[[FoldRecord], None] | None = None,
) -> Walked:
    """Return the candidate's walk forward, from ``store`` where it was finished under the same hashes.

    Parameters
    ----------
    tuned
        Hyperparameters of the newest study; every candidate is given the same.
    code
        Hash of the code and packages that compute.
    store
        Folder of kept candidates, one below it each.

    Raises
    ------
    ModelError
        When the candidate cannot be trained on this dataset.
    """
    key = candidate_key(candidate, dataset, folds, tuned, code=code)
    folder = store / key
    kept = read_kept(folder)
    if kept is not None:
        return Walked(candidate, key, *kept, known=True, dataset_hash=dataset.hash)
    told: list[dict[str, Any]] = []

    def finished(record: FoldRecord) -> None:
        told.append(with_times(asdict(record)))
        if on_fold is not None:
            on_fold(record)

    made = walk_forward(dataset, folds, tuned, candidate.settings, on_fold=finished)
    records = keep(folder, made.predictions, told)
    return Walked(candidate, key, made.predictions, records, known=False, dataset_hash=dataset.hash)


def candidate_key(
    candidate: Candidate,
    dataset: Dataset,
    folds: Sequence[Fold],
    tuned: Mapping[str, float | int],
    *,
    code: str,
) -> str:
    """Return the hash of all that decides a candidate's scores."""
    decided = {
        "dataset": dataset.hash,
        "folds": [[f.train_rows.start, f.train_rows.stop, f.test_rows.start, f.test_rows.stop] for f in folds],
        "model": candidate.settings.model_dump(mode="json"),
        "tuned": dict(tuned),
        "code": code,
    }
    return hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()[:24]


def with_times(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record of a training that ended just now, with ``began_at`` and ``ended_at`` (ISO, UTC)."""
    ended = utc_now()
    began = ended - timedelta(seconds=record["seconds"])
    return {**record, "began_at": began.isoformat(), "ended_at": ended.isoformat()}


def keep(folder: Path, scores: pd.DataFrame, records: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """Write scores and how their trainings went into ``folder``, and return the records as plain values."""
    plain: list[dict[str, Any]] = json.loads(json.dumps(records, default=str))
    folder.mkdir(parents=True, exist_ok=True)
    sha256 = write_parquet(folder / _SCORES, scores)
    # the record comes last: without it nothing is finished
    write_bytes(folder / _RECORD, json.dumps({"sha256": sha256, "folds": plain}).encode())
    return tuple(plain)


def read_kept(folder: Path) -> tuple[pd.DataFrame, tuple[Mapping[str, Any], ...]] | None:
    """Return what ``keep`` wrote; None where it was never finished, or is damaged: it is made again then."""
    try:
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        return read_parquet(folder / _SCORES, sha256=record["sha256"]), tuple(record["folds"])
    except (OSError, ValueError, KeyError, TypeError, LakeError):
        return None
