"""What a sweep says of each variant: measures of many equity curves at once, one row a variant.

``evaluation/metrics.py`` is the plain reference of every measure that both have, and a test holds the two together.
Not here: which variants (``sweep_variants.py``), a single result's full account (``evaluation/``).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.market.calendar import SESSIONS_PER_YEAR

Float = NDArray[np.float64]
Int = NDArray[np.int64]

#: The measures of a variant, in the order of the table's columns.
MEASURES = (
    "session_sharpe",
    "sharpe",
    "annual_return",
    "max_drawdown",
    "sortino",
    "calmar",
    "turnover",
    "fees_cny",
    "final_equity_cny",
    "names_held_mean",
)
#: Below this standard deviation a series counts as constant.
_CONSTANT = 1e-12


def net_returns(equity_fen: Int) -> Float:
    """Return simple returns by session, shape ``(n_variants, n_sessions - 1)``; 0 once nothing is left to lose."""
    equity = equity_fen / 100
    before = np.where(equity[:, :-1] > 0, equity[:, :-1], 1.0)
    return np.where(equity[:, :-1] > 0, equity[:, 1:] / before - 1, 0.0)


def measures(
    returns: Float, equity_fen: Int, traded_fen: Int, fees_fen: Int, names_held: Int, *, benchmark: Float | None
) -> dict[str, Float]:
    """Return each of ``MEASURES`` as an array of shape ``(n_variants,)``; NaN for one that does not exist.

    Parameters
    ----------
    returns
        ``net_returns`` of ``equity_fen``.
    equity_fen, traded_fen, fees_fen, names_held
        Shape ``(n_variants, n_sessions)``; ``traded_fen`` is bought plus sold value.
    benchmark
        Returns per session over which ``session_sharpe`` is the excess, shape ``(n_sessions - 1,)``; None: over zero.
        ``session_sharpe`` is per session and 0 for returns that never vary: what trials are counted by.
    """
    excess = returns if benchmark is None else returns - benchmark
    annual = np.power(np.prod(np.maximum(1 + returns, 0.0), axis=1), SESSIONS_PER_YEAR / returns.shape[1]) - 1
    curve = np.concatenate([np.ones((len(returns), 1)), np.cumprod(1 + returns, axis=1)], axis=1)
    deepest = (1 - curve / np.maximum.accumulate(curve, axis=1)).max(axis=1)
    downside = np.sqrt((np.minimum(returns, 0.0) ** 2).mean(axis=1))
    before = np.maximum(equity_fen[:, :-1], 1)
    year = math.sqrt(SESSIONS_PER_YEAR)
    found = {
        "session_sharpe": np.nan_to_num(_over(excess.mean(axis=1), _spread(excess))),
        "sharpe": _over(returns.mean(axis=1), _spread(returns)) * year,
        "annual_return": annual,
        "max_drawdown": deepest,
        "sortino": _over(returns.mean(axis=1), downside) * year,
        "calmar": _over(annual, deepest),
        "turnover": (traded_fen[:, 1:] / 2 / before).mean(axis=1) * SESSIONS_PER_YEAR,
        "fees_cny": fees_fen.sum(axis=1) / 100,
        "final_equity_cny": equity_fen[:, -1] / 100,
        "names_held_mean": names_held[:, 1:].mean(axis=1),
    }
    return {name: np.asarray(found[name], dtype=np.float64) for name in MEASURES}


def _spread(values: Float) -> Float:
    return np.asarray(values.std(axis=1, ddof=1) if values.shape[1] > 1 else np.zeros(len(values)), dtype=np.float64)


def _over(above: Float, below: Float) -> Float:
    """Return the quotient, NaN where the divisor counts as nothing."""
    exists = below > _CONSTANT
    return np.where(exists, above / np.where(exists, below, 1.0), np.nan)
