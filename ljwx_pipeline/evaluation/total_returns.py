"""What holding each name earned from session to session, dividends and bonus shares included.

Not here: what an account earned (``backtest/``), or adjusted prices for factors (``market/adjustment.py``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.trading.market_arrays import MarketArrays
from ljwx_pipeline.units import E4

Float = NDArray[np.float64]


def session_returns(market: MarketArrays) -> Float:
    """Return each name's total return since its last close before, shape ``(n_symbols, n_sessions)``.

    ``close / reference - 1``, where the reference is the last close after every ex-date since: less cash, with rights
    at their price, divided by bonus shares and rights; the price a holder is back at after reinvesting. NaN where there
    is no bar, and on a name's first one. After a suspension the whole gap is the return of the session on which trading
    resumes.
    """
    close = np.ascontiguousarray(market.close_e4.T, dtype=np.float64)
    out = np.full(close.shape, np.nan)
    reference = np.zeros(close.shape[1])
    for t, today in enumerate(close):
        name, cash, bonus, rights, price = market.actions.on(t).T
        after = ((reference[name] - cash) * E4 + rights * price) / (E4 + bonus + rights)
        reference[name] = np.where(reference[name] > 0, np.maximum(after, 0.0), 0.0)
        np.divide(today, reference, out=out[t], where=(today > 0) & (reference > 0))
        reference = np.where(today > 0, today, reference)
    return np.ascontiguousarray(out.T) - 1
