"""The days of a table's rows, counted once for every rule that asks how many rows a day has or which day a row is of.

Rows in date order cost one comparison with their neighbour. Not here: what is usual or too few (``bar_rules.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Int = NDArray[np.int64]
_NO_TIME = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Days:
    """Distinct instants of a column, and each row's.

    Parameters
    ----------
    instants
        Each that some row has, ascending, shape ``(n_days,)``; NaT is none.
    counts
        Rows of each, shape ``(n_days,)``.
    place
        Each row's position in ``instants``, shape ``(n_rows,)``; -1 for NaT.
    """

    instants: NDArray[np.datetime64]
    counts: Int
    place: Int

    @property
    def rows(self) -> pd.Series:
        """``counts`` by session, as a series named as ``groupby("session_date").size()`` is."""
        return pd.Series(self.counts, index=pd.DatetimeIndex(self.instants, name="session_date"))

    def counts_at(self, rows: Int) -> Int:
        """Return how many of the positions ``rows`` are of each instant, shape ``(n_days,)``; NaT is not counted."""
        at = self.place[rows]
        return np.bincount(at[at >= 0], minlength=len(self.instants)).astype(np.int64, copy=False)


def days_of(column: pd.Series) -> Days:
    """Return the days of a datetime column without a time zone, in any order."""
    nanoseconds = column.to_numpy().astype("M8[ns]", copy=False).view(np.int64)
    if len(nanoseconds) == 0:
        empty = np.empty(0, dtype=np.int64)
        return Days(empty.view("M8[ns]"), empty, empty)
    later = nanoseconds[1:] > nanoseconds[:-1]
    starts = np.r_[0, np.flatnonzero(later) + 1]
    found = nanoseconds[starts]
    if (later | (nanoseconds[1:] == nanoseconds[:-1])).all():
        counts = np.diff(starts, append=len(nanoseconds))
        place = np.repeat(np.arange(len(starts)), counts)
    else:
        found, place, counts = np.unique(nanoseconds, return_inverse=True, return_counts=True)
    if found[0] == _NO_TIME:
        found, counts, place = found[1:], counts[1:], place - 1
    return Days(found.view("M8[ns]"), counts.astype(np.int64, copy=False), place.astype(np.int64, copy=False))
