"""What single cells say: numbers and dates, or the position of the first cell that says neither."""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.clock import SHANGHAI

_DATE = re.compile(r"^(\d{4})(?:(\d{2})(\d{2})|[-/.年](\d{1,2})[-/.月](\d{1,2})日?)(?:\.0)?(?:[ T].*)?$")
#: An instant that says its time zone: its day is that of the exchanges, not of the zone it is written in.
_ZONED = re.compile(r"^\d{4}-\d{2}-\d{2}[ T][\d:.]+ ?(?:Z|[+-]\d{2}:?\d{2})$")


def to_numbers(column: pd.Series) -> tuple[NDArray[np.float64], int | None]:
    """Return the cells as float64 (NaN where blank) and the position of the first that is no finite number."""
    if column.dtype.kind in "iuf":
        values = column.to_numpy(dtype=np.float64)
        blank = np.isnan(values)
    else:
        values = np.asarray(pd.to_numeric(column, errors="coerce"), dtype=np.float64)
        blank = column.isna().to_numpy()
    return values, _first(~np.isfinite(values) & ~blank)


def to_dates(column: pd.Series) -> tuple[pd.DatetimeIndex, int | None]:
    """Return the cells as midnights and the position of the first that is no date.

    Understood: dates and instants, ``20200102``, ``2020-01-02``, ``2020/1/2``, ``2020年1月2日``; a time of day behind
    them is dropped. Of an instant with a time zone the date in Asia/Shanghai counts: midnight there is written as 16:00
    of the day before in UTC.
    """
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_convert(SHANGHAI).dt.tz_localize(None)
    if column.dtype.kind == "M":
        storable = column.between(pd.Timestamp.min.ceil("D"), pd.Timestamp.max.floor("D"))
        stamps = pd.DatetimeIndex(column.where(storable)).as_unit("ns").normalize()
        return stamps, _first(np.asarray(stamps.isna()))
    codes, uniques = pd.factorize(column)
    # the code of a blank cell is -1: it picks the NaT put last
    lookup = pd.DatetimeIndex([*(_date_of(str(cell)) for cell in uniques), pd.NaT], dtype="datetime64[ns]")
    stamps = lookup[codes]
    return stamps, _first(np.asarray(stamps.isna()))


@lru_cache(maxsize=20_000)  # a folder of files repeats the same few thousand days
def _date_of(text: str) -> pd.Timestamp | None:
    plain = text.strip().lstrip("'")
    match = _DATE.match(plain)
    if match is None:
        return None
    year, month, day, spaced_month, spaced_day = match.groups()
    try:
        if _ZONED.match(plain):
            return pd.Timestamp(plain).tz_convert(SHANGHAI).tz_localize(None).as_unit("ns").normalize()
        # in nanoseconds, as it will be stored: they end in 2262 (OutOfBoundsDatetime is a ValueError)
        return pd.Timestamp(date(int(year), int(month or spaced_month), int(day or spaced_day))).as_unit("ns")
    except ValueError:
        return None


def _first(bad: NDArray[np.bool_]) -> int | None:
    return int(np.argmax(bad)) if bad.any() else None
