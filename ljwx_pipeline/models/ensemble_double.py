"""The double ensemble: sub-models in sequence, each on rows reweighted and features chosen by what came before it.

Zhang, Li, Chen and Xu (2020), "DoubleEnsemble: a new ensemble method based on sample reweighting and feature selection
for financial data analysis", arXiv 2010.01265. Rows weigh by their loss curves, features stay by what shuffling them
costs; both anew in every walk-forward fold. Where the paper is silent this follows its authors' own program in qlib:
squared errors, bins of equal width, features drawn without replacement. Not here: one fit (``fit.py``), the model that
comes of the sub-models (``ensemble_parts.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from ljwx_pipeline.config import ModelSettings
from ljwx_pipeline.dataset import Dataset
from ljwx_pipeline.models.binned import Binned
from ljwx_pipeline.models.ensemble_parts import Part, blended
from ljwx_pipeline.models.fit import Trained, fit_one
from ljwx_pipeline.models.task import Params, split_tail, task_of

Float = NDArray[np.float64]
#: Part of the iterations that is the beginning, and that is the end, of a loss curve.
CURVE_PART = 0.1
#: Keeps the weight of a sample with a small h-value finite: at most 10.
_WEIGHT_FLOOR = 0.1
#: Keeps the g-value of a feature whose shuffling never changes a loss finite: it is 0.
_SPREAD_FLOOR = 1e-7
#: Rows whose losses are found at a time: a copy of their features is held.
_CHUNK_ROWS = 65_536


@dataclass(frozen=True)
class _Learned:
    """The rows that sub-models learn from, and a seeded few of them that features are shuffled on.

    ``rows`` and ``sampled`` are positions in the dataset, ``at`` those of ``sampled`` in ``rows``.
    """

    rows: NDArray[np.int64]
    target: Float
    sampled: NDArray[np.int64]
    at: NDArray[np.int64]


def fit_double(
    dataset: Dataset, whole: slice, tuned: Params, settings: ModelSettings, binned: Binned | None
) -> Trained:
    """Fit ``members`` sub-models one after the other.

    The first is a plain fit, whose rounds all others take. Each later one has the seed after that of the one before,
    weighs every row by ``sample_weights`` and may split on the ``chosen_features`` alone; it takes rows of full width.
    With ``refit_on_tail`` the later ones have no tail, and the tail rank IC is that of the first.
    """
    constants, count = settings.ensemble.double, settings.ensemble.members
    shares = settings.ensemble.weights or (1.0,) * count
    head, tail = split_tail(dataset, whole, settings.early_stopping_tail_sessions)
    window = whole if settings.refit_on_tail else head
    trained = [fit_one(dataset, whole, tuned, settings, binned=binned)]
    learned = _learned(dataset, window, tuned, settings)
    shuffled = _Shuffled(dataset, learned, settings)
    total = np.zeros(len(learned.rows))
    for number in range(1, count):
        newest = trained[-1].model.booster("model.txt")
        begin, end, scores = _loss_curve(newest, dataset, learned, settings.threads)
        total += shares[number - 1] * scores
        losses = (learned.target - total / sum(shares[:number])) ** 2
        h = h_values(begin, end, losses, alpha1=constants.alpha1, alpha2=constants.alpha2)
        weight = np.ones(len(dataset.label))
        weight[learned.rows] = sample_weights(h, bins=constants.sample_bins, decay=constants.decay, number=number)
        shuffled.add(newest, shares[number - 1])
        chosen = chosen_features(
            shuffled.g_values(), constants.feature_fracs, np.random.default_rng([settings.seed, number])
        )
        trained.append(
            fit_one(
                dataset,
                window,
                tuned,
                settings,
                binned=binned,
                weight=weight,
                seed=settings.seed + number,
                feature_subset=np.array(chosen),
                rounds=trained[0].rounds,
            )
        )
    parts = [
        Part(f"sub-{number}", one, share / sum(shares))
        for number, (one, share) in enumerate(zip(trained, shares, strict=True))
        if share > 0
    ]
    return replace(blended(parts, dataset, tail), tail_rank_ic=trained[0].tail_rank_ic)


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
        Share of each bin, from the highest values to the lowest; bins are of equal width. The number taken is rounded
        up: of a bin with features at least one under any share above 0, and none under a share of 0.
    """
    of_bin = equal_width_bins(g, len(fracs))
    chosen: list[int] = []
    for frac, of in zip(fracs, range(len(fracs) - 1, -1, -1), strict=True):
        members = np.flatnonzero(of_bin == of)
        chosen += rng.choice(members, size=int(np.ceil(frac * len(members))), replace=False).tolist()
    return tuple(sorted(chosen))


def equal_width_bins(values: Float, bins: int) -> NDArray[np.int64]:
    """Return each value's bin, from 0, with a value on an edge in the lower one; values all equal share the last."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        return np.full(len(values), bins - 1, dtype=np.int64)
    return np.searchsorted(np.linspace(low, high, bins + 1)[1:-1], values, side="left").astype(np.int64)


class _Shuffled:
    """What each sub-model says of the sampled rows when one feature is shuffled, added up over the sub-models.

    A feature is shuffled the same way for all, so that each sub-model is asked once.
    """

    def __init__(self, dataset: Dataset, learned: _Learned, settings: ModelSettings) -> None:
        self._features = np.ascontiguousarray(dataset.features[learned.sampled])
        self._target = learned.target[learned.at]
        self._seed, self._threads = settings.seed, settings.threads
        self._shares = 0.0
        self._scores = np.zeros(len(self._target))
        self._of_shuffled = np.zeros((self._features.shape[1], len(self._target)))

    def add(self, booster: lgb.Booster, share: float) -> None:
        """Ask one more sub-model; it says of a feature that it never splits on what it says anyway."""
        plain = share * _said(booster, self._features, self._threads)
        used = booster.feature_importance("split") > 0
        for feature, is_used in enumerate(used):
            if is_used:
                kept = self._features[:, feature].copy()
                order = np.random.default_rng([self._seed, feature]).permutation(len(kept))
                self._features[:, feature] = kept[order]
                self._of_shuffled[feature] += share * _said(booster, self._features, self._threads)
                self._features[:, feature] = kept
            else:
                self._of_shuffled[feature] += plain
        self._scores += plain
        self._shares += share

    def g_values(self) -> Float:
        """Return each feature's g-value under the sub-models so far."""
        losses = (self._target - self._scores / self._shares) ** 2
        return np.array([g_value((self._target - one / self._shares) ** 2, losses) for one in self._of_shuffled])


def _learned(dataset: Dataset, window: slice, tuned: Params, settings: ModelSettings) -> _Learned:
    task = task_of(
        dataset, window, tuned, settings, binned=None, label=None, weight=None, feature_subset=None, rounds=1
    )
    rows = task.rows(window)
    drawn = np.random.default_rng(settings.seed).permutation(len(rows))[: settings.ensemble.double.shuffle_rows]
    at = np.sort(drawn)
    return _Learned(rows, task.target[rows].astype(np.float64), rows[at], at)


def _loss_curve(booster: lgb.Booster, dataset: Dataset, learned: _Learned, threads: int) -> tuple[Float, Float, Float]:
    """Return (losses at the beginning, losses at the end, scores) of the learned rows; the first two by iteration."""
    first, last = curve_ends(booster.current_iteration())
    begin, end = np.empty((len(first), len(learned.rows))), np.empty((len(last), len(learned.rows)))
    scores = np.empty(len(learned.rows))
    for start in range(0, len(learned.rows), _CHUNK_ROWS):
        at = slice(start, start + _CHUNK_ROWS)
        features, target = dataset.features[learned.rows[at]], learned.target[at]
        said, done = np.zeros(len(target)), 0
        for curve, iterations in ((begin, first), (end, last)):
            for position, iteration in enumerate(iterations):
                if iteration > done:
                    said += _said(booster, features, threads, first=done, count=iteration - done)
                    done = iteration
                curve[position, at] = (target - said) ** 2
        scores[at] = said
    return begin, end, scores


def _said(
    booster: lgb.Booster, features: NDArray[np.float32], threads: int, *, first: int = 0, count: int = -1
) -> Float:
    said = booster.predict(features, start_iteration=first, num_iteration=count, num_threads=threads)
    return np.asarray(said, dtype=np.float64)


def _mean_rank(curve: Float) -> Float:
    """Return each sample's rank averaged over the iterations; one iteration at a time, so that no copy is made."""
    total = np.zeros(curve.shape[1])
    for losses in curve:
        total += _rank(losses)
    return total / len(curve)


def _rank(values: Float) -> Float:
    return np.asarray(rankdata(values), dtype=np.float64) / len(values)
