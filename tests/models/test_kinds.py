"""Every kind finds a planted factor, repeats itself to the byte on any threads, and keeps to its rows and features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ljwx_pipeline.coefficients import mean_rank_ic
from ljwx_pipeline.config import ModelSettings
from ljwx_pipeline.dataset import Dataset
from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.models.binned import bin_rows
from ljwx_pipeline.models.boosted import booster_params
from ljwx_pipeline.models.fit import Trained, fit_one
from ljwx_pipeline.models.task import split_tail, task_of
from ljwx_pipeline.models.train import train
from ljwx_pipeline.scoring.model import NO_GROUP
from tests.fakes.model_settings import model_settings
from tests.fakes.planted import planted_dataset

TUNED = {"learning_rate": 0.1, "num_leaves": 7, "min_data_in_leaf": 20, "bagging_fraction": 0.8, "bagging_freq": 1}
EVERYTHING = slice(0, None)
KINDS = {
    "regression": {},
    "lambdarank": {"kind": "rank"},
    "rank_xendcg": {"kind": "rank", "rank_objective": "rank_xendcg"},
    "quantile": {"kind": "quantile"},
    "linear": {"kind": "linear"},
    "zscore": {"label_transform": "zscore"},
    "gauss": {"label_transform": "gauss"},
    "weighted": {"recency_half_life_sessions": 60, "liquidity_weight": 0.5},
    "grouped": {"group_by": "size", "min_group_rows": 500},
}


def settings(**changed: object) -> ModelSettings:
    early = {"max_rounds": 30, "early_stopping_rounds": 5, "early_stopping_tail_sessions": 40}
    return model_settings(**{**early, **changed})


def dataset_of(**changed: object) -> Dataset:
    """Return a planted dataset with groups (symbols in turn) and amounts."""
    dataset = planted_dataset(sessions=260, **changed)  # type: ignore[arg-type]
    amount = np.exp(np.random.default_rng(2).normal(size=len(dataset.label)))
    groups = (dataset.symbol_index % 4 - 1).astype(np.int32)
    names = ((0, "small"), (1, "middle"), (2, "large"))
    return replace(dataset, groups=groups, group_names=names, group_measure="mean amount", mean_amount_cny=amount)


def rank_ic(trained: Trained, fresh: Dataset) -> float:
    scores = trained.model.predict(fresh.features, fresh.groups).score
    return mean_rank_ic(scores, fresh.forward_return, fresh.session_index)


@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_factor_is_found_on_rows_never_seen(kind: str) -> None:
    trained = train(dataset_of(), EVERYTHING, TUNED, settings(**KINDS[kind]))
    assert 0.33 < rank_ic(trained, dataset_of(seed=1)) < 0.5
    assert trained.tail_rank_ic == pytest.approx(0.4, abs=0.08)
    assert trained.params["kind"] == KINDS[kind].get("kind", "regression")


@pytest.mark.parametrize("kind", KINDS)
def test_one_seed_gives_the_same_bytes_on_one_thread_and_on_two(kind: str) -> None:
    one = train(dataset_of(), EVERYTHING, TUNED, settings(**KINDS[kind]))
    two = train(dataset_of(), EVERYTHING, TUNED, settings(**KINDS[kind], threads=2))
    assert one == two


@pytest.mark.parametrize("kind", ["lambdarank", "quantile", "regression"])
def test_noise_stops_early(kind: str) -> None:
    model = settings(**KINDS[kind], max_rounds=200)
    trained = train(dataset_of(strength=0.0), EVERYTHING, TUNED, model)
    assert trained.rounds < (600 if kind == "quantile" else 200)
    assert abs(trained.tail_rank_ic) < 0.12


@pytest.mark.parametrize("kind", KINDS)
def test_what_lies_in_the_tail_does_not_reach_the_model_without_a_refit(kind: str) -> None:
    model = settings(**KINDS[kind], refit_on_tail=False, max_rounds=1)  # when to stop is all that a tail may decide
    dataset = dataset_of()
    _, tail = split_tail(dataset, slice(0, len(dataset.label)), 40)
    features, forward, label = dataset.features.copy(), dataset.forward_return.copy(), dataset.label.copy()
    features[tail], forward[tail], label[tail] = -features[tail], 3 - forward[tail], -label[tail]
    poisoned = replace(dataset, features=features, forward_return=forward, label=label)
    before = slice(0, tail.start)
    texts = []
    for one in (dataset, poisoned):
        binned = bin_rows(one, edges=before, stop=len(one.label), settings=model)
        texts.append(train(one, EVERYTHING, TUNED, model, binned=binned).model.texts)
    assert texts[0] == texts[1]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_are_not_scorable_are_never_learned_from(kind: str) -> None:
    dataset, model = dataset_of(), settings(**KINDS[kind])
    clean = slice(0, 60 * 30)  # where bin edges are placed: on every row of it
    scorable = (np.arange(len(dataset.label)) % 2 > 0) | (np.arange(len(dataset.label)) < clean.stop)
    features, forward, label = dataset.features.copy(), dataset.forward_return.copy(), dataset.label.copy()
    features[~scorable], forward[~scorable], label[~scorable] = 0.5, 9.0, -0.5
    poisoned = replace(dataset, features=features, forward_return=forward, label=label, scorable=scorable)
    one, two = (
        train(rows, EVERYTHING, TUNED, model, binned=bin_rows(rows, edges=clean, stop=len(rows.label), settings=model))
        for rows in (replace(dataset, scorable=scorable), poisoned)
    )
    assert one == two
    assert one.rows == (scorable & np.isfinite(dataset.label)).sum()
    assert one != train(dataset, EVERYTHING, TUNED, model)


def test_quantiles_hold_the_score_between_them_and_cover_what_they_say() -> None:
    trained = train(dataset_of(), EVERYTHING, TUNED, settings(kind="quantile", max_rounds=60))
    fresh = dataset_of(seed=1)
    said = trained.model.predict(fresh.features)
    assert said.lower is not None
    assert said.upper is not None
    assert (said.lower <= said.score).all()
    assert (said.score <= said.upper).all()
    known = np.isfinite(fresh.label)
    inside = (said.lower[known] <= fresh.label[known]) & (fresh.label[known] <= said.upper[known])
    assert inside.mean() == pytest.approx(0.9, abs=0.03)


def test_a_ranked_model_is_told_its_objective_and_its_top() -> None:
    params = booster_params({}, settings(kind="rank", rank_top_names=12))
    assert params["objective"] == "lambdarank"
    assert params["lambdarank_truncation_level"] == 12
    assert params["eval_at"] == "12"


@pytest.mark.parametrize("kind", ["regression", "lambdarank", "linear"])
def test_a_feature_outside_the_subset_is_never_used(kind: str) -> None:
    subset = np.array([0, 2, 3])
    trained = fit_one(dataset_of(), EVERYTHING, TUNED, settings(**KINDS[kind]), feature_subset=subset)
    fresh = dataset_of(seed=1).features
    other = fresh.copy()
    other[:, [1, 4, 5]] = np.nan
    np.testing.assert_array_equal(trained.model.predict(fresh).score, trained.model.predict(other).score)
    without = fit_one(dataset_of(), EVERYTHING, TUNED, settings(**KINDS[kind]), feature_subset=np.array([1, 2]))
    assert abs(rank_ic(without, dataset_of(seed=1))) < 0.06


@pytest.mark.parametrize("kind", ["regression", "quantile", "linear"])
def test_given_rounds_learn_from_the_whole_window_without_a_tail(kind: str) -> None:
    dataset = dataset_of()
    trained = fit_one(dataset, EVERYTHING, TUNED, settings(**KINDS[kind]), rounds=7)
    assert np.isnan(trained.tail_rank_ic)
    assert trained.rounds == {"regression": 7, "quantile": 21, "linear": 0}[kind]
    assert trained.rows == np.isfinite(dataset.label).sum()


def test_another_seed_and_other_weights_give_other_models() -> None:
    plain = fit_one(dataset_of(), EVERYTHING, TUNED, settings(), rounds=5)
    own = np.linspace(0.1, 2, len(dataset_of().label))
    assert fit_one(dataset_of(), EVERYTHING, TUNED, settings(), rounds=5, seed=8).model.texts != plain.model.texts
    assert fit_one(dataset_of(), EVERYTHING, TUNED, settings(), rounds=5, weight=own).model.texts != plain.model.texts


def test_a_row_of_weight_two_counts_like_two_rows() -> None:
    dataset = dataset_of()
    twice = np.where(dataset.symbol_index < 15, 2.0, 1.0)
    doubled = np.sort(np.r_[np.arange(len(dataset.label)), np.flatnonzero(twice == 2)])
    arrays = ("features", "forward_return", "label", "session_index", "symbol_index", "enterable", "scorable")
    copied = replace(dataset, groups=None, mean_amount_cny=None, **{k: getattr(dataset, k)[doubled] for k in arrays})
    one = fit_one(dataset, EVERYTHING, {}, settings(kind="linear"), weight=twice, rounds=1)
    two = fit_one(copied, EVERYTHING, {}, settings(kind="linear"), rounds=1)
    a, b = (trained.model.predict(dataset.features[:500]).score for trained in (one, two))
    assert np.abs(a - b).max() < 0.02  # medians and scales are of rows, not of weights


def test_each_group_has_a_member_of_its_own_and_the_rest_the_one_for_all() -> None:
    dataset = dataset_of()
    model = settings(group_by="size", min_group_rows=500)
    trained = train(dataset, EVERYTHING, TUNED, model)
    assert {member.group for member in trained.model.members} == {None, 0, 1, 2}
    assert trained.params["groups_with_members"] == "small, middle, large"
    assert trained.params["groups_without_members"] == ""
    features = dataset.features[:3]
    unified = train(dataset, EVERYTHING, TUNED, settings())
    unknown = trained.model.predict(features, np.full(3, NO_GROUP, dtype=np.int32)).score
    np.testing.assert_array_equal(unknown, unified.model.predict(features).score)
    assert (trained.model.predict(features, np.zeros(3, dtype=np.int32)).score != unknown).any()


def test_a_group_learns_from_its_own_rows_and_its_label_from_the_whole_session() -> None:
    dataset = dataset_of()
    model = settings(group_by="size", min_group_rows=500, kind="linear")
    assert dataset.groups is not None
    features = dataset.features.copy()
    features[dataset.groups != 1] = 0.5
    texts = [
        train(replace(dataset, features=values), EVERYTHING, TUNED, model).model.texts
        for values in (dataset.features, features)
    ]
    assert texts[0]["group-1-model.json"] == texts[1]["group-1-model.json"]
    assert texts[0]["group-2-model.json"] != texts[1]["group-2-model.json"]


def test_a_group_of_too_few_rows_falls_back_and_the_model_says_so() -> None:
    dataset = dataset_of()
    assert dataset.groups is not None
    few = np.where((dataset.groups == 2) & (dataset.symbol_index > 3), 1, dataset.groups).astype(np.int32)
    known = np.isfinite(dataset.label) & (few == 2)
    trained = train(replace(dataset, groups=few), EVERYTHING, TUNED, settings(group_by="size", min_group_rows=500))
    assert {member.group for member in trained.model.members} == {None, 0, 1}
    assert trained.params["groups_without_members"] == f"large ({known.sum()} rows)"


def test_a_group_of_constant_labels_falls_back_and_the_model_says_so() -> None:
    dataset = dataset_of()
    assert dataset.groups is not None
    label = np.where((dataset.groups == 2) & np.isfinite(dataset.label), np.float32(0.25), dataset.label)
    trained = train(replace(dataset, label=label), EVERYTHING, TUNED, settings(group_by="size", min_group_rows=500))
    assert trained.params["groups_without_members"] == "large (labels unknown or constant)"


def test_groups_that_the_dataset_lacks_are_refused() -> None:
    with pytest.raises(ModelError, match='group_by = "size" and the dataset holds no groups'):
        train(planted_dataset(), EVERYTHING, TUNED, settings(group_by="size"))


def test_groups_of_something_else_are_refused_by_name() -> None:
    with pytest.raises(ModelError, match='group_by = "industry" and the dataset holds groups by size'):
        train(dataset_of(), EVERYTHING, TUNED, settings(group_by="industry"))


def test_groups_that_are_lacking_are_told_before_anything_is_fitted() -> None:
    nothing = dict.fromkeys(("binned", "label", "weight", "feature_subset", "rounds"))
    with pytest.raises(ModelError, match="holds no groups"):
        task_of(planted_dataset(), EVERYTHING, TUNED, settings(group_by="size"), **nothing)  # it fits nothing
