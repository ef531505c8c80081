"""A candidate is walked forward once: under the same hashes its scores are read again, under others made anew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.clock import utc_now
from ljwx_pipeline.config import ModelSettings, load_settings
from ljwx_pipeline.dataset import Dataset, Fold
from ljwx_pipeline.model_comparison.candidates import Candidate, candidates
from ljwx_pipeline.model_comparison.walk import has_what_it_learns_from, walked
from tests.fakes.planted import fold, planted_dataset

TUNED = {"learning_rate": 0.1, "num_leaves": 7, "min_data_in_leaf": 20}
BASE = load_settings(
    profile="simulated",
    environ={},
    overrides={"model.max_rounds": 8, "model.threads": 1, "model.early_stopping_tail_sessions": 40},
).model


@pytest.fixture
def dataset() -> Dataset:
    return planted_dataset()


@pytest.fixture
def split(dataset: Dataset) -> list[Fold]:
    return [
        fold(dataset, "first", test_first=200, test_stop=300),
        fold(dataset, "second", test_first=300, test_stop=400),
    ]


@pytest.fixture
def candidate() -> Candidate:
    return candidates(BASE, [], None)[0]


def test_a_finished_candidate_is_read_and_not_trained(
    tmp_path: Path, dataset: Dataset, split: list[Fold], candidate: Candidate
) -> None:
    trained: list[str] = []

    def once_more() -> pd.DataFrame:
        found = walked(
            candidate,
            dataset,
            split,
            TUNED,
            code="c",
            store=tmp_path,
            on_fold=lambda record: trained.append(record.name),
        )
        return found.predictions

    first, second = once_more(), once_more()
    assert trained == ["first", "second"]
    pd.testing.assert_frame_equal(first, second)


def test_a_kept_candidate_still_says_when_it_was_trained(
    tmp_path: Path, dataset: Dataset, split: list[Fold], candidate: Candidate
) -> None:
    before = utc_now()
    first = walked(candidate, dataset, split, TUNED, code="c", store=tmp_path)
    after = utc_now()
    assert before <= first.began_at < first.ended_at <= after
    assert (first.ended_at - first.began_at).total_seconds() >= first.seconds * 0.99
    second = walked(candidate, dataset, split, TUNED, code="c", store=tmp_path)
    assert second.known
    assert (second.began_at, second.ended_at) == (first.began_at, first.ended_at)


def test_other_code_parameters_or_folds_are_another_candidate(
    tmp_path: Path, dataset: Dataset, split: list[Fold], candidate: Candidate
) -> None:
    made = [
        walked(candidate, dataset, split, TUNED, code="c", store=tmp_path),
        walked(candidate, dataset, split, TUNED, code="d", store=tmp_path),
        walked(candidate, dataset, split, {**TUNED, "num_leaves": 5}, code="c", store=tmp_path),
        walked(candidate, dataset, split[:1], TUNED, code="c", store=tmp_path),
    ]
    assert not any(item.known for item in made)
    assert len({item.key for item in made}) == 4


@pytest.mark.parametrize("damaged", ["record.json", "predictions.parquet"])
def test_damaged_scores_are_made_again(
    tmp_path: Path, dataset: Dataset, split: list[Fold], candidate: Candidate, damaged: str
) -> None:
    first = walked(candidate, dataset, split, TUNED, code="c", store=tmp_path)
    (tmp_path / first.key / damaged).write_bytes(b"x")
    again = walked(candidate, dataset, split, TUNED, code="c", store=tmp_path)
    assert not again.known
    pd.testing.assert_frame_equal(first.predictions, again.predictions)


def asks(**keys: object) -> ModelSettings:
    return ModelSettings.model_validate({**BASE.model_dump(), **keys})


def blend(*horizons: int) -> dict[str, object]:
    return {**BASE.ensemble.model_dump(), "kind": "horizon_blend", "horizons": horizons}


def test_a_dataset_suffices_for_a_model_that_reads_no_column_it_lacks(dataset: Dataset) -> None:
    amount = np.ones(len(dataset.label))
    by_size = replace(dataset, groups=np.zeros(len(dataset.label), dtype=np.int32), group_measure="mean amount")
    held = replace(by_size, further_returns={1: amount, 10: amount}, mean_amount_cny=amount)
    for model, plain, whole in (
        (asks(), True, True),
        (asks(early_stopping_tail_sessions=4000), True, True),  # that it cannot be trained is another matter
        (asks(group_by="size"), False, True),
        (asks(group_by="industry"), False, False),
        (asks(liquidity_weight=0.5), False, True),
        (asks(ensemble=blend(1, 10)), False, True),
        (asks(ensemble=blend(1, 5)), False, False),
    ):
        assert has_what_it_learns_from(dataset, model) is plain
        assert has_what_it_learns_from(held, model) is whole
