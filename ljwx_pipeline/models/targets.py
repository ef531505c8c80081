"""What a model learns of a row and how much it weighs: the forward return within its session, and row weights.

Every transform is of one session's rows, so that nothing is fitted across sessions and no other session can reach a
target; weights look at the training window alone. Not here: what a forward return is (``label.py``), who learns
(``fit.py``).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ljwx_pipeline.config import ModelSettings
from ljwx_pipeline.dataset import Dataset
from ljwx_pipeline.errors import ModelError

Bool = NDArray[np.bool_]
Float = NDArray[np.float64]

#: Robust standard deviations from a session's median at which ``zscore`` cuts returns off.
WINSOR_SIGMAS = 3.0
#: A normal distribution's standard deviation in median absolute deviations.
SIGMA_OF_MAD = 1.4826
#: Grades of relevance that learning to rank knows: deciles of a session's labels.
GRADES = 10


def transformed(
    forward: Float, sessions: NDArray[np.integer], transform: Literal["rank", "zscore", "gauss"]
) -> NDArray[np.float32]:
    """Return each row's target within its session.

    ``rank``: the rank scaled to [-0.5, 0.5], equal returns at their mean rank. ``zscore``: the return cut off at
    ``WINSOR_SIGMAS`` robust deviations from the session's median, less its mean, over its standard deviation.
    ``gauss``: the normal score of the rank.

    Parameters
    ----------
    forward
        Known forward returns, shape ``(n,)``, without NaN: the only rows that count.
    sessions
        Of each row, non-decreasing.

    Returns
    -------
    float32 of shape ``(n,)``; 0 in a session of one row or of equal returns.
    """
    if len(forward) == 0:
        return np.zeros(0, dtype=np.float32)
    starts = np.flatnonzero(np.r_[True, np.diff(sessions) > 0])
    sizes = np.diff(np.r_[starts, len(forward)])
    if transform == "zscore":
        return _zscores(forward, starts, sizes).astype(np.float32)
    ranks, size = _mid_ranks(forward, starts, sizes), np.repeat(sizes, sizes)
    if transform == "gauss":
        return np.asarray(ndtri((ranks + 0.5) / size), dtype=np.float32)
    return np.where(size > 1, ranks / np.maximum(size - 1, 1) - 0.5, 0.0).astype(np.float32)


def grades(target: NDArray[np.float32], sessions: NDArray[np.integer]) -> NDArray[np.float32]:
    """Return the decile of each row's target within its session, 0 to ``GRADES - 1``; arguments as ``transformed``."""
    starts = np.flatnonzero(np.r_[True, np.diff(sessions) > 0])
    sizes = np.diff(np.r_[starts, len(target)])
    share = (_mid_ranks(target.astype(np.float64), starts, sizes) + 0.5) / np.repeat(sizes, sizes)
    return np.asarray(np.floor(GRADES * share), dtype=np.float32)


def row_weights(dataset: Dataset, rows: NDArray[np.int64], settings: ModelSettings, own: Float | None) -> Float | None:
    """Return the weight of each of ``rows`` in the loss, of mean 1; None when all weigh the same.

    A row weighs half as much ``recency_half_life_sessions`` before the newest of ``rows``, times its mean amount over
    its session's to the power ``liquidity_weight``, times ``own``.

    Parameters
    ----------
    rows
        Positions learned from, ascending.
    own
        Further weights of every row of the dataset, positive.

    Raises
    ------
    ModelError
        When amounts are asked for and the dataset has none, or a weight is not a positive number.
    """
    weights = np.ones(len(rows))
    sessions = dataset.session_index[rows]
    if settings.recency_half_life_sessions:
        weights *= np.exp2((sessions - sessions[-1]) / settings.recency_half_life_sessions)
    if settings.liquidity_weight:
        if dataset.mean_amount_cny is None:
            raise ModelError(
                f"model.liquidity_weight = {settings.liquidity_weight:g} and the dataset holds no amounts",
                "build the dataset again under these settings",
            )
        amount = dataset.mean_amount_cny[rows]
        starts = np.flatnonzero(np.r_[True, np.diff(sessions) > 0])
        sizes = np.diff(np.r_[starts, len(rows)])
        of_session = np.add.reduceat(amount, starts) / sizes
        weights *= (amount / np.repeat(of_session, sizes)) ** settings.liquidity_weight
    if own is not None:
        weights *= own[rows]
    wrong = ~(np.isfinite(weights) & (weights > 0))
    if wrong.any():
        row = int(rows[np.argmax(wrong)])
        raise ModelError(
            f"{dataset.symbols[dataset.symbol_index[row]]} on {dataset.sessions[dataset.session_index[row]]:%Y-%m-%d} "
            f"weighs {weights[np.argmax(wrong)]:g} in the loss ({int(wrong.sum())} such rows)",
            "give every row a positive weight: look at its amounts, or at what the weights were made of",
        )
    if (weights == weights[0]).all():
        return None
    return np.asarray(weights / weights.mean())


def _mid_ranks(values: Float, starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> Float:
    """Return each value's rank from 0 within its session, ties at their mean."""
    session = np.repeat(np.arange(len(starts)), sizes)
    order = np.lexsort((values, session))
    ordered, of = values[order], session[order]
    begins = np.flatnonzero(np.r_[True, (np.diff(ordered) != 0) | (np.diff(of) != 0)])
    ends = np.r_[begins[1:], len(values)]
    middle = (begins + ends - 1) / 2 - starts[of[begins]]
    ranks = np.empty(len(values))
    ranks[order] = np.repeat(middle, ends - begins)
    return ranks


def _zscores(values: Float, starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> Float:
    median = np.repeat(_medians(values, starts, sizes), sizes)
    spread = np.repeat(SIGMA_OF_MAD * _medians(np.abs(values - median), starts, sizes), sizes)
    # half of a session's returns may be equal: then it has no robust spread to cut at
    cut = np.where(
        spread > 0, np.clip(values, median - WINSOR_SIGMAS * spread, median + WINSOR_SIGMAS * spread), values
    )
    centred = cut - np.repeat(np.add.reduceat(cut, starts) / sizes, sizes)
    deviation = np.repeat(np.sqrt(np.add.reduceat(centred**2, starts) / sizes), sizes)
    equal = np.repeat(np.maximum.reduceat(cut, starts) == np.minimum.reduceat(cut, starts), sizes)
    return np.where(equal, 0.0, centred / np.where(equal, 1.0, deviation))


def _medians(values: Float, starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> Float:
    session = np.repeat(np.arange(len(starts)), sizes)
    ordered = values[np.lexsort((values, session))]
    below, above = ordered[starts + (sizes - 1) // 2], ordered[starts + sizes // 2]
    return np.asarray((below + above) / 2)
