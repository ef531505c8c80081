"""What is stored of a judged block: bars that passed, by month, and what is said of the block, under its first month.

Not here: which rows pass (``judged.py``), the verdict itself (``judged_notes.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import numpy as np
import pandas as pd

from ljwx_pipeline.ingest.store import newest_version
from ljwx_pipeline.lake import Lake, TableVersion, split_by_month
from ljwx_pipeline.lake.adoption import adopt
from ljwx_pipeline.lake.threads import in_threads
from ljwx_pipeline.quality.days import days_of

CHECKED_BARS, QUARANTINE, SCORES, BREACHES = "bars", "quarantine", "quality_scores", "breaches"
#: Tables written at a time: each waits for the disk more than it works.
THREADS = 4


@dataclass(frozen=True)
class PassedBars:
    """The bars of a block that passed, so that what need not be written again need not be held.

    Parameters
    ----------
    whole
        Raw versions of which every row passed: their files are taken over as they are.
    rows
        What passed of the other months.
    emptied
        Months of which no row passed.
    """

    whole: tuple[TableVersion, ...]
    rows: pd.DataFrame
    emptied: tuple[str, ...]


def passed_bars(kept: pd.DataFrame, versions: Mapping[str, TableVersion]) -> PassedBars:
    """Return ``kept``, rows of the raw ``versions`` by month, by what is to be done with them."""
    days = days_of(kept["session_date"])
    months, first = np.unique(days.instants.astype("datetime64[M]"), return_index=True)
    counts = np.add.reduceat(days.counts, first) if len(months) else days.counts
    rows = {f"{month}-01": int(count) for month, count in zip(months, counts, strict=True)}
    whole = tuple(version for month, version in versions.items() if rows.get(month) == version.rows)
    emptied = tuple(month for month in versions if month not in rows)
    if len(whole) == len(rows):
        return PassedBars(whole, kept.iloc[:0].copy(), emptied)
    done = np.array([version.partition[:7] for version in whole], dtype="datetime64[M]")
    others = kept[~np.isin(kept["session_date"].to_numpy().astype("datetime64[M]"), done)]
    return PassedBars(whole, others, emptied)


def store_block(
    checked: Lake,
    months: tuple[str, ...],
    said: Mapping[str, pd.DataFrame],
    passed: PassedBars | None,
    known_at: datetime,
) -> tuple[str, ...]:
    """Store a block in ``checked`` and return what it holds of it since, as ``stored_hashes`` does.

    Parameters
    ----------
    said
        Tables on the block by name: each is stored under the first month.
    passed
        None leaves the bars of the block as they were.
    """
    tasks: list[Callable[[], object]] = [
        partial(_write_said, checked, table, months, rows, known_at) for table, rows in said.items()
    ]
    if passed is not None:
        tasks.insert(0, partial(_write_bars, checked, passed, known_at))
    in_threads(lambda task: task(), tasks, THREADS)
    return stored_hashes(checked, months)


def stored_hashes(checked: Lake, months: tuple[str, ...]) -> tuple[str, ...]:
    """Return what the checked lake holds of each month, and then of what is said of the block.

    A file that is gone is as good as never judged.
    """
    versions = [newest_version(checked, CHECKED_BARS, month) for month in months]
    versions += [newest_version(checked, table, months[0]) for table in (QUARANTINE, SCORES, BREACHES)]
    return tuple(
        version.content_hash if version is not None and all(path.exists() for path in version.paths) else ""
        for version in versions
    )


def _write_bars(checked: Lake, passed: PassedBars, known_at: datetime) -> None:
    adopt(checked, CHECKED_BARS, passed.whole, known_at=known_at)
    emptied = [month for month in passed.emptied if newest_version(checked, CHECKED_BARS, month)]
    checked.write_partitions(CHECKED_BARS, dict.fromkeys(emptied, passed.rows.iloc[:0]), known_at=known_at)
    if len(passed.rows):
        checked.write_partitions(CHECKED_BARS, split_by_month(passed.rows), known_at=known_at)


def _write_said(checked: Lake, table: str, months: tuple[str, ...], rows: pd.DataFrame, known_at: datetime) -> None:
    """Store what is said of a block under its first month; the others, once blocks of their own, say nothing more."""
    own = [month for month in months[1:] if newest_version(checked, table, month) is not None]
    checked.write_partitions(table, {months[0]: rows} | dict.fromkeys(own, rows.iloc[:0]), known_at=known_at)
