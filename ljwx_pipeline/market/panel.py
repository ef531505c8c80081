"""The dense panel: named arrays over symbol x session, the form every number takes inside the library.

Arrays are C-ordered with shape ``(n_symbols, n_sessions)``, so that one symbol's history is contiguous. A session
without a bar (not listed, suspended, delisted) is NaN in every field; nothing is filled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.market.calendar import session_positions

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Panel:
    """Fields over symbol x session.

    Parameters
    ----------
    symbols
        Row labels, ascending.
    sessions
        Column labels, ascending trading sessions.
    fields
        Arrays of shape ``(len(symbols), len(sessions))``; NaN where there is no bar.
    """

    symbols: tuple[str, ...]
    sessions: pd.DatetimeIndex
    fields: Mapping[str, Float]

    def __post_init__(self) -> None:
        """Refuse a field whose shape is not symbols x sessions."""
        want = (len(self.symbols), len(self.sessions))
        for name, values in self.fields.items():
            if values.shape != want:
                raise DataQualityError(f"field {name} has shape {values.shape}, not {want}", "rebuild the panel")

    def sessions_slice(self, start: int, stop: int) -> Panel:
        """Return the panel of sessions ``[start, stop)``; contiguous copies, so that kernels see plain arrays."""
        cut = {name: np.ascontiguousarray(values[:, start:stop]) for name, values in self.fields.items()}
        return Panel(self.symbols, self.sessions[start:stop], cut)


def dense(frame: pd.DataFrame, column: str, symbols: tuple[str, ...], sessions: pd.DatetimeIndex) -> Float:
    """Return ``frame[column]`` as an array of shape ``(n_symbols, n_sessions)``, NaN where there is no row.

    Raises
    ------
    DataQualityError
        When two rows share a symbol and session, or a row's symbol or date is not on the axes.
    """
    rows = pd.Index(symbols).get_indexer(pd.Index(frame["symbol"]))
    columns = session_positions(frame["session_date"], sessions)
    if (rows < 0).any() or (columns < 0).any():
        bad = frame.loc[(rows < 0) | (columns < 0), ["symbol", "session_date"]].iloc[0]
        raise DataQualityError(
            f"row {bad['symbol']} {bad['session_date']:%Y-%m-%d} is outside the panel's symbols or sessions",
            "check the calendar and the securities table",
        )
    flat = rows * len(sessions) + columns
    if len(np.unique(flat)) != len(flat):
        raise DataQualityError(f"two rows share a symbol and session in column {column}", "remove the duplicates")
    out = np.full(len(symbols) * len(sessions), np.nan)
    out[flat] = frame[column].to_numpy(dtype=np.float64)
    return out.reshape(len(symbols), len(sessions))
