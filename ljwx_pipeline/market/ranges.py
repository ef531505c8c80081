"""Ranges of dates as arrays over sessions: who was under special treatment or in an index, and when.

Every range is inclusive and ``end_date`` NaT lasts. A range becomes known with its own dates, so an array built here
tells of each session what held on it and nothing of later ones. Not here: prices (``panel.py``).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.errors import DataQualityError


def range_mask(ranges: pd.DataFrame, symbols: tuple[str, ...], sessions: pd.DatetimeIndex) -> NDArray[np.bool_]:
    """Return where a range covers the session, bool of shape ``(n_symbols, n_sessions)``.

    Parameters
    ----------
    ranges
        ``symbol, start_date, end_date``; other symbols are left out.
    symbols, sessions
        Axes of the result, sessions ascending.
    """
    out = np.zeros((len(symbols), len(sessions)), dtype=bool)
    for row, start, stop in _spans(ranges, symbols, sessions):
        out[row, start:stop] = True
    return out


def index_member_mask(
    index_members: pd.DataFrame, index_code: str, symbols: tuple[str, ...], sessions: pd.DatetimeIndex
) -> NDArray[np.bool_]:
    """Return who was a member of an index on each session, bool of shape ``(n_symbols, n_sessions)``.

    Raises
    ------
    DataQualityError
        When the table knows no member of that index.
    """
    mine = index_members[index_members["index_code"] == index_code]
    if mine.empty:
        known = ", ".join(sorted(index_members["index_code"].unique())) or "none"
        raise DataQualityError(
            f"the source tells no member of index {index_code}", f"choose an index it tells ({known}), or none"
        )
    return range_mask(mine, symbols, sessions)


def _spans(ranges: pd.DataFrame, symbols: tuple[str, ...], sessions: pd.DatetimeIndex) -> list[tuple[int, int, int]]:
    """Return row, first and past-the-last column of every range on the axes."""
    rows = pd.Index(symbols).get_indexer(pd.Index(ranges["symbol"]))
    starts = sessions.searchsorted(pd.DatetimeIndex(ranges["start_date"]), side="left")
    ends = pd.DatetimeIndex(ranges["end_date"])
    stops = np.where(ends.isna(), len(sessions), sessions.searchsorted(ends, side="right"))
    found = zip(rows, starts, stops, strict=True)
    return [(int(row), int(start), int(stop)) for row, start, stop in found if row >= 0 and start < stop]
