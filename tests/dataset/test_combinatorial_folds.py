"""Combinatorial purged folds: what is tested, what is left out of training, and the paths of the book's figure."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ljwx_pipeline.config import LabelSettings
from ljwx_pipeline.dataset import Dataset
from ljwx_pipeline.dataset.combinatorial_folds import (
    CombinatorialFold,
    combinatorial_folds,
    path_folds,
    path_scores,
)
from ljwx_pipeline.errors import DatasetError
from tests.fakes.datasets import random_dataset


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return random_dataset(symbols=3)


def made(
    dataset: Dataset, groups: int = 6, tested: int = 2, embargo: int = 0, least: int = 60
) -> list[CombinatorialFold]:
    return combinatorial_folds(
        dataset, groups=groups, test_groups=tested, embargo_sessions=embargo, min_train_sessions=least
    )


def positions(where: tuple[slice, ...]) -> np.ndarray:
    return np.concatenate([np.arange(one.start, one.stop) for one in where])


@settings(max_examples=25, deadline=None)
@given(
    lag=st.integers(1, 3), horizon=st.integers(1, 20), embargo=st.integers(0, 15), groups=st.integers(3, 8),
    data=st.data(),
)  # fmt: skip
def test_no_training_label_overlaps_a_tested_one_and_every_row_is_tested_equally_often(
    lag: int, horizon: int, embargo: int, groups: int, data: st.DataObject
) -> None:
    tested = data.draw(st.integers(1, groups - 1))
    label = LabelSettings(entry_lag_sessions=lag, horizon_sessions=horizon)
    dataset = random_dataset(symbols=2, label=label)
    reach, axis = lag + horizon, np.arange(len(dataset.sessions))
    times = np.zeros(len(dataset.label), dtype=int)
    folds = made(dataset, groups, tested, embargo, least=1)
    for fold in folds:
        test, train = positions(fold.test_rows), positions(fold.train_rows)
        times[test] += 1
        # what a tested row is about: its own session to the last price its label reads, and the embargo around
        taken = np.zeros(len(axis) + 2 * (reach + embargo) + 1, dtype=bool)
        for session in np.unique(dataset.session_index[test]):
            taken[session : session + reach + embargo + 1] = True
        for session in np.unique(dataset.session_index[train]):
            assert not taken[session : session + reach + 1].any()
    assert set(times) == {math.comb(groups - 1, tested - 1)}
    assert len(folds) == math.comb(groups, tested)


def test_nothing_more_is_left_out_than_the_label_and_the_embargo_need(dataset: Dataset) -> None:
    for embargo in (0, 4):
        for fold in made(dataset, embargo=embargo):
            tested = np.zeros(len(dataset.sessions), dtype=bool)
            for first, stop in fold.test:
                tested[first:stop] = True
            gap = dataset.purge_sessions + embargo
            near = np.convolve(tested, np.ones(2 * gap + 1), mode="same") > 0
            expected = np.flatnonzero(~near[dataset.session_index])
            np.testing.assert_array_equal(positions(fold.train_rows), expected)


def test_six_groups_of_which_two_are_tested_make_the_fifteen_folds_and_five_paths_of_the_book(dataset: Dataset) -> None:
    # Lopez de Prado (2018), figures 12.1 and 12.2: the folds that test each group, and the path each belongs to
    folds = made(dataset)
    assert [fold.test_groups for fold in folds[:6]] == [(0, 1), (0, 2), (0, 3), (0, 4), (0, 5), (1, 2)]
    assert len(folds) == 15
    assert folds[5].name == "groups 2+3"
    paths = path_folds(6, 2)
    assert paths.shape == (5, 6)
    assert (paths[0] + 1).tolist() == [1, 1, 2, 3, 4, 5]
    assert (paths[1] + 1).tolist() == [2, 6, 6, 7, 8, 9]


@given(groups=st.integers(2, 9), data=st.data())
def test_each_fold_gives_each_group_it_tests_to_one_path(groups: int, data: st.DataObject) -> None:
    tested = data.draw(st.integers(1, groups - 1))
    paths = path_folds(groups, tested)
    assert len(paths) == math.comb(groups - 1, tested - 1) == tested * math.comb(groups, tested) // groups
    used = {(int(fold), group) for path in paths for group, fold in enumerate(path)}
    assert len(used) == tested * math.comb(groups, tested)


def test_a_path_holds_each_row_once_with_the_scores_of_its_folds(dataset: Dataset) -> None:
    folds, rows = made(dataset), len(dataset.label)
    scores = [positions(fold.test_rows) + 1e6 * number for number, fold in enumerate(folds)]
    joined = path_scores(folds, scores, rows=rows)
    assert joined.shape == (5, rows)
    np.testing.assert_array_equal(joined % 1e6, np.tile(np.arange(rows), (5, 1)))
    groups = np.empty(rows, dtype=int)
    for fold in folds:
        for group, where in zip(fold.test_groups, fold.test_rows, strict=True):
            groups[where] = group
    np.testing.assert_array_equal(joined // 1e6, path_folds(6, 2)[:, groups])


def test_groups_are_equally_long_and_touching_ones_are_not_purged_between(dataset: Dataset) -> None:
    folds = made(dataset)
    lengths = [stop - first for first, stop in (folds[0].test[0], *(fold.test[1] for fold in folds[:5]))]
    assert sum(lengths) == len(dataset.sessions)
    assert max(lengths) - min(lengths) <= 1
    together, apart = folds[0], folds[1]
    assert together.test[0][1] == together.test[1][0]
    assert len(together.train) == 1
    assert len(apart.train) == 2


def test_a_group_between_two_tested_ones_may_be_too_short_to_train_on() -> None:
    short = random_dataset(symbols=2, first=date(2021, 1, 4), last=date(2021, 4, 30))
    between = made(short, groups=8, tested=2, least=1)[1]
    assert between.test_groups == (0, 2)
    assert len(between.train) == 1, "purged from both sides"


@pytest.mark.parametrize(
    ("groups", "tested", "embargo", "least", "told"),
    [
        (6, 0, 0, 60, "0 test groups of 6 .* test 1 to 5"),
        (6, 6, 0, 60, "6 test groups of 6 .* test 1 to 5"),
        (1, 1, 0, 60, "test 1 to 1 of at least 2"),
        (20, 10, 0, 60, "make 184,756 folds, .* at most 1,000"),
        (6, 2, 200, 60, r"sessions in 6 groups are \d+ each, not longer than the purge and embargo of 206"),
        (6, 2, 0, 550, r"groups 1\+3 of 6 would train on 547 sessions, fewer than 550: of \d+ the test takes \d+"),
    ],
)
def test_choices_that_leave_too_little_are_refused(
    dataset: Dataset, groups: int, tested: int, embargo: int, least: int, told: str
) -> None:
    with pytest.raises(DatasetError, match=told):
        made(dataset, groups, tested, embargo, least)


def test_scores_that_do_not_fit_the_folds_are_refused(dataset: Dataset) -> None:
    folds = made(dataset)
    scores = [np.zeros(len(positions(fold.test_rows))) for fold in folds]
    with pytest.raises(DatasetError, match="14 folds and scores of 14 do not make paths of 15 folds"):
        path_scores(folds[1:], scores[1:], rows=len(dataset.label))
    scores[2] = scores[2][1:]
    with pytest.raises(DatasetError, match=r"groups 1\+4 has \d+ scores for \d+ test rows"):
        path_scores(folds, scores, rows=len(dataset.label))
