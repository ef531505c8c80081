"""Input that nothing can be learned from is refused by name: the fact, the value, the remedy, and no traceback."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from ljwx_pipeline.config import ModelSettings
from ljwx_pipeline.dataset import Dataset
from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.models.fit import fit_one
from ljwx_pipeline.models.train import train
from tests.fakes.model_settings import model_settings
from tests.fakes.planted import PURGE, planted_dataset

KINDS = ("regression", "rank", "quantile", "linear", "xgboost")
#: Sessions 0 to 153 are the head, 154 to 159 the purge, 160 to 199 the tail.
SESSIONS, TAIL = 200, 40
ROWS = slice(0, 30 * SESSIONS)


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest) -> ModelSettings:
    return model_settings(kind=request.param, early_stopping_tail_sessions=TAIL, max_rounds=5)


@pytest.fixture
def dataset() -> Dataset:
    return planted_dataset(sessions=SESSIONS + PURGE)


def with_label(dataset: Dataset, change: Callable[[np.ndarray], np.ndarray]) -> Dataset:
    """Return the dataset with forward return and label changed alike."""
    label = change(dataset.label.copy()).astype(np.float32)
    return replace(dataset, label=label, forward_return=change(dataset.forward_return.copy()))


def put(value: float, rows: slice) -> Callable[[np.ndarray], np.ndarray]:
    def change(values: np.ndarray) -> np.ndarray:
        values[rows] = value
        return values

    return change


def test_a_constant_label(dataset: Dataset, model: ModelSettings) -> None:
    constant = with_label(dataset, put(0.25, slice(0, None)))
    said = (
        r"the label is constant, 0\.25 on all 6000 rows of the training window, 2018-01-02 to 2018-10-08: look at the"
    )
    with pytest.raises(ModelError, match=said):
        train(constant, ROWS, {}, model)


@pytest.mark.parametrize("transform", ["zscore", "gauss"])
def test_a_constant_return_under_every_transform(dataset: Dataset, transform: str) -> None:
    constant = with_label(dataset, put(0.25, slice(0, None)))
    model = model_settings(label_transform=transform, early_stopping_tail_sessions=TAIL)
    with pytest.raises(ModelError, match="the label is constant, 0 on all 6000 rows of the training window"):
        train(constant, ROWS, {}, model)


def test_returns_that_differ_between_sessions_alone_rank_nobody(dataset: Dataset, model: ModelSettings) -> None:
    by_session = dataset.session_index.astype(np.float64)
    with pytest.raises(ModelError, match="the label is constant, 0 on all 6000 rows"):
        fit_one(dataset, ROWS, {}, model, label=by_session)


def test_an_all_nan_label(dataset: Dataset, model: ModelSettings) -> None:
    unknown = with_label(dataset, put(np.nan, slice(0, None)))
    with pytest.raises(
        ModelError, match="the training window, 2018-01-02 to 2018-10-08, holds no known label of a stock"
    ):
        train(unknown, ROWS, {}, model)


def test_no_stock_that_may_be_scored(dataset: Dataset, model: ModelSettings) -> None:
    nobody = replace(dataset, scorable=np.zeros_like(dataset.scorable))
    with pytest.raises(ModelError, match="holds no known label of a stock that may be scored: look for missing bars"):
        train(nobody, ROWS, {}, model)


def test_a_head_of_one_class(dataset: Dataset, model: ModelSettings) -> None:
    head = with_label(dataset, put(-0.5, slice(0, 30 * (SESSIONS - TAIL))))
    said = r"the label is constant, -0\.5 on all 4620 rows of the training window before its purged tail, 2018-01-02 to"
    with pytest.raises(ModelError, match=said):
        train(head, ROWS, {}, model)


def test_a_tail_of_one_class(dataset: Dataset, model: ModelSettings) -> None:
    tail = with_label(dataset, put(0.5, slice(30 * (SESSIONS - TAIL), None)))
    with pytest.raises(ModelError, match=r"constant, 0\.5 on all 1200 rows of the early-stopping tail, 2018-08-14 to"):
        train(tail, ROWS, {}, model)


def test_a_tail_without_labels(dataset: Dataset, model: ModelSettings) -> None:
    tail = with_label(dataset, put(np.nan, slice(30 * (SESSIONS - TAIL), None)))
    with pytest.raises(ModelError, match="the early-stopping tail, 2018-08-14 to 2018-10-08, holds no known label"):
        train(tail, ROWS, {}, model)


def test_a_fold_shorter_than_the_purge(dataset: Dataset, model: ModelSettings) -> None:
    said = (
        r"2018-01-02 to 2018-01-09, is shorter than the purge: 6 sessions, and labels reach 6 ahead: widen the training"
    )
    with pytest.raises(ModelError, match=said):
        train(dataset, slice(0, 30 * PURGE), {}, model)


def test_a_fold_without_a_row(dataset: Dataset, model: ModelSettings) -> None:
    with pytest.raises(ModelError, match="the training window holds no row: widen it"):
        train(dataset, slice(60, 60), {}, model)


def test_an_empty_feature_set(dataset: Dataset, model: ModelSettings) -> None:
    without = replace(dataset, features=dataset.features[:, :0], factor_names=())
    for empty, subset in ((without, None), (dataset, np.array([], dtype=np.int64))):
        with pytest.raises(ModelError, match="the feature set is empty: give the model at least one factor"):
            fit_one(empty, ROWS, {}, model, feature_subset=subset)


def test_a_feature_that_there_is_not(dataset: Dataset, model: ModelSettings) -> None:
    with pytest.raises(ModelError, match="feature 6 is not one of 6"):
        fit_one(dataset, ROWS, {}, model, feature_subset=np.array([0, 6]))


def test_given_rounds_are_no_way_around(dataset: Dataset, model: ModelSettings) -> None:
    with pytest.raises(ModelError, match="the label is constant"):
        fit_one(with_label(dataset, put(0.25, slice(0, None))), ROWS, {}, model, rounds=5)
