"""XGBoost's trees say the same when written as LightGBM's: same branches for every float32, same scores."""

from __future__ import annotations

import builtins
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest

from ljwx_pipeline.coefficients import mean_rank_ic
from ljwx_pipeline.config import ModelSettings
from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.models.fit import fit_one
from ljwx_pipeline.models.train import train
from ljwx_pipeline.models.xgboost_trees import lightgbm_text, without_specks, xgboost_params
from tests.fakes.model_settings import model_settings
from tests.fakes.planted import planted_dataset

EVERYTHING = slice(0, None)
TUNED = {"learning_rate": 0.1, "num_leaves": 15, "min_data_in_leaf": 20, "feature_fraction": 0.5}


@pytest.fixture
def model() -> ModelSettings:
    return model_settings(kind="xgboost", max_rounds=40, early_stopping_rounds=5, early_stopping_tail_sessions=60)


@pytest.fixture
def xgb() -> Any:
    return pytest.importorskip("xgboost", reason="the package xgboost is not installed: `make xgboost` adds it")


def trained_on(xgb: Any, features: np.ndarray, label: np.ndarray, *, rounds: int = 60, **params: object) -> Any:
    matrix = xgb.DMatrix(features, label=label, missing=np.nan)
    given = {"base_score": 0.0, "tree_method": "hist", "max_leaves": 31, "grow_policy": "lossguide", "max_depth": 0}
    return xgb.train({**given, "seed": 3, "nthread": 1, **params}, matrix, rounds)


def scores(xgb: Any, booster: Any, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (XGBoost's own scores, those of its trees in LightGBM's text)."""
    text = lightgbm_text(booster, booster.num_boosted_rounds(), np.arange(features.shape[1]), features.shape[1])
    said = lgb.Booster(model_str=text).predict(features, num_threads=1)
    return booster.predict(xgb.DMatrix(without_specks(features), missing=np.nan)), np.asarray(said)


def test_scores_are_those_of_xgboost_itself(xgb: Any) -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(20_000, 12)).astype(np.float32)
    features[rng.uniform(size=features.shape) < 0.2] = np.nan
    label = np.nan_to_num(features[:, 0]) * 0.2 + np.isnan(features[:, 1]) * 0.3 + rng.normal(size=20_000)
    booster = trained_on(xgb, features, label)
    fresh = rng.normal(size=(20_000, 12)).astype(np.float32)
    fresh[rng.uniform(size=fresh.shape) < 0.2] = np.nan
    for rows in (features, fresh):
        own, rewritten = scores(xgb, booster, rows)
        assert np.abs(own - rewritten).max() < 1e-6
        assert own.std() > 0.05


def test_a_value_on_a_split_or_one_float_beside_it_goes_the_same_way(xgb: Any) -> None:
    rng = np.random.default_rng(1)
    # few values, among them zeros of both signs and what LightGBM reads as zero: every split is hit exactly
    values = np.array([-3.5, -1e-34, -1e-38, -0.0, 0.0, 1e-38, 1e-34, 0.1, 0.3, 7.25, 1e30], dtype=np.float32)
    features = rng.choice(values, size=(5_000, 3))
    label = (
        features[:, 0].clip(-1, 1) + (features[:, 1] > 0.05) + (features[:, 2] > 0) * 0.5 + rng.normal(size=5_000) * 0.1
    )
    booster = trained_on(xgb, without_specks(features), label, max_bin=255)
    splits = booster.trees_to_dataframe()["Split"].dropna().to_numpy(dtype=np.float32)
    assert len(splits) > 100
    every = np.unique(np.r_[values, splits])
    beside = np.r_[every, np.nextafter(every, np.float32(-np.inf)), np.nextafter(every, np.float32(np.inf))]
    grid = np.stack(np.meshgrid(beside, beside, [0.0, np.nan, 0.1]), axis=-1).reshape(-1, 3).astype(np.float32)
    own, rewritten = scores(xgb, booster, grid)
    assert np.abs(own - rewritten).max() < 1e-6


def test_missing_values_take_the_learned_direction(xgb: Any) -> None:
    rng = np.random.default_rng(2)
    features = rng.normal(size=(4_000, 2)).astype(np.float32)
    features[:1500, 0] = np.nan
    for sign in (-1.0, 1.0):
        label = np.where(np.isnan(features[:, 0]), sign * 2, np.sign(features[:, 0]))
        own, rewritten = scores(xgb, trained_on(xgb, features, label, rounds=5, eta=1.0), features)
        assert np.abs(own - rewritten).max() < 1e-6
        assert rewritten[0] == pytest.approx(sign * 2, abs=0.05)


def test_a_tree_of_one_leaf_is_written_too(xgb: Any) -> None:
    features = np.random.default_rng(3).normal(size=(500, 4)).astype(np.float32)
    booster = trained_on(xgb, features, np.ones(500), rounds=3)
    own, rewritten = scores(xgb, booster, features)
    assert np.abs(own - rewritten).max() < 1e-6
    assert rewritten[0] > 0.5


def test_counts_let_lightgbm_explain_the_trees(xgb: Any) -> None:
    rng = np.random.default_rng(4)
    features = rng.normal(size=(3_000, 5)).astype(np.float32)
    booster = trained_on(xgb, features, features[:, 1] + rng.normal(size=3_000), rounds=10)
    text = lgb.Booster(model_str=lightgbm_text(booster, 10, np.arange(5), 5))
    contributions = np.asarray(text.predict(features, pred_contrib=True))
    np.testing.assert_allclose(contributions.sum(axis=1), text.predict(features), atol=1e-12)
    theirs = booster.predict(xgb.DMatrix(features), pred_contribs=True)
    np.testing.assert_allclose(contributions[:, 1], theirs[:, 1], atol=1e-5)


def test_a_planted_factor_is_found_and_no_thread_changes_a_byte(xgb: Any, model: ModelSettings) -> None:
    assert xgb
    one = train(planted_dataset(), EVERYTHING, TUNED, model)
    assert one == train(planted_dataset(), EVERYTHING, TUNED, model.model_copy(update={"threads": 2}))
    fresh = planted_dataset(seed=1)
    ic = mean_rank_ic(one.model.predict(fresh.features).score, fresh.forward_return, fresh.session_index)
    assert 0.35 < ic < 0.5
    assert one.tail_rank_ic == pytest.approx(ic, abs=0.06)
    assert one.rounds <= 40
    assert one.params["kind"] == "xgboost"


def test_a_feature_outside_the_subset_is_never_used(xgb: Any, model: ModelSettings) -> None:
    assert xgb
    fitted = fit_one(planted_dataset(), EVERYTHING, TUNED, model, feature_subset=np.array([0, 3]))
    used = fitted.model.booster("model.txt").feature_importance()
    assert (used[[0, 3]] > 0).all()
    assert used[[1, 2, 4, 5]].sum() == 0


def test_noise_stops_early(xgb: Any, model: ModelSettings) -> None:
    assert xgb
    assert train(planted_dataset(strength=0.0), EVERYTHING, TUNED, model).rounds < 20


def test_infinite_features_are_refused(xgb: Any, model: ModelSettings) -> None:
    assert xgb
    dataset = planted_dataset()
    dataset.features[5, 2] = np.inf
    with pytest.raises(ModelError, match="XGBoost refuses these rows"):
        train(dataset, EVERYTHING, TUNED, model)


def test_without_the_package_the_remedy_is_named(model: ModelSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "xgboost":
            raise ImportError(name)
        return plain(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModelError, match="the package xgboost is not installed: `make xgboost` adds it"):
        train(planted_dataset(), EVERYTHING, TUNED, model)


def test_tuned_parameters_go_by_xgboosts_names(model: ModelSettings) -> None:
    params = xgboost_params({**TUNED, "bagging_fraction": 0.7, "bagging_freq": 1, "lambda_l2": 3.0}, model)
    named = {
        "eta": 0.1,
        "max_leaves": 15,
        "min_child_weight": 20,
        "colsample_bytree": 0.5,
        "subsample": 0.7,
        "lambda": 3.0,
    }
    assert named.items() <= params.items()
    assert "subsample" not in xgboost_params({"bagging_fraction": 0.7, "bagging_freq": 0}, model)
    with pytest.raises(ModelError, match="path_smooth has no counterpart in XGBoost"):
        xgboost_params({"path_smooth": 1.0}, model)
