"""Folds: which rows train and which test, purged and embargoed, so that no training label reads a tested price.

Not here: the rows themselves (``table.py``), fitting (``models/``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from ljwx_pipeline.config import WalkForwardSettings
from ljwx_pipeline.dataset.table import Dataset
from ljwx_pipeline.errors import DatasetError

#: Under ``auto`` at least this share of all sessions trains the first fold.
AUTO_TRAIN_FRAC = 1 / 3


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
    """Return one fold a calendar year from the first test year on, each trained on everything before it.

    Training ends ``purge_sessions + embargo_sessions`` sessions before the test's first: no training label reads a
    price of the test. The last year may be partial.

    Raises
    ------
    DatasetError
        As ``first_test_year``.
    """
    first_row = int(dataset.session_index[0])
    years = dataset.sessions.year.to_numpy()
    begin = first_test_year(dataset.sessions[first_row:], walk_forward, dataset.purge_sessions)
    out = []
    for year in (int(year) for year in np.unique(years) if year >= begin):
        start, stop = (int(position) for position in np.searchsorted(years, [year, year + 1]))
        train_stop = start - dataset.purge_sessions - walk_forward.embargo_sessions
        out.append(_fold(dataset, str(year), (first_row, train_stop), (start, stop)))
    return out


def sessions_for_research(sessions: pd.DatetimeIndex, held_out_sessions: int) -> pd.DatetimeIndex:
    """Return the sessions research may see: all but the held-out ones at the end.

    Raises
    ------
    DatasetError
        When that leaves none.
    """
    if len(sessions) <= held_out_sessions:
        raise DatasetError(
            f"the data holds {len(sessions)} sessions and research.held_out_sessions = {held_out_sessions} of them "
            "are held out",
            "ask for a longer range",
        )
    return sessions[:-held_out_sessions]


def first_test_year(sessions: pd.DatetimeIndex, walk_forward: WalkForwardSettings, purge_sessions: int) -> int:
    """Return the first year to test on ``sessions``, those that research may see.

    It is the configured year. Under ``auto`` it is the first with ``min_train_sessions`` and a third of all sessions
    before it, so that a long history is not tested on models that have seen little of it.

    Raises
    ------
    DatasetError
        When no session lies in the configured year or later, or too few training sessions lie before it; the remedy
        names a year that works where there is one.
    """
    least, wanted = walk_forward.min_train_sessions, walk_forward.first_test_year
    years, starts = np.unique(sessions.year.to_numpy(), return_index=True)
    trained = {
        int(year): max(int(start) - purge_sessions - walk_forward.embargo_sessions, 0)
        for year, start in zip(years, starts, strict=True)
    }
    long_enough = [year for year, count in trained.items() if count >= max(least, len(sessions) * AUTO_TRAIN_FRAC)]
    if wanted == "auto" and long_enough:
        return long_enough[0]
    span = f"{len(sessions)} sessions, {sessions[0].date()} to {sessions[-1].date()}"
    if wanted == "auto":
        last, most = list(trained.items())[-1]
        raise DatasetError(
            f"no year can be tested: research sees {span}, and {last} has {most} training sessions before it, fewer "
            f"than walk_forward.min_train_sessions = {least} or a third of all",
            "extend the data, or lower walk_forward.min_train_sessions",
        )
    works = f"set walk_forward.first_test_year to {long_enough[0]} or auto" if long_enough else "extend the data"
    tested = [year for year in trained if year >= wanted]
    if not tested:
        raise DatasetError(f"no session lies in {wanted} or later: research sees {span}", works)
    if trained[tested[0]] < least:
        raise DatasetError(
            f"test year {tested[0]} has {trained[tested[0]]} training sessions before it, fewer than "
            f"walk_forward.min_train_sessions = {least}: research sees {span}",
            works,
        )
    return tested[0]


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
