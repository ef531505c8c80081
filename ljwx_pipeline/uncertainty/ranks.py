"""Ranks within a session, ties at their mean rank: in whole numbers, so that no group or centre hangs on rounding."""

from __future__ import annotations

import numpy as np

from ljwx_pipeline.uncertainty.state import Float, Int


def doubled_ranks(values: Float) -> Int:
    """Return how many values lie below plus how many do not lie above each: twice its mean rank, counted from a half.

    ``values`` has shape ``(n,)``, without NaN; the result is int64, from 1 to ``2 n - 1``, symmetrical about ``n``.
    """
    ordered = np.sort(values)
    below = np.searchsorted(ordered, values, side="left")
    return (below + np.searchsorted(ordered, values, side="right")).astype(np.int64)
