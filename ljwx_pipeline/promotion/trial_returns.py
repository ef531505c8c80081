"""The daily returns of many trials as one matrix: what of it a statistic may use, and which trials are one.

The matrix is float64 of shape ``(sessions, trials)`` in session order: net excess returns, a fraction a session, NaN
where a trial was not run (``studies/daily_returns.py``; a pruned trial ends early). Not here: the statistics themselves
(``overfitting.py``, ``effective_trials.py``, ``reality_check.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.errors import PromotionError

Float = NDArray[np.float64]
Int = NDArray[np.int64]

#: A trial with returns on a smaller share of the sessions is not compared session by session with complete ones.
MIN_SESSION_FRAC = 0.9
#: Two trials that share fewer sessions have no correlation worth a number.
MIN_SHARED_SESSIONS = 60
#: Two trials are one when their correlation is 1 to within this: the same strategy, perhaps at another leverage.
SAME_WITHIN = 1e-9
#: Below this variance, where the whole series has 1, a stretch counts as constant.
CONSTANT = 1e-12


@dataclass(frozen=True)
class SharedReturns:
    """The trials that can be compared session by session, on the sessions all of them have.

    Parameters
    ----------
    values
        Shape ``(sessions, trials)``, no NaN.
    trials
        Each column's position in the matrix given.
    left_out
        Trials given that are not among them.
    sessions_left_out
        Sessions with a return of any trial that are not among the rows.
    """

    values: Float = field(repr=False, compare=False)
    trials: tuple[int, ...]
    left_out: int
    sessions_left_out: int


def checked_returns(returns: Float) -> Float:
    """Return the matrix as float64.

    Raises
    ------
    PromotionError
        When it is no matrix, holds no trial, or an infinite return (named by trial and session).
    """
    values = np.asarray(returns, dtype=np.float64)
    if values.ndim != 2:
        raise PromotionError(
            f"returns of trials have shape {values.shape}, not sessions x trials", "pass one column a trial"
        )
    if values.shape[1] == 0:
        raise PromotionError("the returns of the trials are unknown", "pass the daily returns of every trial made")
    infinite = np.argwhere(np.isinf(values))
    if len(infinite):
        session, trial = infinite[0]
        raise PromotionError(
            f"the return of trial {trial} on session {session} of {len(values)} is {values[session, trial]}",
            "measure every value before asking the gate",
        )
    return values


def shared_returns(returns: Float) -> SharedReturns:
    """Return the trials that can be compared session by session, on the sessions all of them have.

    NaN policy: a trial with returns on fewer than 90 % of the sessions on which any trial has one is left out (it was
    pruned); then every session that one of the rest misses, and, on 60 sessions or more, a trial whose returns never
    vary on them. What was pruned was behind, so ranks among the rest are those of the better trials.

    Raises
    ------
    PromotionError
        As ``checked_returns``.
    """
    values = checked_returns(returns)
    known = ~np.isnan(values)
    ran = known.any(axis=1)
    enough = known.sum(axis=0) >= max(MIN_SESSION_FRAC * int(ran.sum()), 1)
    kept = np.flatnonzero(enough)
    rows = known[:, kept].all(axis=1) & ran
    dense = values[np.ix_(rows, kept)]
    if len(dense) >= MIN_SHARED_SESSIONS:
        spread = np.ptp(dense, axis=0) > 1e-12 * np.maximum(np.abs(dense).max(axis=0), 1e-300)
        dense, kept = np.ascontiguousarray(dense[:, spread]), kept[spread]
    return SharedReturns(
        values=dense,
        trials=tuple(int(trial) for trial in kept),
        left_out=values.shape[1] - len(kept),
        sessions_left_out=int(ran.sum()) - len(dense),
    )


def trial_correlation(returns: Float) -> Float:
    """Return Pearson's correlation of every pair of trials over the sessions both have, shape ``(trials, trials)``.

    NaN policy: NaN where two trials share fewer than 60 sessions, or where one of them does not vary on those. A trial
    of 60 sessions or more that never varies correlates 1 with every other such trial and 0 with the rest. The diagonal
    is 1. The matrix need not be positive semi-definite where trials miss sessions.

    Raises
    ------
    PromotionError
        As ``checked_returns``.
    """
    values = checked_returns(returns)
    known = ~np.isnan(values)
    ran = known.sum(axis=0)
    count = np.maximum(ran, 1)
    centred = np.where(known, values, 0.0)
    largest = np.maximum(np.abs(centred).max(axis=0, initial=0.0), 1e-300)
    centred = np.where(known, centred - centred.sum(axis=0) / count, 0.0)
    spread = np.sqrt((centred**2).sum(axis=0) / count)
    still = spread <= 1e-12 * largest
    constant = still & (ran >= MIN_SHARED_SESSIONS)
    unit = np.divide(centred, spread, out=np.zeros_like(centred), where=~still)
    here = known.astype(np.float64)
    shared = here.T @ here
    least = np.maximum(shared, 1.0)
    sums = unit.T @ here  # [i, j]: of trial i over the sessions of trial j
    variance = (unit**2).T @ here / least - (sums / least) ** 2
    covariance = unit.T @ unit / least - sums * sums.T / least**2
    scale = np.sqrt(np.maximum(variance, 0) * np.maximum(variance.T, 0))
    known_pair = shared >= MIN_SHARED_SESSIONS
    varies = known_pair & (np.minimum(variance, variance.T) > CONSTANT)
    correlation = np.divide(covariance, scale, out=np.full_like(scale, np.nan), where=varies)
    correlation[known_pair & (constant[:, None] | constant)] = 0.0
    correlation[known_pair & (constant[:, None] & constant)] = 1.0
    np.fill_diagonal(correlation, 1.0)
    clipped: Float = np.clip(correlation, -1.0, 1.0)
    return clipped


def distinct_trials(correlation: Float) -> Int:
    """Return the positions of trials that no earlier one equals, ascending.

    Two are equal when they correlate 1 to within 1e-9: the same returns, whatever their leverage or a constant cost.
    """
    same = np.nan_to_num(correlation, nan=0.0) >= 1 - SAME_WITHIN
    return np.flatnonzero(same.argmax(axis=1) == np.arange(len(same))).astype(np.int64)
