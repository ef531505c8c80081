"""Ranges by date that were told piece by piece: by snapshots of today, or by the dates that were asked for.

Not here: asking for them (``tables.py``), and sources that tell their ranges whole.
"""

from __future__ import annotations

from datetime import date

import pandas as pd

from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.market.tables import RANGE_TABLES

ONE_DAY = pd.Timedelta(days=1)
#: Stands for the end of what goes on.
OPEN = pd.Timestamp("2262-01-01")
#: Lists that hardly change from one day to the next; special treatment may end for many at once.
SLOW_LISTS = ("securities", "industries", "index_members")
#: A slow list that names less than this share of what it named was told in part.
WHOLE_LIST_FRAC = 0.75


def require_whole_list(table: str, held: pd.DataFrame, told: pd.DataFrame) -> None:
    """Refuse ``told`` when, at its end, it names far fewer than ``held`` does at its own, of an index or of all.

    An index that only one side knows is not compared; tables that are no ``SLOW_LISTS`` never are.

    Raises
    ------
    SourceError
        When fewer than ``WHOLE_LIST_FRAC`` of the number are left.
    """
    if table not in SLOW_LISTS or held.empty or told.empty:
        return
    before, now = _open_counts(table, held), _open_counts(table, told)
    asked = {*told["index_code"]} if table == "index_members" else {table}
    for name in sorted({*before.index} & asked):
        left = int(now.get(name, 0))
        if left < WHOLE_LIST_FRAC * before[name]:
            what = f"members of {name}" if table == "index_members" else name
            raise SourceError(
                f"the list of {what} names {left:,}, the lake holds {before[name]:,}: it was cut short",
                f"run again later; if there really are so few now, delete the folder {table} of the lake and load the "
                "table again",
            )


def _open_counts(table: str, frame: pd.DataFrame) -> pd.Series:
    last = frame[frame["end_date"].isna()] if table in RANGE_TABLES else frame
    names = last["index_code"] if table == "index_members" else pd.Series(table, index=last.index)
    return names.value_counts()


def merged_ranges(table: str, held: pd.DataFrame, snapshot: pd.DataFrame) -> pd.DataFrame:
    """Return ``held`` brought up to ``snapshot``: what is still so goes on, what is not ends, what is new begins.

    Parameters
    ----------
    held
        Ranges as stored; those with ``end_date`` NaT were so at the last download.
    snapshot
        Today's state, every ``start_date`` the day of the download.

    Notes
    -----
    A change between two downloads is dated by the later one: the source did not say when it happened. An empty
    snapshot ends nothing, because a source that tells nothing has not said that everything ended.
    """
    if held.empty or snapshot.empty:
        return snapshot if held.empty else held
    keys, today = list(RANGE_TABLES[table]), snapshot["start_date"].max()
    now = pd.MultiIndex.from_frame(snapshot[keys])
    was_open = held["end_date"].isna()
    goes_on = was_open & pd.MultiIndex.from_frame(held[keys]).isin(now)
    ends = held[was_open & ~goes_on].assign(end_date=today - ONE_DAY)
    ends = ends[ends["end_date"] >= ends["start_date"]]  # begun and ended on one day: never told on a day of its own
    begins = snapshot[~now.isin(pd.MultiIndex.from_frame(held.loc[goes_on, keys]))]
    parts = [part for part in (held[~was_open | goes_on], ends, begins) if len(part)]
    return pd.concat(parts).sort_values([*keys, "start_date"], ignore_index=True)[list(held.columns)]


def spliced_ranges(
    table: str, held: pd.DataFrame, told: pd.DataFrame, first: date, last: date, *, reach: date
) -> pd.DataFrame:
    """Return ``held`` with what was told of ``[first, last]`` in place of what it said of those dates.

    Ranges that the edges cut are whole again where both sides agree.

    Parameters
    ----------
    held
        Ranges as stored.
    told
        The ranges of ``[first, last]``: what was under way at ``first`` begins there, what goes on at ``last`` has no
        end.
    reach
        The last day that ``held`` speaks of; after it, and after ``last``, nothing is known to have ended.

    Notes
    -----
    A held range that is not told any more ends on the day before ``first``, a session or not.
    """
    start, stop = pd.Timestamp(first), pd.Timestamp(last)
    keys, columns = list(RANGE_TABLES[table]), list(told.columns)
    kept, inside = (frame.assign(end_date=frame["end_date"].fillna(OPEN)) for frame in (held, told))
    before = _ended(kept[kept["start_date"] < start], start - ONE_DAY)
    parts = [before, inside]
    if reach > last:
        after = kept[kept["end_date"] > stop]
        begins = after["start_date"]
        after = after.assign(start_date=begins.where(begins > stop, stop + ONE_DAY))
        parts = [before, _ended(inside, stop), after]
    parts = [part for part in parts if len(part)]
    if not parts:
        return told
    rows = pd.concat(parts).sort_values([*keys, "start_date"], ignore_index=True)
    same = rows.duplicated(keys)  # of the same thing as the row above: sorted by it
    cut = rows["start_date"].isin([start, stop + ONE_DAY]) & (rows["start_date"] == rows["end_date"].shift() + ONE_DAY)
    piece = (~(same & cut)).cumsum()
    whole = rows.groupby(piece, sort=False).agg(
        {**dict.fromkeys(keys, "first"), "start_date": "first", "end_date": "last"}
    )
    return whole.assign(end_date=whole["end_date"].mask(whole["end_date"] == OPEN))[columns].reset_index(drop=True)


def _ended(frame: pd.DataFrame, by: pd.Timestamp) -> pd.DataFrame:
    ends = frame["end_date"]
    return frame.assign(end_date=ends.where(ends <= by, by))
