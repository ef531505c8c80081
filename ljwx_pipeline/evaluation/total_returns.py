"""What holding each name earned from session to session, dividends and bonus shares included.

Not here: what an account earned (``backtest/``), or adjusted prices for factors (``market/adjustment.py``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.trading.account import E4
from ljwx_pipeline.trading.market_arrays import MarketArrays

Float = NDArray[np.float64]


def session_returns(market: MarketArrays) -> Float:
    """Return each name's total return since its last close before, shape ``(n_symbols, n_sessions)``.

    ``close / reference - 1``, where the reference is the last close, less cash and divided by bonus shares on every
    ex-date since: the price a holder is back at after reinvesting. NaN where there is no bar, and on a name's first
    one. After a suspension the whole gap is the return of the session on which trading resumes.
    """
    close = np.ascontiguousarray(market.close_e4.T, dtype=np.float64)
    cash, bonus = market.cash_e4_per_share.T, market.bonus_e4_per_share.T
    ex_sessions = ((cash != 0) | (bonus != 0)).any(axis=1)
    out = np.full(close.shape, np.nan)
    reference = np.zeros(close.shape[1])
    for t, today in enumerate(close):
        if ex_sessions[t]:
            reference = np.maximum((reference - cash[t]) * E4 / (E4 + bonus[t]), 0.0)
        known = (today > 0) & (reference > 0)
        np.divide(today, reference, out=out[t], where=known)
        reference = np.where(today > 0, today, reference)
    return np.ascontiguousarray(out.T) - 1
