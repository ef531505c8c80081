"""Daily volatility as known before a session: what the impact of an order is scaled by."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.compiled import trading_kernel

Int32 = NDArray[np.int32]

#: Returns that the volatility is of.
WINDOW = 20
#: Where fewer than two returns are known: ten per cent, the main board's limit, a day's move at the most.
UNKNOWN_E8 = 10_000_000
_E6 = 1_000_000
#: Returns beyond this (first sessions of a listing) count as this, so that squares stay exact.
_MOST_E6 = 5 * _E6


@trading_kernel
def _trailing(close_e4: Int32, reference_e4: Int32, out: Int32, ring: Int32) -> None:
    sessions, names = close_e4.shape
    count = np.zeros(names, np.int64)
    total, squares = np.zeros(names, np.int64), np.zeros(names, np.int64)
    for s in range(sessions):
        for i in range(names):
            n = min(int(count[i]), WINDOW)
            if n < 2:
                out[s, i] = UNKNOWN_E8
            else:
                spread = n * squares[i] - total[i] * total[i]
                out[s, i] = int(math.sqrt(float(spread) / float(n * (n - 1))) * 100.0)
            close, reference = int(close_e4[s, i]), int(reference_e4[s, i])
            if close <= 0 or reference <= 0:
                continue
            change = min((close - reference) * _E6 // reference, _MOST_E6)
            at = count[i] % WINDOW
            if count[i] >= WINDOW:
                old = int(ring[i, at])
                total[i] -= old
                squares[i] -= old * old
            ring[i, at] = change
            total[i] += change
            squares[i] += change * change
            count[i] += 1


def trailing_volatility_e8(close_e4: Int32, reference_e4: Int32) -> Int32:
    """Return the standard deviation of the last ``WINDOW`` daily returns before each session, 1e-8.

    Parameters
    ----------
    close_e4, reference_e4
        Closes and reference prices (the previous close after ex-right adjustment), shape ``(n_sessions, n_names)``,
        0 where there is no bar. A return is close over reference price; sessions without bar are passed over.

    Returns
    -------
    Shape ``(n_sessions, n_names)``, int32. The session itself is not among its returns. ``UNKNOWN_E8`` where fewer than
    two are known.
    """
    out = np.empty(close_e4.shape, dtype=np.int32)
    _trailing(close_e4, reference_e4, out, np.zeros((close_e4.shape[1], WINDOW), dtype=np.int32))
    return out
