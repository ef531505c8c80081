"""Fitting one model, the same bytes each time: LightGBM on ranked labels with purged early stopping.

Not here: several models made one (``train.py``), which parameters (``tune.py``), which windows (``dataset/``), how it
predicts and the bundle it goes into (``scoring/``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.coefficients import mean_rank_ic
from ljwx_pipeline.config import ModelSettings
from ljwx_pipeline.dataset import Dataset
from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.label import rank_label
from ljwx_pipeline.models.binned import Binned, bin_rows, dataset_params
from ljwx_pipeline.scoring.model import Model

Float = NDArray[np.float64]
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
    tail_scores
        Of the tail's rows by the model that had not seen it, shape ``(rows of the tail,)``; NaN where not learned from,
        None where there was no tail.
    """

    model: Model
    rounds: int
    tail_rank_ic: float
    params: dict[str, float | int | str | bool]
    rows: int
    tail_scores: Float | None = field(default=None, repr=False, compare=False)


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


def fit_one(
    dataset: Dataset,
    rows: slice,
    tuned: Params,
    settings: ModelSettings,
    *,
    binned: Binned | None = None,
    label: Float | None = None,
    weight: Float | None = None,
    seed: int | None = None,
    feature_subset: NDArray[np.int64] | None = None,
    rounds: int | None = None,
) -> Trained:
    """Fit one model on ``rows``: find the number of rounds on a purged tail, then learn from all of them.

    The last ``early_stopping_tail_sessions`` sessions are the tail; the ``purge_sessions`` before it are left out of
    the head, since their labels reach into it. A booster on the head stops when the tail's error no longer falls. With
    ``refit_on_tail`` a second one learns from the whole window for as many rounds, so that the newest half year is not
    thrown away.

    Parameters
    ----------
    rows
        Training window of the dataset, which is sorted by session.
    tuned
        From ``tune.py``.
    binned
        Bins that cover ``rows``; made from ``rows`` alone when None.
    label
        Forward returns to learn in place of the dataset's own, one a row of the dataset, NaN where unknown.
    weight
        Of each row of the dataset in the loss, positive.
    seed
        Of what the booster draws, in place of the settings'; bins keep theirs.
    feature_subset
        Positions of the only features the model may use; all when None. It takes rows of full width all the same.
    rounds
        Learn from the whole window for exactly so many rounds: no tail, and ``tail_rank_ic`` is NaN.

    Raises
    ------
    ModelError
        When the window is too short for a head, a purge and a tail, or has no known label.
    """
    start, stop, _ = rows.indices(len(dataset.label))
    whole = slice(start, stop)
    if binned is None:
        binned = bin_rows(dataset, edges=whole, stop=stop, settings=settings)
    learned = dataset.label if label is None else _ranked(dataset, label)
    taken = np.isfinite(learned) & dataset.scorable
    params = booster_params(tuned, settings)
    if seed is not None:
        params["seed"] = seed  # not that of the bins, which may be shared
    if feature_subset is not None:
        params |= {"feature_contri": _penalties(feature_subset, dataset.features.shape[1])}

    def rows_of(part: slice) -> lgb.Dataset:
        return _subset(binned, part, taken, None if label is None else learned, weight)

    if rounds is not None:
        window = rows_of(whole)
        booster, used, ic = boost(window, params, rounds), window.num_data(), math.nan
        tail_scores = None
    else:
        head, tail = split_tail(dataset, whole, settings.early_stopping_tail_sessions)
        head_set, tail_set = rows_of(head), rows_of(tail)
        # the stopping rule is not a parameter of the model: kept out of the text
        stopper = lgb.early_stopping(settings.early_stopping_rounds, verbose=False)
        booster = lgb.train(
            dict(params), head_set, num_boost_round=settings.max_rounds, valid_sets=[tail_set], callbacks=[stopper]
        )
        rounds = int(booster.best_iteration or booster.current_iteration())
        scores = np.asarray(
            booster.predict(dataset.features[tail], num_iteration=rounds, num_threads=settings.threads),
            dtype=np.float64,
        )
        outcome = (dataset.forward_return if label is None else label)[tail]
        tail_scores = np.where(taken[tail], scores, np.nan)
        ic = mean_rank_ic(tail_scores, outcome, dataset.session_index[tail])
        used = head_set.num_data()
        if settings.refit_on_tail:
            window = rows_of(whole)
            booster, used = boost(window, params, rounds), window.num_data()
    model = Model.of_booster(booster.model_to_string(num_iteration=rounds))
    return Trained(model, rounds, ic, params, used, tail_scores)


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


def _ranked(dataset: Dataset, forward: Float) -> NDArray[np.float32]:
    panel = np.full((len(dataset.symbols), len(dataset.sessions)), np.nan)
    panel[dataset.symbol_index, dataset.session_index] = forward
    return rank_label(panel)[dataset.symbol_index, dataset.session_index]


def _penalties(feature_subset: NDArray[np.int64], width: int) -> str:
    """Return LightGBM's factor on each feature's gain: a feature that gains nothing is never split on."""
    allowed = np.zeros(width, dtype=np.int64)
    allowed[feature_subset] = 1
    return ",".join(str(one) for one in allowed)


def _subset(
    binned: Binned,
    rows: slice,
    taken: NDArray[np.bool_],
    label: NDArray[np.float32] | None,
    weight: Float | None,
) -> lgb.Dataset:
    chosen = np.flatnonzero(taken[rows]) + rows.start
    if len(chosen) == 0:
        raise ModelError(f"rows {rows.start} to {rows.stop} hold no known label", "widen the training window")
    # an index array serves as well as the annotated list and is not copied number by number
    subset = binned.handle.subset(chosen).construct()
    if label is not None:
        subset.set_label(label[chosen])
    if weight is not None:
        subset.set_weight(weight[chosen])
    return subset
