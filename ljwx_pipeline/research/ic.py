"""What a factor's coefficients say: their mean and its error, decay by horizon and delay, persistence, likeness.

The coefficients are ``coefficients.panel_coefficients``. Agrees with alphalens-reloaded 0.5.1 (``rank IC by session``,
``rank_autocorrelation``) wherever both define the same thing; what differs:

- alphalens leaves out a name on a session where *any* horizon's return is missing; here each horizon keeps its pairs.
- alphalens gives a session of two names a coefficient; here a session needs ``min_pairs``.
- alphalens' t statistic takes sessions as independent. Returns over overlapping horizons are not: here the error is
  Newey and West's over the horizon.
- alphalens' ICIR is the same quotient: mean over standard deviation (n - 1), not annualised.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.coefficients import (
    MIN_PAIRS,
    BySession,
    newey_west_error,
    newey_west_lag,
    panel_rank_ic,
    ranks_correlation,
    session_ranks,
)

Float = NDArray[np.float64]

#: |t| below which a factor's rank IC is not told from nothing, and has no decay worth a half-life.
MIN_T_FOR_DECAY = 2.0


@dataclass(frozen=True)
class IcSummary:
    """A series of coefficients in numbers; None where it could not be measured.

    Parameters
    ----------
    mean, std
        Over the sessions that have a coefficient; ``std`` with n - 1.
    icir
        ``mean / std``, not annualised.
    t
        ``mean`` over its Newey-West error; the bandwidth is ``coefficients.newey_west_lag``.
    positive_frac
        Share of the sessions with a coefficient above zero.
    sessions
        Sessions that have one; those without are left out of the series before lags are taken.
    """

    mean: float | None
    std: float | None
    icir: float | None
    t: float | None
    positive_frac: float | None
    sessions: int


def ic_summary(values: Float, *, purge_sessions: int) -> IcSummary:
    """Return a series of coefficients in numbers.

    Parameters
    ----------
    values
        Shape ``(n_sessions,)``, NaN where a session has none.
    purge_sessions
        Sessions from the value to the last price of its return: over these the series overlaps itself.
    """
    series = values[np.isfinite(values)]
    if len(series) == 0:
        return IcSummary(None, None, None, None, None, 0)
    mean = float(series.mean())
    std = float(series.std(ddof=1)) if len(series) > 1 else math.nan
    error = newey_west_error(series, newey_west_lag(len(series), purge_sessions))
    return IcSummary(
        mean=mean,
        std=_or_none(std),
        icir=_or_none(mean / std) if std > 0 else None,
        t=_or_none(mean / error) if error > 0 else None,
        positive_frac=float((series > 0).mean()),
        sessions=len(series),
    )


def delayed_rank_ic(
    factor: BySession, returns: BySession, delays: Sequence[int], *, min_pairs: int = MIN_PAIRS
) -> tuple[float | None, ...]:
    """Return the mean rank IC when each return is entered ``delay`` sessions later: what a late trade still gets.

    Parameters
    ----------
    factor, returns
        Of one shape; the return at session t is the one entered with no delay.
    delays
        Sessions, 0 for none. None for a delay with no session.
    """
    sessions = len(factor.values)
    found: list[float | None] = []
    for delay in delays:
        if delay >= sessions:
            found.append(None)
            continue
        values = panel_rank_ic(
            factor.sessions(0, sessions - delay), returns.sessions(delay, sessions), min_pairs=min_pairs
        )
        known = values[np.isfinite(values)]
        found.append(float(known.mean()) if len(known) else None)
    return tuple(found)


def half_life_sessions(delays: Sequence[int], mean_rank_ic: Sequence[float | None], t: float | None) -> float | None:
    """Return the delay at which half of the rank IC at delay 0 is left, in sessions, between measured delays on a line.

    None when the rank IC is not told from nothing (|t| below 2), or half of it is still there at the longest delay.
    """
    start = mean_rank_ic[0]
    if start is None or start == 0 or t is None or abs(t) < MIN_T_FOR_DECAY:
        return None
    before_delay, before_left = float(delays[0]), 1.0
    for delay, value in zip(delays[1:], mean_rank_ic[1:], strict=True):
        if value is None:
            return None
        left = value / start
        if left <= 0.5:
            return before_delay + (before_left - 0.5) / (before_left - left) * (delay - before_delay)
        before_delay, before_left = float(delay), left
    return None


def rank_autocorrelation(factor: BySession, *, lag: int = 1, min_pairs: int = MIN_PAIRS) -> Float:
    """Return the correlation of each session's ranks with those ``lag`` sessions earlier, shape ``(n_sessions,)``.

    Ranks are within the session's own names, ties at their mean; the correlation is Pearson's over the names known on
    both (alphalens' ``factor_rank_autocorrelation``). NaN with fewer than ``min_pairs`` names, or for the first ones.
    """
    ranks, out = session_ranks(factor), np.full(len(factor.values), np.nan)
    out[lag:] = ranks_correlation(ranks[lag:], ranks[: max(len(ranks) - lag, 0)], min_pairs=min_pairs)
    return out


def sampled_sessions(n_sessions: int, count: int) -> NDArray[np.int64]:
    """Return up to ``count`` positions spread evenly over the sessions, the first and the last among them."""
    return np.unique(np.linspace(0, n_sessions - 1, min(count, n_sessions)).round().astype(np.int64))


def rank_correlations(factors: Float, *, min_pairs: int = MIN_PAIRS) -> Float:
    """Return how alike factors rank names: the mean over sessions of Spearman's correlation of each two.

    Parameters
    ----------
    factors
        Shape ``(n_factors, n_sessions, n_symbols)``: usually of ``sampled_sessions``; NaN or infinite is unknown.
    min_pairs
        Names both must know on a session for it to count.

    Returns
    -------
    Shape ``(n_factors, n_factors)``, symmetric, 1 on the diagonal; NaN where no session counts.
    """
    values = np.array(factors, dtype=np.float64, order="C")
    values[~np.isfinite(values)] = np.nan
    count, n_factors = factors.shape[1], factors.shape[0]
    order = np.argsort(values, axis=2)
    out = np.eye(n_factors)
    for first in range(n_factors):
        mine = BySession(values[first], order[first])
        for second in range(first):
            by_session = panel_rank_ic(mine, BySession(values[second], order[second]), min_pairs=min_pairs)
            known = by_session[np.isfinite(by_session)]
            out[first, second] = out[second, first] = known.mean() if len(known) and count else np.nan
    return out


def clustered_order(correlations: Float) -> list[int]:
    """Return the factors' positions with like beside like: the leaves of average linkage on ``1 - |correlation|``.

    A correlation that could not be measured counts as none.
    """
    if len(correlations) < 3:
        return list(range(len(correlations)))
    from scipy.cluster.hierarchy import leaves_list, linkage  # half a second to import, only for a set's sheet
    from scipy.spatial.distance import squareform

    distance = 1 - np.abs(np.nan_to_num(correlations))
    np.fill_diagonal(distance, 0.0)
    condensed = squareform(np.clip((distance + distance.T) / 2, 0.0, 1.0), checks=False)
    return [
        int(leaf) for leaf in leaves_list(linkage(condensed, method="average", optimal_ordering=len(distance) < 500))
    ]


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
