"""Every finished trial of every study is counted, whoever made it and whether or not it was gone on with."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ljwx_pipeline.backtest.trial_ledger import TrialLedger
from ljwx_pipeline.dataset import Dataset
from ljwx_pipeline.models.tune import StudyResult, fold_rows, tune
from ljwx_pipeline.promotion.study_trials import count_studies, new_trial, study_evidence, study_note, study_variant
from ljwx_pipeline.promotion.trial_count import counted_trials
from ljwx_pipeline.studies import Place, study_summaries
from tests.fakes.planted import planted_dataset
from tests.fakes.tuning import MODEL, TUNING, best_minus_mean, two_folds

MARKET, FAMILY = "simulated-1", "factors-label-universe"
PRUNING = TUNING.model_copy(update={"trials": 16, "batch": 4, "pruning_percentile": 50.0, "pruning_warmup_trials": 4})


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return planted_dataset(sessions=200, symbols=20)


@pytest.fixture
def ledger(tmp_path: Path) -> TrialLedger:
    return TrialLedger(tmp_path / "trials.sqlite")


def study(dataset: Dataset, home: Path, *, noted: bool = True, family: str = FAMILY, **changed: Any) -> StudyResult:
    tuning = changed.pop("tuning", TUNING.model_copy(update=changed))
    note = study_note(market=MARKET, family=family) if noted else None
    journal = home / "studies" / "journal.log"
    return tune(
        dataset,
        two_folds(dataset),
        net_returns=best_minus_mean,
        tuning=tuning,
        model=MODEL,
        top_k=5,
        journal=journal,
        note=note,
    )


def count(ledger: TrialLedger, home: Path, dataset: Dataset | None = None, *, family: str = FAMILY) -> int:
    summaries = study_summaries(Place(home / "studies" / "journal.log"))
    made_on = dataset.hash if dataset is not None else "another dataset"
    return count_studies(ledger, summaries, market=MARKET, family=family, dataset_hash=made_on)


def test_trials_of_every_seed_kind_and_number_are_counted_pruned_ones_too(
    dataset: Dataset, ledger: TrialLedger, tmp_path: Path
) -> None:
    made = [
        study(dataset, tmp_path),
        study(dataset, tmp_path, seed=4, trials=2),
        study(dataset, tmp_path, tuning=PRUNING),
        study(dataset, tmp_path, sampler="grid", trials=3, study="by name"),
    ]
    assert count(ledger, tmp_path) == 6 + 2 + 16 + 3
    assert count(ledger, tmp_path, dataset) == 0
    rows = ledger.trials_of(FAMILY)
    assert {row.kind for row in rows} == {"study"}
    assert sum(json.loads(row.settings_json)["state"] == "pruned" for row in rows) > 0
    assert sorted(row.session_sharpe for row in rows) == sorted(t.session_sharpe for one in made for t in one.trials)
    assert {row.sessions for row in rows} == {29, 58}


def test_their_returns_are_found_where_the_study_keeps_them(
    dataset: Dataset, ledger: TrialLedger, tmp_path: Path
) -> None:
    made = study(dataset, tmp_path, tuning=PRUNING)
    count(ledger, tmp_path)
    found = counted_trials([], ledger=ledger, family=FAMILY, counted=tmp_path)
    assert (found.returns.shape, found.without_returns) == ((58, 16), 0)
    for trial in made.trials:
        column = made.daily_returns[f"trial_{trial.number}"].to_numpy()
        np.testing.assert_array_equal(found.returns[:, trial.number], column)


def test_a_study_told_trial_by_trial_and_found_later_is_counted_once(
    dataset: Dataset, ledger: TrialLedger, tmp_path: Path
) -> None:
    made = study(dataset, tmp_path)
    evidence = study_evidence(made.name, dataset_hash=dataset.hash, folds=fold_rows(two_folds(dataset)))
    for trial in made.trials[:4]:
        ledger.count(FAMILY, "study", [new_trial(made.name, asdict(trial))], evidence=evidence)
    assert count(ledger, tmp_path) == 2
    own = [{**asdict(trial), "study": made.name, "evidence": evidence} for trial in made.trials]
    assert len(counted_trials(own, ledger=ledger, family=FAMILY).sharpes) == 6


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.promotion.test_study_trials import study
from tests.fakes import tuning
from tests.fakes.planted import planted_dataset
import ljwx_pipeline.models.tune as module
kept = module._Keeper.keep
def keep(self, asked, outcome):
    found = kept(self, asked, outcome)
    if asked.number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return found
module._Keeper.keep = keep
study(planted_dataset(sessions=200, symbols=20), Path(sys.argv[1]), seed=99)
"""


def test_trials_of_a_killed_run_that_nobody_goes_on_with_are_counted(
    dataset: Dataset, ledger: TrialLedger, tmp_path: Path
) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False, timeout=300)
    assert done.returncode == -9
    study(dataset, tmp_path)
    assert count(ledger, tmp_path) == 3 + 6


def test_a_study_counts_with_the_family_it_says_and_in_no_other_market(
    dataset: Dataset, ledger: TrialLedger, tmp_path: Path
) -> None:
    study(dataset, tmp_path, family="other-label-universe", seed=5, trials=2)
    summaries = study_summaries(Place(tmp_path / "studies" / "journal.log"))
    assert count_studies(ledger, summaries, market="simulated-2", family=FAMILY, dataset_hash="another") == 0
    assert count(ledger, tmp_path) == 2
    assert len(ledger.trials_of("other-label-universe")) == 2
    assert ledger.trials_of(FAMILY) == ()


def test_a_study_from_before_it_said_so_counts_where_its_dataset_is_the_same(
    dataset: Dataset, ledger: TrialLedger, tmp_path: Path
) -> None:
    study(dataset, tmp_path, noted=False, trials=2)
    assert count(ledger, tmp_path) == 0
    assert count(ledger, tmp_path, dataset) == 2


def test_a_trial_is_known_by_its_number_and_its_parameters() -> None:
    assert study_variant(1, {"a": 1, "b": 2.5}) == study_variant(1, {"b": 2.5, "a": 1})
    assert len({study_variant(1, {"a": 1}), study_variant(2, {"a": 1}), study_variant(1, {"a": 2})}) == 3
