"""Combinatorial purged cross-validation: every choice of test groups, and the backtest paths their scores make.

Lopez de Prado (2018), "Advances in Financial Machine Learning", chapter 12. The sessions are cut into ``N`` groups;
each fold tests ``k`` of them and trains on the rest, so that a group is tested by ``C(N - 1, k - 1)`` models and the
scores can be put together to as many paths over all sessions. Most models see the future of what they test: the spread
of the paths says how much a result hangs on its history, none of them is what could have been earned. Not here: folds
in time order (``folds.py``), fitting (``models/``).
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.dataset.table import Dataset
from ljwx_pipeline.errors import DatasetError

Float = NDArray[np.float64]
Int = NDArray[np.int64]

#: Each fold is a model to fit.
MOST_FOLDS = 1000

Stretch = tuple[int, int]


@dataclass(frozen=True)
class CombinatorialFold:
    """One choice of test groups.

    Parameters
    ----------
    name
        The groups tested, counted from 1: ``groups 2+5``.
    test_groups
        Their positions, ascending.
    train, test
        Stretches of session positions ``[first, stop)``, ascending and disjoint; ``test`` has one for each group.
    train_rows, test_rows
        The rows of those.
    """

    name: str
    test_groups: tuple[int, ...]
    train: tuple[Stretch, ...]
    test: tuple[Stretch, ...]
    train_rows: tuple[slice, ...]
    test_rows: tuple[slice, ...]


def combinatorial_folds(
    dataset: Dataset, *, groups: int, test_groups: int, embargo_sessions: int, min_train_sessions: int
) -> list[CombinatorialFold]:
    """Return a fold for every choice of ``test_groups`` of ``groups``, in lexicographic order.

    Groups are consecutive and equally long to within a session. Before and after each stretch of tested sessions the
    purge (as far as the label reads) and ``embargo_sessions`` are left out of training: no label of a training row
    reads a price that the label of a tested row, or its session, reads. Tested groups that touch are one stretch.

    Raises
    ------
    DatasetError
        For fewer than one test group or as many as there are groups, more than 1,000 folds, groups not longer than the
        purge and embargo, or a fold that would train on fewer than ``min_train_sessions``.
    """
    require_choice(groups, test_groups)
    first, stop = int(dataset.session_index[0]), len(dataset.sessions)
    gap = dataset.purge_sessions + embargo_sessions
    edges = [int(edge) for edge in np.linspace(first, stop, groups + 1)]
    if (stop - first) // groups <= gap:
        raise DatasetError(
            f"{stop - first} sessions in {groups} groups are {(stop - first) // groups} each, not longer than the "
            f"purge and embargo of {gap}",
            "make fewer groups or extend the data",
        )
    made = []
    for chosen in itertools.combinations(range(groups), test_groups):
        test = tuple((edges[group], edges[group + 1]) for group in chosen)
        train = _outside(test, first, stop, gap)
        name = "groups " + "+".join(str(group + 1) for group in chosen)
        trained = sum(end - begin for begin, end in train)
        if trained < min_train_sessions:
            raise DatasetError(
                f"{name} of {groups} would train on {trained} sessions, fewer than {min_train_sessions}: of "
                f"{stop - first} the test takes {sum(end - begin for begin, end in test)}, purge and embargo of {gap} "
                "on either side the rest",
                "test fewer groups at a time, make fewer groups or extend the data",
            )
        made.append(
            CombinatorialFold(
                name=name,
                test_groups=chosen,
                train=train,
                test=test,
                train_rows=tuple(dataset.rows_between(*stretch) for stretch in train),
                test_rows=tuple(dataset.rows_between(*stretch) for stretch in test),
            )
        )
    return made


def training_dataset(dataset: Dataset, fold: CombinatorialFold) -> Dataset:
    """Return the rows that ``fold`` trains on as a dataset of their own; they are held once more.

    Its sessions are those of these rows alone, numbered without the gaps: two of them lie at least as far apart as
    their numbers say, so that a purge counted by these is never too short. Nothing computed from it is kept on disk.
    """

    def taken(values: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate([values[rows] for rows in fold.train_rows])

    sessions, index = np.unique(taken(dataset.session_index), return_inverse=True)
    rows = [(stretch.start, stretch.stop) for stretch in fold.train_rows]
    return replace(
        dataset,
        features=taken(dataset.features),
        forward_return=taken(dataset.forward_return),
        label=taken(dataset.label),
        session_index=index.astype(np.int32),
        symbol_index=taken(dataset.symbol_index),
        enterable=taken(dataset.enterable),
        scorable=taken(dataset.scorable),
        sessions=dataset.sessions[sessions],
        hash=hashlib.sha256(f"{dataset.hash} {rows}".encode()).hexdigest(),
        further_returns={held: taken(values) for held, values in dataset.further_returns.items()},
        groups=None if dataset.groups is None else taken(dataset.groups),
        mean_amount_cny=None if dataset.mean_amount_cny is None else taken(dataset.mean_amount_cny),
        kept_in=None,
    )


def path_folds(groups: int, test_groups: int) -> Int:
    """Return which fold each path takes each group's scores from, shape ``(paths, groups)``.

    Path ``j`` takes from the ``j``-th fold that tests the group, in the order of ``combinatorial_folds``. There are
    ``C(groups - 1, test_groups - 1)`` paths, and each fold's scores of each group are in one of them.

    Raises
    ------
    DatasetError
        As ``combinatorial_folds`` for the choice alone.
    """
    require_choice(groups, test_groups)
    chosen = list(itertools.combinations(range(groups), test_groups))
    return np.array(
        [[fold for fold, tested in enumerate(chosen) if group in tested] for group in range(groups)], dtype=np.int64
    ).T


def path_scores(folds: Sequence[CombinatorialFold], scores: Sequence[Float], *, rows: int) -> Float:
    """Return the scores put together to paths, shape ``(paths, rows)``: each row once in each path.

    Parameters
    ----------
    folds
        All of ``combinatorial_folds``.
    scores
        For each fold the scores of its ``test_rows``, joined in their order. NaN stays NaN.
    rows
        Rows of the dataset.

    Raises
    ------
    DatasetError
        When folds are missing, or a fold's scores are not as many as its test rows.
    """
    groups, tested = 1 + max(fold.test_groups[-1] for fold in folds), len(folds[0].test_groups)
    needed = math.comb(groups, tested)
    if len(folds) != needed or len(scores) != needed:
        raise DatasetError(
            f"{len(folds)} folds and scores of {len(scores)} do not make paths of {needed} folds",
            "score every fold of combinatorial_folds",
        )
    out = np.full((math.comb(groups - 1, tested - 1), rows), np.nan)
    used = [0] * groups
    for fold, scored in zip(folds, scores, strict=True):
        lengths = [where.stop - where.start for where in fold.test_rows]
        if len(scored) != sum(lengths):
            raise DatasetError(
                f"{fold.name} has {len(scored)} scores for {sum(lengths)} test rows", "score each test row once"
            )
        parts = np.split(np.asarray(scored, dtype=np.float64), np.cumsum(lengths)[:-1])
        for group, where, part in zip(fold.test_groups, fold.test_rows, parts, strict=True):
            out[used[group], where] = part
            used[group] += 1
    return out


def _outside(test: Sequence[Stretch], first: int, stop: int, gap: int) -> tuple[Stretch, ...]:
    """Return the stretches of ``[first, stop)`` that keep ``gap`` sessions from every tested one."""
    begins = [first, *(end + gap for _, end in test)]
    ends = [*(begin - gap for begin, _ in test), stop]
    return tuple((begin, end) for begin, end in zip(begins, ends, strict=True) if begin < end)


def require_choice(groups: int, test_groups: int) -> None:
    """Raise ``DatasetError`` for fewer than one test group, as many as there are groups, or more than 1,000 folds."""
    if not 1 <= test_groups < groups:
        raise DatasetError(
            f"{test_groups} test groups of {groups} leave nothing to train or to test on",
            f"test 1 to {max(groups - 1, 1)} of at least 2 groups",
        )
    if math.comb(groups, test_groups) > MOST_FOLDS:
        raise DatasetError(
            f"{test_groups} test groups of {groups} make {math.comb(groups, test_groups):,} folds, each a model to fit",
            f"choose numbers that make at most {MOST_FOLDS:,}",
        )
