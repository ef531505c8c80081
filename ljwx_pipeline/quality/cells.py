"""The rows of two tables as cells of one grid of days and symbols: comparing their keys is then a lookup.

Not here: what a row without its counterpart means (``bar_rules.py``, ``score.py``).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.quality.days import Days, days_of
from ljwx_pipeline.quality.scan import Symbols, symbol_codes


class Cells:
    """Each row's cell in the grid of every day and symbol of either table.

    ``of_bars`` and ``of_other`` are each row's cell, ``size`` the number of cells with one more, the last, for rows
    without a day or a symbol; ``days`` ascend, and the bars' symbols come first in ``symbols``.

    Parameters
    ----------
    bar_days, bar_symbols
        Of the bars.
    other
        A table with ``symbol`` and ``session_date``.
    """

    def __init__(self, bar_days: Days, bar_symbols: Symbols, other: pd.DataFrame) -> None:
        codes, names = bar_symbols
        other_codes, other_names = symbol_codes(other["symbol"].to_numpy())
        other_days = days_of(other["session_date"])
        joined = pd.Index(names).get_indexer(pd.Index(other_names))
        unknown = np.flatnonzero(joined < 0)
        joined[unknown] = len(names) + np.arange(len(unknown))
        self.symbols = np.concatenate([names, other_names[unknown]])
        self.days = np.union1d(bar_days.instants, other_days.instants)
        self.size = len(self.days) * len(self.symbols) + 1
        self.of_bars = self._cells(bar_days, codes)
        self.of_other = self._cells(other_days, np.append(joined, -1)[other_codes])

    def by_day(self, cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return a mask of shape ``(size,)`` as one of shape ``(n_days, n_symbols)``."""
        grid: NDArray[np.bool_] = cells[:-1].reshape(len(self.days), len(self.symbols))
        return grid

    def _cells(self, days: Days, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        begins = np.append(self.days.searchsorted(days.instants) * len(self.symbols), -1)  # -1 is the last
        cells: NDArray[np.int64] = begins[days.place] + codes
        if days.place.min(initial=0) < 0 or codes.min(initial=0) < 0:
            cells[(days.place < 0) | (codes < 0)] = self.size - 1
        return cells
