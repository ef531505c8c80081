"""Drawdowns with their dates: when each began, where its bottom was, whether and when it was recovered.

Not here: how deep the deepest is as one number (``metrics.max_drawdown``, the first row's depth).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ljwx_pipeline.errors import DataQualityError

#: Columns of ``drawdown_table``.
DRAWDOWN_COLUMNS = ("peak_date", "bottom_date", "recovery_date", "depth_frac", "fall_sessions", "total_sessions")


def drawdown_table(equity: pd.Series, worst: int = 5) -> pd.DataFrame:
    """Return the ``worst`` deepest drawdowns, deepest first, the earlier first among equals.

    A drawdown begins at a peak (the opening capital is one), reaches its bottom at the first of its lowest points and
    ends on the first session at or above the peak. Two never overlap.

    Parameters
    ----------
    equity
        By session, the opening capital first; finite and positive at the start.
    worst
        How many rows at most.

    Returns
    -------
    DataFrame
        ``peak_date`` (last session at the peak), ``bottom_date``, ``recovery_date`` (NaT while not recovered),
        ``depth_frac`` (positive fraction of the peak), ``fall_sessions`` from peak to bottom, ``total_sessions`` from
        peak to recovery, or to the last session while not recovered.

    Raises
    ------
    DataQualityError
        When equity has a gap.
    """
    values = equity.to_numpy(dtype=np.float64)
    if not np.isfinite(values).all():
        missing = equity.index[int((~np.isfinite(values)).argmax())]
        raise DataQualityError(f"equity has no value on {missing:%Y-%m-%d}", "pass it on every session")
    peaks = np.maximum.accumulate(values)
    at_peak = np.flatnonzero(values >= peaks).tolist()
    ends = [*at_peak[1:], len(values)]
    rows = []
    for peak, end in zip(at_peak, ends, strict=True):
        if end - peak < 2:
            continue
        bottom = peak + 1 + int(values[peak + 1 : end].argmin())
        recovered = end < len(values)
        rows.append(
            (
                equity.index[peak],
                equity.index[bottom],
                equity.index[end] if recovered else pd.NaT,
                1 - values[bottom] / values[peak],
                bottom - peak,
                (end if recovered else len(values) - 1) - peak,
            )
        )
    table = pd.DataFrame(rows, columns=list(DRAWDOWN_COLUMNS)).astype({"recovery_date": "datetime64[ns]"})
    return table.sort_values("depth_frac", ascending=False, kind="stable").head(worst).reset_index(drop=True)


def longest_drawdown_sessions(equity: pd.Series) -> int:
    """Return the sessions of the longest drawdown from peak to recovery, or to the last session; 0 without one."""
    table = drawdown_table(equity, worst=len(equity))
    return int(table["total_sessions"].max()) if len(table) else 0
