"""Stacking: models of several kinds, weighted by what each foretold of rows it had not learned from.

Not here: how a base model is fitted (``fit.py``), the model that comes of them (``ensemble_parts.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.config import ModelSettings
from ljwx_pipeline.dataset import Dataset, Fold, inner_folds
from ljwx_pipeline.errors import DatasetError, ModelError
from ljwx_pipeline.models.binned import Binned
from ljwx_pipeline.models.ensemble_parts import Part, blended, on_one_scale, spread, tail_spread
from ljwx_pipeline.models.fit import Trained, fit_one
from ljwx_pipeline.models.task import Params, split_tail

Float = NDArray[np.float64]


def fit_stack(dataset: Dataset, whole: slice, tuned: Params, settings: ModelSettings, binned: Binned | None) -> Trained:
    """Fit each base kind on purged inner folds of the window, weigh them by that, and fit them on all of it.

    The window's tail and the purge before it are no evidence for the weights, so that ``tail_rank_ic`` is of a stack
    that has not seen them. Bins are those of the whole window, or of the first of a walk forward: where their edges
    lie, an inner fold knows factor values of its test rows, though never a label. A base whose weight is 0 is not
    fitted again. In the model each weight is divided by the spread of its base's tail scores: what inner folds weighed
    was on one scale as well.

    Raises
    ------
    ModelError
        When the window is too short for the inner folds, or their test rows all lie in its tail.
    """
    bases = settings.ensemble.bases
    head, tail = split_tail(dataset, whole, settings.early_stopping_tail_sessions)
    folds = [
        (fold, own_tail) for fold, own_tail in _inner(dataset, whole, settings) if fold.test_rows.start < head.stop
    ]
    if not folds:
        raise ModelError(
            f"the tail of {settings.early_stopping_tail_sessions} sessions leaves no inner test row to weigh bases on",
            "lower model.early_stopping_tail_sessions or widen the training window",
        )
    scores = [
        np.concatenate(
            [_fold_scores(dataset, fold, own_tail, tuned, _of_kind(settings, base), binned) for fold, own_tail in folds]
        )
        for base in bases
    ]
    tested = slice(folds[0][0].test_rows.start, folds[-1][0].test_rows.stop)
    outcome = np.where(dataset.scorable[tested], dataset.label[tested].astype(np.float64), np.nan)
    outcome[head.stop - tested.start :] = np.nan
    weights = stack_weights(scores, outcome, dataset.session_index[tested])
    used = [(base, weight) for base, weight in zip(bases, weights, strict=True) if weight > 0]
    fitted = [fit_one(dataset, whole, tuned, _of_kind(settings, base), binned=binned) for base, _ in used]
    scaled = on_one_scale([weight for _, weight in used], [tail_spread(one, dataset, tail) for one in fitted])
    parts = [Part(base, one, weight) for (base, _), one, weight in zip(used, fitted, scaled, strict=True)]
    return blended(parts, dataset, tail)


def stack_weights(scores: Sequence[Float], outcome: Float, session_index: NDArray[np.integer]) -> tuple[float, ...]:
    """Return the weights, 0 or more and summing to one, with which the scores together foretell the outcome best.

    They minimise the squared error of the outcome less its session's mean against the weighted scores less theirs,
    over rows where all are known (Breiman 1996, "Stacked regressions"), and are then made to sum to one: a session's
    order does not depend on their size. Equal weights when no score goes with the outcome: nothing then tells one from
    another. Found by trying every set of scores, exact for the few there are; no bit depends on threads.

    Parameters
    ----------
    scores
        Of each base model, float64 of shape ``(n,)``, on one scale; NaN where unknown.
    outcome
        Float64 of shape ``(n,)``.
    session_index
        Session of each row.
    """
    count = len(scores)
    known = np.isfinite(np.stack([*scores, outcome])).all(axis=0)
    _, session = np.unique(session_index[known], return_inverse=True)
    columns = [_less_session_mean(one[known], session) for one in scores]
    target = _less_session_mean(outcome[known], session)
    # numpy's own sums: those of a matrix product depend on how many threads it takes
    gram = np.array([[float((a * b).sum()) for b in columns] for a in columns])
    along = np.array([float((one * target).sum()) for one in columns])
    best, gained = np.zeros(count), 0.0
    for size in range(1, count + 1):
        for chosen in combinations(range(count), size):
            at = list(chosen)
            weights = np.linalg.pinv(gram[np.ix_(at, at)], hermitian=True) @ along[at]
            gain = float(along[at] @ weights)  # by how much the squared error falls
            if (weights >= 0).all() and gain > gained * (1 + 1e-12):
                best, gained = np.zeros(count), gain
                best[at] = weights
    if not best.any():
        return (1 / count,) * count
    return tuple((best / best.sum()).tolist())


def _inner(dataset: Dataset, whole: slice, settings: ModelSettings) -> list[tuple[Fold, int]]:
    """Return the inner folds and each one's tail sessions: the share of its sessions that the tail is of the window's.

    Raises
    ------
    ModelError
        When the first is too short for its tail and the purges.
    """
    tail_frac = settings.early_stopping_tail_sessions / _sessions(dataset, whole)
    try:
        folds = inner_folds(dataset, whole, settings.ensemble.inner_folds)
        tails = [max(1, int(tail_frac * _sessions(dataset, fold.train_rows))) for fold in folds]
        split_tail(dataset, folds[0].train_rows, tails[0])
    except (DatasetError, ModelError) as error:
        raise ModelError(error.fact, "lower model.ensemble.inner_folds or widen the training window") from None
    return list(zip(folds, tails, strict=True))


def _fold_scores(
    dataset: Dataset, fold: Fold, tail_sessions: int, tuned: Params, settings: ModelSettings, binned: Binned | None
) -> Float:
    """Return the scores of the fold's test rows by a model of its training rows, of spread 1; NaN where none is due."""
    test = fold.test_rows
    inner = settings.model_copy(update={"early_stopping_tail_sessions": tail_sessions})
    trained = fit_one(dataset, fold.train_rows, tuned, inner, binned=binned)
    groups = None if dataset.groups is None else dataset.groups[test]
    scores = trained.model.predict(dataset.features[test], groups, threads=settings.threads).score
    scores[~dataset.scorable[test]] = np.nan
    return scores / spread(scores, dataset.session_index[test])


def _sessions(dataset: Dataset, rows: slice) -> int:
    return len(np.unique(dataset.session_index[rows]))


def _of_kind(settings: ModelSettings, base: str) -> ModelSettings:
    return settings.model_copy(update={"kind": base})


def _less_session_mean(values: Float, session: NDArray[np.integer]) -> Float:
    if len(values) == 0:
        return values
    means = np.bincount(session, weights=values) / np.bincount(session)
    return np.asarray(values - means[session])
