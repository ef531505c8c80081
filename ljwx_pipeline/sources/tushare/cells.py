"""Cells as tushare writes them: eight digits for a date, numbers or nothing, codes that are already symbols."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.sources.tushare.apis import Api

SHARES_PER_LOT = 100
CNY_PER_THOUSAND = 1e3
CNY_PER_TEN_THOUSAND = 1e4


def dates(frame: pd.DataFrame, column: str, api: Api) -> pd.DatetimeIndex:
    """Return a column's dates, NaT where it says nothing.

    Raises
    ------
    SourceError
        For a cell that is no date.
    """
    text = np.array(["" if pd.isna(cell) else str(cell) for cell in frame[column]], dtype=np.str_)
    found = pd.to_datetime(text, format="%Y%m%d", errors="coerce")
    _refuse(np.asarray(found.isna()) & (text != ""), frame, column, api, "is no date")
    return found.as_unit("ns")


def numbers(frame: pd.DataFrame, column: str, api: Api) -> NDArray[np.float64]:
    """Return a column's numbers, float64, NaN where it says nothing.

    Raises
    ------
    SourceError
        For a cell that is no number.
    """
    found = np.asarray(pd.to_numeric(frame[column], errors="coerce"), dtype=np.float64)
    _refuse(np.isnan(found) & np.asarray(frame[column].notna()), frame, column, api, "is no number")
    return found


def shares(lots: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return lots with their hundredths as whole shares."""
    return np.rint(lots * SHARES_PER_LOT)


def cny(amount: NDArray[np.float64], unit: float) -> NDArray[np.float64]:
    """Return an amount in ``unit`` as CNY, to the fen: what lies below it is the product's own rounding."""
    return np.round(amount * unit, 2)


def _refuse(bad: NDArray[np.bool_], frame: pd.DataFrame, column: str, api: Api, fact: str) -> None:
    if bad.any():
        row = frame.iloc[int(np.argmax(bad))]
        raise SourceError(
            f"tushare's {api.name}, column {column}: {row[column]!r} {fact} (row {row.to_dict()})",
            "ask again later; should it stay, report the row to tushare and leave its symbol out of source.symbols",
        )
