"""Folds: no training label reads a tested price, and what is refused."""

from __future__ import annotations

import itertools
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ljwx_pipeline.config import LabelSettings, WalkForwardSettings
from ljwx_pipeline.dataset import Dataset, Fold, folds, inner_folds, sessions_for_research
from ljwx_pipeline.dataset.folds import first_test_year
from ljwx_pipeline.errors import DatasetError
from ljwx_pipeline.market.calendar import sessions_between
from tests.fakes.datasets import random_dataset


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return random_dataset()


def walk(first: int | str = 2021, embargo: int = 0, least: int = 60) -> WalkForwardSettings:
    return WalkForwardSettings(first_test_year=first, embargo_sessions=embargo, min_train_sessions=least)


def last_price_read(dataset: Dataset, fold: Fold, label: LabelSettings) -> int:
    last_row = dataset.session_index[fold.train_rows].max()
    return int(last_row) + label.entry_lag_sessions + label.horizon_sessions


@settings(max_examples=20, deadline=None)
@given(lag=st.integers(1, 5), horizon=st.integers(1, 30), embargo=st.integers(0, 40), first=st.integers(2020, 2022))
def test_no_training_label_reads_a_price_at_or_after_the_tests_first_session(
    lag: int, horizon: int, embargo: int, first: int
) -> None:
    label = LabelSettings(entry_lag_sessions=lag, horizon_sessions=horizon)
    dataset = random_dataset(symbols=2, label=label)
    made = folds(dataset, walk(first, embargo)) + inner_folds(dataset, slice(0, len(dataset.label)), 3, embargo)
    for fold in made:
        first_tested = int(dataset.session_index[fold.test_rows].min())
        assert last_price_read(dataset, fold, label) + embargo < first_tested


def test_the_purge_is_not_wider_than_the_label_needs(dataset: Dataset) -> None:
    label = LabelSettings(entry_lag_sessions=1, horizon_sessions=5)
    for fold in folds(dataset, walk()):
        first_tested = dataset.sessions.get_loc(np.datetime64(fold.test_first))
        assert dataset.sessions.get_loc(np.datetime64(fold.train_last)) + 6 == first_tested - 1
        assert last_price_read(dataset, fold, label) <= first_tested - 1


def test_there_is_a_fold_a_year_and_training_expands_from_the_first_session(dataset: Dataset) -> None:
    made = folds(dataset, walk(2020))
    assert [fold.name for fold in made] == ["2020", "2021", "2022"]
    assert {fold.train_rows.start for fold in made} == {0}
    assert made[0].train_rows.stop < made[1].train_rows.stop < made[2].train_rows.stop
    assert [fold.test_first.year for fold in made] == [2020, 2021, 2022]


def test_test_rows_cover_every_session_from_the_first_test_year_once(dataset: Dataset) -> None:
    made = folds(dataset, walk(2020))
    for earlier, later in itertools.pairwise(made):
        assert earlier.test_rows.stop == later.test_rows.start
    assert made[-1].test_rows.stop == len(dataset.label)
    first = dataset.sessions[dataset.session_index[made[0].test_rows.start]]
    assert (first.year, first.month) == (2020, 1)


def test_a_first_test_year_with_too_little_history_is_refused() -> None:
    short = random_dataset(symbols=2, first=date(2019, 10, 8), last=date(2021, 6, 30))
    with pytest.raises(DatasetError, match=r"test year 2020 has \d+ training sessions .* 60.*first_test_year to 2021"):
        folds(short, walk(2020))


@pytest.mark.parametrize(
    ("first", "last", "year"),
    [
        (date(2010, 1, 4), date(2020, 9, 7), 2014),  # the real panel
        (date(2018, 1, 2), date(2025, 12, 31), 2021),  # the simulated market
        (date(2018, 1, 2), date(2020, 12, 31), 2020),  # short: as soon as min_train_sessions allow
    ],
)
def test_auto_is_the_first_year_after_the_training_sessions_and_a_third_of_all(
    first: date, last: date, year: int
) -> None:
    seen = sessions_for_research(sessions_between(first, last), 40)
    assert first_test_year(seen, walk("auto", least=480), purge_sessions=6) == year


def test_the_folds_begin_with_the_year_that_auto_stands_for(dataset: Dataset) -> None:
    assert [fold.name for fold in folds(dataset, walk("auto", least=60))] == ["2021", "2022"]
    assert [fold.name for fold in folds(dataset, walk("auto", least=480))] == ["2021", "2022"]
    assert [fold.name for fold in folds(dataset, walk("auto", least=600))] == ["2022"]


def test_auto_without_any_year_says_what_there_is() -> None:
    seen = sessions_between(date(2019, 6, 3), date(2020, 10, 30))
    with pytest.raises(DatasetError, match=r"no year can be tested: .* 2020 has 139 training sessions .* = 480"):
        first_test_year(seen, walk("auto", least=480), purge_sessions=6)


def test_a_year_is_named_that_works() -> None:
    seen = sessions_between(date(2018, 1, 2), date(2025, 12, 31))
    with pytest.raises(DatasetError, match="test year 2018") as caught:
        first_test_year(seen, walk(2014, least=480), purge_sessions=6)
    assert "first_test_year to 2021" in caught.value.remedy
    assert first_test_year(seen, walk(2021, least=480), purge_sessions=6) == 2021


def test_held_out_sessions_that_leave_nothing_are_refused() -> None:
    with pytest.raises(DatasetError, match=r"holds 20 sessions and research\.held_out_sessions = 20"):
        sessions_for_research(sessions_between(date(2019, 1, 2), date(2019, 1, 29)), 20)


def test_a_first_test_year_after_the_data_is_refused(dataset: Dataset) -> None:
    with pytest.raises(
        DatasetError, match=r"no session lies in 2023 or later: .* to 2022-06-30: set .*first_test_year to 2021 or auto"
    ):
        folds(dataset, walk(2023))


def test_inner_folds_stay_inside_their_rows_and_expand(dataset: Dataset) -> None:
    outer = folds(dataset, walk())[0]
    made = inner_folds(dataset, outer.train_rows, 3)
    assert len(made) == 3
    for fold in made:
        assert fold.train_rows.start == outer.train_rows.start
        assert fold.train_rows.stop < fold.test_rows.start < fold.test_rows.stop <= outer.train_rows.stop
    assert made[-1].test_rows.stop == outer.train_rows.stop
    assert made[0].test_rows.stop == made[1].test_rows.start


def test_inner_folds_that_the_purge_would_empty_are_refused(dataset: Dataset) -> None:
    rows = dataset.rows_between(0, 20)
    with pytest.raises(DatasetError, match="20 sessions are too few for 2 inner folds"):
        inner_folds(dataset, rows, 2)
