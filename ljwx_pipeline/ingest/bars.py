"""Daily bars from a source into the lake: backfill, daily increment and catching up are one function."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pandas as pd

from ljwx_pipeline.clock import Clock, SystemClock
from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.ingest.aside import Warn, warn
from ljwx_pipeline.ingest.plan import RAW_BARS, BarPlan, held_sessions, months_of, plan_bars
from ljwx_pipeline.ingest.staging import BATCH_ROWS, Staging
from ljwx_pipeline.ingest.store import StoredMonth, newest_version, only_ingest, store_month, store_whole_months
from ljwx_pipeline.lake import Lake
from ljwx_pipeline.lake.store import folders_in
from ljwx_pipeline.market.tables import empty_table
from ljwx_pipeline.observability.progress import Progress
from ljwx_pipeline.sources.base import BarUnit, MarketSource


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
    say: Warn = warn,
) -> IngestReport:
    """Bring the lake's raw bars of ``[first, last]`` up to what the source gives now.

    Killed at any instant it loses at most the unit being fetched; called again it takes up the rest as it was planned,
    and on a later day plans anew after that. Months are stored in order, each atomically and known from the instant it
    is stored, so that a reader in the middle is answered the same later. A second ingest of the market waits.

    Parameters
    ----------
    staging
        Folder for units on their way; empty again when all is stored.
    recheck_sessions
        Newest held sessions to fetch again (``plan_bars``).
    say
        Receives what is said of rows of days that were not asked for, which are left out, and of a damaged file of the
        staging folder: it is set aside and its unit fetched again.

    Raises
    ------
    SourceError
        When the source cannot be read, or was asked for a session it says was traded and gives no row of it.
    LakeError
        When another ingest of the market does not end (``only_ingest``).
    """
    clock = clock or SystemClock()
    with only_ingest(lake):
        if source.describe().fetches == "at_hand":
            plan = plan_bars(source, lake, first, last, recheck_sessions=recheck_sessions)
            return IngestReport(plan, 0, tuple(_store_at_hand(source, lake, plan, (first, last), clock, on_progress)))
        staged = Staging(staging, say)
        left = staged.unfinished(clock.now())
        if left is None:
            plan = plan_bars(source, lake, first, last, recheck_sessions=recheck_sessions)
            report = _fetch_and_store(source, lake, plan, staged, clock, on_progress, say)
        else:
            report = _fetch_and_store(source, lake, left.plan, staged, clock, on_progress, say)
            if not left.is_todays(source.sessions(first, last), clock.now()):
                plan = plan_bars(source, lake, first, last, recheck_sessions=recheck_sessions)
                report = _joined(report, _fetch_and_store(source, lake, plan, staged, clock, on_progress, say))
    if source.describe().fetches == "by_session":
        _require_all(report.plan, lake)
    return report


def _fetch_and_store(
    source: MarketSource,
    lake: Lake,
    plan: BarPlan,
    staged: Staging,
    clock: Clock,
    on_progress: Callable[[Progress], None],
    say: Warn,
) -> IngestReport:
    """Fetch what is not staged yet of ``plan`` and store its months."""
    resumed = _fetch(source, plan, staged, clock, on_progress, say)
    months = staged.months(plan.units)
    stored = [store_month(lake, RAW_BARS, month, rows, plan.fetched, clock.now()) for month, rows in months]
    staged.clear()
    return IngestReport(plan, resumed, tuple(stored))


def _joined(earlier: IngestReport, now: IngestReport) -> IngestReport:
    """Return one report of a download taken up and the one planned after it."""
    missing = earlier.plan.missing.union(now.plan.missing)
    again = earlier.plan.again.union(now.plan.again).difference(missing)
    plan = BarPlan(now.plan.wanted, missing, again, earlier.plan.units + now.plan.units)
    return IngestReport(plan, earlier.units_resumed + now.units_resumed, earlier.months + now.months)


def _store_at_hand(
    source: MarketSource,
    lake: Lake,
    plan: BarPlan,
    span: tuple[date, date],
    clock: Clock,
    on_progress: Callable[[Progress], None],
) -> Iterator[StoredMonth]:
    """Store the months of a source that has everything at hand, a batch of months at a time.

    A month that ``span``, the first and last day asked for, cuts keeps what it holds of the other days; one within it
    that the source has no row of any more becomes a version without rows.
    """
    started, rows = clock.monotonic_s(), 0
    gone = _months_held(lake, span)
    waiting: dict[str, pd.DataFrame] = {}
    for number, unit in enumerate(plan.units, start=1):
        month, frame = f"{unit.first:%Y-%m}-01", source.bars_of(unit)
        rows += len(frame)
        if len(frame):
            gone.discard(month)
            days = _days_asked(month, span)
            if len(days) == days[0].days_in_month:
                waiting[month] = frame
            else:
                yield from store_whole_months(lake, RAW_BARS, waiting, clock.now())
                waiting = {}
                yield store_month(lake, RAW_BARS, month, frame, days, clock.now())
        if number == len(plan.units) or sum(map(len, waiting.values())) >= BATCH_ROWS:
            yield from store_whole_months(lake, RAW_BARS, waiting, clock.now())
            waiting = {}
        elapsed = clock.monotonic_s() - started
        remaining = elapsed / number * (len(plan.units) - number)
        on_progress(Progress(number, len(plan.units), rows, elapsed, remaining, unit.key))
    for month in sorted(gone):
        yield store_month(lake, RAW_BARS, month, empty_table("bars"), _days_asked(month, span), clock.now())


def _days_asked(month: str, span: tuple[date, date]) -> pd.DatetimeIndex:
    """Return the days of ``month`` that lie in ``span``."""
    start = pd.Timestamp(month)
    return pd.date_range(max(start, pd.Timestamp(span[0])), min(start + pd.offsets.MonthEnd(), pd.Timestamp(span[1])))


def _months_held(lake: Lake, span: tuple[date, date]) -> set[str]:
    """Return the months that reach into ``span`` and of which the lake holds rows."""
    names = [folder.name for folder in folders_in(lake.table_folder(RAW_BARS))]
    inside = [name for name in names if f"{span[0]:%Y-%m-01}" <= name <= f"{span[1]:%Y-%m-01}"]
    newest = {name: newest_version(lake, RAW_BARS, name) for name in inside}
    return {name for name, version in newest.items() if version is not None and version.rows}


def _fetch(
    source: MarketSource,
    plan: BarPlan,
    staged: Staging,
    clock: Clock,
    on_progress: Callable[[Progress], None],
    say: Warn,
) -> int:
    """Fetch every unit that is not staged yet; return how many were. Rows that were not asked for are told."""
    started, rows, fetched = clock.monotonic_s(), 0, 0
    waiting = [unit for unit in plan.units if not staged.holds_whole(unit)]
    resumed = len(plan.units) - len(waiting)
    if waiting and not resumed:
        staged.begin(plan, clock.now())
    strays: list[pd.Series] = []
    try:
        for unit in waiting:
            given = source.bars_of(unit)
            asked = _is_asked(given["session_date"], unit, plan)
            if not asked.all():
                strays.append(given.loc[~asked, "session_date"])
            frame = given[asked]
            staged.keep(unit, frame if len(frame) else empty_table("bars"))
            fetched, rows = fetched + 1, rows + len(frame)
            elapsed = clock.monotonic_s() - started
            remaining = elapsed / fetched * (len(waiting) - fetched)
            on_progress(Progress(resumed + fetched, len(plan.units), rows, elapsed, remaining, unit.key))
    finally:
        if strays:
            say(_told_of(pd.concat(strays), source))
    return resumed


def _is_asked(days: pd.Series, unit: BarUnit, plan: BarPlan) -> pd.Series:
    return days.between(pd.Timestamp(unit.first), pd.Timestamp(unit.last)) & days.isin(plan.fetched)


def _told_of(strays: pd.Series, source: MarketSource) -> str:
    return (
        f"{source.describe().name} gave {len(strays):,} rows of {strays.nunique():,} days that it was not asked for, "
        f"{strays.min():%Y-%m-%d} to {strays.max():%Y-%m-%d}: they are left out; an answer for other days than asked "
        "for may be wrong for these too, look with `ljwx data reconcile`"
    )


def _require_all(plan: BarPlan, lake: Lake) -> None:
    missing = plan.missing.intersection(plan.wanted)
    silent = missing.difference(held_sessions(lake, RAW_BARS, months_of(missing)))
    if len(silent):
        raise SourceError(
            f"the source gives no bar for {len(silent)} of {len(plan.wanted)} sessions, first {silent[0]:%Y-%m-%d}",
            "what it gave is stored; run again later, or shorten the range",
        )
