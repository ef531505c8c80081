"""Information coefficients: how well a session's scores order what came after it.

Not here: whether their mean is above zero by more than luck (``promotion/statistics.py``).
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Float = NDArray[np.float64]
Int = NDArray[np.int64]

#: A session with fewer rows has no coefficient.
MIN_ROWS = 5


def ic_by_session(
    scores: Float, forward_return: Float, session_index: NDArray[np.integer], sessions: pd.DatetimeIndex
) -> pd.DataFrame:
    """Return the information coefficients of every session that has them.

    Parameters
    ----------
    scores, forward_return
        Shape ``(n_rows,)``. Rows with a NaN in either are left out.
    session_index
        Position of each row's session in ``sessions``, any order.
    sessions
        Trading sessions.

    Returns
    -------
    DataFrame with ``session_date``, ``ic`` (Pearson), ``rank_ic`` (Spearman, ties averaged) and ``rows``, ascending. A
    session with fewer than ``MIN_ROWS`` rows, or where either side is constant, is absent.
    """
    kept = np.isfinite(scores) & np.isfinite(forward_return)
    group = np.asarray(session_index, dtype=np.int64)[kept]
    x, y = np.asarray(scores, dtype=np.float64)[kept], np.asarray(forward_return, dtype=np.float64)[kept]
    count = np.bincount(group, minlength=len(sessions))
    ic = _correlation(x, y, group, count)
    rank_ic = _correlation(_ranks(x, group), _ranks(y, group), group, count)
    found = (count >= MIN_ROWS) & np.isfinite(rank_ic) & np.isfinite(ic)
    return pd.DataFrame(
        {"session_date": sessions[found], "ic": ic[found], "rank_ic": rank_ic[found], "rows": count[found]}
    )


def ic_summary(table: pd.DataFrame) -> dict[str, float | None]:
    """Return ``rank_ic_mean``, ``rank_icir`` (mean over standard deviation, n - 1, not annualised) and ``ic_mean``."""
    rank_ic = table["rank_ic"]
    spread = float(rank_ic.std())
    measured = {
        "rank_ic_mean": float(rank_ic.mean()),
        "rank_icir": float(rank_ic.mean()) / spread if spread > 0 else math.nan,
        "ic_mean": float(table["ic"].mean()),
    }
    return {name: value if math.isfinite(value) else None for name, value in measured.items()}


def quantile_returns(
    scores: Float, forward_return: Float, session_index: NDArray[np.integer], *, quantiles: int = 10
) -> Float:
    """Return the mean forward return of each score quantile over the session's mean, averaged over sessions.

    Parameters
    ----------
    scores, forward_return, session_index
        As in ``ic_by_session``.
    quantiles
        Number of equal groups; ties in the score go by row order.

    Returns
    -------
    Shape ``(quantiles,)``, lowest scores first, as a fraction over the label's horizon; NaN for a quantile no session
    fills. Sessions with fewer rows than quantiles are left out.
    """
    kept = np.isfinite(scores) & np.isfinite(forward_return)
    frame = pd.DataFrame({"session": session_index[kept], "score": scores[kept], "forward": forward_return[kept]})
    by_session = frame.groupby("session", sort=False)
    size = by_session["score"].transform("size")
    frame["excess"] = frame["forward"] - by_session["forward"].transform("mean")
    frame["bucket"] = (by_session["score"].rank(method="first") - 1) * quantiles // size
    enough = frame[size >= quantiles]
    per_session = enough.groupby(["session", "bucket"])["excess"].mean()
    means = per_session.groupby("bucket").mean().reindex(np.arange(quantiles, dtype=np.float64))
    return means.to_numpy(dtype=np.float64)


def _ranks(values: Float, group: Int) -> Float:
    return np.asarray(pd.Series(values).groupby(group).rank(), dtype=np.float64)


def _correlation(x: Float, y: Float, group: Int, count: Int) -> Float:
    safe = np.maximum(count, 1)
    x = x - (np.bincount(group, x, len(count)) / safe)[group]
    y = y - (np.bincount(group, y, len(count)) / safe)[group]
    xy, xx, yy = (np.bincount(group, product, len(count)) for product in (x * y, x * x, y * y))
    spread = np.sqrt(xx * yy)
    # a constant side leaves rounding dust instead of zero
    found = np.where(spread > 1e-12 * safe, xy / np.where(spread > 0, spread, 1.0), np.nan)
    return np.asarray(found, dtype=np.float64)
