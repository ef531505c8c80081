"""Tables of information coefficients of a model's scores, for people.

Not here: the coefficients themselves (``coefficients.py``), a factor's (``research/``), whether their mean is above
zero by more than luck (``promotion/statistics.py``).
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.coefficients import row_coefficients
from ljwx_pipeline.market.calendar import session_positions

Float = NDArray[np.float64]


def ic_of_rows(rows: pd.DataFrame, score: str = "score") -> pd.DataFrame:
    """Return ``ic_by_session`` of the column ``score`` against ``forward_return``, by the ``session_date`` of a row."""
    sessions = pd.DatetimeIndex(np.sort(rows["session_date"].unique()))
    index = session_positions(rows["session_date"], sessions)
    return ic_by_session(rows[score].to_numpy(), rows["forward_return"].to_numpy(), index, sessions)


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
    session with fewer than ``coefficients.MIN_PAIRS`` rows, or where either side is constant, is absent.
    """
    present, found = row_coefficients(scores, forward_return, session_index)
    known = np.isfinite(found.rank_ic) & np.isfinite(found.ic)
    return pd.DataFrame(
        {
            "session_date": sessions[present[known]],
            "ic": found.ic[known],
            "rank_ic": found.rank_ic[known],
            "rows": found.pairs[known],
        }
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
