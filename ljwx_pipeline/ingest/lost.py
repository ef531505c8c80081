"""Sessions that the lake holds and the user's files no longer give: said before anything is written.

Not here: rows that came back different (``rewrites.py``), sessions that no ingest ever gave (``quality/bar_rules.py``).
"""

from __future__ import annotations

from datetime import date

import pandas as pd

from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.ingest.plan import RAW_BARS, held_sessions
from ljwx_pipeline.lake import Lake
from ljwx_pipeline.lake.store import folders_in
from ljwx_pipeline.sources.base import MarketSource

#: Sessions that a message names.
NAMED = 5


def lost_sessions(source: MarketSource, lake: Lake, first: date, last: date) -> pd.DatetimeIndex:
    """Return the sessions of ``[first, last]`` of which the lake holds bars and ``source`` gives none, ascending.

    Only a source that has everything at hand can lose a session; the others are not asked for what is held.
    """
    if source.describe().fetches != "at_hand":
        return pd.DatetimeIndex([], name="session_date")
    months = [folder.name for folder in folders_in(lake.table_folder(RAW_BARS))]
    held = held_sessions(lake, RAW_BARS, [name for name in months if f"{first:%Y-%m-01}" <= name <= f"{last}"])
    held = held[(held >= pd.Timestamp(first)) & (held <= pd.Timestamp(last))]
    for unit in source.bar_units(first, last) if len(held) else ():
        held = held.difference(pd.DatetimeIndex(source.bars_of(unit)["session_date"].unique()))
    return held


def require_held_sessions(source: MarketSource, lake: Lake, first: date, last: date) -> None:
    """Refuse a source that lost sessions which the lake holds.

    Raises
    ------
    SourceError
        Naming the sessions; nothing was written.
    """
    lost = lost_sessions(source, lake, first, last)
    if lost.empty:
        return
    named = ", ".join(f"{day:%Y-%m-%d}" for day in lost[:NAMED])
    others = f" ... {lost[-1]:%Y-%m-%d}" if len(lost) > NAMED else ""
    raise SourceError(
        f"{len(lost)} sessions that the lake holds bars of are no longer in the source: {named}{others}; "
        "nothing was changed",
        "put the files that held them back, or set source.first_session and source.last_session to a range they still "
        "hold: what the lake holds outside it stays",
    )
