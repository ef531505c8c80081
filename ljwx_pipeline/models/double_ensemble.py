"""The two formulas of a double ensemble: weights of samples from their loss curves, and features chosen by shuffling.

Zhang, Li, Chen and Xu (2020), "DoubleEnsemble: learning trajectory based sample reweighting and shuffling based feature
selection", arXiv 2010.01265. Arrays in, arrays out. Not here: the sub-models (``ensemble.py``), LightGBM.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Float = NDArray[np.float64]
#: Part of the iterations that is the beginning, and that is the end, of a loss curve.
CURVE_PART = 0.1
#: Keeps the weight of a sample with a small h-value finite: at most 10.
_WEIGHT_FLOOR = 0.1
#: Keeps the g-value of a feature whose shuffling never changes a loss finite: it is 0.
_SPREAD_FLOOR = 1e-7


def curve_ends(iterations: int) -> tuple[range, range]:
    """Return the iterations, from 1, that are the beginning and the end of a loss curve: a tenth each, at least one."""
    part = max(int(iterations * CURVE_PART), 1)
    return range(1, part + 1), range(iterations - part + 1, iterations + 1)


def h_values(begin: Float, end: Float, losses: Float, *, alpha1: float, alpha2: float) -> Float:
    """Return each sample's h-value: ``alpha1 rank(-loss) + alpha2 rank(end / begin)``, ranks from 1/n to 1.

    A sample that the ensemble knows already ranks high in the first term; one whose loss falls less than the others'
    while the sub-model learns, which is what noise does, ranks high in the second.

    Parameters
    ----------
    begin, end
        Loss of each sample after each of the ``curve_ends``, shape ``(iterations, n)``: by iteration ranked over the
        samples, then averaged.
    losses
        Of the ensemble so far, shape ``(n,)``.
    alpha1, alpha2
        Weights of the two terms.
    """
    falls = _mean_rank(end) / _mean_rank(begin)
    return alpha1 * _rank(-losses) + alpha2 * _rank(falls)


def sample_weights(h: Float, *, bins: int, decay: float, number: int) -> Float:
    """Return the weights for sub-model ``number + 1``: 1 / (decay^number x mean h of the sample's bin + 0.1).

    Parameters
    ----------
    h
        Shape ``(n,)``.
    bins
        Of equal width between the smallest and the largest h.
    decay
        Under 1, later sub-models weigh samples more alike.
    number
        Sub-models trained, from 1.
    """
    of_bin = equal_width_bins(h, bins)
    counts = np.bincount(of_bin, minlength=bins)
    means = np.bincount(of_bin, weights=h, minlength=bins) / np.maximum(counts, 1)
    return 1.0 / (decay**number * means[of_bin] + _WEIGHT_FLOOR)


def g_value(shuffled: Float, losses: Float) -> float:
    """Return mean over spread of what shuffling a feature adds to the samples' losses, both of shape ``(n,)``."""
    added = shuffled - losses
    return float(added.mean() / (added.std() + _SPREAD_FLOOR))


def chosen_features(g: Float, fracs: Sequence[float], rng: np.random.Generator) -> tuple[int, ...]:
    """Return the columns the next sub-model may use, ascending: of each bin of g-values a share, drawn at random.

    Parameters
    ----------
    g
        One value a feature.
    fracs
        Share of each bin, from the highest values to the lowest; bins are of equal width, and of a bin with features
        at least one is taken.
    """
    of_bin = equal_width_bins(g, len(fracs))
    chosen: list[int] = []
    for frac, of in zip(fracs, range(len(fracs) - 1, -1, -1), strict=True):
        members = np.flatnonzero(of_bin == of)
        chosen += rng.choice(members, size=int(np.ceil(frac * len(members))), replace=False).tolist()
    return tuple(sorted(chosen))


def equal_width_bins(values: Float, bins: int) -> NDArray[np.int64]:
    """Return each value's bin, from 0; a bin holds its upper edge, the first its lower too; equal values share the last."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        return np.full(len(values), bins - 1, dtype=np.int64)
    return np.searchsorted(np.linspace(low, high, bins + 1)[1:-1], values, side="left").astype(np.int64)


def _mean_rank(curve: Float) -> Float:
    """Return each sample's rank averaged over the iterations; one iteration at a time, so that no copy is made."""
    total = np.zeros(curve.shape[1])
    for losses in curve:
        total += _rank(losses)
    return total / len(curve)


def _rank(values: Float) -> Float:
    return np.asarray(rankdata(values), dtype=np.float64) / len(values)
