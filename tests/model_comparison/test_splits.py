"""Every split of a cross-validation is trained once and kept; its scores are those of a plain training loop."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from ljwx_pipeline.clock import utc_now
from ljwx_pipeline.config import load_settings
from ljwx_pipeline.dataset import Dataset
from ljwx_pipeline.dataset.combinatorial_folds import (
    CombinatorialFold,
    combinatorial_folds,
    path_scores,
    training_dataset,
)
from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.model_comparison.candidates import Candidate, candidates
from ljwx_pipeline.model_comparison.splits import Split, finished_splits, scored_splits
from ljwx_pipeline.models.fit import fit_one
from ljwx_pipeline.models.split import score_split
from ljwx_pipeline.models.walk_forward import walk_fold
from tests.fakes.planted import PURGE, fold, planted_dataset

GROUPS, TESTED = 4, 2
TUNED = {"learning_rate": 0.1, "num_leaves": 7, "min_data_in_leaf": 20}
BASE = load_settings(
    profile="simulated",
    environ={},
    overrides={"model.max_rounds": 8, "model.threads": 1, "model.early_stopping_tail_sessions": 40},
).model


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    made = planted_dataset()
    scorable = np.random.default_rng(5).random(len(made.label)) > 0.1
    return dataclasses.replace(made, scorable=scorable)


@pytest.fixture(scope="module")
def folds(dataset: Dataset) -> list[CombinatorialFold]:
    return combinatorial_folds(dataset, groups=GROUPS, test_groups=TESTED, embargo_sessions=2, min_train_sessions=60)


def scored(store: Path, dataset: Dataset, folds: list[CombinatorialFold], **options: object) -> list[Split]:
    given = {"candidate": candidates(BASE, [], None)[0], "code": "c", **options}
    return scored_splits(given.pop("candidate"), dataset, folds, TUNED, store=store, **given)  # type: ignore[arg-type]


def test_a_split_with_a_gap_in_its_training_is_scored_as_by_a_plain_loop(
    dataset: Dataset, folds: list[CombinatorialFold]
) -> None:
    (split,) = (one for one in folds if one.test_groups == (0, 2))
    assert len(split.train) == 2
    rows = np.r_[tuple(np.arange(part.start, part.stop) for part in split.train_rows)]
    sessions = np.unique(dataset.session_index[rows])
    learned = dataclasses.replace(
        dataset,
        **{
            name: getattr(dataset, name)[rows]
            for name in ("features", "forward_return", "label", "symbol_index", "enterable", "scorable")
        },
        session_index=np.searchsorted(sessions, dataset.session_index[rows]).astype(np.int32),
        sessions=dataset.sessions[sessions],
    )
    model = fit_one(learned, slice(0, len(rows)), TUNED, BASE).model
    expected = []
    for part in split.test_rows:
        said = model.predict(dataset.features[part], None, threads=1).score
        known = dataset.scorable[part] & ~np.isnan(dataset.features[part]).all(axis=1)
        expected.extend(np.where(known, said, np.nan))
    made = score_split(dataset, split, TUNED, BASE)
    np.testing.assert_array_equal(made.scores, expected)
    assert made.record.test_rows == int(np.isfinite(made.scores).sum())
    assert made.record.train.count(" to ") == made.record.test.count(" to ") == 2
    assert made.record.rank_ic > 0.2, "the planted factor is found on both sides of what is tested"


def test_a_split_that_tests_the_end_is_the_fold_of_a_walk_forward(
    dataset: Dataset, folds: list[CombinatorialFold]
) -> None:
    split = folds[-1]
    assert split.test_groups == (2, 3)
    walked = fold(dataset, "end", test_first=split.test[0][0], test_stop=split.test[-1][1])
    walked = dataclasses.replace(walked, train_rows=split.train_rows[0])  # the embargo
    made = score_split(dataset, split, TUNED, BASE)
    same = walk_fold(dataset, walked, TUNED, BASE, binned=None)
    np.testing.assert_array_equal(made.scores[np.isfinite(made.scores)], same.predictions["score"])
    assert made.record.rank_ic == same.record.rank_ic
    assert made.record.rounds == same.record.rounds


def test_every_row_that_may_be_scored_is_tested_by_as_many_splits_as_there_are_paths(
    dataset: Dataset, folds: list[CombinatorialFold], tmp_path: Path
) -> None:
    splits = scored(tmp_path, dataset, folds)
    times = np.zeros(len(dataset.label), dtype=int)
    for split, one in zip(splits, folds, strict=True):
        tested = np.r_[tuple(np.arange(part.start, part.stop) for part in one.test_rows)]
        times[tested[np.isfinite(split.scores)]] += 1
    paths = math.comb(GROUPS - 1, TESTED - 1)
    seen = dataset.scorable & ~np.isnan(dataset.features).all(axis=1)
    assert set(times[seen]) == {paths}
    assert set(times[~seen]) == {0}
    joined = path_scores(folds, [split.scores for split in splits], rows=len(dataset.label))
    assert joined.shape[0] == paths
    assert (np.isfinite(joined).all(axis=0) == seen).all()


def test_no_row_that_is_learned_from_has_a_label_that_reads_what_is_tested(
    dataset: Dataset, folds: list[CombinatorialFold]
) -> None:
    for one in folds:
        learned = training_dataset(dataset, one)
        assert learned.hash != dataset.hash
        assert learned.kept_in is None
        position = dataset.sessions.get_indexer(learned.sessions)
        reads = {int(at) + ahead for at in position for ahead in range(PURGE + 1)}
        for first, stop in one.test:
            assert not reads & set(range(first, stop))
            told = set(range(first, stop + PURGE + 2))  # what a tested row's label reads, and the embargo
            assert not told & set(position.tolist())
        # numbers without the gaps never say that two sessions lie further apart than they do
        assert (np.diff(position) >= 1).all()
        assert set(np.unique(learned.session_index)) == set(range(len(learned.sessions)))


def test_a_finished_split_is_read_and_one_that_was_not_finished_is_trained(
    dataset: Dataset, folds: list[CombinatorialFold], tmp_path: Path
) -> None:
    before, done = utc_now(), []

    def stop_after_two(split: Split) -> None:
        done.append(split)
        if len(done) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scored(tmp_path, dataset, folds, on_split=stop_after_two)
    candidate = candidates(BASE, [], None)[0]
    assert finished_splits(candidate, dataset, folds, TUNED, code="c", store=tmp_path) == 2
    splits = scored(tmp_path, dataset, folds)
    assert [split.known for split in splits] == [True, True, *[False] * (len(folds) - 2)]
    again = scored(tmp_path, dataset, folds)
    assert all(split.known for split in again)
    for first, second in zip(splits, again, strict=True):
        np.testing.assert_array_equal(first.scores, second.scores)
        assert first.record == second.record
        assert before.isoformat() <= second.record["began_at"] < second.record["ended_at"] <= utc_now().isoformat()
    assert finished_splits(candidate, dataset, folds, TUNED, code="other", store=tmp_path) == 0


def test_workers_change_no_bit(dataset: Dataset, folds: list[CombinatorialFold], tmp_path: Path) -> None:
    one, two = (scored(tmp_path / str(workers), dataset, folds[:4], workers=workers) for workers in (1, 2))
    for left, right in zip(one, two, strict=True):
        assert left.key == right.key
        np.testing.assert_array_equal(left.scores, right.scores)


def test_a_model_that_cannot_learn_from_the_stretches_is_refused(
    dataset: Dataset, folds: list[CombinatorialFold], tmp_path: Path
) -> None:
    far = Candidate("far", BASE.model_copy(update={"early_stopping_tail_sessions": 100}))
    with pytest.raises(ModelError, match="training sessions leave too little before a tail of 100"):
        scored(tmp_path, dataset, folds, candidate=far)
