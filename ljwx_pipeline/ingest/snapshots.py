"""A history made of snapshots: what a source tells of today only becomes ranges by date, one download at a time.

Not here: sources that know the dates themselves.
"""

from __future__ import annotations

import pandas as pd

#: What a range is of: while all of these stay the same, it goes on.
IDENTITY = {"industries": ["symbol", "industry"], "index_members": ["index_code", "symbol"]}
ONE_DAY = pd.Timedelta(days=1)


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
    keys, today = IDENTITY[table], snapshot["start_date"].max()
    now = pd.MultiIndex.from_frame(snapshot[keys])
    was_open = held["end_date"].isna()
    goes_on = was_open & pd.MultiIndex.from_frame(held[keys]).isin(now)
    ends = held[was_open & ~goes_on].assign(end_date=today - ONE_DAY)
    ends = ends[ends["end_date"] >= ends["start_date"]]  # begun and ended on one day: never told on a day of its own
    begins = snapshot[~now.isin(pd.MultiIndex.from_frame(held.loc[goes_on, keys]))]
    parts = [part for part in (held[~was_open | goes_on], ends, begins) if len(part)]
    return pd.concat(parts).sort_values([*keys, "start_date"], ignore_index=True)[list(held.columns)]
