"""Ensembles: several fits of one window that make one model, an ordinary one to all who use it.

Here the simple ones, seed bagging and the horizon blend, and which function fits which. Not here: one fit
(``fit.py``), what is made of the fits (``ensemble_parts.py``), the ensembles with rules of their own
(``ensemble_stacking.py``, ``ensemble_double.py``).
"""

from __future__ import annotations

from ljwx_pipeline.config import ModelSettings
from ljwx_pipeline.dataset import Dataset
from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.models.binned import Binned, bin_rows
from ljwx_pipeline.models.ensemble_double import fit_double
from ljwx_pipeline.models.ensemble_parts import Part, blended, on_one_scale, tail_spread
from ljwx_pipeline.models.ensemble_stacking import fit_stack
from ljwx_pipeline.models.fit import Trained, fit_one, reads_bins
from ljwx_pipeline.models.task import Params, split_tail


def fit_ensemble(
    dataset: Dataset, rows: slice, tuned: Params, settings: ModelSettings, *, binned: Binned | None = None
) -> Trained:
    """Fit the ensemble that ``settings.ensemble`` asks for on ``rows``.

    Every fit has the window's purged tail as a single one has, and rows that are boosted on are binned once for all of
    them. Nothing outside ``rows`` is read.

    Parameters
    ----------
    rows, tuned, binned
        As ``fit.fit_one``.

    Raises
    ------
    ModelError
        As ``fit.fit_one``, without the returns of a horizon, or for a window too short for inner folds.
    """
    start, stop, _ = rows.indices(len(dataset.label))
    whole = slice(start, stop)
    if binned is None and reads_bins(settings):
        binned = bin_rows(dataset, edges=whole, stop=stop, settings=settings)
    fits = {
        "seed_bagging": _bag_of_seeds,
        "horizon_blend": _blend_of_horizons,
        "stacking": fit_stack,
        "double_ensemble": fit_double,
    }
    return fits[settings.ensemble.kind](dataset, whole, tuned, settings, binned)


def _bag_of_seeds(
    dataset: Dataset, whole: slice, tuned: Params, settings: ModelSettings, binned: Binned | None
) -> Trained:
    """Fit the same model under several seeds; each weighs the same.

    What differs are the rows and columns that a booster draws, so that what one draw happened to fit is averaged away.
    """
    count = settings.ensemble.members
    seeds = range(settings.seed, settings.seed + count)
    fitted = [fit_one(dataset, whole, tuned, settings, binned=binned, seed=seed) for seed in seeds]
    parts = [Part(f"seed-{seed}", one, 1 / count) for seed, one in zip(seeds, fitted, strict=True)]
    _, tail = split_tail(dataset, whole, settings.early_stopping_tail_sessions)
    return blended(parts, dataset, tail)


def _blend_of_horizons(
    dataset: Dataset, whole: slice, tuned: Params, settings: ModelSettings, binned: Binned | None
) -> Trained:
    """Fit a model on the returns of each horizon; their scores are put on one scale by their spread on the tail."""
    horizons = settings.ensemble.horizons
    missing = [horizon for horizon in horizons if horizon not in dataset.further_returns]
    if missing:
        raise ModelError(
            f"model.ensemble.horizons holds {missing[0]} sessions and the dataset has no such returns",
            "build the dataset again under these settings",
        )
    fitted = [
        fit_one(dataset, whole, tuned, settings, binned=binned, label=dataset.further_returns[horizon])
        for horizon in horizons
    ]
    _, tail = split_tail(dataset, whole, settings.early_stopping_tail_sessions)
    weights = on_one_scale(
        settings.ensemble.weights or (1.0,) * len(horizons), [tail_spread(one, dataset, tail) for one in fitted]
    )
    parts = [
        Part(f"horizon-{horizon}", one, weight)
        for horizon, one, weight in zip(horizons, fitted, weights, strict=True)
        if weight > 0
    ]
    return blended(parts, dataset, tail)
