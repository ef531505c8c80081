"""The promotion gate counts every strategy tried on a model's family, run by hand or swept, beside its own study."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from assets.io_managers import write_json
from assets.trials import (
    JOURNAL,
    STUDIES,
    WALKED,
    count_studies_of,
    count_trial,
    count_walk,
    family_of,
    record_trial,
    trials_behind,
)
from ljwx_pipeline.backtest.engine import run_backtest
from ljwx_pipeline.backtest.sweep import run_sweep
from ljwx_pipeline.backtest.sweep_measures import MEASURES
from ljwx_pipeline.backtest.sweep_store import VariantResult
from ljwx_pipeline.backtest.sweep_variants import expand_grid
from ljwx_pipeline.backtest.trial_ledger import COUNTED, LEDGER_FILE, TrialLedger, strategy_family
from ljwx_pipeline.config import Settings, market_home, replayed
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.evaluation.metrics import returns_of
from ljwx_pipeline.label import label_hash
from ljwx_pipeline.promotion.trial_count import number_of_trials
from ljwx_pipeline.reproduction.replay_home import lay_out
from ljwx_pipeline.studies import Axis, DailyReturns, Place, Space, StudyPlan, opened_study
from tests.fakes.sweeps import sweep_market

STUDY = {"trials": [{"session_sharpe": 0.05}, {"session_sharpe": 0.07}]}
FACTORS = "f" * 64


@pytest.fixture
def line(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.setenv("LJWX_HOME", str(tmp_path))
    catalogue = SimpleNamespace(version_hash=FACTORS)
    write_json(tmp_path / "tables", WALKED, {"walk": "walk one"})
    return SimpleNamespace(
        settings=settings, catalogue=catalogue, home=market_home(settings), tables=tmp_path / "tables"
    )


def tried(settings: Settings, factors: str = FACTORS, evidence: str = "e") -> None:
    """Count two variants that a sweep tried on a model of ``factors``."""
    family = strategy_family(factor_hash=factors, label_hash=label_hash(settings.label), universe=settings.universe)
    results = [
        VariantResult(name, "{}", dict.fromkeys(MEASURES, 0.0) | {"session_sharpe": sharpe}, np.zeros(3), 0.01, "")
        for name, sharpe in [("a", 0.1), ("b", -0.3)]
    ]
    TrialLedger(market_home(settings) / LEDGER_FILE).record(family, "sweep", results, evidence=evidence)


def as_replay(line: SimpleNamespace) -> None:
    source = line.settings.source.model_copy(update={"as_of": "2026-01-05T18:00:00+08:00"})
    line.settings = line.settings.model_copy(update={"source": source})
    line.home = market_home(line.settings)


def test_without_a_sweep_the_study_alone_counts(line: SimpleNamespace) -> None:
    assert trials_behind(line, STUDY).sharpes == (0.05, 0.07)


def test_the_trials_that_a_warm_start_rests_on_count_too(line: SimpleNamespace) -> None:
    warm = {**STUDY, "earlier_trials": [{"study": "first", "number": 0, "session_sharpe": 0.2}]}
    assert trials_behind(line, warm).sharpes == (0.05, 0.07, 0.2)


def test_variants_of_the_family_count_and_those_of_other_factors_do_not(line: SimpleNamespace) -> None:
    tried(line.settings)
    tried(line.settings, factors="0" * 64, evidence="f")
    counted = trials_behind(line, STUDY)
    assert counted.sharpes == (0.1, -0.3, 0.05, 0.07)
    assert counted.related == 2


def test_what_was_tried_on_the_same_data_under_another_profile_is_told(line: SimpleNamespace) -> None:
    tried(line.settings.model_copy(update={"profile": "copied"}), evidence="f")
    assert trials_behind(line, STUDY).related == 2


def test_a_replay_counts_what_was_tried_on_the_market_it_replays(line: SimpleNamespace) -> None:
    tried(line.settings)
    as_replay(line)
    assert market_home(line.settings).name.endswith("Z")
    assert len(trials_behind(line, STUDY).sharpes) == 4


def run_by_hand(line: SimpleNamespace, top_k: int) -> None:
    """Run the configured strategy with ``top_k`` names as ``net_backtest`` does, and count it."""
    strategy = line.settings.strategy.model_copy(update={"top_k": top_k, "n_drop": 1, "capital_cny": 400_000.0})
    line.settings = line.settings.model_copy(update={"strategy": strategy})
    market, scores = sweep_market()
    first, last = market.sessions[0].date(), market.sessions[-1].date()
    result = run_backtest(market, scores, strategy=strategy, costs=line.settings.costs, first=first, last=last)
    record_trial(line, market, scores, result, index_close(market.sessions))


def index_close(sessions: pd.DatetimeIndex) -> pd.Series:
    moves = np.random.default_rng(6).normal(0, 0.01, len(sessions))
    return pd.Series(5000 * np.cumprod(1 + moves), index=sessions)


def test_twenty_widths_by_hand_count_as_twenty_trials_and_a_repeat_as_none(line: SimpleNamespace) -> None:
    for top_k in range(2, 22):
        run_by_hand(line, top_k)
    run_by_hand(line, 7)
    counted = trials_behind(line, STUDY)
    assert len(counted.sharpes) == len(STUDY["trials"]) + 20
    assert len(set(counted.sharpes[:20])) > 10
    assert (counted.returns.shape, counted.without_returns) == ((89, 20), 2), "its returns are kept"
    assert 0 < counted.variance < 1


def test_a_variant_run_by_hand_and_swept_is_one_trial(line: SimpleNamespace) -> None:
    run_by_hand(line, 5)
    market, scores = sweep_market()
    settings = line.settings
    book = TrialLedger(market_home(settings) / LEDGER_FILE).of(family_of(line), "sweep")
    run_sweep(
        market,
        scores,
        expand_grid({"top_k": [4, 5, 6]}, strategy=settings.strategy, costs=settings.costs),
        first=market.sessions[0].date(),
        last=market.sessions[-1].date(),
        benchmark_returns=returns_of(index_close(market.sessions)).to_numpy(),
        trials=book,
    )
    run_by_hand(line, 6)
    kinds = [trial.kind for trial in book.ledger.trials_of(book.family)]
    assert kinds == ["manual", "sweep", "sweep"]


def ledger_of(line: SimpleNamespace) -> TrialLedger:
    return TrialLedger(market_home(replayed(line.settings)) / LEDGER_FILE)


def test_a_faithful_replay_is_no_trial_and_one_under_other_settings_is(line: SimpleNamespace) -> None:
    run_by_hand(line, 5)
    as_replay(line)
    run_by_hand(line, 5)
    assert len(ledger_of(line).trials()) == 1
    run_by_hand(line, 6)
    assert not (market_home(line.settings) / LEDGER_FILE).exists(), "the market that is replayed counts it"
    counted = trials_behind(line, STUDY)
    assert (len(counted.sharpes), counted.returns.shape) == (2 + 2, (89, 2)), "its returns are kept there too"


def test_a_walk_forward_counts_before_its_backtest_does_and_with_it_once(line: SimpleNamespace) -> None:
    for _ in range(2):
        count_walk(line, "walk one")
    count_walk(line, "walk that nobody backtested")
    before = trials_behind(line, STUDY)
    assert (before.sharpes, before.sessions, before.without_returns) == ((0.0, 0.0, 0.05, 0.07), (0, 0, 0, 0), 4)
    for top_k in (5, 6):
        run_by_hand(line, top_k)
    assert len(trials_behind(line, STUDY).sharpes) == 2 + 1 + 2
    assert number_of_trials(STUDY["trials"], ledger=ledger_of(line), family=family_of(line)) == 2 + 1 + 2
    as_replay(line)
    count_walk(line, "walk of a replay")
    assert len(trials_behind(line, STUDY).sharpes) == 2 + 2 + 2


def told(number: int = 0) -> dict[str, object]:
    return {"number": number, "params": {"num_leaves": 31}, "session_sharpe": 0.1, "sessions": 9, "state": "complete"}


def test_a_trial_of_a_study_counts_as_soon_as_it_is_told_and_once(line: SimpleNamespace) -> None:
    for _ in range(2):
        count_trial(line, "ljwx-1", told(), evidence="ljwx-1:0")
    document = {"study": "ljwx-1", "evidence": "ljwx-1:0", "trials": [told(), told(1)]}
    counted = trials_behind(line, document)
    assert counted.sharpes == (0.1, 0.1)
    assert counted.evidence == ("ljwx-1:0", "ljwx-1:0")
    assert [trial.kind for trial in TrialLedger(market_home(line.settings) / LEDGER_FILE).trials()] == ["study"]


def finished_study(journal: Path, dataset_hash: str, *, trials: int = 3) -> str:
    """Make a study that a killed run left, as one from before studies said whose they are."""
    axis = Axis("depth", "int", 0, 4, log=False, levels=(0, 1, 2))
    plan = StudyPlan(
        kind="ljwx",
        inputs={"dataset": dataset_hash, "folds": [[0, 1, 2, 3]]},
        space=Space((axis,)),
        seed=1,
        batch=1,
        random_trials=2,
    )
    with opened_study(Place(journal), plan) as study:
        for _ in range(trials):
            asked = study.claim(trials)
            assert asked is not None
            study.tell(asked, [0.1], kept={"trial": {**told(asked.number), "params": asked.params}})
        return study.name


def test_studies_left_in_the_journal_are_counted(line: SimpleNamespace) -> None:
    finished_study(line.home / STUDIES / JOURNAL, "d1")
    assert count_studies_of(line, dataset_hash="another") == 0
    assert count_studies_of(line, dataset_hash="d1") == 3
    assert len(trials_behind(line, STUDY).sharpes) == 3 + 2


def test_studies_of_a_replay_count_in_the_market_that_is_replayed(line: SimpleNamespace) -> None:
    as_replay(line)
    finished_study(line.home / STUDIES / JOURNAL, "d2")
    assert count_studies_of(line, dataset_hash="d2") == 3
    sessions = pd.bdate_range("2020-01-01", periods=100)
    returns = np.random.default_rng(4).normal(0, 0.01, 100)
    DailyReturns(line.home / "studies" / "ljwx-1.returns.parquet", sessions).add(0, returns, np.full(100, 0.1))
    shown = {"session_sharpe": returns.mean() / returns.std(ddof=1), "sessions": 100}
    count_trial(line, "ljwx-1", {**told(), **shown}, evidence="ljwx-1:0")
    assert not (line.home / LEDGER_FILE).exists()
    counted = trials_behind(line, STUDY)
    assert (len(counted.sharpes), counted.columns) == (3 + 1 + 2, (3,)), "its returns are found where the replay is"


def test_a_reproduction_counts_nothing(line: SimpleNamespace) -> None:
    (market_home(line.settings) / COUNTED).mkdir(parents=True)
    as_replay(line)
    run_by_hand(line, 5)
    count_trial(line, "ljwx-1", told(), evidence="ljwx-1:0")
    count_walk(line, "walk one")
    finished_study(line.home / STUDIES / JOURNAL, "d2")
    assert count_studies_of(line, dataset_hash="d2") == 0
    assert ledger_of(line).trials() == ()


def test_a_reproduction_reads_the_returns_of_the_market_it_counts(line: SimpleNamespace, tmp_path: Path) -> None:
    for top_k in (4, 5, 6):
        run_by_hand(line, top_k)
    before = trials_behind(line, STUDY)
    market, there = line.home, tmp_path / "elsewhere" / "markets"
    lay_out(tmp_path / "elsewhere", market=market, name=market.name, counted_until=None)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("LJWX_HOME", str(there.parent))
        line.home = market_home(line.settings)
        after = trials_behind(line, STUDY)
    assert after == before
    np.testing.assert_array_equal(after.returns, before.returns)
    assert after.returns.shape == (89, 3)


def test_a_ledger_that_lacks_rows_is_refused(line: SimpleNamespace) -> None:
    tried(line.settings)
    for path in market_home(line.settings).glob("trials.sqlite*"):
        path.unlink()
    with pytest.raises(LakeError, match="2 were counted: rows are gone"):
        trials_behind(line, STUDY)
