"""Folds: which rows train and which test, purged and embargoed, so that no training label reads a tested price.

Not here: the rows themselves (``table.py``), fitting (``models/``).
"""

from __future__ import annotations

import itertools
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


@dataclass(frozen=True)
class Window:
    """A fold on an axis of sessions: positions ``[first, stop)`` of what trains and of what tests."""

    name: str
    train: tuple[int, int]
    test: tuple[int, int]


def folds(dataset: Dataset, walk_forward: WalkForwardSettings) -> list[Fold]:
    """Return the test folds in time order; see ``windows``.

    Raises
    ------
    DatasetError
        As ``windows``.
    """
    first = int(dataset.session_index[0])
    axis = dataset.sessions[first:]

    def placed(ends: tuple[int, int]) -> tuple[int, int]:
        return first + ends[0], first + ends[1]

    made = windows(axis, walk_forward, dataset.purge_sessions)
    return [_fold(dataset, one.name, placed(one.train), placed(one.test)) for one in made]


def windows(sessions: pd.DatetimeIndex, walk_forward: WalkForwardSettings, purge_sessions: int) -> list[Window]:
    """Return the test folds from the first test year on, on ``sessions``, those that research may see.

    A fold is a calendar year (the last may be partial), one of ``folds`` parts of equal length, or ``test_sessions``
    long (a last part not longer than the purge and embargo belongs to the one before it). Training ends
    ``purge_sessions + embargo_sessions`` sessions before the test's first: no training label reads a price of the test.
    It begins with the first session, or under ``rolling`` ``train_sessions`` before its end. A year's fold is named by
    the year, another by its first session.

    Raises
    ------
    DatasetError
        As ``first_test_year``; or when a test fold of ``folds`` or ``test_sessions`` would not be longer than the purge
        and embargo, so that most of what it tests would overlap the next fold's purge.
    """
    begin = first_test_year(sessions, walk_forward, purge_sessions)
    years = sessions.year.to_numpy()
    first, gap = int(np.searchsorted(years, begin)), purge_sessions + walk_forward.embargo_sessions
    if walk_forward.folds == "year" and not walk_forward.test_sessions:
        edges = [*np.unique(years, return_index=True)[1].tolist(), len(sessions)]
        edges = [edge for edge in edges if edge >= first]
        names = [str(years[edge]) for edge in edges[:-1]]
    else:
        edges = _equal_parts(len(sessions), first, gap, walk_forward)
        names = [str(sessions[edge].date()) for edge in edges[:-1]]
    rolling = walk_forward.scheme == "rolling"
    return [
        Window(name, (start - gap - walk_forward.train_sessions if rolling else 0, start - gap), (start, stop))
        for name, (start, stop) in zip(names, itertools.pairwise(edges), strict=True)
    ]


def _equal_parts(stop: int, first: int, gap: int, walk_forward: WalkForwardSettings) -> list[int]:
    """Return where the tested sessions ``[first, stop)`` are cut, both ends with them."""
    tested, count = stop - first, walk_forward.folds
    if isinstance(count, int):
        length, asked, remedy = tested // count, f"walk_forward.folds = {count}", "lower walk_forward.folds"
        edges = [int(edge) for edge in np.linspace(first, stop, count + 1)]
    else:
        length = min(walk_forward.test_sessions, tested)
        asked = f"walk_forward.test_sessions = {walk_forward.test_sessions}"
        remedy = "raise walk_forward.test_sessions"
        edges = [*range(first, stop, walk_forward.test_sessions), stop]
        if len(edges) > 2 and edges[-1] - edges[-2] <= gap:
            edges.pop(-2)
    if length <= gap:
        raise DatasetError(
            f"{asked} makes test folds of {length} of the {tested} tested sessions, not longer than the purge and "
            f"embargo of {gap}",
            f"{remedy}, test earlier years or extend the data",
        )
    return edges


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
    before it, so that a long history is not tested on models that have seen little of it; under ``rolling`` with
    ``train_sessions`` too, so that every fold trains on as many.

    Raises
    ------
    DatasetError
        When no session lies in the configured year or later, or too few training sessions lie before it; the remedy
        names a year that works where there is one.
    """
    least, wanted = max(walk_forward.min_train_sessions, walk_forward.train_sessions), walk_forward.first_test_year
    key = "train_sessions" if walk_forward.train_sessions == least else "min_train_sessions"
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
            f"than walk_forward.{key} = {least} or a third of all",
            f"extend the data, or lower walk_forward.{key}",
        )
    works = f"set walk_forward.first_test_year to {long_enough[0]} or auto" if long_enough else "extend the data"
    tested = [year for year in trained if year >= wanted]
    if not tested:
        raise DatasetError(f"no session lies in {wanted} or later: research sees {span}", works)
    if trained[tested[0]] < least:
        raise DatasetError(
            f"test year {tested[0]} has {trained[tested[0]]} training sessions before it, fewer than "
            f"walk_forward.{key} = {least}: research sees {span}",
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
