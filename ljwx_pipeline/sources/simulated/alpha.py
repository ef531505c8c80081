"""The planted truth: the score that moves tomorrow's returns, from bars up to today.

The score is spanned by inputs of Alpha158 (ROC20, STD20, RSV20, VMA30 and their product), so a model on those factors
can learn it, but saturates and interacts, so a straight line cannot learn all of it.

Not here: how much it moves returns (``world.py`` scales it by ``oracle_rank_ic``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

#: Sessions of history the score needs, its own session included.
WINDOW = 31


def oracle_score(close: Float, high: Float, low: Float, volume: Float) -> Float:
    """Return the oracle score of the last session of a window, centred over the stocks that have one.

    Parameters
    ----------
    close, high, low, volume
        Adjusted, shape ``(WINDOW, n_symbols)``. A suspended session carries the last close in all three prices and
        volume 0; sessions before listing and after delisting are NaN.

    Returns
    -------
    Float
        Shape ``(n_symbols,)``; NaN where the window is not complete.
    """
    last = close[-1]
    known = ~np.isnan(close[0]) & ~np.isnan(last)
    reversal = -np.tanh(np.log(last / close[-21]) / 0.12)
    spread = np.sqrt(np.maximum((close[-20:] ** 2).mean(axis=0) - close[-20:].mean(axis=0) ** 2, 0.0)) / last
    calm = -np.tanh((spread - 0.05) / 0.025)
    bottom, top = low[-20:].min(axis=0), high[-20:].max(axis=0)
    place = 1.0 - 2.0 * (last - bottom) / np.maximum(top - bottom, 1e-9)
    traded = np.maximum(volume[-1], 1.0)
    quiet = np.tanh(np.log(np.maximum(volume[-30:].mean(axis=0), 1.0) / traded) / 0.6)
    quiet = np.where(volume[-1] > 0.0, quiet, 0.0)
    raw = 0.5 * reversal + 0.4 * calm + 0.35 * place + 0.7 * quiet + 0.4 * reversal * quiet
    if not known.any():
        return np.full(len(last), np.nan)
    return np.asarray(np.where(known, raw - raw[known].mean(), np.nan), dtype=np.float64)
