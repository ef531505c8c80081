"""Long-short: what the best quantile earned over the worst, after costs. For research only.

A calculation on returns, not an account: no A-share account can sell short what it does not hold, margin lending covers
few names at a price of its own, and nothing here knows limits, lots, suspensions, volume or delisting. It says whether
scores rank both ends; it is never promoted (``promotable``), and the promotion gate refuses it by name.

Scores known at the close of session t are entered at the close of t+1, as in the backtest, and earn the returns of t+2:
both legs hold one unit of capital in equal weights, rebalanced to that at every close, profits taken out (returns add
up, they do not compound).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.market.calendar import SESSIONS_PER_YEAR
from ljwx_pipeline.trading.decide import ranked

Int = NDArray[np.int64]
Float = NDArray[np.float64]


@dataclass(frozen=True)
class LongShortReturns:
    """Returns per session on one unit of capital a leg, shape ``(n_sessions,)``; 0 before the first position.

    Parameters
    ----------
    gross, net
        Long leg minus short leg, before and after trading costs and the fee on what is borrowed.
    long_leg, short_leg
        What each leg's names earned, before costs; the short leg's is subtracted in ``gross``.
    turnover
        Units of capital bought and sold at the session's close, of both legs.
    names
        Names in each leg while the session's return was earned.
    missing_returns
        Of those, both legs, how many had no return on the session: they count as unchanged.
    """

    gross: Float
    net: Float
    long_leg: Float
    short_leg: Float
    turnover: Float
    names: Int
    missing_returns: Int

    @property
    def promotable(self) -> bool:
        """Never: nobody can trade it."""
        return False


def long_short_returns(
    scores: Float,
    returns: Float,
    *,
    quantile_frac: float,
    cost_frac: float,
    borrow_annual_frac: float,
) -> LongShortReturns:
    """Return what holding the best ``quantile_frac`` of names and owing the worst would have earned.

    Parameters
    ----------
    scores
        Shape ``(n_symbols, n_sessions)``. NaN: outside the universe, in neither leg. A session with fewer scored names
        than two legs of one name each need holds nothing.
    returns
        Same shape: the session's return on the previous close, adjusted, as a fraction. NaN (suspended, no bar) counts
        as unchanged while a name is held, and is counted.
    quantile_frac
        Share of the scored names in each leg, rounded down, one at least.
    cost_frac
        Of every unit bought or sold, charged at the close where it is traded.
    borrow_annual_frac
        Fee a year on the short leg, charged for each session that earns a return.

    Raises
    ------
    TradingError
        For shapes that differ, a quantile that makes the legs overlap, a negative rate, or an infinite return.
    """
    _require(scores, returns, quantile_frac, min(cost_frac, borrow_annual_frac))
    n, sessions = scores.shape
    best_first, n_scored = ranked(scores)
    out = {name: np.zeros(sessions) for name in ("gross", "net", "long", "short", "turnover")}
    names, missing = np.zeros(sessions, dtype=np.int64), np.zeros(sessions, dtype=np.int64)
    weights, leg = np.zeros(n), 0
    for s in range(1, sessions):
        earned = np.nan_to_num(returns[:, s], nan=0.0)
        if leg:
            long, short = weights > 0, weights < 0
            out["long"][s], out["short"][s] = earned[long].mean(), earned[short].mean()
            names[s] = leg
            missing[s] = np.isnan(returns[:, s][long | short]).sum()
        out["gross"][s] = out["long"][s] - out["short"][s]
        wanted, next_leg = _weights(best_first[s - 1], int(n_scored[s - 1]), quantile_frac, n)
        out["turnover"][s] = np.abs(wanted - weights * (1 + earned)).sum()
        borrowed = borrow_annual_frac / SESSIONS_PER_YEAR if leg else 0.0
        out["net"][s] = out["gross"][s] - cost_frac * out["turnover"][s] - borrowed
        weights, leg = wanted, next_leg
    return LongShortReturns(
        out["gross"], out["net"], out["long"], out["short"], out["turnover"], names=names, missing_returns=missing
    )


def _weights(best_first: NDArray[np.int32], n_scored: int, quantile_frac: float, n: int) -> tuple[Float, int]:
    weights, leg = np.zeros(n), max(1, int(n_scored * quantile_frac))
    if 2 * leg > n_scored:
        return weights, 0
    weights[best_first[:leg]] = 1 / leg
    weights[best_first[n_scored - leg : n_scored]] = -1 / leg
    return weights, leg


def _require(scores: Float, returns: Float, quantile_frac: float, least_rate: float) -> None:
    if scores.shape != returns.shape:
        raise TradingError(f"scores have shape {scores.shape}, returns {returns.shape}", "align the axes")
    if not 0 < quantile_frac <= 1 / 2:
        raise TradingError(f"quantile_frac is {quantile_frac}: the legs would overlap", "choose above 0, up to 0.5")
    if least_rate < 0:
        raise TradingError(f"a rate is {least_rate}", "give costs as fractions that are not negative")
    if np.isinf(returns).any():
        raise TradingError(f"{np.isinf(returns).sum()} returns are infinite", "leave them NaN or correct the prices")
