"""The linear baseline: ridge regression on robustly standardised features, solved in closed form.

Every sum over rows is of whole numbers (features, targets and weights on a fixed grid), which floating point adds
exactly in any order: the same bytes come out whatever BLAS, its threads or the machine. Not here: rows and targets
(``task.py``), how the runner evaluates it (``scoring/model.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.models.task import Fitted, Task
from ljwx_pipeline.scoring.model import Member, Model, linear_text

Float = NDArray[np.float64]

#: Robust standard deviations from its median at which a feature is cut off.
CLIP_SIGMAS = 3.0
#: Steps of the grid per unit of a standardised feature, of a target and of a weight: powers of two.
FEATURE_STEPS, TARGET_STEPS, WEIGHT_STEPS = 2.0**8, 2.0**12, 2.0**8
#: Rows that a feature's quantiles are taken of, evenly spaced over those learned from.
QUANTILE_ROWS = 200_000
#: A normal distribution's standard deviation in interquartile ranges.
SIGMA_OF_IQR = 1 / 1.3489795003921634
_CHUNK_ROWS = 65_536


def fit_linear(task: Task) -> Fitted:
    """Return the ridge regression of a task: fitted on the head for the tail's scores, then on the whole window.

    It minimises the weighted mean of squared errors plus ``model.ridge_penalty`` times the sum of squared
    coefficients; the intercept is not penalised. A feature's centre is its median and its scale its interquartile range
    as a normal distribution's standard deviation, both over the rows learned from; a missing value stands at the
    centre. Nothing is stopped early and no tuned parameter is read.
    """
    scores = None
    fitted = _Ridge.fit(task, task.window) if task.head is None or task.settings.refit_on_tail else None
    if task.head is not None and task.tail is not None:
        on_head = _Ridge.fit(task, task.head)
        model = Model((Member("model.json", kind="linear"),), {"model.json": on_head.text})
        said = model.predict(task.dataset.features[task.tail]).score
        scores = np.where(task.taken[task.tail], said, np.nan)
        fitted = fitted or on_head
    assert fitted is not None  # noqa: S101 - without a head it is fitted above
    params: dict[str, float | int | str | bool] = {
        "objective": "ridge",
        "ridge_penalty": task.settings.ridge_penalty,
        "clip_sigmas": CLIP_SIGMAS,
    }
    return Fitted((("score", fitted.text),), 0, scores, params, fitted.rows)


@dataclass(frozen=True)
class _Ridge:
    text: str
    rows: int

    @classmethod
    def fit(cls, task: Task, part: slice) -> _Ridge:
        rows, columns = task.rows(part), task.columns
        center, scale = _center_and_scale(task, rows)
        weights = task.weights(rows)
        whole_weights = np.ones(len(rows)) if weights is None else np.maximum(np.round(weights * WEIGHT_STEPS), 1.0)
        target = np.round(task.target[rows].astype(np.float64) * TARGET_STEPS)
        gram, cross = np.zeros((len(columns), len(columns))), np.zeros(len(columns))
        sums = np.zeros(len(columns))
        for start in range(0, len(rows), _CHUNK_ROWS):
            chunk = slice(start, start + _CHUNK_ROWS)
            whole = task.dataset.features[rows[chunk]][:, columns].astype(np.float64)
            whole -= center
            whole /= scale
            whole[np.isnan(whole)] = 0.0
            np.clip(whole, -CLIP_SIGMAS, CLIP_SIGMAS, out=whole)
            np.round(whole * FEATURE_STEPS, out=whole)
            weighted = whole if weights is None else whole * whole_weights[chunk, None]
            gram += weighted.T @ whole
            cross += weighted.T @ target[chunk]
            sums += weighted.sum(axis=0)
        total = whole_weights.sum()
        mean, mean_target = sums / total, (whole_weights * target).sum() / total
        covariance = (gram / total - mean[:, None] * mean[None, :]) / FEATURE_STEPS**2
        covariance[np.diag_indices_from(covariance)] += task.settings.ridge_penalty
        right = (cross / total - mean * mean_target) / (FEATURE_STEPS * TARGET_STEPS)
        slopes = _solved(covariance, right)
        intercept = float(mean_target / TARGET_STEPS - _dot(mean / FEATURE_STEPS, slopes))
        width = task.dataset.features.shape[1]
        full = [np.zeros(width), np.ones(width), np.zeros(width)]
        for array, values in zip(full, (center, scale, slopes), strict=True):
            array[columns] = values
        text = linear_text(full[0], full[1], full[2], intercept=intercept, clip=CLIP_SIGMAS)
        return cls(text, len(rows))


def _center_and_scale(task: Task, rows: NDArray[np.int64]) -> tuple[Float, Float]:
    """Return median and robust deviation of each column; 0 and 1 where nothing is known or nothing varies."""
    step = -(-len(rows) // QUANTILE_ROWS)
    sample = np.asarray(task.dataset.features[rows[::step]][:, task.columns], dtype=np.float64)
    center, scale = np.zeros(len(task.columns)), np.ones(len(task.columns))
    for column in range(len(task.columns)):
        known = sample[:, column][np.isfinite(sample[:, column])]
        if len(known):
            low, center[column], high = np.quantile(known, [0.25, 0.5, 0.75])
            # a feature with half its values equal has no quartiles apart: its standard deviation then
            spread = (high - low) * SIGMA_OF_IQR or float(known.std())
            scale[column] = spread if spread > 0 and np.isfinite(spread) else 1.0
    return center, scale


def _solved(matrix: Float, right: Float) -> Float:
    """Return the solution of a symmetric positive definite system by Cholesky's method, one plain column at a time.

    LAPACK's would be faster, and its bits depend on how many threads it runs.
    """
    lower = matrix.copy()
    size = len(lower)
    for at in range(size):
        lower[at, at] = np.sqrt(lower[at, at])
        lower[at + 1 :, at] /= lower[at, at]
        lower[at + 1 :, at + 1 :] -= lower[at + 1 :, at, None] * lower[None, at + 1 :, at]
    solution = right.copy()
    for at in range(size):
        solution[at] /= lower[at, at]
        solution[at + 1 :] -= lower[at + 1 :, at] * solution[at]
    for at in reversed(range(size)):
        solution[at] /= lower[at, at]
        solution[:at] -= lower[at, :at] * solution[at]
    return solution


def _dot(left: Float, right: Float) -> float:
    return float((left * right).sum())
