"""How many different things were tried: the effective number of trials, from the correlation of their returns.

Two estimates that err in different ways stand beside the raw number. Not here: what the number does to a Sharpe ratio
(``statistics.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.promotion.trial_returns import distinct_trials, trial_correlation

Float = NDArray[np.float64]
#: Added to an eigenvalue before it is rounded down: 2 may come out as 2 less the error of the decomposition.
_ROUNDING = 1e-8


@dataclass(frozen=True)
class EffectiveTrials:
    """The number of trials, raw and effective.

    Parameters
    ----------
    trials
        All that were given.
    distinct
        Those that no earlier one equals: a duplicate is counted once, whatever its leverage.
    by_average_correlation, by_eigenvalues
        Effective numbers, from 1 to ``distinct``.
    average_correlation
        Over pairs of distinct trials; 0 for one.
    unknown_pairs
        Pairs of distinct trials that share too few sessions for a correlation. They are taken as uncorrelated, which
        counts them in full.
    """

    trials: int
    distinct: int
    by_average_correlation: float
    by_eigenvalues: float
    average_correlation: float
    unknown_pairs: int


def effective_trials(returns: Float) -> EffectiveTrials:
    """Return how many independent trials the given ones amount to.

    NaN policy: correlations are over the sessions that both of a pair have (``trial_correlation``), so that pruned
    trials count; a pair that shares fewer than 60 sessions is taken as uncorrelated.

    Parameters
    ----------
    returns
        Net excess returns, shape ``(sessions, trials)``; see ``trial_returns.py``.

    Raises
    ------
    PromotionError
        For no trial, or an infinite return.
    """
    correlation = trial_correlation(returns)
    kept = distinct_trials(correlation)
    among = correlation[np.ix_(kept, kept)]
    pairs = among[np.triu_indices(len(kept), 1)]
    unknown = int(np.isnan(pairs).sum())
    average = float(np.nan_to_num(pairs, nan=0.0).mean()) if len(pairs) else 0.0
    return EffectiveTrials(
        trials=len(correlation),
        distinct=len(kept),
        by_average_correlation=number_by_average_correlation(len(kept), average),
        by_eigenvalues=number_by_eigenvalues(np.linalg.eigvalsh(np.nan_to_num(among, nan=0.0))),
        average_correlation=average,
        unknown_pairs=unknown,
    )


def number_by_average_correlation(trials: int, average_correlation: float) -> float:
    """Return ``r + (1 - r) M`` of ``M`` trials with the average correlation ``r``, at most ``M``.

    Bailey and Lopez de Prado (2014), "The deflated Sharpe ratio", appendix 3: between 1 trial for ``r = 1`` and all for
    ``r = 0``. A negative average counts as 0.
    """
    average = max(average_correlation, 0.0)
    return average + (1 - average) * trials


def number_by_eigenvalues(eigenvalues: Float) -> float:
    """Return ``sum f(|x|)`` with ``f(x) = 1{x >= 1} + (x - floor(x))``, from 1 to the number of eigenvalues.

    Li and Ji (2005), "Adjusting multiple testing in multilocus analyses using the eigenvalues of a correlation matrix",
    equation 5: a whole eigenvalue is one trial however many share it, what is over is part of one.

    Parameters
    ----------
    eigenvalues
        Of a correlation matrix, shape ``(trials,)``. Below 0 where it was measured pair by pair; the size counts.
    """
    size = np.abs(eigenvalues) + _ROUNDING
    number = float(((size >= 1) + size - np.floor(size)).sum()) - _ROUNDING * len(size)
    return min(max(number, 1.0), float(len(size)))
