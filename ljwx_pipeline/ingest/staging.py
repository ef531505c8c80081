"""Units already fetched, kept on disk until their months are stored: a download that is killed goes on where it was.

A unit is one Parquet file, whole or absent; beside the units stands the plan they were fetched for, so that a
download is taken up as it was begun, on a later day too. ``months`` regroups units of any shape (a session, a month,
one symbol's ten years) into months with bounded memory. Not here: versions (``lake/``).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ljwx_pipeline.clock import SHANGHAI
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.ingest.aside import Warn, set_aside, warn
from ljwx_pipeline.ingest.plan import RAW_BARS, BarPlan
from ljwx_pipeline.lake import split_by_month
from ljwx_pipeline.lake.atomic_parquet import encoded, write_bytes, write_parquet
from ljwx_pipeline.lake.rows import as_frame, concatenated, ordered
from ljwx_pipeline.sources.base import BarUnit

#: Rows regrouped at a time: about 100 MB of bars.
BATCH_ROWS = 1_000_000
#: What was fetched longer ago is fetched again: the provider may have restated it since.
MAX_AGE = timedelta(days=7)


@dataclass(frozen=True)
class Unfinished:
    """A download that was killed: what it was to fetch, and when it began."""

    plan: BarPlan
    started_at: datetime

    def is_todays(self, wanted: pd.DatetimeIndex, now: datetime) -> bool:
        """Return whether it is all that is asked for: of the same sessions, begun on this day of Asia/Shanghai."""
        began, today = (instant.astimezone(SHANGHAI).date() for instant in (self.started_at, now))
        return began == today and self.plan.wanted.equals(wanted)


class Staging:
    """A folder of fetched units.

    Parameters
    ----------
    folder
        Made when the first unit is kept.
    say
        Receives what is said of a damaged file: it is set aside, and what it held is fetched again.
    """

    def __init__(self, folder: Path, say: Warn = warn) -> None:
        self._say = say
        self._units = folder / "units"
        self._months = folder / "months"
        self._plan = folder / "plan.json"
        self._folder = folder

    def unfinished(self, now: datetime) -> Unfinished | None:
        """Return the download that was killed; None without a unit of one. What cannot be taken up is forgotten."""
        try:
            found = self.left_over(now)
        except ValueError as error:
            aside = self._folder.with_name(f"{self._folder.name}-{self._plan.name}.damaged")  # the folder is forgotten
            set_aside(self._plan, error, "the units fetched for it are fetched again", self._say, at=aside)
            found = None
        if found is None:
            self.clear()
        return found

    def left_over(self, now: datetime) -> Unfinished | None:
        """Return the download that was killed and touch nothing; None where it has no unit or is past ``MAX_AGE``.

        Raises
        ------
        ValueError
            When its plan cannot be read.
        """
        try:
            found = _unfinished(json.loads(self._plan.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None  # units that nobody planned
        except (KeyError, TypeError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from None
        there = any(self.holds(unit) for unit in found.plan.units)
        return found if there and now - found.started_at <= MAX_AGE else None

    def begin(self, plan: BarPlan, now: datetime) -> None:
        """Keep the plan that the units to come are fetched for."""
        units = [[unit.key, f"{unit.first}", f"{unit.last}", unit.symbol] for unit in plan.units]
        sessions = {name: list(getattr(plan, name).strftime("%Y-%m-%d")) for name in ("wanted", "missing", "again")}
        document = {"started_at": now.isoformat(), **sessions, "units": units}
        write_bytes(self._plan, json.dumps(document).encode())

    def holds(self, unit: BarUnit) -> bool:
        """Return whether ``unit`` was fetched by an earlier, unfinished run."""
        return self._path(unit).exists()

    def holds_whole(self, unit: BarUnit) -> bool:
        """Return whether ``unit`` was fetched and can be read; a damaged one is set aside."""
        if not self.holds(unit):
            return False
        try:
            _rows(self._path(unit))
        except (pa.ArrowInvalid, OSError) as error:
            set_aside(self._path(unit), error, "its unit is fetched again", self._say)
            return False
        return True

    def keep(self, unit: BarUnit, frame: pd.DataFrame) -> None:
        """Store a fetched unit."""
        write_parquet(self._path(unit), frame)

    def months(self, units: Sequence[BarUnit]) -> Iterator[tuple[str, pd.DataFrame]]:
        """Give the rows of ``units`` month by month, ascending; a month is named by its first day."""
        if all(_month(unit.first) == _month(unit.last) for unit in units):
            of_months: dict[str, list[Path]] = {}
            for unit in sorted(units, key=lambda unit: unit.first):
                of_months.setdefault(_month(unit.first), []).append(self._path(unit))
        else:
            of_months = self._regrouped(units)
        for month, paths in of_months.items():
            rows = ordered(RAW_BARS, concatenated([_read(path) for path in paths]))
            if len(rows):
                yield month, as_frame(rows)

    def clear(self) -> None:
        """Forget every unit: their rows are stored. The plan goes first: units without one are never taken up.

        Raises
        ------
        LakeError
            When something of the folder cannot be removed.
        """
        try:
            self._plan.unlink(missing_ok=True)
        except OSError as error:
            raise _not_removed(self._plan, error) from error
        _remove(self._folder)

    def _regrouped(self, units: Sequence[BarUnit]) -> dict[str, list[Path]]:
        """Write the rows of units that span months by month; a run that is killed here begins here again."""
        _remove(self._months)
        of_months: dict[str, list[Path]] = {}
        for number, batch in enumerate(self._batches(units)):
            for month, rows in split_by_month(batch).items():
                path = self._months / month / f"{number:05d}.parquet"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(encoded(rows))  # not forced to disk: the units are
                of_months.setdefault(month, []).append(path)
        return dict(sorted(of_months.items()))

    def _batches(self, units: Sequence[BarUnit]) -> Iterator[pa.Table]:
        waiting: list[pa.Table] = []
        size = 0
        for unit in units:
            rows = _read(self._path(unit))
            waiting.append(rows)
            size += len(rows)
            if size >= BATCH_ROWS:
                yield concatenated(waiting)
                waiting, size = [], 0
        if waiting:
            yield concatenated(waiting)

    def _path(self, unit: BarUnit) -> Path:
        return self._units / f"{unit.key}_{unit.first:%Y%m%d}_{unit.last:%Y%m%d}.parquet"


def _unfinished(document: dict[str, Any]) -> Unfinished:
    wanted, missing, again = (
        pd.DatetimeIndex(document[name], name="session_date") for name in ("wanted", "missing", "again")
    )
    units = tuple(
        BarUnit(key, date.fromisoformat(first), date.fromisoformat(last), symbol)
        for key, first, last, symbol in document["units"]
    )
    return Unfinished(BarPlan(wanted, missing, again, units), datetime.fromisoformat(document["started_at"]))


def _remove(folder: Path) -> None:
    if not folder.exists():
        return
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise _not_removed(folder, error) from error


def _not_removed(path: Path, error: OSError) -> LakeError:
    return LakeError(
        f"{error.filename or path} cannot be removed ({error.strerror}): what was fetched would be taken up again",
        f"make it writable or delete {path}, then run again: what is stored stays",
    )


def _rows(path: Path) -> pa.Table:
    return pq.read_table(pa.BufferReader(path.read_bytes()))


def _read(path: Path) -> pa.Table:
    try:
        return _rows(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise LakeError(f"{path} is damaged ({error})", "run again: the unit is then fetched again") from None


def _month(day: date) -> str:
    return f"{day:%Y-%m-01}"
