"""Daily bars from a source into the lake: backfill, daily increment and catching up are one function."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pandas as pd

from ljwx_pipeline.clock import Clock, SystemClock
from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.ingest.plan import RAW_BARS, BarPlan, plan_bars
from ljwx_pipeline.ingest.staging import BATCH_ROWS, Staging
from ljwx_pipeline.ingest.store import StoredMonth, store_month, store_whole_months
from ljwx_pipeline.lake import Lake
from ljwx_pipeline.market.tables import empty_table
from ljwx_pipeline.sources.base import MarketSource


@dataclass(frozen=True)
class Progress:
    """How far a download is.

    Parameters
    ----------
    done, total
        Units fetched and to fetch; units left over from a run before count as done.
    rows
        Rows fetched by this run.
    elapsed_s, remaining_s
        Seconds spent, and the estimate of those to come from the units this run fetched; None before the first.
    unit
        The unit just done.
    """

    done: int
    total: int
    rows: int
    elapsed_s: float
    remaining_s: float | None
    unit: str

    def __str__(self) -> str:
        """Return the line a person reads."""
        left = "" if self.remaining_s is None else f", about {self.remaining_s:,.0f} s to go"
        return f"{self.done} of {self.total} fetched ({self.unit}), {self.rows:,} rows{left}"


@dataclass(frozen=True)
class IngestReport:
    """What one call did: the plan it followed, units taken over from an earlier run, and every month it stored."""

    plan: BarPlan
    units_resumed: int
    months: tuple[StoredMonth, ...]

    @property
    def added_rows(self) -> int:
        """Rows of sessions the lake did not hold before."""
        return sum(month.added_rows for month in self.months)

    @property
    def restated(self) -> tuple[StoredMonth, ...]:
        """Months in which a held row came back different."""
        return tuple(month for month in self.months if month.restated_rows)


def ingest_bars(
    source: MarketSource,
    lake: Lake,
    first: date,
    last: date,
    *,
    staging: Path,
    recheck_sessions: int,
    clock: Clock | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> IngestReport:
    """Bring the lake's raw bars of ``[first, last]`` up to what the source gives now.

    Killed at any instant it loses at most the unit being fetched; called again it takes up the rest. Months are stored
    in order, each atomically, all known at the same instant.

    Parameters
    ----------
    staging
        Folder for units on their way; empty again when all is stored.
    recheck_sessions
        Newest held sessions to fetch again (``plan_bars``).

    Raises
    ------
    SourceError
        When the source cannot be read, or was asked for a session it says was traded and gives no row of it.
    """
    clock = clock or SystemClock()
    plan = plan_bars(source, lake, first, last, recheck_sessions=recheck_sessions)
    if source.describe().fetches == "at_hand":
        return IngestReport(plan, 0, tuple(_store_at_hand(source, lake, plan, clock, on_progress)))
    staged = Staging(staging)
    resumed = _fetch(source, plan, staged, clock, on_progress)
    known_at = clock.now()
    stored, given = [], pd.DatetimeIndex([])
    for month, rows in staged.months(plan.units):
        asked = rows[rows["session_date"].isin(plan.fetched)]
        given = given.union(pd.DatetimeIndex(asked["session_date"].unique()))
        stored.append(store_month(lake, RAW_BARS, month, asked, plan.fetched, known_at))
    staged.clear()
    if source.describe().fetches == "by_session":
        _require_all(plan, given)
    return IngestReport(plan, resumed, tuple(stored))


def _store_at_hand(
    source: MarketSource, lake: Lake, plan: BarPlan, clock: Clock, on_progress: Callable[[Progress], None]
) -> Iterator[StoredMonth]:
    """Store the months of a source that has everything at hand, a batch of months at a time."""
    started, known_at, rows = clock.monotonic_s(), clock.now(), 0
    waiting: dict[str, pd.DataFrame] = {}
    for number, unit in enumerate(plan.units, start=1):
        frame = source.bars_of(unit)
        rows += len(frame)
        if len(frame):
            waiting[f"{unit.first:%Y-%m}-01"] = frame
        if number == len(plan.units) or sum(map(len, waiting.values())) >= BATCH_ROWS:
            yield from store_whole_months(lake, RAW_BARS, waiting, known_at)
            waiting = {}
        elapsed = clock.monotonic_s() - started
        remaining = elapsed / number * (len(plan.units) - number)
        on_progress(Progress(number, len(plan.units), rows, elapsed, remaining, unit.key))


def _fetch(
    source: MarketSource, plan: BarPlan, staged: Staging, clock: Clock, on_progress: Callable[[Progress], None]
) -> int:
    """Fetch every unit that is not staged yet; return how many were."""
    started, rows, fetched = clock.monotonic_s(), 0, 0
    waiting = [unit for unit in plan.units if not staged.holds(unit)]
    resumed = len(plan.units) - len(waiting)
    for unit in waiting:
        frame = source.bars_of(unit)
        staged.keep(unit, frame if len(frame) else empty_table("bars"))
        fetched, rows = fetched + 1, rows + len(frame)
        elapsed = clock.monotonic_s() - started
        remaining = elapsed / fetched * (len(waiting) - fetched)
        on_progress(Progress(resumed + fetched, len(plan.units), rows, elapsed, remaining, unit.key))
    return resumed


def _require_all(plan: BarPlan, given: pd.DatetimeIndex) -> None:
    silent = plan.missing.difference(given)
    if len(silent):
        raise SourceError(
            f"the source gives no bar for {len(silent)} of {len(plan.wanted)} sessions, first {silent[0]:%Y-%m-%d}",
            "what it gave is stored; run again later, or shorten the range",
        )
