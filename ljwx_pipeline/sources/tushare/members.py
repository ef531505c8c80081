"""Index members by date, from the monthly snapshots of ``index_weight``.

Not here: which months are asked for (``source.py``).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.sources.tushare.apis import INDEX_WEIGHT
from ljwx_pipeline.sources.tushare.cells import dates, numbers

#: Weights of a snapshot are percents, rounded.
WEIGHTS_SUM, WEIGHTS_TOLERANCE = 100.0, 1.0


def index_members(code: str, weights: pd.DataFrame, sessions: pd.DatetimeIndex) -> pd.DataFrame:
    """Return one index's members from its snapshots, rows of ``index_weight``.

    A member counts from the first snapshot that holds it, the day it is known, to the session before the first that
    does not; the members of the last snapshot have no end.

    Parameters
    ----------
    code
        The index.
    weights
        Rows of all its snapshots.
    sessions
        Sessions around them.

    Raises
    ------
    SourceError
        When a snapshot's weights do not add up: rows are missing.
    """
    rows = pd.DataFrame(
        {"symbol": weights["con_code"].astype(object), "day": dates(weights, "trade_date", INDEX_WEIGHT)}
    )
    rows["weight"] = numbers(weights, "weight", INDEX_WEIGHT)
    sums = rows.groupby("day")["weight"].sum()
    short = sums[(sums - WEIGHTS_SUM).abs() > WEIGHTS_TOLERANCE]
    if len(short):
        raise SourceError(
            f"the weights of {code} on {short.index[0]:%Y-%m-%d} add up to {short.iloc[0]:.2f} %, not 100 %: "
            "the answer is incomplete",
            "ask again later",
        )
    days = rows["day"].drop_duplicates().sort_values(ignore_index=True)
    held = pd.crosstab(rows["symbol"], rows["day"]).reindex(columns=days).to_numpy() > 0
    symbols = np.array(sorted(rows["symbol"].unique()), dtype=object)
    edges = np.diff(held.astype(np.int8), axis=1, prepend=0, append=0)
    who, starts = np.nonzero(edges == 1)
    stops = np.nonzero(edges == -1)[1]
    last = [sessions[sessions < day][-1] for day in days[1:]]
    ends = pd.DatetimeIndex([pd.NaT, *last, pd.NaT], dtype="datetime64[ns]")
    return pd.DataFrame(
        {
            "index_code": code,
            "symbol": symbols[who],
            "start_date": pd.DatetimeIndex(days)[starts].as_unit("ns"),
            "end_date": ends[stops],
        }
    )
