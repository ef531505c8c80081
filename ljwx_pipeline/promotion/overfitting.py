"""How often the best of many backtests is an accident: the probability of backtest overfitting, by symmetric splits.

Bailey, Borwein, Lopez de Prado and Zhu (2017), "The probability of backtest overfitting": the sessions are cut into
blocks; every way to take half of the blocks as the sample has its complement as the other half (combinatorially
symmetric cross-validation, CSCV). In each split the configuration that is best in the sample is looked up outside of
it. All Sharpe ratios are per session. Not here: thresholds and the decision (``gate.py``).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.errors import PromotionError
from ljwx_pipeline.promotion.trial_returns import (
    CONSTANT,
    MIN_SHARED_SESSIONS,
    distinct_trials,
    shared_returns,
    trial_correlation,
)

Float = NDArray[np.float64]

#: Fewer distinct configurations have no ranks that a share of splits could be read from.
MIN_CONFIGURATIONS = 10
#: A block is at least this long: with 16 of them each half has 80 sessions.
MIN_BLOCK_SESSIONS = 10
#: 20 blocks make 184,756 splits.
MOST_BLOCKS = 20
#: Splits reckoned at a time: few enough for the cache.
_CHUNK_SPLITS = 512


@dataclass(frozen=True)
class Overfitting:
    """What became of the in-sample winners.

    Parameters
    ----------
    probability
        PBO: the share of splits whose winner does not rank above the middle outside of the sample (logit 0 or less).
    loss_frac
        Share of splits whose winner has a Sharpe ratio below 0 outside of the sample.
    slope, intercept
        Least squares over splits of the winner's Sharpe ratio outside on that inside; NaN when that inside never
        varies. The halves share one history, so a slope below 0 is not by itself a sign of overfitting.
    configurations
        Distinct ones that were ranked.
    duplicates
        Left out because an earlier one has the same returns.
    left_out
        Left out because they were pruned or never vary.
    blocks, sessions
        Number of blocks, and sessions in all of them together.
    logits, in_sample, out_of_sample
        Of each split's winner, shape ``(splits,)`` in lexicographic order of the sample's blocks; split ``i`` and split
        ``-1 - i`` are each other's mirror. ``logits`` are ``ln(w / (1 - w))`` of its relative rank ``w = r / (N + 1)``
        outside, the other two its Sharpe ratios.
    """

    probability: float
    loss_frac: float
    slope: float
    intercept: float
    configurations: int
    duplicates: int
    left_out: int
    blocks: int
    sessions: int
    logits: Float = field(repr=False, compare=False)
    in_sample: Float = field(repr=False, compare=False)
    out_of_sample: Float = field(repr=False, compare=False)


@dataclass(frozen=True)
class NotAssessable:
    """Too few distinct configurations for any probability; a person has to decide.

    Parameters
    ----------
    configurations, needed
        Distinct ones that could be compared, and how many it takes.
    duplicates, left_out
        As in ``Overfitting``.
    """

    configurations: int
    needed: int
    duplicates: int
    left_out: int


def backtest_overfitting(returns: Float, *, blocks: int = 16) -> Overfitting | NotAssessable:
    """Return the probability of backtest overfitting over every configuration that was tried.

    NaN policy: that of ``shared_returns``: pruned configurations and those that never vary are left out and counted,
    then the sessions that one of the rest misses. Of those that correlate 1 the first is kept. Blocks are equally
    long; the oldest sessions that fill no block are left out. A configuration that does not vary in a half has the
    Sharpe ratio 0 there; equal Sharpe ratios share their mean rank; of equal winners the first is taken.

    Parameters
    ----------
    returns
        Net excess returns, shape ``(sessions, configurations)``; see ``trial_returns.py``.
    blocks
        Even, 4 to 20.

    Returns
    -------
    ``NotAssessable`` for fewer than 10 distinct configurations.

    Raises
    ------
    PromotionError
        For a number of blocks that is odd or out of range, no configuration, an infinite return, or 10 configurations
        that share fewer sessions than 10 a block or 60 in all.
    """
    if blocks % 2 or not 4 <= blocks <= MOST_BLOCKS:
        raise PromotionError(
            f"{blocks} blocks cannot be split into all halves", f"take an even number from 4 to {MOST_BLOCKS}"
        )
    shared = shared_returns(returns)
    sessions, needed = len(shared.values), max(blocks * MIN_BLOCK_SESSIONS, MIN_SHARED_SESSIONS)
    if len(shared.trials) >= MIN_CONFIGURATIONS and sessions < needed:
        raise PromotionError(
            f"{sessions} sessions shared by {len(shared.trials)} configurations are too few for {blocks} blocks",
            f"test on at least {needed} sessions",
        )
    kept = distinct_trials(trial_correlation(shared.values)) if shared.trials else np.empty(0, dtype=np.int64)
    duplicates = len(shared.trials) - len(kept)
    if len(kept) < MIN_CONFIGURATIONS:
        return NotAssessable(len(kept), MIN_CONFIGURATIONS, duplicates, shared.left_out)
    length = sessions // blocks
    used = shared.values[sessions - blocks * length :, kept]
    logits, inside, outside = _winners(used, blocks)
    slope, intercept = _line(inside, outside)
    return Overfitting(
        probability=float((logits <= 0).mean()),
        loss_frac=float((outside < 0).mean()),
        slope=slope,
        intercept=intercept,
        configurations=len(kept),
        duplicates=duplicates,
        left_out=shared.left_out,
        blocks=blocks,
        sessions=len(used),
        logits=logits,
        in_sample=inside,
        out_of_sample=outside,
    )


def _winners(values: Float, blocks: int) -> tuple[Float, Float, Float]:
    """Return each split's winner: its logit outside of the sample, its Sharpe ratios inside and outside.

    Every half is a sum of blocks, so its mean and variance follow from the blocks' sums and sums of squares.
    """
    mean, spread = values.mean(axis=0), values.std(axis=0)
    unit = ((values - mean) / spread).reshape(blocks, -1, values.shape[1])
    half = _Halves(unit.sum(axis=1), (unit**2).sum(axis=1), mean / spread, len(values) // 2)
    chosen = np.array(list(itertools.combinations(range(blocks), blocks // 2)))
    splits = len(chosen)
    taken = np.zeros((splits // 2, blocks))  # those with the first block; the others are their mirrors
    np.put_along_axis(taken, chosen[: splits // 2], 1.0, axis=1)
    logits, inside, outside = np.empty(splits), np.empty(splits), np.empty(splits)
    for start in range(0, len(taken), _CHUNK_SPLITS):
        some = taken[start : start + _CHUNK_SPLITS]
        one, other = half.sharpes(some), half.sharpes(1 - some)
        at = np.arange(start, start + len(some))
        for sample, rest, where in ((one, other, at), (other, one, splits - 1 - at)):
            winner = sample.argmax(axis=1)[:, None]
            found = np.take_along_axis(rest, winner, axis=1)
            rank = (rest < found).sum(axis=1) + ((rest == found).sum(axis=1) + 1) / 2
            logits[where] = np.log(rank / (values.shape[1] + 1 - rank))
            inside[where] = np.take_along_axis(sample, winner, axis=1)[:, 0]
            outside[where] = found[:, 0]
    return logits, inside, outside


@dataclass(frozen=True)
class _Halves:
    """Sums and sums of squares of each block, of returns less ``mean``, all in units of the standard deviation."""

    sums: Float
    squares: Float
    mean: Float
    sessions: int

    def sharpes(self, taken: Float) -> Float:
        """Return Sharpe ratios over the blocks taken, shape ``(splits, configurations)``; 0 without variance."""
        sums = taken @ self.sums
        variance = (taken @ self.squares - sums**2 / self.sessions) / (self.sessions - 1)
        varies = variance > CONSTANT
        spread = np.sqrt(np.where(varies, variance, 1.0))
        return np.where(varies, (sums / self.sessions + self.mean) / spread, 0.0)


def _line(x: Float, y: Float) -> tuple[float, float]:
    centred = x - x.mean()
    square = float(centred @ centred)
    if square <= CONSTANT * len(x) * float((x**2).max()):
        return math.nan, math.nan
    slope = float(centred @ y) / square
    return slope, float(y.mean()) - slope * float(x.mean())
