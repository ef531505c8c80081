"""Training is repeatable to the byte, never looks across its purge, and uses the whole window in the end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ljwx_pipeline.coefficients import mean_rank_ic
from ljwx_pipeline.config import ModelSettings
from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.models.binned import bin_rows
from ljwx_pipeline.models.boosted import booster_params
from ljwx_pipeline.models.task import split_tail
from ljwx_pipeline.models.train import train
from tests.fakes.model_settings import model_settings
from tests.fakes.planted import PURGE, planted_dataset

TUNED = {"learning_rate": 0.1, "num_leaves": 7, "min_data_in_leaf": 20}
EVERYTHING = slice(0, None)


@pytest.fixture
def model() -> ModelSettings:
    return model_settings(
        max_rounds=40,
        early_stopping_rounds=5,
        early_stopping_tail_sessions=60,
    )


def test_the_same_rows_give_the_same_bytes(model: ModelSettings) -> None:
    one = train(planted_dataset(), EVERYTHING, TUNED, model)
    two = train(planted_dataset(), EVERYTHING, TUNED, model)
    assert one == two


def test_the_number_of_threads_does_not_change_a_byte(model: ModelSettings) -> None:
    one = train(planted_dataset(), EVERYTHING, TUNED, model)
    two = train(planted_dataset(), EVERYTHING, TUNED, model.model_copy(update={"threads": 2}))
    assert one == two


def test_another_seed_gives_another_model_when_rows_are_drawn(model: ModelSettings) -> None:
    drawn = {**TUNED, "bagging_fraction": 0.5, "bagging_freq": 1}
    one = train(planted_dataset(), EVERYTHING, drawn, model)
    two = train(planted_dataset(), EVERYTHING, drawn, model.model_copy(update={"seed": 8}))
    assert one.model.texts["model.txt"] != two.model.texts["model.txt"]


def test_a_planted_factor_is_found_on_rows_never_seen(model: ModelSettings) -> None:
    trained = train(planted_dataset(), EVERYTHING, TUNED, model)
    fresh = planted_dataset(seed=1)
    ic = mean_rank_ic(trained.model.predict(fresh.features).score, fresh.forward_return, fresh.session_index)
    assert 0.35 < ic < 0.5  # corr 0.45 is the most a model could reach
    assert trained.tail_rank_ic == pytest.approx(ic, abs=0.06)


def test_noise_stops_early_and_shows_no_rank_ic(model: ModelSettings) -> None:
    trained = train(planted_dataset(strength=0.0), EVERYTHING, TUNED, model)
    assert trained.rounds < model.max_rounds
    assert abs(trained.tail_rank_ic) < 0.1


def test_the_tail_is_purged_from_the_head() -> None:
    dataset = planted_dataset()
    head, tail = split_tail(dataset, slice(0, len(dataset.label)), 60)
    assert dataset.session_index[tail][0] - dataset.session_index[head][-1] == PURGE + 1
    assert len(np.unique(dataset.session_index[tail])) == 60
    assert tail.stop == len(dataset.label)


def test_what_lies_in_the_tail_does_not_reach_the_trees_before_the_refit(model: ModelSettings) -> None:
    without_refit = model.model_copy(update={"refit_on_tail": False, "early_stopping_rounds": 40})
    dataset = planted_dataset()
    head, _ = split_tail(dataset, slice(0, len(dataset.label)), 60)
    changed = dataset.label.copy()
    changed[head.stop :] = -changed[head.stop :]
    one = train(dataset, EVERYTHING, TUNED, without_refit)
    two = train(replace(dataset, label=changed), EVERYTHING, TUNED, without_refit)
    shorter = min(one.rounds, two.rounds)
    trees = [text.model.texts["model.txt"].split(f"Tree={shorter}\n")[0].split("Tree=0")[1] for text in (one, two)]
    assert trees[0].split("end of trees")[0].rstrip() == trees[1].split("end of trees")[0].rstrip()


def test_the_refit_learns_from_the_whole_window(model: ModelSettings) -> None:
    head_only = train(planted_dataset(), EVERYTHING, TUNED, model.model_copy(update={"refit_on_tail": False}))
    whole = train(planted_dataset(), EVERYTHING, TUNED, model)
    assert whole.rounds == head_only.rounds
    assert whole.rows == head_only.rows + 30 * (60 + PURGE) - 30 * PURGE  # the newest labels are unknown


def test_rows_outside_the_universe_or_without_a_label_are_not_learned_from(model: ModelSettings) -> None:
    dataset = planted_dataset()
    scorable = dataset.scorable.copy()
    scorable[::2] = False
    poisoned = dataset.label.copy()
    poisoned[::2] = -poisoned[::2]
    clean = train(replace(dataset, scorable=scorable), EVERYTHING, TUNED, model)
    assert (
        clean.model.texts["model.txt"]
        == train(replace(dataset, scorable=scorable, label=poisoned), EVERYTHING, TUNED, model).model.texts["model.txt"]
    )


def test_shared_bins_give_the_model_that_own_bins_of_the_same_edges_give(model: ModelSettings) -> None:
    dataset = planted_dataset()
    window = slice(0, 30 * 300)
    shared = bin_rows(dataset, edges=window, stop=len(dataset.label), settings=model)
    assert train(dataset, window, TUNED, model, binned=shared) == train(dataset, window, TUNED, model)


def test_a_missing_value_is_learned_from_not_filled(model: ModelSettings) -> None:
    trained = train(planted_dataset(missing_frac=0.3), EVERYTHING, TUNED, model)
    rows = np.full((2, 6), np.nan, dtype=np.float32)
    rows[0, 0] = 2.0
    assert trained.model.predict(rows).score[0] > trained.model.predict(rows).score[1]


def test_too_short_a_window_says_how_short(model: ModelSettings) -> None:
    with pytest.raises(ModelError, match="100 training sessions leave too little"):
        train(planted_dataset(sessions=100), EVERYTHING, TUNED, model)


def test_a_window_without_labels_is_refused(model: ModelSettings) -> None:
    dataset = planted_dataset()
    with pytest.raises(ModelError, match="no known label"):
        train(replace(dataset, label=np.full_like(dataset.label, np.nan)), EVERYTHING, TUNED, model)


def test_no_row_to_place_edges_on_is_refused(model: ModelSettings) -> None:
    with pytest.raises(ModelError, match="bin edges"):
        bin_rows(planted_dataset(), edges=slice(5, 5), stop=10, settings=model)


def test_what_makes_a_run_repeatable_cannot_be_tuned_away(model: ModelSettings) -> None:
    with pytest.raises(ModelError, match="deterministic is fixed"):
        booster_params({"deterministic": False}, model)
