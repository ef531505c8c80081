"""Each fold's scores come from a model that saw nothing of it; what is recorded is what happened."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.clock import ManualClock
from ljwx_pipeline.dataset import Dataset, Fold
from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.models import walk_forward as walk_forward_module
from ljwx_pipeline.models.walk_forward import FoldRecord, bin_folds, walk_forward
from tests.fakes.model_settings import model_settings
from tests.fakes.planted import fold, planted_dataset

TUNED = {"learning_rate": 0.1, "num_leaves": 7, "min_data_in_leaf": 20}
MODEL = model_settings(
    max_rounds=20,
    early_stopping_rounds=5,
    early_stopping_tail_sessions=40,
)


@pytest.fixture
def dataset() -> Dataset:
    return planted_dataset()


def two_folds(dataset: Dataset) -> list[Fold]:
    return [
        fold(dataset, "first", test_first=200, test_stop=300),
        fold(dataset, "second", test_first=300, test_stop=400),
    ]


def test_every_test_row_gets_one_score_in_order(dataset: Dataset) -> None:
    found = walk_forward(dataset, two_folds(dataset), TUNED, MODEL).predictions
    assert list(found.columns) == ["symbol", "session_date", "score", "fold"]
    assert len(found) == 200 * 30
    assert not found.duplicated(["symbol", "session_date"]).any()
    pd.testing.assert_frame_equal(found, found.sort_values(["session_date", "symbol"], ignore_index=True))
    assert found.groupby("fold")["session_date"].agg(["min", "max"]).to_dict() == {
        "min": {"first": dataset.sessions[200], "second": dataset.sessions[300]},
        "max": {"first": dataset.sessions[299], "second": dataset.sessions[399]},
    }


def test_the_record_says_what_was_trained_tested_and_found(dataset: Dataset) -> None:
    seen: list[FoldRecord] = []
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    found = walk_forward(dataset, two_folds(dataset), TUNED, MODEL, on_fold=seen.append, clock=clock)
    assert tuple(seen) == found.folds
    first, second = found.folds
    assert (first.name, first.test_rows, first.train_rows) == ("first", 3000, 194 * 30)
    assert (first.train_first, first.train_last) == (dataset.sessions[0].date(), dataset.sessions[193].date())
    assert (second.test_first, second.test_last) == (dataset.sessions[300].date(), dataset.sessions[399].date())
    assert second.train_rows > first.train_rows
    assert first.seconds == 0.0
    assert 0.3 < first.rank_ic < 0.5
    assert 1 <= first.rounds <= 20


def test_nothing_after_a_training_window_changes_the_scores_of_its_fold(dataset: Dataset) -> None:
    folds = two_folds(dataset)
    before = walk_forward(dataset, folds, TUNED, MODEL).predictions
    label, features = dataset.label.copy(), dataset.features.copy()
    label[folds[0].train_rows.stop :] *= -1
    features[folds[0].test_rows.stop :] = 5.0
    after = walk_forward(replace(dataset, label=label, features=features), folds, TUNED, MODEL).predictions
    first = before["fold"] == "first"
    assert np.array_equal(before.loc[first, "score"], after.loc[first, "score"])
    assert not np.array_equal(before.loc[~first, "score"], after.loc[~first, "score"])


def test_rows_outside_the_universe_or_without_any_factor_get_no_score(dataset: Dataset) -> None:
    scorable, features = dataset.scorable.copy(), dataset.features.copy()
    scorable[200 * 30] = False
    features[200 * 30 + 1] = np.nan
    found = walk_forward(replace(dataset, scorable=scorable, features=features), two_folds(dataset), TUNED, MODEL)
    first_day = found.predictions[found.predictions["session_date"] == dataset.sessions[200]]
    assert len(first_day) == 28
    assert set(dataset.symbols[:2]).isdisjoint(first_day["symbol"])
    assert found.predictions["score"].notna().all()


def test_a_fold_without_known_returns_is_scored_and_its_rank_ic_is_unknown(dataset: Dataset) -> None:
    last = fold(dataset, "last", test_first=395, test_stop=400)
    found = walk_forward(dataset, [last], TUNED, MODEL)
    assert len(found.predictions) == 5 * 30
    assert np.isnan(found.folds[0].rank_ic)


def test_two_walks_give_the_same_frame(dataset: Dataset) -> None:
    one = walk_forward(dataset, two_folds(dataset), TUNED, MODEL).predictions
    pd.testing.assert_frame_equal(one, walk_forward(dataset, two_folds(dataset), TUNED, MODEL).predictions)


def four_folds(dataset: Dataset) -> list[Fold]:
    return [fold(dataset, f"{n}", test_first=200 + 50 * n, test_stop=250 + 50 * n) for n in range(4)]


@pytest.mark.parametrize(("workers", "threads"), [(2, 2), (3, 2), (2, 1)])
def test_folds_at_a_time_give_the_bits_of_one_after_the_other(dataset: Dataset, workers: int, threads: int) -> None:
    settings, seen = MODEL.model_copy(update={"threads": threads}), []
    alone = walk_forward(dataset, four_folds(dataset), TUNED, settings)
    together = walk_forward(dataset, four_folds(dataset), TUNED, settings, workers=workers, on_fold=seen.append)
    pd.testing.assert_frame_equal(together.predictions, alone.predictions, check_exact=True)
    assert [one.texts for one in together.models] == [one.texts for one in alone.models]
    assert [replace(one, seconds=0.0) for one in seen] == [replace(one, seconds=0.0) for one in alone.folds]


def test_folds_at_a_time_divide_the_threads(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = walk_forward_module.train

    def noted(*given: Any, **named: Any) -> Any:
        asked.append(given[3].threads)
        return real(*given, **named)

    monkeypatch.setattr(walk_forward_module, "train", noted)
    for threads, workers in ((4, 2), (2, 3)):
        settings = MODEL.model_copy(update={"threads": threads})
        walk_forward(dataset, two_folds(dataset), TUNED, settings, workers=workers)
    assert asked == [2, 2, 1, 1]


def test_each_folds_model_gives_its_scores_again(dataset: Dataset) -> None:
    found = walk_forward(dataset, two_folds(dataset), TUNED, MODEL)
    for one, model in zip(two_folds(dataset), found.models, strict=True):
        scores = found.predictions.loc[found.predictions["fold"] == one.name, "score"]
        assert np.array_equal(model.predict(dataset.features[one.test_rows]).score, scores)


def test_a_fold_that_fails_ends_the_walk_with_its_reason(dataset: Dataset) -> None:
    short = fold(dataset, "short", test_first=60, test_stop=100)
    with pytest.raises(ModelError, match="leave too little before a tail"):
        walk_forward(dataset, [*two_folds(dataset), short], TUNED, MODEL, workers=2)


def test_without_a_fold_there_is_nothing_to_walk(dataset: Dataset) -> None:
    with pytest.raises(ModelError, match="no test fold"):
        walk_forward(dataset, [], TUNED, MODEL)


@pytest.mark.parametrize(
    ("kind", "bases", "binned"),
    [("regression", (), True), ("linear", (), False), ("linear", ("linear", "rank"), True)],
)
def test_rows_are_binned_where_a_fitted_kind_is_boosted(
    dataset: Dataset, tmp_path: Path, kind: str, bases: tuple[str, ...], binned: bool
) -> None:
    ensemble = MODEL.ensemble.model_copy(update={"kind": "stacking" if bases else "none", "bases": bases})
    model = MODEL.model_copy(update={"kind": kind, "ensemble": ensemble})
    kept = replace(dataset, kept_in=tmp_path)
    assert (bin_folds(kept, two_folds(kept), model) is not None) == binned
    walk_forward(kept, two_folds(kept)[:1], TUNED, model)
    assert any(tmp_path.glob("*.bin")) == binned
