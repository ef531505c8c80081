"""What to fetch: the sessions the lake does not hold yet, and its newest once more to notice a restatement."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import pandas as pd

from ljwx_pipeline.ingest.store import newest_version
from ljwx_pipeline.lake import Lake
from ljwx_pipeline.lake.store import read_versions
from ljwx_pipeline.sources.base import BarUnit, MarketSource

RAW_BARS = "raw_bars"


@dataclass(frozen=True)
class BarPlan:
    """Sessions asked for, and the units that hold those to be fetched.

    Parameters
    ----------
    wanted
        Every session of the range that the source can give, ascending.
    missing
        Those of which the lake holds no row.
    again
        Held ones that are fetched once more.
    units
        The pieces that together hold ``missing`` and ``again``.
    """

    wanted: pd.DatetimeIndex
    missing: pd.DatetimeIndex
    again: pd.DatetimeIndex
    units: tuple[BarUnit, ...]

    @property
    def fetched(self) -> pd.DatetimeIndex:
        """Sessions whose rows the units replace in the lake."""
        return self.missing.union(self.again)


def plan_bars(
    source: MarketSource,
    lake: Lake,
    first: date,
    last: date,
    *,
    recheck_sessions: int,
    on_their_way: pd.DatetimeIndex | None = None,
) -> BarPlan:
    """Return what to fetch so that the lake holds every bar of ``[first, last]``.

    Parameters
    ----------
    recheck_sessions
        How many of the newest held sessions are fetched again. A source that has everything at hand is always asked
        for all of it: that costs little and misses nothing.
    on_their_way
        Sessions that count as held: an unfinished download stores them first.

    Raises
    ------
    SourceError
        When the source has no session in the range.
    """
    wanted = source.sessions(first, last)
    held = held_sessions(lake, RAW_BARS, months_of(wanted))
    held = (held if on_their_way is None else held.union(on_their_way)).intersection(wanted)
    how = source.describe().fetches
    missing = wanted.difference(held)
    if how == "by_symbol" and len(held):
        missing = missing.difference(_suspended(wanted, missing, held))
    again = held if how == "at_hand" else held[max(len(held) - recheck_sessions, 0) :]
    fetched = missing.union(again)
    units = [unit for start, stop in _runs(wanted, fetched) for unit in source.bar_units(start, stop)]
    return BarPlan(wanted, missing, again, tuple(units))


def held_sessions(lake: Lake, table: str, months: list[str]) -> pd.DatetimeIndex:
    """Return the sessions of ``months`` of which ``table`` holds a row, ascending."""
    versions = [version for month in months if (version := newest_version(lake, table, month)) is not None]
    if not versions:
        return pd.DatetimeIndex([], name="session_date")
    days = read_versions(versions, columns=["session_date"])["session_date"]
    return pd.DatetimeIndex(days.unique(), name="session_date").sort_values()


def months_of(sessions: pd.DatetimeIndex) -> list[str]:
    """Return the partition names, the first day of each month, that ``sessions`` fall in, ascending."""
    return sorted(set(sessions.strftime("%Y-%m-01")))


def _suspended(wanted: pd.DatetimeIndex, missing: pd.DatetimeIndex, held: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """Return the missing sessions on which a few stocks were all suspended, so that asking again gives nothing.

    Those are the runs between held sessions that lie within loaded months; a run that reaches into a month of which
    nothing is held was never asked for.
    """
    inside, loaded = missing[(missing > held[0]) & (missing < held[-1])], set(months_of(held))
    runs = [
        wanted[(wanted >= pd.Timestamp(start)) & (wanted <= pd.Timestamp(stop))]
        for start, stop in _runs(wanted, inside)
    ]
    asked = [run for run in runs if loaded.issuperset(months_of(run))]
    return pd.DatetimeIndex([day for run in asked for day in run])


def _runs(wanted: pd.DatetimeIndex, fetched: pd.DatetimeIndex) -> list[tuple[date, date]]:
    """Return the first and last day of each unbroken run of ``fetched`` sessions within ``wanted``."""
    if fetched.empty:
        return []
    positions = pd.Series(wanted.get_indexer(fetched))
    runs = positions.groupby((positions.diff() != 1).cumsum())
    return [(wanted[run.iloc[0]].date(), wanted[run.iloc[-1]].date()) for _, run in runs]
