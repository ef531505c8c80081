"""Every table beside the bars from a source into the lake: small ones whole, dated ones by month and only what is new.

Not here: bars (``bars.py``), which are fetched in units.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import pandas as pd

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.ingest.snapshots import merged_ranges
from ljwx_pipeline.ingest.store import StoredMonth, newest_version, only_ingest, store_month
from ljwx_pipeline.lake import Lake, TableVersion
from ljwx_pipeline.lake.atomic_parquet import write_bytes
from ljwx_pipeline.lake.catalogue import was_known
from ljwx_pipeline.lake.store import in_utc
from ljwx_pipeline.market.tables import empty_table
from ljwx_pipeline.sources.base import BarUnit, MarketSource, month_units

#: Tables that change slowly and are asked for whole.
WHOLE_TABLES = ("securities", "st_spells", "industries", "index_members", "corporate_actions")
#: Tables that grow by date.
DATED_TABLES = (
    "index_bars",
    "market_values",
    "suspensions",
    "price_limits",
    "financial_indicators",
    "news",
    "macro",
)
#: Sessions of the source, the first table that is loaded.
CALENDAR = "calendar"
#: The one partition of a table that is kept whole.
WHOLE = "all"


@dataclass(frozen=True)
class Coverage:
    """The unbroken range of dates of a dated table that was asked for, and its months of which there was nothing.

    A month that is neither in the lake nor among ``empty`` was lost since, and is asked for again.
    """

    first: date
    last: date
    empty: tuple[str, ...]


def ingest_whole_table(source: MarketSource, lake: Lake, table: str, known_at: datetime) -> TableVersion:
    """Store what ``source`` says of a slowly changing table now; the same content is no new version.

    Of a table that the source tells today's state of only, the ranges stored so far go on, end or begin.
    """
    with only_ingest(lake):
        frame: pd.DataFrame = getattr(source, table)()
        if table in source.describe().snapshots:
            held = lake.read(table) if lake.holds(table) else empty_table(table)
            frame = merged_ranges(table, held, frame)
        return lake.write(table, frame, partition=WHOLE, known_at=known_at)


def ingest_dated_table(
    source: MarketSource,
    lake: Lake,
    table: str,
    sessions: pd.DatetimeIndex,
    *,
    coverage_file: Path,
    recheck_sessions: int,
    known_at: datetime,
) -> list[StoredMonth]:
    """Bring a dated table up to ``sessions``: what is not covered yet, and the newest sessions once more.

    Parameters
    ----------
    sessions
        Every session wanted, ascending; rows are asked for by the dates they span.
    coverage_file
        JSON file of this table's ``Coverage``, renewed after each month that is stored.
    recheck_sessions
        Newest covered sessions to ask for again.
    """
    with only_ingest(lake):
        first, last = sessions[0].date(), sessions[-1].date()
        covered = None if source.describe().fetches == "at_hand" else _read_coverage(coverage_file)
        if covered is None or first < covered.first or covered.last < first:
            units, base, reached, empty = month_units(first, last), first, first, set[str]()
        else:
            past = sessions[sessions <= pd.Timestamp(covered.last)]
            start = past[max(len(past) - max(recheck_sessions, 1), 0)].date()
            base, reached, empty = covered.first, covered.last, set(covered.empty)
            before = month_units(covered.first, start - timedelta(days=1)) if covered.first < start else []
            lost = [unit for unit in before if not _is_held(lake, table, unit) and _month(unit) not in empty]
            units = [*lost, *month_units(start, last)]
        stored = []
        for unit in units:
            frame: pd.DataFrame = getattr(source, table)(unit.first, unit.last)
            if len(frame) or _is_held(lake, table, unit):
                asked = pd.date_range(unit.first, unit.last)
                stored.append(store_month(lake, table, _month(unit), frame, asked, known_at))
                empty.discard(_month(unit))
            else:
                empty.add(_month(unit))
            reached = max(reached, unit.last)
            _write_coverage(coverage_file, Coverage(base, reached, tuple(sorted(empty))))
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


def _month(unit: BarUnit) -> str:
    return f"{unit.first:%Y-%m}-01"


def _is_held(lake: Lake, table: str, unit: BarUnit) -> bool:
    return newest_version(lake, table, _month(unit)) is not None


def _read_coverage(path: Path) -> Coverage | None:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return Coverage(date.fromisoformat(kept["first"]), date.fromisoformat(kept["last"]), tuple(kept["empty"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise LakeError(f"{path} is damaged ({error})", "delete it: the table is then asked for whole again") from None


def _write_coverage(path: Path, coverage: Coverage) -> None:
    said = {"first": str(coverage.first), "last": str(coverage.last), "empty": coverage.empty}
    write_bytes(path, json.dumps(said).encode())
