"""A study in PostgreSQL is shared by processes, one of which is killed, and is the study of one process still."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from pydantic import SecretStr

from ljwx_pipeline.models.tune import StudyResult, tune
from ljwx_pipeline.studies import Place, study_summaries
from tests.fakes.planted import planted_dataset
from tests.fakes.postgres import missing, postgres
from tests.fakes.tuning import MODEL, TUNING, best_minus_mean, two_folds

ROOT = Path(__file__).resolve().parents[2]
TRIALS = 16

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    if missing():
        pytest.skip(missing())
    with postgres() as address:
        yield address


def alone(journal: Path, storage: str = "", **changed: object) -> StudyResult:
    dataset = planted_dataset(sessions=200, symbols=20)
    tuning = TUNING.model_copy(update={"trials": TRIALS, "batch": 4, "storage": SecretStr(storage), **changed})
    return tune(
        dataset,
        two_folds(dataset),
        net_returns=best_minus_mean,
        tuning=tuning,
        model=MODEL,
        top_k=5,
        journal=journal,
    )


def started(journal: Path, url: str) -> subprocess.Popen[str]:
    script = f"from tests.fakes.tuning import study; study({str(journal)!r}, {url!r}, trials={TRIALS}, pause_s=0.25)"
    return subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_two_processes_share_a_study_and_one_killed_in_the_middle_is_made_good(url: str, tmp_path: Path) -> None:
    journal = tmp_path / "shared" / "journal.log"
    victim = started(journal, url)
    assert victim.stdout is not None
    victim.stdout.readline()  # it has finished one and is in the middle of the next
    other = started(journal, url)
    time.sleep(0.1)
    os.kill(victim.pid, signal.SIGKILL)
    victim.communicate()
    said, _ = other.communicate(timeout=180)
    assert other.returncode == 0
    assert 0 < len(said.splitlines()) < TRIALS, "the first process's trials are not made again"
    (study,) = study_summaries(Place(url=url))
    assert (study.state, study.counts) == ("finished", {"complete": TRIALS})
    shared = alone(journal, url)
    single = alone(tmp_path / "single" / "journal.log")
    assert shared.name == single.name
    assert [replace(t, seconds=0.0) for t in shared.trials] == [replace(t, seconds=0.0) for t in single.trials]
    pd.testing.assert_frame_equal(shared.daily_returns, single.daily_returns, check_exact=True)


def test_two_processes_that_begin_at_once_split_the_trials(url: str, tmp_path: Path) -> None:
    journal = tmp_path / "journal.log"
    name = "together"
    script = (
        "from tests.fakes import tuning\n"
        f"tuning.TUNING = tuning.TUNING.model_copy(update={{'study': {name!r}}})\n"
        f"tuning.study({str(journal)!r}, {url!r}, trials={TRIALS}, pause_s=0.25)"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    made = [process.communicate(timeout=180)[0].splitlines() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(int(line.split()[1]) for lines in made for line in lines) == list(range(TRIALS))
    assert all(made), "both had a share"
    shared, single = alone(journal, url, study=name), alone(tmp_path / "single" / "journal.log", study=name)
    assert [t.params for t in shared.trials] == [t.params for t in single.trials]
    assert [t.rank_ic for t in shared.trials] == [t.rank_ic for t in single.trials]
