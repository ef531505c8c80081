"""How far a stock's return may be expected to stray: its volatility over a horizon, and groups by it.

Not here: the volatility that an order's impact is scaled by (``trading/volatility.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.uncertainty.ranks import doubled_ranks
from ljwx_pipeline.uncertainty.state import Float, Int

#: Half-lives, in sessions of a stock's own, of the variances that are averaged: a week, a month, half a year.
HALF_LIVES = (5.0, 21.0, 126.0)
#: Share of itself that each keeps a session.
_KEEP: Float = 0.5 ** (1.0 / np.array(HALF_LIVES))[:, None]
#: A close longer ago is not what a daily return is counted from: so far back a live panel reaches, too.
MOST_GAP_SESSIONS = 60


@dataclass(frozen=True, eq=False)
class ScaleState:
    """What returns so far say of each stock's volatility.

    Parameters
    ----------
    sums, weights
        Shape ``(3, n)``: decayed sums of squared daily returns and of ones, by half-life.
    seen
        int64, shape ``(n,)``: returns known.
    """

    sums: Float
    weights: Float
    seen: Int

    @classmethod
    def begin(cls, n: int) -> ScaleState:
        """Return the state of ``n`` stocks of which nothing is known."""
        return cls(np.zeros((len(HALF_LIVES), n)), np.zeros((len(HALF_LIVES), n)), np.zeros(n, dtype=np.int64))

    def after(self, returns: Float) -> ScaleState:
        """Return the state after a session's daily returns, shape ``(n,)``; NaN is passed over."""
        known = np.isfinite(returns)
        square = np.where(known, returns, 0.0) ** 2
        return ScaleState(
            np.where(known, _KEEP * self.sums + square, self.sums),
            np.where(known, _KEEP * self.weights + 1.0, self.weights),
            self.seen + known,
        )

    def scales(self, *, horizon: int, floor: float, least_returns: int) -> Float:
        """Return each stock's scale, shape ``(n,)``; parameters and result as of ``return_scale``."""
        square = np.full(len(self.seen), np.nan)
        ready = self.seen >= least_returns
        square[ready] = (self.sums[:, ready] / self.weights[:, ready]).mean(axis=0)
        scaled: Float = np.sqrt(horizon * np.maximum(square, floor * floor))
        return scaled


def daily_returns(close: Float) -> Float:
    """Return each close over the stock's last one before it, less one; shape ``(n_symbols, n_sessions)``.

    NaN without a close, or where the last one is unknown or lies more than ``MOST_GAP_SESSIONS`` back.

    Parameters
    ----------
    close
        Adjusted; NaN where there is none.
    """
    axis = np.arange(close.shape[1])
    last = np.maximum.accumulate(np.where(np.isfinite(close), axis, -1), axis=1)
    out = np.full(close.shape, np.nan)
    if close.shape[1] > 1:
        near = (last[:, :-1] >= 0) & (axis[1:] - last[:, :-1] <= MOST_GAP_SESSIONS)
        before = np.where(near, np.take_along_axis(close, np.maximum(last[:, :-1], 0), axis=1), np.nan)
        out[:, 1:] = close[:, 1:] / before - 1
    return out


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
    out, state = np.full((n_sessions, n), np.nan), ScaleState.begin(n)
    for session in range(n_sessions):
        state = state.after(returns[session])
        out[session] = state.scales(horizon=horizon, floor=floor, least_returns=least_returns)
    return out.T


def terciles(values: Float) -> NDArray[np.int64]:
    """Return 0, 1 or 2 for the lowest, middle and highest third of each session; -1 where the value is not finite.

    ``values`` and the result have shape ``(n_symbols, n_sessions)``; equal values share a group.
    """
    codes = np.full(values.shape, -1, dtype=np.int64)
    for session in range(values.shape[1]):
        rows = np.flatnonzero(np.isfinite(values[:, session]))
        codes[rows, session] = (3 * doubled_ranks(values[rows, session])) // (2 * max(len(rows), 1))
    return codes
