"""A study keeps every trial, repeats itself, resumes after a crash and never asks about rows outside its folds."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from ljwx_pipeline.clock import ManualClock
from ljwx_pipeline.config import TuneSettings
from ljwx_pipeline.dataset import Dataset
from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.models.tune import PLAIN, StudyResult, Trial, tune
from ljwx_pipeline.models.tune_trial import score_matrix
from tests.fakes.planted import planted_dataset
from tests.fakes.tuning import MODEL, TUNING, best_minus_mean, two_folds

CLOCK = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return planted_dataset(sessions=200, symbols=20)


def run(dataset: Dataset, *, tuning: TuneSettings = TUNING, journal: Path | None = None, **more: object) -> StudyResult:
    options = {"net_returns": best_minus_mean, "clock": CLOCK, "top_k": 5, "model": MODEL, **more}
    return tune(dataset, two_folds(dataset), tuning=tuning, journal=journal, **options)  # type: ignore[arg-type]


def test_every_trial_is_kept_and_the_best_has_the_highest_rank_ic(dataset: Dataset) -> None:
    seen: list[Trial] = []
    result = run(dataset, on_trial=lambda _, trial: seen.append(trial))
    assert tuple(seen) == result.trials
    assert [trial.number for trial in result.trials] == list(range(6))
    assert result.best.rank_ic == max(trial.rank_ic for trial in result.trials)
    assert result.best_params == result.best.params
    assert all(len(trial.fold_rank_ics) == 2 for trial in result.trials)
    assert all(np.mean(trial.fold_rank_ics) == trial.rank_ic for trial in result.trials)
    assert len(result.trials) == 6
    assert all(trial.session_sharpe > 0 for trial in result.trials)
    assert len({tuple(trial.params.items()) for trial in result.trials}) == 6


def test_a_model_that_cannot_split_has_no_skill_rather_than_an_unknown_one(dataset: Dataset) -> None:
    flat = replace(dataset, features=np.zeros_like(dataset.features))
    assert run(flat, tuning=TUNING.model_copy(update={"trials": 1})).best.rank_ic == 0.0


def test_the_first_trial_is_the_plain_model(dataset: Dataset) -> None:
    assert run(dataset, tuning=TUNING.model_copy(update={"trials": 1})).best_params == PLAIN


def test_two_studies_make_the_same_trials(dataset: Dataset, tmp_path: Path) -> None:
    assert run(dataset) == run(dataset, journal=tmp_path / "study.log")


def test_an_interrupted_study_goes_on_as_if_nothing_had_happened(dataset: Dataset, tmp_path: Path) -> None:
    journal = tmp_path / "study.log"

    calls = 0

    def crash_in_the_fourth_trial(scores: np.ndarray, first: int, last: int) -> np.ndarray:
        nonlocal calls
        calls += 1
        if calls == 7:
            raise KeyboardInterrupt
        return best_minus_mean(scores, first, last)

    with pytest.raises(KeyboardInterrupt):
        run(dataset, journal=journal, net_returns=crash_in_the_fourth_trial)
    made_now: list[Trial] = []
    resumed = run(dataset, journal=journal, on_trial=lambda _, trial: made_now.append(trial))
    assert [trial.number for trial in made_now] == [3, 4, 5]
    assert resumed == run(dataset)


def test_a_finished_study_is_only_read(dataset: Dataset, tmp_path: Path) -> None:
    first = run(dataset, journal=tmp_path / "study.log")

    def never(scores: np.ndarray, first: int, last: int) -> np.ndarray:
        raise AssertionError

    assert run(dataset, journal=tmp_path / "study.log", net_returns=never) == first


def test_trials_made_earlier_count_even_when_fewer_are_asked_for(dataset: Dataset, tmp_path: Path) -> None:
    run(dataset, journal=tmp_path / "study.log")
    fewer = run(dataset, journal=tmp_path / "study.log", tuning=TUNING.model_copy(update={"trials": 2}))
    assert len(fewer.trials) == 6


def test_other_data_or_another_seed_is_another_study(dataset: Dataset, tmp_path: Path) -> None:
    journal = tmp_path / "study.log"
    few = TUNING.model_copy(update={"trials": 2})
    names = {
        run(dataset, journal=journal, tuning=few).name,
        run(replace(dataset, hash="other"), journal=journal, tuning=few).name,
        run(dataset, journal=journal, tuning=few.model_copy(update={"seed": 4})).name,
    }
    assert len(names) == 3


def test_trials_earned_under_other_terms_are_not_served_again(dataset: Dataset, tmp_path: Path) -> None:
    journal = tmp_path / "study.log"
    few = TUNING.model_copy(update={"trials": 1})
    dear = run(dataset, journal=journal, tuning=few, earned_under={"costs": {"slippage_bps": 20.0}})
    made_now: list[Trial] = []
    cheap = run(
        dataset,
        journal=journal,
        tuning=few,
        earned_under={"costs": {"slippage_bps": 2.0}},
        on_trial=lambda _, trial: made_now.append(trial),
    )
    assert dear.name != cheap.name
    assert len(made_now) == 1


def test_rows_after_the_last_inner_fold_change_nothing(dataset: Dataset) -> None:
    few = TUNING.model_copy(update={"trials": 2})
    stop = two_folds(dataset)[-1].test_rows.stop
    label, features, returns = dataset.label.copy(), dataset.features.copy(), dataset.forward_return.copy()
    label[stop:], features[stop:], returns[stop:] = 0.5, 9.0, 9.0
    changed = replace(dataset, label=label, features=features, forward_return=returns)
    assert run(dataset, tuning=few) == run(changed, tuning=few)


def test_the_backtest_sees_the_test_window_alone_and_only_the_universe(dataset: Dataset) -> None:
    seen = []

    def note(scores: np.ndarray, first: int, last: int) -> np.ndarray:
        seen.append((first, last, np.flatnonzero(np.isfinite(scores).any(axis=0)), np.isfinite(scores[0]).any()))
        return best_minus_mean(scores, first, last)

    scorable = dataset.symbol_index != 0
    run(replace(dataset, scorable=scorable), tuning=TUNING.model_copy(update={"trials": 1}), net_returns=note)
    assert [(first, last) for first, last, _, _ in seen] == [(100, 129), (130, 159)]
    assert seen[0][2].tolist() == list(range(100, 130))
    assert not any(first_symbol for *_, first_symbol in seen)


def test_a_strategy_that_never_traded_has_a_sharpe_of_zero(dataset: Dataset) -> None:
    idle = run(
        dataset,
        tuning=TUNING.model_copy(update={"trials": 1}),
        net_returns=lambda _scores, first, last: np.zeros(last - first),
    )
    assert [trial.session_sharpe for trial in idle.trials] == [0.0]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_returns_that_are_no_numbers_stop_the_study(dataset: Dataset, value: float) -> None:
    with np.errstate(invalid="ignore"), pytest.raises(ModelError, match="trial 0"):
        run(dataset, net_returns=lambda _scores, first, last: np.full(last - first, value))


def test_an_inner_fold_without_known_returns_is_named(dataset: Dataset) -> None:
    unknown = replace(dataset, forward_return=np.full_like(dataset.forward_return, np.nan))
    with pytest.raises(ModelError, match="inner fold a has no known return"):
        run(unknown)


def test_without_an_inner_fold_there_is_nothing_to_tune_on(dataset: Dataset) -> None:
    with pytest.raises(ModelError, match="no inner fold"):
        tune(dataset, [], net_returns=best_minus_mean, tuning=TUNING, model=MODEL, top_k=5)


def test_the_score_matrix_holds_each_score_at_its_symbol_and_session(dataset: Dataset) -> None:
    rows = two_folds(dataset)[0].test_rows
    scores = np.arange(rows.stop - rows.start, dtype=float)
    matrix, first, last = score_matrix(dataset, rows, scores)
    assert matrix.shape == (20, 200)
    assert (first, last) == (100, 129)
    assert matrix[3, 101] == 23.0
    assert np.isfinite(matrix).sum() == len(scores)


def test_a_kind_that_reads_no_tuned_parameter_is_tried_once(dataset: Dataset) -> None:
    result = run(dataset, model=MODEL.model_copy(update={"kind": "linear"}))
    assert len(result.trials) == 1
    assert np.isfinite(result.best.rank_ic)


def ensemble_of(kind: str, *, model_kind: str = "regression", bases: tuple[str, ...] = ("linear", "rank")) -> object:
    ensemble = MODEL.ensemble.model_copy(update={"kind": kind, "bases": bases})
    return MODEL.model_copy(update={"kind": model_kind, "ensemble": ensemble})


def test_an_ensemble_is_tuned_on_one_model_of_its_kind_and_shares_the_study(dataset: Dataset) -> None:
    few = TUNING.model_copy(update={"trials": 2})
    plain = run(dataset, tuning=few)
    assert run(dataset, tuning=few, model=ensemble_of("seed_bagging")) == plain


def test_a_stack_of_trees_is_tuned_though_the_kind_it_replaces_is_linear(dataset: Dataset) -> None:
    stack = run(dataset, model=ensemble_of("stacking", model_kind="linear"))
    assert len(stack.trials) == 6
    assert len({trial.rank_ic for trial in stack.trials}) > 1, "a base that reads the parameters is tried"
    assert stack == run(dataset, model=MODEL.model_copy(update={"kind": "rank"}))


@pytest.mark.parametrize("kind", ["regression", "linear"])
def test_rows_are_binned_for_a_kind_that_reads_bins_alone(dataset: Dataset, tmp_path: Path, kind: str) -> None:
    few = TUNING.model_copy(update={"trials": 1})
    run(replace(dataset, kept_in=tmp_path), tuning=few, model=MODEL.model_copy(update={"kind": kind}))
    assert len(list(tmp_path.glob("*.bin"))) == (kind == "regression")
