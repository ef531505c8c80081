"""The paper's formulas against themselves written out in plain Python, and the sub-models that come of them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import rankdata

from ljwx_pipeline.config import ModelSettings
from ljwx_pipeline.dataset import Dataset
from ljwx_pipeline.models.ensemble_double import chosen_features, curve_ends, g_value, h_values, sample_weights
from ljwx_pipeline.models.fit import Trained, fit_one
from ljwx_pipeline.models.train import train
from tests.fakes.model_settings import model_settings
from tests.fakes.planted import fold, planted_dataset

TUNED = {"learning_rate": 0.1, "num_leaves": 7, "min_data_in_leaf": 20}
EVERYTHING = slice(0, None)
NONE = model_settings().ensemble


def settings(**changed: Any) -> ModelSettings:
    """Return settings of a small double ensemble; ``changed`` are keys of ``[model.ensemble]``."""
    base = model_settings(max_rounds=20, early_stopping_rounds=5, early_stopping_tail_sessions=40)
    double = {**base.ensemble.double.model_dump(), "shuffle_rows": 500}
    ensemble = {**base.ensemble.model_dump(), "kind": "double_ensemble", "members": 3, "double": double, **changed}
    return ModelSettings.model_validate({**base.model_dump(), "ensemble": ensemble})


def fitted(dataset: Dataset, model: ModelSettings) -> Trained:
    return train(dataset, EVERYTHING, TUNED, model)


def plain_ranks(values: list[float]) -> list[float]:
    """Rank from 1, ties at their mean, over the number of values."""
    n = len(values)
    return [(sum(v < value for v in values) + (sum(v == value for v in values) + 1) / 2) / n for value in values]


def plain_bins(values: list[float], bins: int) -> list[int]:
    low, width = min(values), (max(values) - min(values)) / bins
    return [max(math.ceil((value - low) / width - 1e-9) - 1, 0) for value in values]


def plain_h(curve: list[list[float]], losses: list[float], alpha1: float, alpha2: float) -> list[float]:
    """h of arXiv 2010.01265, from the whole loss curve: one list of losses an iteration."""
    part, n = max(len(curve) // 10, 1), len(losses)
    normalised = [plain_ranks(row) for row in curve]
    start = [sum(row[i] for row in normalised[:part]) / part for i in range(n)]
    end = [sum(row[i] for row in normalised[-part:]) / part for i in range(n)]
    h1, h2 = plain_ranks([-loss for loss in losses]), plain_ranks([e / s for e, s in zip(end, start, strict=True)])
    return [alpha1 * a + alpha2 * b for a, b in zip(h1, h2, strict=True)]


def plain_weights(h: list[float], bins: int, decay: float, k: int) -> list[float]:
    of = plain_bins(h, bins)
    mean = {b: sum(x for x, c in zip(h, of, strict=True) if c == b) / of.count(b) for b in of}
    return [1 / (decay**k * mean[b] + 0.1) for b in of]


@pytest.mark.parametrize(("iterations", "alpha1", "alpha2"), [(1, 1.0, 1.0), (9, 0.5, 2.0), (25, 1.0, 0.0)])
def test_h_values_and_weights_are_those_of_the_plain_formulas(iterations: int, alpha1: float, alpha2: float) -> None:
    rng = np.random.default_rng(iterations)
    curve = rng.random((iterations, 40)).round(1)  # ties too
    losses = rng.random(40).round(1)
    begin, end = curve_ends(iterations)
    h = h_values(curve[[i - 1 for i in begin]], curve[[i - 1 for i in end]], losses, alpha1=alpha1, alpha2=alpha2)
    expected = plain_h(curve.tolist(), losses.tolist(), alpha1, alpha2)
    np.testing.assert_allclose(h, expected, rtol=1e-12)
    np.testing.assert_allclose(
        sample_weights(h, bins=4, decay=0.5, number=2), plain_weights(expected, 4, 0.5, 2), rtol=1e-12
    )


def test_a_row_that_is_known_already_weighs_less_than_one_still_wrong() -> None:
    losses = np.array([0.0, 0.1, 0.2, 0.9])
    flat = np.tile(np.arange(4.0), (1, 1))
    weights = sample_weights(h_values(flat, flat, losses, alpha1=1.0, alpha2=0.0), bins=4, decay=1.0, number=1)
    assert (np.diff(weights) > 0).all()


def test_a_row_whose_loss_rises_among_the_others_weighs_less() -> None:
    begin, end = np.array([[1.0, 2.0, 3.0, 4.0]]), np.array([[4.0, 3.0, 2.0, 1.0]])
    weights = sample_weights(h_values(begin, end, np.ones(4), alpha1=0.0, alpha2=1.0), bins=4, decay=1.0, number=1)
    assert (np.diff(weights) > 0).all()


def test_rows_all_alike_weigh_the_same() -> None:
    weights = sample_weights(np.full(5, 1.3), bins=10, decay=0.5, number=1)
    np.testing.assert_allclose(weights, 1 / (0.5 * 1.3 + 0.1))


def test_a_g_value_is_mean_over_spread_of_the_losses_added() -> None:
    before, after = np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0])
    assert g_value(after, before) == pytest.approx(2.0 / (math.sqrt(2 / 3) + 1e-7), rel=1e-12)
    assert g_value(before, before) == 0.0


def test_features_are_drawn_from_each_bin_by_its_share() -> None:
    g = np.array([0.0, 0.1, 0.05, 0.02, 0.5, 0.52, 0.48, 1.0, 0.95, 0.99])
    bins = plain_bins(g.tolist(), 3)
    chosen = chosen_features(g, (1.0, 0.5, 0.25), np.random.default_rng(0))
    of_chosen = [bins[feature] for feature in chosen]
    assert [of_chosen.count(b) for b in (2, 1, 0)] == [3, 2, 1]  # shares of 3, 3 and 4, rounded up
    assert list(chosen) == sorted(set(chosen))
    assert chosen == chosen_features(g, (1.0, 0.5, 0.25), np.random.default_rng(0))
    assert {chosen_features(g, (1.0, 0.5, 0.25), np.random.default_rng(seed)) for seed in range(20)} != {chosen}


def test_features_that_matter_alike_are_all_in_the_highest_bin() -> None:
    assert len(chosen_features(np.zeros(10), (0.8, 0.1), np.random.default_rng(0))) == 8


def test_the_first_sub_model_is_the_plain_fit_and_the_rest_take_its_rounds() -> None:
    dataset, model = planted_dataset(sessions=200), settings()
    plain = train(dataset, EVERYTHING, TUNED, model.model_copy(update={"ensemble": NONE}))
    double = fitted(dataset, model)
    assert double.model.texts["sub-0-model.txt"] == plain.model.texts["model.txt"]
    assert double.rounds == 3 * plain.rounds
    assert double.tail_rank_ic == plain.tail_rank_ic
    assert [member.weight for member in double.model.members] == [1 / 3] * 3
    np.testing.assert_array_equal(
        double.model.predict(dataset.features).score,
        sum(
            double.model.booster(f"sub-{k}-model.txt").predict(dataset.features, num_threads=1) * (1 / 3)
            for k in range(3)
        ),
    )


def test_each_sub_model_is_the_fit_under_the_papers_weights_on_its_chosen_features() -> None:
    dataset, model = planted_dataset(sessions=200, factors=8), settings()
    double = fitted(dataset, model)
    plain = model.model_copy(update={"ensemble": NONE})
    learned = np.flatnonzero(np.isfinite(dataset.label))
    target = dataset.label[learned].astype(np.float64)
    said = np.zeros(len(learned))
    for number in (1, 2):
        before = double.model.booster(f"sub-{number - 1}-model.txt")
        rounds = before.current_iteration()
        curve = [
            (target - np.asarray(before.predict(dataset.features[learned], num_iteration=count))) ** 2
            for count in range(1, rounds + 1)
        ]
        said += np.asarray(before.predict(dataset.features[learned]))
        normalised = [rankdata(losses) / len(losses) for losses in curve]
        part = max(rounds // 10, 1)
        start, end = np.mean(normalised[:part], axis=0), np.mean(normalised[-part:], axis=0)
        h = (rankdata(-((target - said / number) ** 2)) + rankdata(end / start)) / len(target)
        weight = np.ones(len(dataset.label))
        weight[learned] = plain_weights(h.tolist(), 10, 0.5, number)
        allowed = np.array([int(one) for one in str(double.params[f"sub-{number}.feature_contri"]).split(",")])
        alone = fit_one(
            dataset,
            EVERYTHING,
            TUNED,
            plain,
            weight=weight,
            seed=7 + number,
            feature_subset=np.flatnonzero(allowed),
            rounds=rounds,
        )
        np.testing.assert_allclose(
            double.model.booster(f"sub-{number}-model.txt").predict(dataset.features),
            alone.model.predict(dataset.features).score,
            rtol=0,
            atol=1e-9,
        )


def test_later_sub_models_split_on_their_chosen_features_alone_and_take_full_width() -> None:
    dataset = planted_dataset(sessions=200, factors=12)
    model = settings()
    double = fitted(dataset, model)
    for number in (1, 2):
        booster = double.model.booster(f"sub-{number}-model.txt")
        allowed = [int(one) for one in str(double.params[f"sub-{number}.feature_contri"]).split(",")]
        assert booster.num_feature() == 12
        assert 0 < sum(allowed) < 12
        assert not (booster.feature_importance("split")[np.array(allowed) == 0] > 0).any()
        assert allowed[0] == 1  # the planted factor is alone in the highest bin, of which a share is rounded up


def test_sub_models_weigh_as_they_are_told_and_one_of_no_weight_is_left_out() -> None:
    double = fitted(planted_dataset(sessions=200), settings(weights=(1.0, 0.0, 0.25)))
    assert {member.file: member.weight for member in double.model.members} == {
        "sub-0-model.txt": 0.8,
        "sub-2-model.txt": 0.2,
    }


def test_the_same_bytes_again_and_on_two_threads() -> None:
    dataset, model = planted_dataset(sessions=200), settings()
    one, again = fitted(dataset, model), fitted(dataset, model)
    two = fitted(dataset, model.model_copy(update={"threads": 2}))
    assert one == again
    assert one == two


def test_what_lies_outside_the_window_changes_nothing() -> None:
    dataset, model = planted_dataset(sessions=260), settings()
    window = fold(dataset, "f", test_first=220, test_stop=260).train_rows
    poisoned = dataset.label.copy(), dataset.forward_return.copy(), dataset.features.copy()
    for values in poisoned:
        values[window.stop :] = -7.0
    other = replace(dataset, label=poisoned[0], forward_return=poisoned[1], features=poisoned[2])
    assert train(dataset, window, TUNED, model) == train(other, window, TUNED, model)


def test_without_a_refit_no_sub_model_has_seen_the_tail() -> None:
    dataset = planted_dataset(sessions=200)
    model = settings().model_copy(update={"refit_on_tail": False, "max_rounds": 1})
    head_stop = 30 * (200 - 40 - 6)
    flipped = dataset.label.copy()
    flipped[head_stop:] *= -1
    one, two = fitted(dataset, model), fitted(replace(dataset, label=flipped), model)
    assert one.model == two.model
    assert one.rows == head_stop
