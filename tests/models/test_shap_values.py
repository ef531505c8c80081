"""SHAP values equal LightGBM's own on any booster, whatever its depth, its missing values and its splits on zero."""

from __future__ import annotations

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.models.shap_kernels import TABLE_BITS
from ljwx_pipeline.models.shap_trees import read_forest
from ljwx_pipeline.models.shap_values import ShapValues, plan_of, shap_interactions, shap_values

ROWS, WIDTH = 1500, 14


def rows(seed: int, missing_frac: float = 0.1, zero_frac: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((ROWS, WIDTH)).astype(np.float32)
    features[rng.random(features.shape) < zero_frac] = 0.0
    features[rng.random(features.shape) < missing_frac] = np.nan
    return features


def grown(features: np.ndarray, *, trees: int = 4, seed: int = 0, **params: object) -> str:
    rng = np.random.default_rng(seed)
    known = np.nan_to_num(features)
    label = known[:, 0] * known[:, 1] + known @ rng.standard_normal(WIDTH) + 3 * np.isnan(features[:, 2])
    chosen = {"verbosity": -1, "num_threads": 1, "min_data_in_leaf": 3, "seed": seed, **params}
    return str(lgb.train(chosen, lgb.Dataset(features, label), trees).model_to_string())


def tabulated(text: str, features: np.ndarray, **more: int) -> ShapValues:
    return shap_values(text, features, tabulated_from_rows=0, **more)


def require_equal(found: ShapValues, text: str, features: np.ndarray) -> None:
    booster = lgb.Booster(model_str=text)
    theirs = np.asarray(booster.predict(features, pred_contrib=True, num_threads=1))
    scale = max(1.0, float(np.abs(theirs).max()))
    assert np.abs(found.values - theirs[:, :-1]).max() <= 1e-13 * scale
    assert found.base == pytest.approx(theirs[0, -1], abs=1e-13 * scale)
    assert found.values.sum(axis=1) + found.base == pytest.approx(booster.predict(features), abs=1e-12 * scale)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    leaves=st.integers(2, 90),
    depth=st.sampled_from([1, 2, 5, 8, 12, -1]),
    missing_frac=st.sampled_from([0.0, 0.05, 0.6]),
    zero_as_missing=st.booleans(),
    use_missing=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_values_are_lightgbms_own_on_any_booster(
    leaves: int, depth: int, missing_frac: float, zero_as_missing: bool, use_missing: bool, seed: int
) -> None:
    features = rows(seed, missing_frac)
    text = grown(
        features,
        seed=seed,
        num_leaves=leaves,
        max_depth=depth,
        zero_as_missing=zero_as_missing,
        use_missing=use_missing,
    )
    other = rows(seed + 1, 0.3)
    found = tabulated(text, other)
    assert (found.method, found.reason) == ("tabulated", "")
    require_equal(found, text, other)


def test_a_path_longer_than_a_table_can_hold_is_integrated_and_equal() -> None:
    features = rows(1)
    text = grown(features, num_leaves=300, min_data_in_leaf=1)
    assert plan_of(read_forest(text), WIDTH).bits.max() > TABLE_BITS, "no leaf is that deep: the test shows nothing"
    require_equal(tabulated(text, features), text, features)


def test_values_on_the_threshold_at_infinity_and_beside_zero_go_where_lightgbm_sends_them() -> None:
    text = grown(rows(2), num_leaves=31, trees=10)
    forest = read_forest(text)
    edges = rows(3)
    for column in range(WIDTH):
        cuts = forest.threshold[forest.feature == column][: ROWS // 3]
        edges[: len(cuts), column] = cuts
        edges[ROWS // 3 : ROWS // 3 + len(cuts), column] = np.nextafter(cuts, np.float32(np.inf))
    edges[-200:-150], edges[-150:-100] = np.inf, -np.inf
    edges[-100:-50], edges[-50:] = 1e-36, -1e-36
    require_equal(tabulated(text, edges), text, edges)


def test_the_bits_are_the_same_for_any_number_of_threads_and_any_company_of_rows() -> None:
    features = np.concatenate([rows(seed) for seed in range(3)])
    text = grown(features[:ROWS], num_leaves=60)
    one = tabulated(text, features).values
    assert np.array_equal(one, tabulated(text, features, threads=3).values)
    assert np.array_equal(one[1700:1900], tabulated(text, features[1700:1900]).values)


def test_constant_trees_add_to_the_base_alone() -> None:
    features = rows(4)
    text = grown(features, min_data_in_leaf=ROWS)
    found = tabulated(text, features)
    assert not found.values.any()
    assert found.base == pytest.approx(lgb.Booster(model_str=text).predict(features[:1])[0])


def test_a_handful_of_rows_is_left_to_lightgbm_and_says_so() -> None:
    features = rows(5)
    text = grown(features)
    few = shap_values(text, features[:3])
    assert (few.method, few.reason) == ("pred_contrib", "tables pay from 500 rows on")
    require_equal(few, text, features[:3])


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"categorical_feature": [3], "min_data_per_group": 1}, "tree 0 splits on categories"),
        ({"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}, "its trees are averaged"),
    ],
)
def test_trees_of_another_kind_are_left_to_lightgbm_and_the_reason_is_said(
    params: dict[str, object], reason: str
) -> None:
    features = np.nan_to_num(rows(6))
    features[:, 3] = np.random.default_rng(0).integers(0, 6, ROWS)
    categorical = params.pop("categorical_feature", "auto")
    label = features[:, 0] + (features[:, 3] % 2) * 5
    chosen = {"verbosity": -1, "num_threads": 1, **params}
    made = lgb.train(chosen, lgb.Dataset(features, label, categorical_feature=categorical), 3)
    found = tabulated(made.model_to_string(), features)
    assert found.method == "pred_contrib"
    assert reason in found.reason
    assert np.array_equal(found.values, made.predict(features, pred_contrib=True, num_threads=1)[:, :-1])


def test_features_of_another_type_or_width_and_texts_that_are_no_model_are_refused() -> None:
    features = np.nan_to_num(rows(7))
    text = grown(features)
    with pytest.raises(ModelError, match=r"float64 of shape \(1500, 14\)"):
        tabulated(text, features.astype(np.float64))
    with pytest.raises(ModelError, match=r"the model expects float32 \(rows, 14\)"):
        tabulated(text, features[:, 1:].copy())
    with pytest.raises(ModelError, match="not a LightGBM model"):
        tabulated("tree\n", features)
    linear = lgb.train({"linear_tree": True, "verbosity": -1}, lgb.Dataset(features, features[:, 0]), 1)
    with pytest.raises(ModelError, match="not implemented for linear trees"):
        tabulated(linear.model_to_string(), features)
    several = lgb.train(
        {"objective": "multiclass", "num_class": 3, "verbosity": -1}, lgb.Dataset(features, np.arange(ROWS) % 3), 1
    )
    with pytest.raises(ModelError, match="several outputs"):
        tabulated(several.model_to_string(), features)


def test_interactions_are_those_of_the_tree_explainer_and_their_rows_sum_to_the_values() -> None:
    import shap

    features = rows(8)[:70]
    text = grown(rows(8), num_leaves=40)
    theirs = shap.TreeExplainer(lgb.Booster(model_str=text)).shap_interaction_values(features)
    chosen = [1, 0, 5, 2]
    found = shap_interactions(text, features, chosen)
    assert np.abs(found).max() > 0.1
    assert np.abs(found - theirs[:, chosen][:, :, chosen]).max() <= 1e-6
    assert np.array_equal(found, shap_interactions(text, features, chosen, threads=2))
    every = shap_interactions(text, features, range(WIDTH))
    assert every.sum(axis=2) == pytest.approx(tabulated(text, features).values, abs=1e-12)


def test_interactions_of_trees_of_another_kind_are_refused() -> None:
    features = np.nan_to_num(rows(6))
    made = lgb.train(
        {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5, "verbosity": -1},
        lgb.Dataset(features, features[:, 0]),
        2,
    )
    with pytest.raises(ModelError, match="interactions cannot be told: its trees are averaged"):
        shap_interactions(made.model_to_string(), features, [0, 1])
