"""Targets are of one session and its rows alone; weights are positive, of mean 1, and of their rows alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from ljwx_pipeline.config import ModelSettings
from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.label import rank_label
from ljwx_pipeline.models.targets import GRADES, grades, row_weights, transformed
from ljwx_pipeline.models.task import Task, task_of
from tests.fakes.model_settings import model_settings
from tests.fakes.planted import planted_dataset

TRANSFORMS = ("rank", "zscore", "gauss")
RNG = np.random.default_rng(5)
#: Sessions of 1, 2, 40 and 41 rows; the last has ties.
SESSIONS = np.repeat([0, 1, 2, 5], [1, 2, 40, 41])
RETURNS = np.r_[RNG.normal(0, 0.02, 43), np.round(RNG.normal(0, 0.02, 41), 2)]


def task(model: ModelSettings, dataset: object = None, rows: slice = slice(0, 30 * 250), **changed: object) -> Task:
    given = {"binned": None, "label": None, "weight": None, "feature_subset": None, "rounds": None}
    return task_of(dataset or planted_dataset(), rows, {}, model, **{**given, **changed})  # type: ignore[arg-type]


def of(session: int) -> np.ndarray:
    return np.equal(SESSIONS, session)


def test_ranks_are_the_datasets_own() -> None:
    panel = np.full((41, 6), np.nan)
    for session in np.unique(SESSIONS):
        panel[: of(session).sum(), session] = RETURNS[of(session)]
    expected = np.concatenate([rank_label(panel)[: of(s).sum(), s] for s in np.unique(SESSIONS)])
    np.testing.assert_array_equal(transformed(RETURNS, SESSIONS, "rank"), expected)


def test_gauss_gives_the_normal_scores_of_the_ranks() -> None:
    got = transformed(RETURNS, SESSIONS, "gauss")
    for session in np.unique(SESSIONS):
        ranks = stats.rankdata(RETURNS[of(session)])
        np.testing.assert_allclose(got[of(session)], stats.norm.ppf((ranks - 0.5) / of(session).sum()), rtol=1e-6)


def test_zscores_have_mean_0_and_deviation_1_and_cut_what_lies_far_out() -> None:
    wild = RETURNS.copy()
    at = int(np.flatnonzero(of(2))[7])
    wild[at] = 9.0
    for returns in (RETURNS, wild):
        got = transformed(returns, SESSIONS, "zscore")[of(2)].astype(np.float64)
        assert got.mean() == pytest.approx(0, abs=1e-6)
        assert got.std() == pytest.approx(1, abs=1e-6)
    cut = transformed(wild, SESSIONS, "zscore")[at]
    assert 2 < cut < 3.5  # alone and uncut it would be sqrt(39) = 6.2
    far = wild.copy()
    far[at] = 900.0
    np.testing.assert_array_equal(transformed(far, SESSIONS, "zscore"), transformed(wild, SESSIONS, "zscore"))


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_order_is_kept_and_sessions_of_one_or_of_equal_returns_are_0(transform: str) -> None:
    got = transformed(RETURNS, SESSIONS, transform)  # type: ignore[arg-type]
    assert got.dtype == np.float32
    assert got[0] == 0
    for session in (1, 2, 5):
        order = np.argsort(RETURNS[of(session)], kind="stable")
        assert (np.diff(got[of(session)][order]) >= 0).all()
    equal = transformed(np.full(len(SESSIONS), 0.03), SESSIONS, transform)  # type: ignore[arg-type]
    assert not equal.any()


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_session_is_changed_by_no_other(transform: str) -> None:
    other = np.where(of(2), RETURNS, RETURNS * 7 + 1)
    before, after = (transformed(values, SESSIONS, transform) for values in (RETURNS, other))  # type: ignore[arg-type]
    np.testing.assert_array_equal(before[of(2)], after[of(2)])


def test_grades_are_deciles() -> None:
    sessions = np.zeros(100, dtype=np.int64)
    got = grades(transformed(RNG.normal(size=100), sessions, "gauss"), sessions)
    assert np.unique(got, return_counts=True)[1].tolist() == [10] * GRADES


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_no_row_outside_the_training_window_changes_a_target(transform: str) -> None:
    dataset = planted_dataset()
    settings = model_settings(label_transform=transform, early_stopping_tail_sessions=40)
    rows = slice(30 * 20, 30 * 250)
    changed = dataset.forward_return.copy()
    changed[: rows.start], changed[rows.stop :] = 5.0, -5.0
    one, two = (task(settings, dataset, rows, label=returns) for returns in (dataset.forward_return, changed))
    np.testing.assert_array_equal(one.target[rows], two.target[rows])
    np.testing.assert_array_equal(one.taken, two.taken)
    assert not one.taken[: rows.start].any()
    assert not one.taken[rows.stop :].any()


@pytest.mark.parametrize("transform", ["zscore", "gauss"])
def test_no_row_that_is_not_learned_from_changes_a_target(transform: str) -> None:
    dataset, settings = planted_dataset(), model_settings(label_transform=transform)
    scorable = np.arange(len(dataset.label)) % 3 > 0
    changed = np.where(scorable, dataset.forward_return, 5.0)
    one = task(settings, replace(dataset, scorable=scorable))
    two = task(settings, replace(dataset, scorable=scorable, forward_return=changed))
    np.testing.assert_array_equal(one.target, two.target)


def test_another_label_goes_through_the_same_transform() -> None:
    dataset, settings = planted_dataset(), model_settings()
    rows = slice(0, 30 * 250)
    own = task(settings, dataset, rows).target[rows]
    np.testing.assert_array_equal(task(settings, dataset, rows, label=dataset.forward_return).target[rows], own)
    np.testing.assert_array_equal(task(settings, dataset, rows, label=-dataset.forward_return).target[rows], -own)


def test_rows_weigh_the_same_unless_settings_say_otherwise() -> None:
    dataset = planted_dataset(sessions=20)
    assert row_weights(dataset, np.arange(300), model_settings(), None) is None


def test_a_row_weighs_half_after_the_half_life() -> None:
    dataset = planted_dataset(sessions=200)
    rows = np.arange(30 * 100)
    weights = row_weights(dataset, rows, model_settings(recency_half_life_sessions=25), None)
    assert weights is not None
    assert weights.mean() == pytest.approx(1)
    assert weights[-1] == weights[30 * 99] == pytest.approx(2 * weights[30 * 74])


def test_liquid_rows_weigh_more_within_their_session_and_no_session_more_than_another() -> None:
    dataset = planted_dataset(sessions=60)
    amount = np.exp(np.random.default_rng(1).normal(size=len(dataset.label))) * (1 + dataset.session_index)
    dataset = replace(dataset, mean_amount_cny=amount)
    rows = np.arange(30 * 50)
    weights = row_weights(dataset, rows, model_settings(liquidity_weight=1.0), None)
    assert weights is not None
    np.testing.assert_allclose(weights.reshape(50, 30).mean(axis=1), 1)
    first = slice(0, 30)
    np.testing.assert_allclose(weights[first], amount[first] / amount[first].mean())
    root = row_weights(dataset, rows, model_settings(liquidity_weight=0.5), None)
    assert root is not None
    assert root[3] / root[4] == pytest.approx((amount[3] / amount[4]) ** 0.5)


def test_weights_look_at_their_own_rows_alone() -> None:
    dataset = planted_dataset(sessions=200)
    settings = model_settings(recency_half_life_sessions=25, liquidity_weight=0.5)
    amount = np.exp(np.random.default_rng(1).normal(size=len(dataset.label)))
    rows = np.arange(30 * 100)
    changed = amount.copy()
    changed[30 * 100 :] = 1e12
    one, two = (row_weights(replace(dataset, mean_amount_cny=a), rows, settings, None) for a in (amount, changed))
    np.testing.assert_array_equal(one, two)


def test_a_weight_that_is_not_positive_is_refused_with_the_row() -> None:
    dataset = planted_dataset(sessions=20)
    own = np.ones(len(dataset.label))
    own[31] = 0.0
    with pytest.raises(ModelError, match=r"S00001.SIM on 2018-01-03 weighs 0 in the loss \(1 such rows\)"):
        row_weights(dataset, np.arange(300), model_settings(), own)


def test_amounts_that_the_dataset_lacks_are_refused() -> None:
    with pytest.raises(ModelError, match=r"liquidity_weight = 0\.5 and the dataset holds no amounts"):
        row_weights(planted_dataset(sessions=20), np.arange(300), model_settings(liquidity_weight=0.5), None)
