"""An ensemble is the weighted sum of ordinary fits, bit for bit, and sees no row outside its window."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ljwx_pipeline.coefficients import mean_rank_ic
from ljwx_pipeline.config import ModelSettings
from ljwx_pipeline.dataset import Dataset
from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.models.binned import bin_rows
from ljwx_pipeline.models.ensemble_parts import Part, blended, blended_model, on_one_scale, spread
from ljwx_pipeline.models.fit import Trained, fit_one
from ljwx_pipeline.models.task import split_tail
from ljwx_pipeline.models.train import train
from ljwx_pipeline.scoring.bundle import load_bundle
from ljwx_pipeline.scoring.model import Member, Model, linear_text
from ljwx_pipeline.scoring.signing import public_key_of
from tests.fakes.bundles import FACTOR_HASH, tiny_bundle
from tests.fakes.model_settings import model_settings
from tests.fakes.planted import fold, planted_dataset

TUNED = {
    "learning_rate": 0.1,
    "num_leaves": 7,
    "min_data_in_leaf": 20,
    "bagging_fraction": 0.5,
    "bagging_freq": 1,
}
EVERYTHING = slice(0, None)
PLAIN = model_settings(max_rounds=20, early_stopping_rounds=5, early_stopping_tail_sessions=40)


def settings(kind: str, model: ModelSettings = PLAIN, **changed: Any) -> ModelSettings:
    """Return settings of an ensemble of ``model``; ``changed`` are keys of ``[model.ensemble]``."""
    ensemble = {**model.ensemble.model_dump(), "kind": kind, **changed}
    return ModelSettings.model_validate({**model.model_dump(), "ensemble": ensemble})


def grouped(dataset: Dataset) -> Dataset:
    """Return the dataset with three groups by symbol, the last of them too small for members of its own."""
    groups = np.select([dataset.symbol_index < 12, dataset.symbol_index < 28], [0, 1], 2).astype(np.int32)
    return replace(
        dataset, groups=groups, group_names=((0, "small"), (1, "middle"), (2, "large")), group_measure="mean amount"
    )


def of_horizons(dataset: Dataset) -> Dataset:
    """Return the dataset with returns over 3 and 9 sessions: its own, and those of the same factor under more noise."""
    noise = np.random.default_rng(1).normal(0, 0.05, len(dataset.label))
    return replace(dataset, further_returns={3: dataset.forward_return, 9: dataset.forward_return + noise})


def linear_model(weight: float, *, name: str = "model.json", group: int | None = None, **outputs: float) -> Trained:
    """Return a fit whose score is ``weight`` times the one feature, with further outputs by name."""

    def text(times: float) -> str:
        return linear_text(np.zeros(1), np.ones(1), np.array([times]), intercept=0.0, clip=100.0)

    members = [Member(name, "linear")]
    texts = {name: text(weight)}
    for output, times in outputs.items():
        members.append(Member(f"{output}-{name}", "linear", output))  # type: ignore[arg-type]
        texts[f"{output}-{name}"] = text(times)
    if group is not None:
        members.append(Member(f"group-{name}", "linear", group=group))
        texts[f"group-{name}"] = text(10 * weight)
    model = Model(tuple(members), texts, "none" if group is None else "size")
    return Trained(model, 1, float("nan"), {"seed": 7, "own": weight}, 5)


@pytest.mark.parametrize("members", [2, 3, 4])
def test_a_bag_is_the_mean_of_its_seeds_bit_for_bit(members: int) -> None:
    dataset = planted_dataset(sessions=200)
    bag = train(dataset, EVERYTHING, TUNED, settings("seed_bagging", members=members))
    alone = [fit_one(dataset, EVERYTHING, TUNED, PLAIN, seed=7 + k) for k in range(members)]
    total = np.zeros(len(dataset.label))
    for one in alone:
        total += one.model.predict(dataset.features).score * (1 / members)
    np.testing.assert_array_equal(bag.model.predict(dataset.features).score, total)
    assert [bag.model.texts[f"seed-{7 + k}-model.txt"] for k in range(members)] == [
        one.model.texts["model.txt"] for one in alone
    ]
    assert len({one.model.texts["model.txt"] for one in alone}) == members
    assert bag.rounds == sum(one.rounds for one in alone)
    assert bag.rows == alone[0].rows


def test_the_tail_rank_ic_is_that_of_the_mean_of_models_that_had_not_seen_the_tail() -> None:
    dataset = planted_dataset(sessions=200)
    bag = train(dataset, EVERYTHING, TUNED, settings("seed_bagging", members=2))
    heads = [
        fit_one(dataset, EVERYTHING, TUNED, PLAIN.model_copy(update={"refit_on_tail": False}), seed=7 + k)
        for k in range(2)
    ]
    _, tail = split_tail(dataset, slice(0, len(dataset.label)), 40)
    scores = sum(head.model.predict(dataset.features[tail]).score for head in heads)
    expected = mean_rank_ic(scores, dataset.forward_return[tail], dataset.session_index[tail])
    assert bag.tail_rank_ic == pytest.approx(expected, abs=1e-12)
    assert bag.tail_rank_ic > max(head.tail_rank_ic for head in heads) - 0.02


@pytest.mark.parametrize("kind", ["seed_bagging", "horizon_blend"])
def test_the_same_bytes_again_and_on_two_threads(kind: str) -> None:
    dataset = of_horizons(planted_dataset(sessions=200))
    model = settings(kind, members=2, horizons=(3, 9))
    one, again = (train(dataset, EVERYTHING, TUNED, model) for _ in range(2))
    two = train(dataset, EVERYTHING, TUNED, model.model_copy(update={"threads": 2}))
    assert one == again
    assert one == two


@pytest.mark.parametrize("kind", ["seed_bagging", "horizon_blend"])
def test_what_lies_outside_the_window_changes_nothing(kind: str) -> None:
    dataset = of_horizons(planted_dataset(sessions=260))
    window = fold(dataset, "f", test_first=220, test_stop=260).train_rows
    model = settings(kind, members=2, horizons=(3, 9))
    binned = bin_rows(dataset, edges=window, stop=window.stop, settings=model)
    label, forward = dataset.label.copy(), {held: one.copy() for held, one in dataset.further_returns.items()}
    label[window.stop :] = 3.0
    for values in forward.values():
        values[window.stop :] = -1.0
    poisoned = replace(dataset, label=label, forward_return=forward[3], further_returns=forward)
    assert train(dataset, window, TUNED, model, binned=binned) == train(poisoned, window, TUNED, model, binned=binned)


def test_the_members_of_a_blend_each_learn_the_returns_of_their_horizon() -> None:
    dataset = of_horizons(planted_dataset(sessions=200))
    blend = train(dataset, EVERYTHING, TUNED, settings("horizon_blend", horizons=(3, 9)))
    for horizon in (3, 9):
        alone = fit_one(dataset, EVERYTHING, TUNED, PLAIN, label=dataset.further_returns[horizon])
        assert blend.model.texts[f"horizon-{horizon}-model.txt"] == alone.model.texts["model.txt"]


def test_the_members_of_a_blend_take_their_shares_of_the_spread_on_the_tail() -> None:
    dataset = of_horizons(planted_dataset(sessions=200))
    blend = train(dataset, EVERYTHING, TUNED, settings("horizon_blend", horizons=(3, 9), weights=(3.0, 1.0)))
    fits = [fit_one(dataset, EVERYTHING, TUNED, PLAIN, label=dataset.further_returns[horizon]) for horizon in (3, 9)]
    _, tail = split_tail(dataset, slice(0, len(dataset.label)), 40)
    sizes = [
        member.weight * spread(one.tail_scores, dataset.session_index[tail])  # type: ignore[arg-type]
        for member, one in zip(blend.model.members, fits, strict=True)
    ]
    assert sizes[0] == pytest.approx(3 * sizes[1], rel=1e-12)
    assert fits[0].tail_rank_ic > fits[1].tail_rank_ic + 0.1  # the second horizon is the noisier


def test_a_horizon_that_weighs_nothing_is_not_served() -> None:
    dataset = of_horizons(planted_dataset(sessions=200))
    blend = train(dataset, EVERYTHING, TUNED, settings("horizon_blend", horizons=(3, 9), weights=(1.0, 0.0)))
    assert list(blend.model.texts) == ["horizon-3-model.txt"]
    assert blend.model.members[0].weight == pytest.approx(1.0, rel=1e-12)


def test_a_horizon_the_dataset_does_not_hold_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match=r"horizons holds 9 sessions and the dataset has no such returns"):
        train(planted_dataset(sessions=200), EVERYTHING, TUNED, settings("horizon_blend", horizons=(9, 3)))


def test_an_ensemble_comes_back_from_its_members_and_texts_alone() -> None:
    dataset = planted_dataset(sessions=200)
    bag = train(dataset, EVERYTHING, TUNED, settings("seed_bagging", members=3)).model
    again = Model(tuple(bag.members), dict(bag.texts), bag.group_by)
    assert again == bag
    np.testing.assert_array_equal(
        again.predict(dataset.features[:100]).score, bag.predict(dataset.features[:100], threads=2).score
    )


def test_bands_are_averaged_as_scores_are() -> None:
    parts = [
        Part("a", linear_model(1.0, lower=0.5, upper=2.0), 0.25),
        Part("b", linear_model(3.0, lower=2.0, upper=4.0), 0.75),
    ]
    said = blended_model(parts).predict(np.array([[2.0]], dtype=np.float32))
    assert said.score[0] == 2 * (0.25 * 1 + 0.75 * 3)
    assert said.lower is not None
    assert said.lower[0] == 2 * (0.25 * 0.5 + 0.75 * 2)
    assert said.upper is not None
    assert said.upper[0] == 2 * (0.25 * 2 + 0.75 * 4)


def test_a_bag_of_quantiles_has_the_mean_band() -> None:
    dataset, quantile = planted_dataset(sessions=200), model_settings(**{**PLAIN.model_dump(), "kind": "quantile"})
    bag = train(dataset, EVERYTHING, TUNED, settings("seed_bagging", quantile, members=2))
    alone = [fit_one(dataset, EVERYTHING, TUNED, quantile, seed=7 + k).model for k in (0, 1)]
    said, ends = bag.model.predict(dataset.features), {}
    for end, file in (("score", "model.txt"), ("lower", "lower.txt"), ("upper", "upper.txt")):
        one, two = (np.asarray(model.booster(file).predict(dataset.features)) for model in alone)
        ends[end] = one * 0.5 + two * 0.5
    np.testing.assert_array_equal(said.score, ends["score"])
    np.testing.assert_array_equal(said.lower, np.minimum(ends["lower"], said.score))
    np.testing.assert_array_equal(said.upper, np.maximum(ends["upper"], said.score))
    assert said.lower is not None
    assert said.upper is not None
    assert ((said.lower <= said.score) & (said.score <= said.upper)).all()
    covered = (said.lower <= dataset.label) & (dataset.label <= said.upper)
    assert 0.8 < covered[np.isfinite(dataset.label)].mean() < 1.0


def test_a_bag_of_group_models_is_the_mean_of_them_in_every_group() -> None:
    dataset = grouped(planted_dataset(sessions=200))
    by_size = model_settings(**{**PLAIN.model_dump(), "group_by": "size", "min_group_rows": 2000})
    bag = train(dataset, EVERYTHING, TUNED, settings("seed_bagging", by_size, members=2))
    alone = [fit_one(dataset, EVERYTHING, TUNED, by_size, seed=7 + k).model for k in (0, 1)]
    total = np.zeros(len(dataset.label))
    for one in alone:
        total += one.predict(dataset.features, dataset.groups).score * 0.5
    np.testing.assert_array_equal(bag.model.predict(dataset.features, dataset.groups).score, total)
    assert {member.group for member in bag.model.members} == {None, 0, 1}
    assert bag.params["groups_without_members"] == f"large ({2 * 194} rows)"


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        ("horizon_blend", {"kind": "rank"}),
        ("horizon_blend", {"kind": "quantile", "label_transform": "gauss"}),
        ("horizon_blend", {"kind": "linear", "group_by": "size", "min_group_rows": 2000}),
        ("seed_bagging", {"kind": "rank", "recency_half_life_sessions": 60}),
        ("stacking", {"label_transform": "zscore"}),
        ("double_ensemble", {"label_transform": "gauss", "recency_half_life_sessions": 60}),
    ],
)
def test_every_ensemble_finds_the_planted_factor_with_the_kinds_it_allows(kind: str, model: dict[str, Any]) -> None:
    base = model_settings(**{**PLAIN.model_dump(), **model})
    chosen = settings(kind, base, members=2, horizons=(3, 9), bases=("regression", "rank", "linear"))
    trained = train(grouped(of_horizons(planted_dataset(sessions=260))), EVERYTHING, TUNED, chosen)
    fresh = grouped(planted_dataset(seed=1, sessions=100))
    said = trained.model.predict(fresh.features, fresh.groups)
    assert mean_rank_ic(said.score, fresh.forward_return, fresh.session_index) > 0.3
    assert (said.lower is not None) == (base.kind == "quantile")
    assert 0.2 < trained.tail_rank_ic < 0.6


def test_a_band_that_one_part_lacks_is_left_out_with_its_files() -> None:
    model = blended_model([Part("a", linear_model(1.0, lower=0.5, upper=2.0), 0.5), Part("b", linear_model(3.0), 0.5)])
    assert model.predict(np.array([[2.0]], dtype=np.float32)).lower is None
    assert set(model.texts) == {"a-model.json", "b-model.json"}


def test_rows_of_a_group_that_one_part_has_no_model_of_are_still_scored_by_every_part() -> None:
    model = blended_model([Part("a", linear_model(1.0, group=4), 0.5), Part("b", linear_model(3.0), 0.5)])
    features = np.full((2, 1), 2.0, dtype=np.float32)
    said = model.predict(features, np.array([4, 0], dtype=np.int16)).score
    assert said.tolist() == [2 * (0.5 * 10 + 0.5 * 3), 2 * (0.5 * 1 + 0.5 * 3)]
    assert model.group_by == "size"


def test_parameters_are_told_once_where_shared_and_by_name_where_not() -> None:
    dataset = planted_dataset(sessions=20)
    whole = blended([Part("a", linear_model(1.0), 0.5), Part("b", linear_model(3.0), 0.5)], dataset, slice(0, 30))
    assert whole.params == {"seed": 7, "a.own": 1.0, "a.weight": 0.5, "b.own": 3.0, "b.weight": 0.5}
    assert (whole.rounds, whole.rows) == (2, 5)
    assert np.isnan(whole.tail_rank_ic)


def test_spread_is_the_mean_of_the_sessions_standard_deviations() -> None:
    scores = np.array([1.0, 3.0, np.nan, 10.0, 10.0, 16.0])
    sessions = np.array([0, 0, 0, 4, 4, 4])
    assert spread(scores, sessions) == pytest.approx((1.0 + np.std([10, 10, 16])) / 2, rel=1e-12)
    assert spread(np.ones(4), np.array([0, 0, 1, 1])) == 1.0
    assert spread(np.full(2, np.nan), np.array([0, 0])) == 1.0


def test_on_one_scale_gives_each_its_share_and_keeps_the_mean_spread() -> None:
    weights = on_one_scale((2.0, 6.0), (0.1, 0.4))
    assert weights[0] * 0.1 * 3 == pytest.approx(weights[1] * 0.4, rel=1e-12)
    assert weights[0] * 0.1 + weights[1] * 0.4 == pytest.approx(0.25 * 0.1 + 0.75 * 0.4, rel=1e-12)


@pytest.mark.parametrize(
    ("changed", "ensemble", "said"),
    [
        ({"kind": "linear"}, {"kind": "seed_bagging"}, "every seed gives the same model"),
        ({"kind": "quantile"}, {"kind": "stacking"}, "a band, which stacking would drop"),
        ({"group_by": "size"}, {"kind": "stacking"}, '"rank" among model.ensemble.bases'),
        ({"kind": "rank"}, {"kind": "double_ensemble"}, "squared errors"),
        ({"group_by": "industry"}, {"kind": "double_ensemble"}, "squared errors"),
        ({}, {"kind": "horizon_blend", "horizons": [5]}, "at least two"),
        ({}, {"kind": "horizon_blend", "horizons": [5, 5]}, "each of them once"),
        ({}, {"kind": "horizon_blend", "horizons": [5, 61]}, "hold 1 to 60 sessions"),
        ({}, {"kind": "stacking", "bases": ["rank"]}, "at least two"),
        ({}, {"kind": "horizon_blend", "horizons": [1, 5], "weights": [1.0]}, "1 entries for 2 members"),
        ({}, {"kind": "double_ensemble", "members": 2, "weights": [0.0, 0.0]}, "not all 0"),
        ({}, {"kind": "double_ensemble", "members": 2, "weights": [0.0, 1.0]}, "the first sub-model needs a weight"),
        ({}, {"double": {**PLAIN.ensemble.double.model_dump(), "feature_fracs": [0.0, 0.5]}}, "the first above 0"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(changed: dict[str, Any], ensemble: dict[str, Any], said: str) -> None:
    tree = {**PLAIN.model_dump(), **changed, "ensemble": {**PLAIN.ensemble.model_dump(), **ensemble}}
    with pytest.raises(ValueError, match=said):
        ModelSettings.model_validate(tree)


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        ("seed_bagging", {"kind": "quantile", "group_by": "size", "min_group_rows": 2000}),
        ("horizon_blend", {}),
        ("stacking", {}),
        ("double_ensemble", {}),
    ],
)
def test_the_bundle_of_an_ensemble_says_what_the_ensemble_says(
    kind: str, model: dict[str, Any], tmp_path: Path
) -> None:
    base = model_settings(**{**PLAIN.model_dump(), **model})
    chosen = settings(kind, base, members=2, horizons=(3, 9), bases=("regression", "linear"))
    dataset = grouped(of_horizons(planted_dataset(sessions=260)))
    trained = train(dataset, EVERYTHING, TUNED, chosen)
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    named = {"factor_names": dataset.factor_names, "params": trained.params, "rounds": trained.rounds}
    path = tiny_bundle(tmp_path, key, trained.model, **named)
    loaded = load_bundle(path, factor_hash=FACTOR_HASH, public_key=public_key_of(key))
    assert loaded.model == trained.model
    rows = slice(0, 600)
    said = loaded.predict(dataset.features[rows], dataset.groups[rows])  # type: ignore[index]
    expected = trained.model.predict(dataset.features[rows], dataset.groups[rows], threads=2)  # type: ignore[index]
    for end in ("score", "lower", "upper"):
        np.testing.assert_array_equal(getattr(said, end), getattr(expected, end))
    assert (said.lower is not None) == (base.kind == "quantile")
    again = tiny_bundle(tmp_path, key, train(dataset, EVERYTHING, TUNED, chosen).model, **named)
    assert again == path  # the same bytes, and so the same bundle
