"""Champion or challenger, decided as soon as the evidence allows: a test that may be looked at every session.

A fixed-sample test that is read daily and stopped when it pleases finds a difference that is not there, sooner or
later, almost surely. Here each hypothesis is a bet: with ``x_t`` in [-1, 1] the paired difference of session ``t`` over
a bound fixed beforehand, the capital ``K_t(m) = mean_j Π_{s<=t} (1 + a_j (x_s - m) / (1 + m))`` of bets that the mean
is above ``m`` is a nonnegative supermartingale wherever it is not (Waudby-Smith and Ramdas 2024, "Estimating means of
bounded random variables by betting"). By Ville's inequality (1939) it ever exceeds ``2 / alpha`` with probability at
most ``alpha / 2``, whenever one looks and however one stops. A mixture over fixed shares ``a_j`` of the capital needs
no guess of the difference (Robbins 1970). The same for "below", and the means that neither bet excludes form a
confidence interval that holds at every session at once.

**What it asks of the differences.** Given the past, their mean must not change: daily returns, not rank ICs of
overlapping labels, which ``block_means`` turns into one value a label. They are clipped at the bound, so the mean
judged is that of the clipped differences; ``clipped_frac`` tells how much that is.

Not here: who trades with which share of the capital.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.errors import DataQualityError

Float = NDArray[np.float64]
Verdict = Literal["challenger", "champion", "undecided"]

#: Shares of the capital at stake; below 1, so that no session ruins a bet.
STAKES: Float = 0.9 * 2.0 ** -np.arange(0.0, 6.0, 0.5)
#: Halvings of [-1, 1] in search of an end of the interval.
_HALVINGS = 40


@dataclass(frozen=True)
class Comparison:
    """What the paired differences say, challenger less champion.

    Parameters
    ----------
    verdict
        Who was better when it was first decided; ``undecided`` otherwise.
    decided_at
        Position of the session at which it was, or None.
    sessions
        Looked at.
    mean
        Of the clipped differences, in their unit.
    lower, upper
        Ends of the ``1 - alpha`` interval at the last session, valid at every session at once.
    evidence_challenger, evidence_champion
        Capital of the bets on each against "not better"; decided at ``2 / alpha``.
    clipped_frac
        Share of the differences beyond the bound.
    """

    verdict: Verdict
    decided_at: int | None
    sessions: int
    mean: float
    lower: float
    upper: float
    evidence_challenger: float
    evidence_champion: float
    clipped_frac: float


def compare(paired: pd.DataFrame, *, bound: float, alpha: float = 0.05) -> Comparison:
    """Return who is better, with an error of at most ``alpha`` however often one looks.

    Parameters
    ----------
    paired
        ``session_date`` ascending, ``champion`` and ``challenger``: daily net returns of both on the same sessions,
        from the first session of the comparison on; none may be left out.
    bound
        Differences are clipped to [-bound, bound]. Fixed before the first session, for instance five standard
        deviations of the walk forward's differences.
    alpha
        Chance of naming either one where the mean of the clipped differences is 0.

    Raises
    ------
    DataQualityError
        For sessions out of order or twice, a value that is not finite, or a bound or level that is none.
    """
    dates = pd.DatetimeIndex(paired["session_date"])
    if not (dates.is_monotonic_increasing and dates.is_unique):
        raise DataQualityError("the sessions compared are not ascending, or one is there twice", "sort and keep one")
    values = paired[["champion", "challenger"]].to_numpy(dtype=np.float64)
    if not np.isfinite(values).all():
        at = int((~np.isfinite(values)).any(axis=1).argmax())
        raise DataQualityError(
            f"champion and challenger of {dates[at]:%Y-%m-%d} are {values[at, 0]} and {values[at, 1]}",
            "compare sessions on which both were scored, every one of them",
        )
    return compare_differences(values[:, 1] - values[:, 0], bound=bound, alpha=alpha)


def compare_differences(differences: Float, *, bound: float, alpha: float = 0.05) -> Comparison:
    """Return ``compare`` of the differences challenger less champion, shape ``(n,)``, finite."""
    if not (np.isfinite(bound) and bound > 0 and 0 < alpha < 1):
        raise DataQualityError(f"a bound of {bound} and an error of {alpha} decide nothing", "take both above 0")
    raw = np.asarray(differences, dtype=np.float64).ravel()
    if len(raw) == 0 or not np.isfinite(raw).all():
        raise DataQualityError(f"of {len(raw)} differences not all are finite, or there is none", "wait for a session")
    scaled = np.clip(raw / bound, -1, 1)
    better, worse = evidence(scaled), evidence(-scaled)
    crossed = [np.flatnonzero(capital >= 2 / alpha) for capital in (better, worse)]
    first = [int(at[0]) if len(at) else len(raw) for at in crossed]
    verdict: Verdict = "undecided"
    if min(first) < len(raw):
        verdict = "challenger" if first[0] < first[1] else "champion"
    return Comparison(
        verdict=verdict,
        decided_at=min(first) if verdict != "undecided" else None,
        sessions=len(raw),
        mean=float(scaled.mean()) * bound,
        lower=bound * _lower_end(scaled, alpha),
        upper=-bound * _lower_end(-scaled, alpha),
        evidence_challenger=float(better[-1]),
        evidence_champion=float(worse[-1]),
        clipped_frac=float((np.abs(raw) > bound).mean()),
    )


def evidence(scaled: Float, mean: float = 0.0) -> Float:
    """Return the capital, after each session, of bets that the mean of ``scaled`` is above ``mean``.

    Parameters
    ----------
    scaled
        In [-1, 1], sessions along the last axis.
    mean
        In (-1, 1].

    Returns
    -------
    Shape of ``scaled``; 1 before the first session. Too large for a float is infinite.
    """
    capital = np.zeros_like(scaled)
    with np.errstate(over="ignore"):
        for stake in STAKES:
            capital += np.exp(np.cumsum(np.log1p(stake * (scaled - mean) / (1 + mean)), axis=-1))
    out: Float = capital / len(STAKES)
    return out


def block_means(values: Float, block_sessions: int) -> Float:
    """Return means of consecutive blocks, the first beginning with the first value; an unfinished block is left out.

    Blocks as long as a label reaches share no return but at their seam, so that their order carries no more evidence
    than there is.
    """
    if block_sessions < 1:
        raise DataQualityError(f"a block of {block_sessions} sessions is none", "take the label's reach")
    whole = len(values) // block_sessions
    out: Float = np.asarray(values, dtype=np.float64)[: whole * block_sessions].reshape(whole, -1).mean(axis=1)
    return out


def _lower_end(scaled: Float, alpha: float) -> float:
    """Return the largest lower end that any session so far gave; the capital falls as the mean bet against rises."""
    low, high = -1.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        excluded = bool((evidence(scaled, middle) >= 2 / alpha).any())
        low, high = (middle, high) if excluded else (low, middle)
    return low
