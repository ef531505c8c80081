"""Ranges of dates as arrays over sessions: who was under special treatment, in an index, in an industry, and when.

Every range is inclusive and ``end_date`` NaT lasts. A range becomes known with its own dates, so an array built here
tells of each session what held on it and nothing of later ones. Not here: prices (``panel.py``).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.errors import DataQualityError

#: What a label is where no range says.
UNKNOWN = "unknown"


def range_mask(ranges: pd.DataFrame, symbols: tuple[str, ...], sessions: pd.DatetimeIndex) -> NDArray[np.bool_]:
    """Return where a range covers the session, bool of shape ``(n_symbols, n_sessions)``.

    Parameters
    ----------
    ranges
        ``symbol, start_date, end_date``; other symbols are left out.
    symbols, sessions
        Axes of the result, sessions ascending.

    Raises
    ------
    DataQualityError
        When a range has no start or ends before it starts.
    """
    out = np.zeros((len(symbols), len(sessions)), dtype=bool)
    for row, start, stop, _ in _spans(ranges, symbols, sessions):
        out[row, start:stop] = True
    return out


def range_labels(
    ranges: pd.DataFrame, column: str, symbols: tuple[str, ...], sessions: pd.DatetimeIndex
) -> NDArray[np.object_]:
    """Return the value of ``column`` that held on each session, object of shape ``(n_symbols, n_sessions)``.

    ``UNKNOWN`` stands where no range says: an industry nobody stated is not today's.

    Raises
    ------
    DataQualityError
        When two ranges of a symbol overlap: then no one value held. As for ``range_mask`` besides.
    """
    out = np.full((len(symbols), len(sessions)), UNKNOWN, dtype=object)
    values = ranges[column].to_numpy()
    for row, start, stop, at in _spans(ranges, symbols, sessions):
        if (out[row, start:stop] != UNKNOWN).any():
            raise DataQualityError(
                f"{symbols[row]} has two values of {column} on {sessions[start]:%Y-%m-%d}",
                "close the earlier range before the later one begins",
            )
        out[row, start:stop] = values[at]
    return out


def index_member_mask(
    index_members: pd.DataFrame, index_code: str, symbols: tuple[str, ...], sessions: pd.DatetimeIndex
) -> NDArray[np.bool_]:
    """Return who was a member of an index on each session, bool of shape ``(n_symbols, n_sessions)``.

    Raises
    ------
    DataQualityError
        When the table knows no member of that index, or two ranges of one member overlap: a change was told wrong,
        and then nobody can say which end is right. As for ``range_mask`` besides.
    """
    mine = index_members[index_members["index_code"] == index_code]
    if mine.empty:
        known = ", ".join(sorted(index_members["index_code"].unique())) or "none"
        raise DataQualityError(
            f"the source tells no member of index {index_code}", f"choose an index it tells ({known}), or none"
        )
    mask = range_mask(mine, symbols, sessions)
    _refuse_overlaps(mine, f"member of {index_code}")
    return mask


def _refuse_overlaps(ranges: pd.DataFrame, what: str) -> None:
    ordered = ranges.sort_values(["symbol", "start_date"], kind="stable")
    last = ordered["end_date"].fillna(pd.Timestamp.max.normalize()).astype("datetime64[ns]")
    # the latest end so far: a long range may hold several short ones
    reached = last.groupby(ordered["symbol"]).cummax().groupby(ordered["symbol"]).shift()
    again = (ordered["start_date"] <= reached).to_numpy()
    if again.any():
        at = int(np.argmax(again))
        later = ordered.iloc[at]
        still = (ordered["symbol"] == later["symbol"]) & (last >= later["start_date"])
        raise DataQualityError(
            f"{_said(later)} begins while {_said(ordered[still].iloc[0])} lasts: twice {what} at once "
            f"({int(again.sum())} such ranges in all)",
            "close the earlier range before the later one begins, or join the two",
        )


def _said(range_: pd.Series) -> str:
    """Return a range as a person would write it."""
    end = "open" if pd.isna(range_["end_date"]) else f"{range_['end_date']:%Y-%m-%d}"
    return f"{range_['symbol']} {range_['start_date']:%Y-%m-%d} to {end}"


def _refuse_reversed(ranges: pd.DataFrame) -> None:
    without = ranges["start_date"].isna().to_numpy()
    bad = without | (ranges["end_date"] < ranges["start_date"]).to_numpy()
    if bad.any():
        at = int(np.argmax(bad))
        row = ranges.iloc[at]
        fact = f"{row['symbol']} has no start_date" if without[at] else f"{_said(row)} ends before it starts"
        raise DataQualityError(
            f"range {at + 1}: {fact} ({int(bad.sum())} such ranges in all)", "correct the range or delete it"
        )


def _spans(
    ranges: pd.DataFrame, symbols: tuple[str, ...], sessions: pd.DatetimeIndex
) -> list[tuple[int, int, int, int]]:
    """Return row, first and past-the-last column, and position among ``ranges``, of every range on the axes."""
    _refuse_reversed(ranges)
    rows = pd.Index(symbols).get_indexer(pd.Index(ranges["symbol"]))
    starts = sessions.searchsorted(pd.DatetimeIndex(ranges["start_date"]), side="left")
    ends = pd.DatetimeIndex(ranges["end_date"])
    stops = np.where(ends.isna(), len(sessions), sessions.searchsorted(ends, side="right"))
    found = zip(rows, starts, stops, range(len(ranges)), strict=True)
    return [(int(row), int(start), int(stop), at) for row, start, stop, at in found if row >= 0 and start < stop]
