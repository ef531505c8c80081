"""Folds: which rows train and which test, purged and embargoed, so that no training label reads a tested price.

Not here: the rows themselves (``table.py``), fitting (``models/``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from ljwx_pipeline.config import WalkForwardSettings
from ljwx_pipeline.dataset.table import Dataset
from ljwx_pipeline.errors import DatasetError


@dataclass(frozen=True)
class Fold:
    """A training and a test slice of a dataset's rows, with the first and last session of each."""

    name: str
    train_rows: slice
    test_rows: slice
    train_first: date
    train_last: date
    test_first: date
    test_last: date


def folds(dataset: Dataset, walk_forward: WalkForwardSettings) -> list[Fold]:
    """Return one fold a calendar year from ``first_test_year`` on, each trained on everything before it.

    Training ends ``purge_sessions + embargo_sessions`` sessions before the test's first: no training label reads a
    price of the test. The last year may be partial.

    Raises
    ------
    DatasetError
        When no year is left to test, or the first has fewer than ``min_train_sessions`` sessions before it.
    """
    first_row = int(dataset.session_index[0])
    years = dataset.sessions.year.to_numpy()
    tested = [int(year) for year in np.unique(years) if year >= walk_forward.first_test_year]
    if not tested:
        raise DatasetError(
            f"no session lies in {walk_forward.first_test_year} or later: the data ends {dataset.sessions[-1].date()}",
            "set walk_forward.first_test_year to an earlier year or extend the data",
        )
    out = []
    for year in tested:
        start, stop = (int(position) for position in np.searchsorted(years, [year, year + 1]))
        train_stop = start - dataset.purge_sessions - walk_forward.embargo_sessions
        if train_stop - first_row < walk_forward.min_train_sessions:
            raise DatasetError(
                f"test year {year} has {max(train_stop - first_row, 0)} training sessions before it, fewer than "
                f"walk_forward.min_train_sessions = {walk_forward.min_train_sessions}",
                "set walk_forward.first_test_year to a later year or extend the data",
            )
        out.append(_fold(dataset, str(year), (first_row, train_stop), (start, stop)))
    return out


def inner_folds(dataset: Dataset, rows: slice, count: int, embargo_sessions: int = 0) -> list[Fold]:
    """Return ``count`` expanding folds inside ``rows``, for tuning: their sessions are cut into ``count + 1`` parts.

    Each part but the first is tested once, by what comes before it less the purge and ``embargo_sessions``.

    Raises
    ------
    DatasetError
        When a part is not longer than the purge and embargo, so that no training session would be left.
    """
    first = int(dataset.session_index[rows][0])
    stop = int(dataset.session_index[rows][-1]) + 1
    gap = dataset.purge_sessions + embargo_sessions
    if (stop - first) // (count + 1) <= gap:
        raise DatasetError(
            f"{stop - first} sessions are too few for {count} inner folds that are purged by {gap} sessions",
            "lower tune.inner_folds or extend the data",
        )
    edges = np.linspace(first, stop, count + 2).astype(np.int64).tolist()
    return [
        _fold(dataset, f"inner {k}", (first, edges[k] - gap), (edges[k], edges[k + 1])) for k in range(1, count + 1)
    ]


def _fold(dataset: Dataset, name: str, train: tuple[int, int], test: tuple[int, int]) -> Fold:
    days = [dataset.sessions[position].date() for position in (train[0], train[1] - 1, test[0], test[1] - 1)]
    return Fold(name, dataset.rows_between(*train), dataset.rows_between(*test), *days)
