"""Limits of the opening call auction where they are narrower than the session's: first days listed under older rules.

A list of (session, name), as a market of 5,000 names has a few hundred such days a year and none of today. Not here:
which rule says so (``market/rulebook_limits.py``), and how a fill at the open is judged (``fill_model.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]

#: Columns of ``OpeningLimits.rows``: position of the symbol, and its limits at the open (1e-4 CNY).
OPENING_FIELDS = ("name", "limit_up_e4", "limit_down_e4")


@dataclass(frozen=True)
class OpeningLimits:
    """Limits at the open that differ from the session's, by session, and ascending by name within one.

    Parameters
    ----------
    rows
        int64 of shape ``(n_differing, 3)``, columns ``OPENING_FIELDS``.
    start
        int64 of shape ``(n_sessions + 1,)``: those of session s are ``rows[start[s]:start[s + 1]]``.
    """

    rows: Int
    start: Int

    @classmethod
    def none(cls, n_sessions: int) -> OpeningLimits:
        """Return a list without any: the session's limits hold at every open."""
        return cls(np.zeros((0, len(OPENING_FIELDS)), dtype=np.int64), np.zeros(n_sessions + 1, dtype=np.int64))

    @classmethod
    def of(cls, session: Int, name: Int, up_e4: Int, down_e4: Int, n_sessions: int) -> OpeningLimits:
        """Return the list of what is given row by row, in any order."""
        order = np.lexsort((name, session))
        start = np.searchsorted(session[order], np.arange(n_sessions + 1)).astype(np.int64)
        return cls(np.ascontiguousarray(np.column_stack([name, up_e4, down_e4])[order], dtype=np.int64), start)

    def on(self, position: int) -> Int:
        """Return the rows of the session at ``position``."""
        return self.rows[self.start[position] : self.start[position + 1]]
