"""How far luck alone spreads trials: what the best of so many without skill is expected to show.

Not here: which trials count (``trial_count.py``), what is done with the figure (``statistics.py``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.promotion.statistics import expected_maximum_sharpe
from ljwx_pipeline.promotion.trial_returns import MIN_SHARED_SESSIONS

Float = NDArray[np.float64]
Int = NDArray[np.int64]
Flags = NDArray[np.bool_]

#: A piece of evidence with fewer trials says little of how alike they are: such are taken together.
LEAST_GROUP = 10
#: Degrees of likeness at which trials are taken without their copies: of two that correlate more, one stays.
MOST_ALIKE = (0.95, 0.8, 0.6, 0.4)
#: Below this standard deviation a series counts as constant.
_CONSTANT = 1e-12
_SESSIONS_AT_ONCE = 128
_TRIALS_AT_ONCE = 256


def luck_variance(
    sharpes: Sequence[float],
    sessions: Sequence[int],
    evidence: Sequence[str],
    *,
    of_study: Sequence[bool] = (),
    returns: Float | None = None,
    columns: Sequence[int] = (),
) -> float:
    """Return how far luck spreads trials, in squared standard errors of a Sharpe ratio; the largest that is found.

    Without skill a Sharpe ratio over ``T`` sessions varies by ``1 / T``, of which trials that correlate ``r`` share
    ``r``: what spreads them is ``1 - r``. It is measured where a pruned trial and a complete one, or two of other
    years, can be compared (``spread_by_session``, ``spread_of_ratios``), never by Sharpe ratios of other lengths side
    by side: one over 60 sessions is no sign of a spread over 1,000. Luck cannot exceed 1; what does is skill, or
    chance, and 1 is the most that is taken.

    The largest, as 500 variants that are nearly one strategy pull the variance of all down, and with it the hurdle: a
    candidate must not become easier to promote because more was tried. It is taken of

    - trials on one piece of evidence; those of pieces with fewer than ten, the studies' together and the others'
      together;
    - trials without copies (``without_copies``), whatever they were tried on: 50 ideas in ten versions each are no
      less than 50 ideas. There are fewer of them, ``K`` of ``N``, so their spread counts as that which makes the best
      of ``N`` as lucky as the best of ``K`` is;
    - in the same way, of trials without stored returns, the best of each piece of evidence: that is what would have
      been presented, where the first may be one that hardly heeds the scores.

    Parameters
    ----------
    sharpes, sessions
        Of each trial; 0 sessions: not known.
    evidence
        What each was tried on. Where no two trials can be compared, 1 is returned: what is not known counts in full.
    of_study
        Whether each is of a study; none is where nothing is said. Trials of studies lie on other years than those on
        tested sessions, so the two are not compared.
    returns, columns
        As in ``CountedTrials``.
    """
    ratio, length = np.asarray(sharpes, dtype=np.float64), np.asarray(sessions, dtype=np.float64)
    stored, tried_on = np.asarray(columns, dtype=np.int64), np.asarray(evidence)
    study = np.asarray(of_study, dtype=bool) if len(of_study) else np.zeros(len(ratio), dtype=bool)
    told = np.isin(np.arange(len(ratio)), stored)
    found: list[float] = []
    for here in _groups(tried_on, study):
        spread = None if returns is None else spread_by_session(returns[:, here[stored]])
        known = here & (length > 0) & ~(told if spread is not None else np.zeros_like(told))
        found += [one for one in (spread, spread_of_ratios(ratio[known], length[known])) if one is not None]
    for side in (study, ~study):
        if returns is not None:
            found += [as_of(spread, kept, len(ratio)) for spread, kept in _thinned(returns[:, side[stored]])]
        best = _best_of_each(ratio, tried_on, side & (length > 0) & ~told)
        if (spread := spread_of_ratios(ratio[best], length[best])) is not None:
            found.append(as_of(spread, len(best), len(ratio)))
    return min(max(found, default=1.0), 1.0)


def as_of(spread: float, kept: int, trials: int) -> float:
    """Return the variance by which the best of ``trials`` is as lucky as the best of ``kept`` is by ``spread``."""
    return min(spread, 1.0) * (expected_maximum_sharpe(1.0, kept) / expected_maximum_sharpe(1.0, trials)) ** 2


def spread_by_session(returns: Float) -> float | None:
    """Return the variance among trials of a session's return, each in its own standard deviations; None for too few.

    Mean over sessions, each weighed by its trials less 1. It expects ``1 - r`` of trials that correlate ``r``, skilled
    or not: a Sharpe ratio of 3 a year moves a session's return by a fifth of its standard deviation.

    Parameters
    ----------
    returns
        Shape ``(sessions, trials)``, NaN where one was not run. One that never varies is left out.
    """
    spread = np.array([_spread(column) for column in returns.T])
    used = np.flatnonzero(spread > _CONSTANT)
    squares, freedom, shared = 0.0, 0, 0
    for start in range(0, len(returns), _SESSIONS_AT_ONCE):  # thousands of trials are not copied whole
        unit = returns[start : start + _SESSIONS_AT_ONCE, used] / spread[used]
        ran = ~np.isnan(unit)
        together = ran.sum(axis=1)
        centre = np.where(ran, unit, 0.0).sum(axis=1) / np.maximum(together, 1)
        squares += float((np.where(ran, unit - centre[:, np.newaxis], 0.0) ** 2).sum())
        freedom += int(np.maximum(together - 1, 0).sum())
        shared += int((together > 1).sum())
    return squares / freedom if shared >= MIN_SHARED_SESSIONS else None


def spread_of_ratios(sharpes: Float, sessions: Float) -> float | None:
    """Return ``sum T_i (s_i - m)^2 / (n - 1)`` of Sharpe ratios over ``T_i`` sessions; None for fewer than two.

    Each squared deviation from the mean ``m``, itself weighed by sessions, is measured in its own standard errors:
    Cochran's Q over its degrees of freedom. It expects 1 of independent trials, ``1 - r`` of ones that correlate ``r``
    over the same sessions; real differences in skill raise it.
    """
    if len(sharpes) < 2:
        return None
    mean = np.average(sharpes, weights=sessions)
    return float((sessions * (sharpes - mean) ** 2).sum() / (len(sharpes) - 1))


def without_copies(returns: Float, most_alike: float) -> Int:
    """Return the positions of trials of which no two correlate above ``most_alike``, ascending.

    A trial stays unless it is like an earlier one that stayed, so that what is tried later takes none away. Two that
    share fewer than 60 sessions are not alike; one that never varies is left out.

    Parameters
    ----------
    returns
        As in ``spread_by_session``.
    """
    sessions, trials = returns.shape
    kept: list[int] = []
    units = here = np.empty((sessions, 0), dtype=np.float32)
    for start in range(0, trials, _TRIALS_AT_ONCE):
        unit, ran = _units(returns[:, start : start + _TRIALS_AT_ONCE])
        new = np.flatnonzero(np.abs(unit).max(axis=0, initial=0.0) > 0)
        new = new[~_alike(units, here, unit[:, new], ran[:, new], most_alike).any(axis=0)]
        among = _alike(unit[:, new], ran[:, new], unit[:, new], ran[:, new], most_alike)
        stays: list[int] = []
        for at in range(len(new)):
            if not among[stays, at].any():
                stays.append(at)
        kept += (start + new[stays]).tolist()
        units, here = np.hstack([units, unit[:, new[stays]]]), np.hstack([here, ran[:, new[stays]]])
    return np.array(kept, dtype=np.int64)


def _thinned(returns: Float) -> Iterator[tuple[float, int]]:
    """Give spread and number of the trials without copies, by each degree of likeness at which there are two."""
    for most_alike in MOST_ALIKE:
        returns = returns[:, without_copies(returns, most_alike)]
        spread = spread_by_session(returns)
        if spread is not None:
            yield spread, returns.shape[1]


def _units(returns: Float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return each column in its own standard deviations about its mean, 0 where it has none, and 1 where it ran."""
    ran = ~np.isnan(returns)
    count = np.maximum(ran.sum(axis=0), 1)
    centred = np.where(ran, returns, 0.0)
    centred = np.where(ran, centred - centred.sum(axis=0) / count, 0.0)
    spread = np.sqrt((centred**2).sum(axis=0) / count)
    unit = np.divide(centred, spread, out=np.zeros_like(centred), where=spread > _CONSTANT)
    return unit.astype(np.float32), ran.astype(np.float32)


def _alike(
    unit: NDArray[np.float32],
    ran: NDArray[np.float32],
    other: NDArray[np.float32],
    other_ran: NDArray[np.float32],
    most_alike: float,
) -> Flags:
    shared = ran.T @ other_ran
    alike: Flags = (unit.T @ other > most_alike * shared) & (shared >= MIN_SHARED_SESSIONS)
    return alike


def _spread(returns: Float) -> float:
    known = returns[~np.isnan(returns)]
    return float(known.std(ddof=1)) if len(known) > 1 else 0.0


def _groups(evidence: NDArray[np.str_], study: Flags) -> Iterator[Flags]:
    """Give what is compared with each other: trials on one piece of evidence, or where they are few, of such a side."""
    size = Counter(evidence.tolist())
    few = np.array([size[one] < LEAST_GROUP for one in evidence.tolist()], dtype=bool)
    for one in dict.fromkeys(evidence[~few].tolist()):
        yield evidence == one
    for side in (study, ~study):
        if (few & side).any():
            yield few & side


def _best_of_each(ratio: Float, evidence: NDArray[np.str_], among: Flags) -> Int:
    best: dict[str, int] = {}
    for at in np.flatnonzero(among).tolist():
        name = str(evidence[at])
        if name not in best or ratio[at] > ratio[best[name]]:
            best[name] = at
    return np.array(list(best.values()), dtype=np.int64)
