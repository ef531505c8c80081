"""Units already fetched, kept on disk until their months are stored: a download that is killed goes on where it was.

A unit is one Parquet file, whole or absent. ``months`` regroups units of any shape (a session, a month, one symbol's
ten years) into months with bounded memory. Not here: versions (``lake/``).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from ljwx_pipeline.lake.atomic_parquet import read_parquet, write_parquet
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
        shutil.rmtree(self._months, ignore_errors=True)
        for number, batch in enumerate(self._batches(units)):
            months = batch["session_date"].dt.strftime("%Y-%m-01").to_numpy()
            for month, rows in batch.groupby(months, sort=True):
                write_parquet(self._months / str(month) / f"{number:05d}.parquet", rows)
        for folder in sorted(self._months.iterdir()) if self._months.exists() else []:
            frame = pd.concat([read_parquet(path) for path in sorted(folder.iterdir())])
            yield folder.name, frame.sort_values(["session_date", "symbol"], kind="stable", ignore_index=True)

    def clear(self) -> None:
        """Forget every unit: their rows are stored."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _batches(self, units: Sequence[BarUnit]) -> Iterator[pd.DataFrame]:
        waiting: list[pd.DataFrame] = []
        for unit in units:
            frame = read_parquet(self._path(unit))
            if len(frame):
                waiting.append(frame)
            if sum(map(len, waiting)) >= BATCH_ROWS:
                yield pd.concat(waiting, ignore_index=True)
                waiting = []
        if waiting:
            yield pd.concat(waiting, ignore_index=True)

    def _path(self, unit: BarUnit) -> Path:
        return self._units / f"{unit.key}_{unit.first:%Y%m%d}_{unit.last:%Y%m%d}.parquet"
