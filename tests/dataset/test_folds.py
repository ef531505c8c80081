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


def walk(first: int | str = 2021, embargo: int = 0, least: int = 60, **changed: int | str) -> WalkForwardSettings:
    plain = {"folds": "year", "test_sessions": 0, "scheme": "expanding", "train_sessions": 0, "workers": 1}
    return WalkForwardSettings(
        first_test_year=first, embargo_sessions=embargo, min_train_sessions=least, **{**plain, **changed}
    )


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
    made += folds(dataset, walk(2020, embargo, folds=2))
    made += folds(dataset, walk(2020, embargo, test_sessions=100, scheme="rolling", train_sessions=60))
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


def test_a_number_of_folds_cuts_the_tested_sessions_into_equal_parts(dataset: Dataset) -> None:
    made = folds(dataset, walk(2020, folds=10))
    lengths = [len(np.unique(dataset.session_index[fold.test_rows])) for fold in made]
    assert len(made) == 10
    assert max(lengths) - min(lengths) <= 1
    assert made[0].test_first.year == 2020
    assert made[-1].test_rows.stop == len(dataset.label)
    for earlier, later in itertools.pairwise(made):
        assert earlier.test_rows.stop == later.test_rows.start
    assert [fold.name for fold in made] == [str(fold.test_first) for fold in made]


def test_test_sessions_set_the_length_and_the_rest_joins_the_last(dataset: Dataset) -> None:
    tested = int((dataset.sessions.year >= 2021).sum())
    lengths = []
    for left in (6, 7):
        length = next(n for n in range(60, tested) if tested % n == left)
        made = folds(dataset, walk(2021, test_sessions=length))
        lengths.append([len(np.unique(dataset.session_index[fold.test_rows])) - length for fold in made])
    whole, partial = lengths
    assert set(whole[:-1]) <= {0}
    assert whole[-1] == 6, "not longer than the purge: joined"
    assert set(partial[:-1]) <= {0}
    assert partial[-1] < 0, "longer than the purge: a fold of its own"


def test_rolling_windows_are_equally_long_and_move_with_the_test(dataset: Dataset) -> None:
    made = folds(dataset, walk(2021, folds=4, scheme="rolling", train_sessions=120))
    for fold in made:
        trained = np.unique(dataset.session_index[fold.train_rows])
        assert len(trained) == 120
        assert trained[-1] + 7 == dataset.session_index[fold.test_rows.start]
    starts = [fold.train_rows.start for fold in made]
    assert starts == sorted(set(starts))
    assert starts[0] > 0


def test_expanding_and_rolling_test_the_same_sessions(dataset: Dataset) -> None:
    expanding = folds(dataset, walk(2021, folds=4))
    rolling = folds(dataset, walk(2021, folds=4, scheme="rolling", train_sessions=120))
    assert [fold.test_rows for fold in expanding] == [fold.test_rows for fold in rolling]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"folds": 60}, r"folds = 60 makes test folds of \d of the \d+ tested sessions, not longer .* of 6"),
        ({"test_sessions": 6}, r"test_sessions = 6 makes test folds of 6 of .* not longer .* of 6"),
        ({"test_sessions": 20, "embargo": 14}, r"test_sessions = 20 makes .* not longer .* of 20"),
    ],
)
def test_a_fold_not_longer_than_the_purge_and_embargo_is_refused(
    dataset: Dataset, changed: dict[str, int], told: str
) -> None:
    with pytest.raises(DatasetError, match=told):
        folds(dataset, walk(2021, **changed))


def test_a_rolling_window_longer_than_the_history_is_refused(dataset: Dataset) -> None:
    with pytest.raises(DatasetError, match=r"test year 2020 has \d+ training .* walk_forward.train_sessions = 400"):
        folds(dataset, walk(2020, scheme="rolling", train_sessions=400))
    auto = folds(dataset, walk("auto", scheme="rolling", train_sessions=400))
    assert auto[0].test_first.year == 2021


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"folds": 3, "test_sessions": 50}, "both say how long"),
        ({"scheme": "rolling"}, "train_sessions = 0: write at least 60"),
        ({"train_sessions": 200}, "is read by walk_forward.scheme = rolling alone"),
        ({"folds": 0}, "write year, or a number from 1"),
        ({"folds": True}, "write year, or a number from 1"),
        ({"folds": "quarter"}, "write year, or a number from 1"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changed: dict[str, int | str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        walk(2021, **changed)
