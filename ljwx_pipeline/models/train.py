"""Training one model, the same bytes each time: LightGBM on ranked labels with purged early stopping.

Not here: which parameters (``tune.py``), which windows (``dataset/``), how it predicts and the bundle it goes into
(``scoring/``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np

from ljwx_pipeline.coefficients import mean_rank_ic
from ljwx_pipeline.config import ModelSettings
from ljwx_pipeline.dataset import Dataset
from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.models.binned import Binned, bin_rows, dataset_params
from ljwx_pipeline.scoring.model import Model

Params = Mapping[str, float | int]


@dataclass(frozen=True)
class Trained:
    """A model and how it came about.

    Parameters
    ----------
    model
        What a bundle holds and the runner predicts with.
    rounds
        Boosting rounds in it, of all members together.
    tail_rank_ic
        Mean rank IC on the early-stopping tail, of the model that had not seen it.
    params
        Every parameter that decided it, fixed and tuned.
    rows
        Rows learned from.
    """

    model: Model
    rounds: int
    tail_rank_ic: float
    params: dict[str, float | int | str | bool]
    rows: int


def booster_params(tuned: Params, settings: ModelSettings) -> dict[str, float | int | str | bool]:
    """Return LightGBM's parameters: the fixed ones, which make runs repeatable, with the tuned ones beside them.

    Raises
    ------
    ModelError
        When a tuned parameter would overrule a fixed one.
    """
    fixed = {**dataset_params(settings), "objective": "regression", "metric": "l2", "seed": settings.seed}
    clash = sorted(set(fixed) & set(tuned))
    if clash:
        raise ModelError(f"parameter {clash[0]} is fixed and cannot be tuned", "take it out of the tuned parameters")
    return {**fixed, **tuned}  # type: ignore[dict-item]


def boost(train_set: lgb.Dataset, params: Mapping[str, object], rounds: int) -> lgb.Booster:
    """Return a booster of exactly ``rounds`` rounds."""
    return lgb.train(dict(params), train_set, num_boost_round=rounds)


def train(
    dataset: Dataset, rows: slice, tuned: Params, settings: ModelSettings, *, binned: Binned | None = None
) -> Trained:
    """Train on ``rows``: find the number of rounds on a purged tail, then learn from all of them.

    The last ``early_stopping_tail_sessions`` sessions are the tail; the ``purge_sessions`` before it are left out of
    the head, since their labels reach into it. A booster on the head stops when the tail's squared error no longer
    falls. With ``refit_on_tail`` a second one learns from the whole window for as many rounds, so that the newest
    half year is not thrown away.

    Parameters
    ----------
    rows
        Training window of the dataset, which is sorted by session.
    tuned
        From ``tune.py``.
    binned
        Bins that cover ``rows``; made from ``rows`` alone when None.

    Raises
    ------
    ModelError
        When the window is too short for a head, a purge and a tail, or has no known label.
    """
    start, stop, _ = rows.indices(len(dataset.label))
    head, tail = split_tail(dataset, slice(start, stop), settings.early_stopping_tail_sessions)
    if binned is None:
        binned = bin_rows(dataset, edges=slice(start, stop), stop=stop, settings=settings)
    params = booster_params(tuned, settings)
    head_set, tail_set = binned.subset(head), binned.subset(tail)
    # the stopping rule is not a parameter of the model: kept out of the text
    stopper = lgb.early_stopping(settings.early_stopping_rounds, verbose=False)
    booster = lgb.train(
        dict(params), head_set, num_boost_round=settings.max_rounds, valid_sets=[tail_set], callbacks=[stopper]
    )
    rounds = int(booster.best_iteration or booster.current_iteration())
    scores = np.asarray(
        booster.predict(dataset.features[tail], num_iteration=rounds, num_threads=settings.threads), dtype=np.float64
    )
    known = binned.trainable[tail]
    ic = mean_rank_ic(np.where(known, scores, np.nan), dataset.forward_return[tail], dataset.session_index[tail])
    used = head_set.num_data()
    if settings.refit_on_tail:
        window = binned.subset(slice(start, stop))
        booster, used = boost(window, params, rounds), window.num_data()
    model = Model.of_booster(booster.model_to_string(num_iteration=rounds))
    return Trained(model, rounds, ic, params, used)


def split_tail(dataset: Dataset, rows: slice, tail_sessions: int) -> tuple[slice, slice]:
    """Return (head, tail) of ``rows``: the tail's sessions, and what ends ``purge_sessions`` before them.

    Raises
    ------
    ModelError
        When fewer sessions than the tail and the purge would be left for the head.
    """
    index = dataset.session_index[rows]
    sessions = np.unique(index)
    if len(sessions) < 2 * tail_sessions + dataset.purge_sessions:
        raise ModelError(
            f"{len(sessions)} training sessions leave too little before a tail of {tail_sessions} and a purge of "
            f"{dataset.purge_sessions}",
            "widen the training window or shorten model.early_stopping_tail_sessions",
        )
    first_tail = int(sessions[-tail_sessions])
    head_stop = int(np.searchsorted(index, first_tail - dataset.purge_sessions, side="left"))
    tail_start = int(np.searchsorted(index, first_tail, side="left"))
    return slice(rows.start, rows.start + head_stop), slice(rows.start + tail_start, rows.stop)
