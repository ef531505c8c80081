"""Units already fetched, kept on disk until their months are stored: a download that is killed goes on where it was.

A unit is one Parquet file, whole or absent. ``months`` regroups units of any shape (a session, a month, one symbol's
ten years) into months with bounded memory. Not here: versions (``lake/``).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.ingest.plan import RAW_BARS
from ljwx_pipeline.lake import split_by_month
from ljwx_pipeline.lake.atomic_parquet import encoded, write_parquet
from ljwx_pipeline.lake.rows import as_frame, concatenated, ordered
from ljwx_pipeline.sources.base import BarUnit

#: Rows regrouped at a time: about 100 MB of bars.
BATCH_ROWS = 1_000_000


class Staging:
    """A folder of fetched units.

    Parameters
    ----------
    folder
        Made when the first unit is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._units = folder / "units"
        self._months = folder / "months"
        self._folder = folder

    def holds(self, unit: BarUnit) -> bool:
        """Return whether ``unit`` was fetched by an earlier, unfinished run."""
        return self._path(unit).exists()

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
        """Forget every unit: their rows are stored."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _regrouped(self, units: Sequence[BarUnit]) -> dict[str, list[Path]]:
        """Write the rows of units that span months by month; a run that is killed here begins here again."""
        shutil.rmtree(self._months, ignore_errors=True)
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


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(pa.BufferReader(path.read_bytes()))
    except (pa.ArrowInvalid, OSError) as error:
        raise LakeError(f"{path} is damaged ({error})", "delete it: the unit is then fetched again") from None


def _month(day: date) -> str:
    return f"{day:%Y-%m-01}"
