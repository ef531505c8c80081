"""Pruning, two objectives, warm starts and workers: each changes what it says and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.backtest.trial_ledger import TrialLedger
from ljwx_pipeline.clock import ManualClock
from ljwx_pipeline.dataset import Dataset
from ljwx_pipeline.errors import EnvironmentFault, ModelError
from ljwx_pipeline.models.tune import PLAIN, StudyResult, Trial, chosen, pareto_front, tune
from ljwx_pipeline.models.tune_report import write_study_report
from ljwx_pipeline.models.tune_trial import is_behind, top_turnover
from ljwx_pipeline.promotion.trial_count import counted_trials
from ljwx_pipeline.studies import Place, study_summaries
from tests.fakes.planted import fold, planted_dataset
from tests.fakes.tuning import MODEL, TUNING, best_minus_mean, kill_self, two_folds

CLOCK = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
PRUNING = TUNING.model_copy(update={"trials": 16, "batch": 4, "pruning_percentile": 50.0, "pruning_warmup_trials": 4})
BOTH = TUNING.model_copy(update={"trials": 12, "objectives": ("rank_ic", "turnover")})


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return planted_dataset(sessions=200, symbols=20)


def run(dataset: Dataset, *, journal: Path | None = None, **changed: object) -> StudyResult:
    tuning = changed.pop("tuning", TUNING)
    options = {"net_returns": best_minus_mean, "clock": CLOCK, "top_k": 5, "model": MODEL, "tuning": tuning, **changed}
    return tune(dataset, two_folds(dataset), journal=journal, **options)  # type: ignore[arg-type]


def without_seconds(result: StudyResult) -> list[Trial]:
    return [replace(trial, seconds=0.0) for trial in result.trials]


@pytest.fixture(scope="module")
def pruned(dataset: Dataset) -> StudyResult:
    return run(dataset, tuning=PRUNING)


def test_a_trial_that_falls_behind_is_given_up_kept_and_says_after_which_fold(
    dataset: Dataset, pruned: StudyResult
) -> None:
    given_up = [trial for trial in pruned.trials if trial.state == "pruned"]
    assert given_up
    assert len(pruned.trials) == 16
    assert all(trial.number >= 4 and trial.pruned_after_fold == "a" for trial in given_up)
    assert all(len(trial.fold_rank_ics) == 1 and np.isfinite(trial.session_sharpe) for trial in given_up)
    assert pruned.best.state == "complete"
    first_fold = [trial.fold_rank_ics[0] for trial in pruned.trials]
    for trial in pruned.trials:
        before = first_fold[: trial.number - trial.number % 4]
        behind = len(before) >= 4 and trial.fold_rank_ics[0] < np.percentile(before, 50)
        assert (trial.state == "pruned") == behind
    assert without_seconds(run(dataset, tuning=PRUNING)) == without_seconds(pruned)


def test_the_returns_of_a_pruned_trial_end_with_its_last_fold(pruned: StudyResult) -> None:
    daily = pruned.daily_returns
    assert len(daily) == 29 + 29
    for trial in pruned.trials:
        for column in (f"trial_{trial.number}", f"trial_{trial.number}_turnover_frac"):
            run_on = np.isfinite(daily[column].to_numpy())
            assert run_on.tolist() == [True] * 29 + [trial.state == "complete"] * 29
        returns = daily[f"trial_{trial.number}"].dropna().to_numpy()
        spread = returns.std(ddof=1)
        assert trial.session_sharpe == (returns.mean() / spread if spread > 1e-12 else 0.0)


def test_the_gate_counts_pruned_trials(pruned: StudyResult, tmp_path: Path) -> None:
    ledger = TrialLedger(tmp_path / "trials.sqlite")
    counted = counted_trials([vars(trial) for trial in pruned.trials], ledger=ledger, family="f")
    assert counted.sharpes == tuple(trial.session_sharpe for trial in pruned.trials)
    assert len(counted.sharpes) == 16
    assert counted.sessions == tuple(29 if trial.state == "pruned" else 58 for trial in pruned.trials)


def test_nothing_is_given_up_before_the_warm_up_or_without_pruning() -> None:
    hopeless = {"so_far": -1.0, "earlier": [0.1] * 4, "folds_tested": 1}
    assert is_behind(**hopeless, tuning=PRUNING)  # type: ignore[arg-type]
    for off in (
        {"pruning_percentile": 0.0},
        {"pruning_warmup_trials": 5},
        {"pruning_warmup_folds": 2},
    ):
        assert not is_behind(**hopeless, tuning=PRUNING.model_copy(update=off))  # type: ignore[arg-type]


def test_a_study_of_pruned_trials_alone_is_refused(pruned: StudyResult) -> None:
    alone = [replace(trial, state="pruned") for trial in pruned.trials]
    with pytest.raises(ModelError, match="no trial finished: 16 were made"):
        chosen(alone, PRUNING)
    with pytest.raises(ModelError, match="no trial finished: 0 were made"):
        chosen([], TUNING)


def test_turnover_is_the_share_of_the_best_names_that_are_new() -> None:
    nan = np.nan
    scores = np.array([[4, 4, 1, nan], [3, 1, 2, nan], [2, 3, 3, nan], [1, 2, nan, nan]], dtype=float)
    assert top_turnover(scores, 2).tolist() == [0.5, 0.5, 0.0]
    assert top_turnover(scores, 1).tolist() == [0.0, 1.0, 0.0]
    assert top_turnover(scores, 9).tolist() == [0.0, 0.0, 0.0]
    assert top_turnover(np.full((3, 2), 1.0), 1).tolist() == [0.0]


def test_two_objectives_leave_a_front_and_the_stated_rule_chooses_on_it(dataset: Dataset) -> None:
    result = run(dataset, tuning=BOTH)
    front = [result.trials[number] for number in result.pareto]
    for trial in result.trials:
        beaten = any(
            other.rank_ic >= trial.rank_ic
            and other.turnover_frac <= trial.turnover_frac
            and (other.rank_ic, other.turnover_frac) != (trial.rank_ic, trial.turnover_frac)
            for other in result.trials
        )
        assert (trial in front) == (not beaten)
    near = [trial for trial in front if trial.rank_ic >= 0.95 * front[0].rank_ic]
    assert result.best == min(near, key=lambda trial: trial.turnover_frac)
    assert chosen(result.trials, BOTH.model_copy(update={"pareto_rank_ic_frac": 1.0})) == front[0]
    assert chosen(result.trials, BOTH.model_copy(update={"pareto_rank_ic_frac": 0.0})) == front[-1]
    assert run(dataset, tuning=BOTH) == result


def test_the_rule_holds_where_every_rank_ic_is_negative(dataset: Dataset) -> None:
    base = run(dataset, tuning=TUNING.model_copy(update={"trials": 1})).best
    values = [(-0.10, 0.5), (-0.104, 0.2), (-0.2, 0.1)]
    trials = [replace(base, number=at, rank_ic=ic, turnover_frac=turn) for at, (ic, turn) in enumerate(values)]
    assert [trial.number for trial in pareto_front(trials, BOTH)] == [0, 1, 2]
    assert chosen(trials, BOTH).number == 1


def test_a_warm_start_tries_the_last_best_second_and_says_so(dataset: Dataset, tmp_path: Path) -> None:
    journal = tmp_path / "journal.log"
    first = run(dataset, journal=journal)
    warm = TUNING.model_copy(update={"warm_start": True, "seed": 9})
    second = run(dataset, journal=journal, tuning=warm)
    assert second.warm_start == first.name
    assert [trial.origin for trial in second.trials] == ["plain", "warm start", "tpe", "tpe", "tpe", "tpe"]
    assert (second.trials[0].params, second.trials[1].params) == (PLAIN, first.best_params)
    assert run(dataset, journal=journal, tuning=warm) == second


def test_a_warm_start_knows_no_price_that_the_earlier_studys_labels_did_not_end_before(
    dataset: Dataset, tmp_path: Path
) -> None:
    journal = tmp_path / "journal.log"
    run(dataset, journal=journal)
    (summary,) = study_summaries(Place(journal))
    assert summary.finished["until"] == f"{dataset.sessions[159 + dataset.purge_sessions]:%Y-%m-%d}"
    shorter = replace(dataset, hash="of a shorter label", purge_sessions=dataset.purge_sessions - 1)
    warm = TUNING.model_copy(update={"warm_start": True, "trials": 2})
    assert run(shorter, journal=journal, tuning=warm).warm_start == "", "it would know a session more than its own"


def test_a_warm_start_stays_in_its_market_with_its_label_and_kind(dataset: Dataset, tmp_path: Path) -> None:
    journal, market = tmp_path / "journal.log", {"market": "a", "label_hash": "1"}
    first = run(dataset, journal=journal, alike=market)
    warm = TUNING.model_copy(update={"warm_start": True, "trials": 2})
    rank = MODEL.model_copy(update={"kind": "rank"})
    for other in ({"alike": {**market, "market": "b"}}, {"alike": {**market, "label_hash": "2"}}, {"model": rank}):
        assert run(dataset, journal=journal, tuning=warm, **{"alike": market, **other}).warm_start == ""
    assert run(dataset, journal=journal, tuning=warm, alike=market).warm_start == first.name


def test_the_trials_of_every_study_of_the_chain_are_counted(dataset: Dataset, tmp_path: Path) -> None:
    journal = tmp_path / "journal.log"
    results = [run(dataset, journal=journal, tuning=TUNING.model_copy(update={"trials": 2}))]
    for day, seed in enumerate((9, 10), start=2):
        warm = TUNING.model_copy(update={"trials": 3, "warm_start": True, "seed": seed})
        later = ManualClock(datetime(2026, 1, day, tzinfo=UTC))
        results.append(run(dataset, journal=journal, tuning=warm, clock=later))
    first, second, third = results
    assert third.earlier == {second.name: second.trials, first.name: first.trials}
    assert first.earlier == {}


def test_a_grid_begins_with_the_plain_model_and_is_not_drawn(dataset: Dataset) -> None:
    grid = TUNING.model_copy(update={"sampler": "grid", "trials": 5})
    result = run(dataset, tuning=grid)
    assert result.trials[0].params == PLAIN
    assert {trial.origin for trial in result.trials} == {"grid"}
    other = run(dataset, tuning=grid.model_copy(update={"seed": 99}))
    assert [trial.params for trial in other.trials] == [trial.params for trial in result.trials]


@pytest.mark.slow
def test_one_worker_and_two_make_the_same_study(dataset: Dataset, tmp_path: Path) -> None:
    features = tmp_path / "features.npy"
    np.save(features, dataset.features)
    mapped = replace(dataset, features=np.load(features, mmap_mode="r"))
    one = run(mapped, tuning=PRUNING, journal=tmp_path / "one" / "journal.log")
    two = run(
        mapped,
        tuning=PRUNING.model_copy(update={"workers": 2}),
        model=MODEL.model_copy(update={"threads": 2}),
        journal=tmp_path / "two" / "journal.log",
    )
    assert two.name == one.name
    assert without_seconds(two) == without_seconds(one)
    assert two.best_params == one.best_params
    pd.testing.assert_frame_equal(one.daily_returns, two.daily_returns, check_exact=True)
    assert not list((tmp_path / "two").glob("ljwx-sweep-*"))


@pytest.mark.slow
def test_a_worker_that_dies_is_named_and_the_study_goes_on(dataset: Dataset, tmp_path: Path) -> None:
    two = TUNING.model_copy(update={"batch": 2, "workers": 2})
    journal = tmp_path / "journal.log"
    with pytest.raises(EnvironmentFault, match=r"lower tune\.workers"):
        run(dataset, tuning=two, journal=journal, net_returns=kill_self)
    result = run(dataset, tuning=two.model_copy(update={"workers": 1}), journal=journal)
    assert without_seconds(result) == without_seconds(run(dataset, tuning=two.model_copy(update={"workers": 1})))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="kills a process by its id")
def test_a_study_killed_in_the_middle_makes_the_trials_it_would_have_made(dataset: Dataset, tmp_path: Path) -> None:
    journal = tmp_path / "journal.log"
    script = f"from tests.fakes.tuning import study; study({str(journal)!r}, '', trials=12, pause_s=0.2)"
    process = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).resolve().parents[2])
    deadline = time.monotonic() + 60
    while not (journal.exists() and journal.read_text().count('"kept"') >= 3):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    twelve = TUNING.model_copy(update={"trials": 12, "batch": 4})
    made_now: list[Trial] = []
    resumed = run(dataset, tuning=twelve, journal=journal, on_trial=lambda _, trial: made_now.append(trial))
    assert 0 < len(made_now) <= 9
    assert without_seconds(resumed) == without_seconds(run(dataset, tuning=twelve))


def test_daily_returns_lie_beside_the_journal_and_are_read_again(dataset: Dataset, tmp_path: Path) -> None:
    journal = tmp_path / "journal.log"
    first = run(dataset, journal=journal)
    path = tmp_path / f"{first.name}.returns.parquet"
    frame = pd.read_parquet(path)
    assert list(frame.columns[:3]) == ["session_date", "trial_0", "trial_0_turnover_frac"]
    assert frame.shape == (58, 1 + 2 * 6)
    assert frame["session_date"].is_monotonic_increasing
    before = (path.stat().st_mtime_ns, journal.read_bytes())
    again = run(dataset, journal=journal)
    pd.testing.assert_frame_equal(again.daily_returns, first.daily_returns)
    assert (path.stat().st_mtime_ns, journal.read_bytes()) == before


@pytest.mark.parametrize("damage", ["gone", "cut", "edited", "text", "text for sessions", "dropped"])
def test_daily_returns_lost_or_damaged_are_refused_with_the_remedy(
    dataset: Dataset, tmp_path: Path, damage: str
) -> None:
    journal = tmp_path / "journal.log"
    few = TUNING.model_copy(update={"trials": 2})
    path = tmp_path / f"{run(dataset, journal=journal, tuning=few).name}.returns.parquet"
    frame = pd.read_parquet(path)
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    elif damage == "edited":
        frame.loc[5, "trial_1"] += 1e-12
        frame.to_parquet(path)
    elif damage == "text":
        frame.assign(trial_1="much").to_parquet(path)
    elif damage == "text for sessions":
        frame.assign(session_date="then").to_parquet(path)
    else:
        frame.drop(columns="trial_1").to_parquet(path)
    with pytest.raises(ModelError, match=path.name) as refused:
        run(dataset, journal=journal)
    assert "tune.study" in refused.value.remedy


def test_a_study_by_name_is_refused_under_other_data_and_says_which(dataset: Dataset, tmp_path: Path) -> None:
    journal, mine = tmp_path / "journal.log", TUNING.model_copy(update={"trials": 2, "study": "mine"})
    terms = {"costs": {"slippage_bps": 2.0}, "code": "a" * 64}
    result = run(dataset, journal=journal, tuning=mine, earned_under=terms)
    assert result.name == "mine"
    assert (tmp_path / "mine.returns.parquet").exists()
    for changed, said in (
        ({"dataset": replace(dataset, hash="other")}, "the dataset (data, factors, label, universe) was planted-"),
        ({"earned_under": {**terms, "code": "b" * 64}}, "the pipeline's code was aaaaaaaaaaaa and is bbbbbbbbbbbb"),
        ({"earned_under": {**terms, "costs": {"slippage_bps": 3.0}}}, "costs.slippage_bps was 2.0 and is 3.0"),
        ({"tuning": mine.model_copy(update={"seed": 8})}, "tune.seed was 3 and is 8"),
        ({"model": MODEL.model_copy(update={"max_bin": 31})}, "model.max_bin was 63 and is 31"),
    ):
        options = {"dataset": dataset, "tuning": mine, "earned_under": terms, **changed}
        with pytest.raises(ModelError, match="study mine was made under other inputs") as refused:
            run(journal=journal, **options)  # type: ignore[arg-type]
        assert said in refused.value.fact
    workers = mine.model_copy(update={"trials": 3})
    many = mine.model_copy(update={"batch": 2, "seed": 8, "sampler": "grid", "rounds": 7})
    shorter = [fold(dataset, name, test_first=at, test_stop=at + 9) for name, at in (("a", 100), ("b", 120))]
    with pytest.raises(ModelError) as refused:
        tune(
            dataset,
            shorter,
            net_returns=best_minus_mean,
            tuning=many,
            model=MODEL.model_copy(update={"max_bin": 31}),
            top_k=6,
            journal=journal,
            earned_under=terms,
        )
    keys = (
        "model.max_bin",
        "strategy.top_k",
        "tune.batch was 1 and is 2",
        "tune.rounds",
        "tune.sampler",
        "; changed too: ",
    )
    assert [refused.value.fact.index(key) for key in keys] == sorted(refused.value.fact.index(key) for key in keys)
    assert refused.value.fact.endswith("tune.seed, the rows of the inner folds (tune.inner_folds, walk_forward, data)")
    assert "..." not in refused.value.fact
    assert len(run(dataset, journal=journal, tuning=workers, earned_under=terms).trials) == 3


def test_returns_of_another_length_are_refused(dataset: Dataset) -> None:
    with pytest.raises(ModelError, match="29 sessions after its first"):
        run(dataset, net_returns=lambda _scores, first, last: np.zeros(last - first + 1))


def test_three_folds_are_judged_by_the_mean_so_far(dataset: Dataset) -> None:
    folds = [fold(dataset, name, test_first=at, test_stop=at + 20) for name, at in (("a", 100), ("b", 120), ("c", 140))]
    tuning = PRUNING.model_copy(update={"pruning_warmup_folds": 2})
    result = tune(dataset, folds, net_returns=best_minus_mean, tuning=tuning, model=MODEL, top_k=5, clock=CLOCK)
    given_up = [trial for trial in result.trials if trial.state == "pruned"]
    assert given_up
    assert {(trial.pruned_after_fold, len(trial.fold_rank_ics)) for trial in given_up} == {("b", 2)}


def test_a_study_is_drawn_and_tabled(dataset: Dataset, tmp_path: Path, pruned: StudyResult) -> None:
    report = write_study_report(pruned, PRUNING, tmp_path / "one")
    assert [path.name for path in report.pictures] == ["history.png", "importance.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in report.pictures)
    assert report.importance["share"].sum() == pytest.approx(1)
    table = pd.read_parquet(tmp_path / "one" / "trials.parquet")
    assert table["number"].tolist() == list(range(16))
    assert table["param.num_leaves"].tolist() == [trial.params["num_leaves"] for trial in pruned.trials]
    both = write_study_report(run(dataset, tuning=BOTH), BOTH, tmp_path / "two")
    assert "pareto.png" in [path.name for path in both.pictures]
    assert set(both.importance["objective"]) == {"rank_ic", "turnover"}
    few = run(dataset, tuning=TUNING.model_copy(update={"trials": 2}))
    assert [path.name for path in write_study_report(few, TUNING, tmp_path / "two").pictures] == ["history.png"]
    assert not (tmp_path / "two" / "pareto.png").exists()
