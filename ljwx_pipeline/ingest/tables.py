"""Every table beside the bars from a source into the lake: of what grows by date only what is new is asked for.

Not here: bars (``bars.py``), which are fetched in units.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import pandas as pd

from ljwx_pipeline.clock import Clock, SystemClock
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.ingest.aside import Warn, set_aside, warn
from ljwx_pipeline.ingest.ranges import merged_ranges, require_whole_list, spliced_ranges
from ljwx_pipeline.ingest.store import StoredMonth, newest_version, only_ingest, store_month
from ljwx_pipeline.lake import Lake, TableVersion
from ljwx_pipeline.lake.atomic_parquet import write_bytes
from ljwx_pipeline.lake.catalogue import was_known
from ljwx_pipeline.lake.store import in_utc
from ljwx_pipeline.market.tables import empty_table
from ljwx_pipeline.observability.progress import told
from ljwx_pipeline.sources.base import BarUnit, MarketSource, month_units

#: Sessions of the source, the first table that is loaded.
CALENDAR = "calendar"
SECURITIES = "securities"
#: The one partition of a table that is kept whole.
WHOLE = "all"


@dataclass(frozen=True)
class Coverage:
    """The unbroken range of dates of a table that was asked for, and the months of a dated one that held nothing.

    A month that is neither in the lake nor among ``empty`` was lost since, and is asked for again. What was asked for
    another ``scope`` (an index less) covers nothing.
    """

    first: date
    last: date
    empty: tuple[str, ...] = ()
    scope: str = ""


def ingest_securities(source: MarketSource, lake: Lake, *, clock: Clock | None = None) -> TableVersion:
    """Store the list of securities as ``source`` tells it now; the same content is no new version.

    Raises
    ------
    SourceError
        When the source cannot be read, or names far fewer than are held.
    """
    clock = clock or SystemClock()
    with only_ingest(lake):
        frame = source.securities()
        _require_whole(source, SECURITIES, lake.read(SECURITIES) if lake.holds(SECURITIES) else frame, frame)
        return lake.write(SECURITIES, frame, partition=WHOLE, known_at=clock.now())


def ingest_range_table(
    source: MarketSource,
    lake: Lake,
    table: str,
    sessions: pd.DatetimeIndex,
    *,
    coverage_file: Path,
    recheck_sessions: int,
    scope: str = "",
    clock: Clock | None = None,
    say: Warn = warn,
) -> TableVersion:
    """Bring a table of ranges by date up to ``sessions``; the same content is no new version.

    Of one that the source tells of the dates asked for only, those not covered yet and the newest sessions once more
    are asked for, and what is held of other dates stays. Of one that it tells today's state of, the ranges stored so
    far go on, end or begin. Any other is told whole.

    Parameters
    ----------
    sessions
        Every session wanted, ascending.
    coverage_file
        JSON file of this table's ``Coverage``; a damaged one is set aside, and every date asked for again.
    recheck_sessions
        Newest covered sessions to ask for again.
    scope
        What beside the dates is asked for, as the indices of their tables.
    clock
        Tells when what was asked for became known: when it was all there, not when it was asked for.
    say
        Receives what is said of a damaged file.

    Raises
    ------
    SourceError
        When the source cannot be read, or names far fewer members of an index, or industries, than are held.
    """
    clock = clock or SystemClock()
    with only_ingest(lake):
        said, first, last = source.describe(), sessions[0].date(), sessions[-1].date()
        held = lake.read(table) if lake.holds(table) else empty_table(table)
        if table not in said.windowed:
            frame: pd.DataFrame = getattr(source, table)(first, last)
            if table in said.snapshots:
                _require_whole(source, table, held, frame)
                frame = merged_ranges(table, held, frame)
            return lake.write(table, frame, partition=WHOLE, known_at=clock.now())
        covered = _read_coverage(coverage_file, scope, say) if lake.holds(table) else None
        base, reach = (first, _last_told(held, last)) if covered is None else (covered.first, covered.last)
        start, stop = first, last
        if covered is not None and covered.first <= first:
            start = min(_recheck_from(sessions, covered, recheck_sessions), covered.last)
        elif covered is not None:  # from earlier on: one unbroken range
            stop = max(last, covered.first)
        frame = getattr(source, table)(start, stop)
        _require_whole(source, table, held, frame)
        if len(held):
            frame = spliced_ranges(table, held, frame, start, stop, reach=reach)
        version = lake.write(table, frame, partition=WHOLE, known_at=clock.now())
        told_to = stop if covered is None else max(reach, stop)
        _write_coverage(coverage_file, Coverage(min(base, start), told_to, scope=scope))
        return version


def ingest_dated_table(
    source: MarketSource,
    lake: Lake,
    table: str,
    sessions: pd.DatetimeIndex,
    *,
    coverage_file: Path,
    recheck_sessions: int,
    scope: str = "",
    clock: Clock | None = None,
    say: Warn = warn,
) -> list[StoredMonth]:
    """Bring a dated table up to ``sessions``: what is not covered yet, and the newest sessions once more.

    Parameters
    ----------
    sessions
        Every session wanted, ascending; rows are asked for by the dates they span.
    coverage_file
        JSON file of this table's ``Coverage``, renewed after each month that is stored; a damaged one is set aside, and
        every date asked for again.
    recheck_sessions
        Newest covered sessions to ask for again.
    scope
        What beside the dates is asked for, as the indices of their tables.
    clock
        Tells when what was asked for became known: when it was all there, not when it was asked for.
    say
        Receives what is said of a damaged file.
    """
    if table in source.describe().untold:
        return []
    clock = clock or SystemClock()
    with only_ingest(lake):
        first, last = sessions[0].date(), sessions[-1].date()
        covered = None if source.describe().fetches == "at_hand" else _read_coverage(coverage_file, scope, say)
        if covered is None or first < covered.first or covered.last < first:
            units, base, reached, empty = month_units(first, last), first, first, set[str]()
        else:
            start = _recheck_from(sessions, covered, recheck_sessions)
            base, reached, empty = covered.first, covered.last, set(covered.empty)
            before = month_units(covered.first, start - timedelta(days=1)) if covered.first < start else []
            lost = [unit for unit in before if not _is_held(lake, table, unit) and _month(unit) not in empty]
            units = [*lost, *month_units(start, last)]
        _leave_the_whole(lake, table, clock.now())
        stored = []
        for unit in told(units, f"months of {table}"):
            frame: pd.DataFrame = getattr(source, table)(unit.first, unit.last)
            if len(frame) or _is_held(lake, table, unit):
                asked = pd.date_range(unit.first, unit.last)
                stored.append(store_month(lake, table, _month(unit), frame, asked, clock.now()))
                empty.discard(_month(unit))
            else:
                empty.add(_month(unit))
            reached = max(reached, unit.last)
            _write_coverage(coverage_file, Coverage(base, reached, tuple(sorted(empty)), scope))
        return stored


def read_market_table(lake: Lake, table: str, *, as_of: datetime | None = None) -> pd.DataFrame:
    """Return a table as known at ``as_of``; a canonical one the source had said nothing of by then is empty.

    Raises
    ------
    LakeError
        When nothing of the calendar was known by then: then nothing of the market was.
    """
    if _is_known(lake, table, as_of):
        return lake.read(table, as_of=as_of)
    if not lake.holds(CALENDAR):
        raise LakeError(f"{lake.root} was never filled", "run `ljwx run` once before its parts")
    if not _is_known(lake, CALENDAR, as_of):
        raise LakeError(f"nothing of {lake.root} was known at {as_of}", "ask for a later instant")
    return empty_table(table)


def _is_known(lake: Lake, table: str, as_of: datetime | None) -> bool:
    return lake.holds(table) if as_of is None else was_known(lake, table, in_utc("as_of", as_of))


def _require_whole(source: MarketSource, table: str, held: pd.DataFrame, told: pd.DataFrame) -> None:
    """Refuse a list that a provider cut short; files hold what their owner put there."""
    if source.describe().fetches != "at_hand":
        require_whole_list(table, held, told)


def _month(unit: BarUnit) -> str:
    return f"{unit.first:%Y-%m}-01"


def _is_held(lake: Lake, table: str, unit: BarUnit) -> bool:
    return newest_version(lake, table, _month(unit)) is not None


def _recheck_from(sessions: pd.DatetimeIndex, covered: Coverage, recheck_sessions: int) -> date:
    """Return the first of the newest covered ``sessions`` that are asked for again; the first of all where none is."""
    past = sessions[sessions <= pd.Timestamp(covered.last)]
    start: pd.Timestamp = sessions[max(len(past) - max(recheck_sessions, 1), 0)]
    return start.date()


def _last_told(held: pd.DataFrame, last: date) -> date:
    """Return the last day that ranges without a coverage speak of: that of a beginning or an end after ``last``."""
    days = pd.concat([held["start_date"], held["end_date"]]).max()
    return last if pd.isna(days) else max(last, days.date())


def _leave_the_whole(lake: Lake, table: str, known_at: datetime) -> None:
    """Empty the one partition of a table that is kept by month now: its rows are told again."""
    whole = newest_version(lake, table, WHOLE)
    if whole is not None and whole.rows:
        lake.write(table, empty_table(table), partition=WHOLE, known_at=known_at)


def _read_coverage(path: Path, scope: str, say: Warn) -> Coverage | None:
    """Return what was covered of ``scope``; a note without one is of the empty scope."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        first, last = (date.fromisoformat(kept[name]) for name in ("first", "last"))
        found = Coverage(first, last, tuple(kept["empty"]), kept.get("scope", ""))
        return found if found.scope == scope else None
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        set_aside(path, error, "the table is asked for whole again", say)
        return None


def _write_coverage(path: Path, coverage: Coverage) -> None:
    said = {
        "first": str(coverage.first),
        "last": str(coverage.last),
        "empty": coverage.empty,
        "scope": coverage.scope,
    }
    write_bytes(path, json.dumps(said).encode())
