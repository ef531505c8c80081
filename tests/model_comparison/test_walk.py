"""A candidate is walked forward once: under the same hashes its scores are read again, under others made anew."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from ljwx_pipeline.config import load_settings
from ljwx_pipeline.dataset import Dataset, Fold
from ljwx_pipeline.model_comparison.candidates import Candidate, candidates
from ljwx_pipeline.model_comparison.walk import walked
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
