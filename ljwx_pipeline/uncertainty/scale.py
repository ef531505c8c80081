"""How far a stock's return may be expected to stray: its volatility over a horizon, and groups by it.

Not here: the volatility that an order's impact is scaled by (``trading/volatility.py``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.uncertainty.ranks import doubled_ranks
from ljwx_pipeline.uncertainty.state import Float

#: Half-lives, in sessions of a stock's own, of the variances that are averaged: a week, a month, half a year.
HALF_LIVES = (5.0, 21.0, 126.0)


def return_scale(daily_returns: Float, *, horizon: int, floor: float, least_returns: int) -> Float:
    """Return each stock's volatility over ``horizon`` sessions as known at each close.

    The root of the horizon times the mean of three exponentially weighted mean squares of daily returns
    (``HALF_LIVES``; several speeds, as volatility has a long memory: Corsi 2009), that session's return included. A
    session without a return is passed over.

    Parameters
    ----------
    daily_returns
        Adjusted, shape ``(n_symbols, n_sessions)``, fractions; NaN where there is none.
    horizon
        Sessions of the outcome.
    floor
        Least daily volatility, a fraction above 0: a stock that stood still may move.
    least_returns
        Returns known before there is a scale.

    Returns
    -------
    Shape as ``daily_returns``; NaN while fewer returns are known.

    Raises
    ------
    ModelError
        For a horizon, floor or least number that is not above 0.
    """
    if horizon < 1 or not floor > 0 or least_returns < 1:
        raise ModelError(
            f"a scale over {horizon} sessions with floor {floor} after {least_returns} returns",
            "choose each above 0",
        )
    returns = np.ascontiguousarray(daily_returns.T, dtype=np.float64)
    n_sessions, n = returns.shape
    keep = 0.5 ** (1.0 / np.array(HALF_LIVES))[:, None]
    sums, weights, seen = np.zeros((len(HALF_LIVES), n)), np.zeros((len(HALF_LIVES), n)), np.zeros(n, dtype=np.int64)
    out = np.full((n_sessions, n), np.nan)
    for session in range(n_sessions):
        known = np.isfinite(returns[session])
        square = np.where(known, returns[session], 0.0) ** 2
        sums = np.where(known, keep * sums + square, sums)
        weights = np.where(known, keep * weights + 1.0, weights)
        seen += known
        ready = seen >= least_returns
        out[session, ready] = (sums[:, ready] / weights[:, ready]).mean(axis=0)
    scaled: Float = np.sqrt(horizon * np.maximum(out, floor * floor)).T
    return scaled


def terciles(values: Float) -> NDArray[np.int64]:
    """Return 0, 1 or 2 for the lowest, middle and highest third of each session; -1 where the value is not finite.

    ``values`` and the result have shape ``(n_symbols, n_sessions)``; equal values share a group.
    """
    codes = np.full(values.shape, -1, dtype=np.int64)
    for session in range(values.shape[1]):
        rows = np.flatnonzero(np.isfinite(values[:, session]))
        codes[rows, session] = (3 * doubled_ranks(values[rows, session])) // (2 * max(len(rows), 1))
    return codes
