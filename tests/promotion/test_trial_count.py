"""Every strategy that was tried raises what a candidate must clear, and no trial ever lowers it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.backtest.sweep_measures import MEASURES
from ljwx_pipeline.backtest.sweep_store import RESULTS, SweepKey, SweepStore, VariantResult
from ljwx_pipeline.backtest.trial_ledger import TrialLedger
from ljwx_pipeline.config import Settings
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.promotion.gate import decide
from ljwx_pipeline.promotion.statistics import deflated_sharpe
from ljwx_pipeline.promotion.study_trials import new_trial, study_evidence
from ljwx_pipeline.promotion.trial_count import (
    counted_trials,
    number_of_trials,
    study_trials,
)
from ljwx_pipeline.studies import DailyReturns
from tests.fakes.gate_evidence import evidence

STUDY = [{"session_sharpe": value, "sessions": 400} for value in (0.02, 0.05, -0.01, 0.04)]
FAMILY = "factors-label-universe"
SESSIONS = pd.bdate_range("2020-01-01", periods=300)


def swept(
    ledger: TrialLedger, sharpes: list[float], *, evidence: str = "e", family: str = FAMILY, sessions: int = 900
) -> None:
    results = [
        VariantResult(f"v{i}", "{}", dict.fromkeys(MEASURES, 0.0) | {"session_sharpe": value}, np.zeros(sessions), 0.0)
        for i, value in enumerate(sharpes)
    ]
    ledger.record(family, "sweep", results, evidence=evidence)


def document(name: str = "ljwx-1", trials: int = 3, **more: Any) -> dict[str, Any]:
    """Return a document of a study whose trials say all that is known of them."""
    made = [
        {
            "number": i,
            "params": {"num_leaves": 31 + i},
            "session_sharpe": 0.01 * i,
            "sessions": 400,
            "state": "complete",
        }
        for i in range(trials)
    ]
    return {
        "study": name,
        "evidence": study_evidence(name, dataset_hash="d", folds=[[0, 1, 2, 3]]),
        "trials": made,
        **more,
    }


def booked(ledger: TrialLedger, of: dict[str, Any], family: str = FAMILY) -> None:
    ledger.count(family, "study", [new_trial(of["study"], one) for one in of["trials"]], evidence=of["evidence"])


@pytest.fixture
def ledger(tmp_path: Path) -> TrialLedger:
    return TrialLedger(tmp_path / "trials.sqlite")


def test_the_study_alone_counts_where_nothing_was_swept(ledger: TrialLedger) -> None:
    found = counted_trials(STUDY, ledger=ledger, family=FAMILY)
    assert found.sharpes == (0.02, 0.05, -0.01, 0.04)
    assert found.sessions == (400,) * 4
    assert found.variance == pytest.approx(400 * np.var(found.sharpes, ddof=1))
    assert (found.returns.shape, found.without_returns) == ((0, 0), 4)


def test_a_booked_study_and_its_document_are_one(ledger: TrialLedger) -> None:
    own, other = document(), document("ljwx-2", trials=5)
    booked(ledger, own)
    booked(ledger, other)
    assert len(counted_trials(study_trials(own), ledger=ledger, family=FAMILY).sharpes) == 3 + 5
    assert number_of_trials(study_trials(own), ledger=ledger, family=FAMILY) == 3 + 5


def test_of_a_study_half_booked_the_rest_is_counted_from_the_document(ledger: TrialLedger) -> None:
    own = document()
    booked(ledger, {**own, "trials": own["trials"][:1]})
    assert counted_trials(study_trials(own), ledger=ledger, family=FAMILY).sharpes == (0.0, 0.01, 0.02)


def test_a_study_of_the_same_name_on_other_data_is_another(ledger: TrialLedger) -> None:
    own = document("spring")
    before = {**own, "evidence": study_evidence("spring", dataset_hash="other", folds=[[0, 1, 2, 3]])}
    booked(ledger, before)
    assert len(counted_trials(study_trials(own), ledger=ledger, family=FAMILY).sharpes) == 6


def test_what_a_warm_start_rests_on_counts_once_in_its_family_and_from_the_document_out_of_it(
    ledger: TrialLedger,
) -> None:
    inside, outside = document("a", trials=4), document("b", trials=2)
    booked(ledger, inside)
    booked(ledger, outside, family="other-label-universe")
    chain = [
        {"study": one["study"], "number": trial["number"], "session_sharpe": trial["session_sharpe"]}
        for one in (inside, outside)
        for trial in one["trials"]
    ]
    own = document(earlier_trials=chain)
    booked(ledger, own)
    found = counted_trials(study_trials(own), ledger=ledger, family=FAMILY)
    assert len(found.sharpes) == 4 + 3 + 2
    assert found.related == 2


def test_every_variant_of_the_family_is_a_trial_and_others_are_only_told(ledger: TrialLedger) -> None:
    swept(ledger, [0.1, 0.2, 0.3])
    swept(ledger, [0.1, 0.2, 0.3])
    swept(ledger, [0.5], family="other-label-universe", evidence="a")
    swept(ledger, [0.5, 0.6], family="factors-label-other", evidence="b")
    swept(ledger, [0.5], family="factors-other-universe", evidence="c")
    swept(ledger, [0.1], family="factors-label-wider", evidence="e")
    found = counted_trials(STUDY, ledger=ledger, family=FAMILY)
    assert found.sharpes == (0.1, 0.2, 0.3, 0.02, 0.05, -0.01, 0.04)
    assert found.related == 4, "the same look under another name is no other"
    assert found.as_dict()["counted"] == 7


def test_a_ledger_that_lacks_rows_is_refused_and_not_taken_for_none(ledger: TrialLedger) -> None:
    swept(ledger, [0.1])
    for part in ("", "-wal", "-shm"):
        ledger.path.with_name(ledger.path.name + part).unlink(missing_ok=True)
    with pytest.raises(LakeError, match=r"is missing, but 1 were counted.*unknown trials are not zero trials"):
        counted_trials(STUDY, ledger=ledger, family=FAMILY)


def test_five_hundred_variants_that_are_nearly_one_do_not_lower_the_hurdle(ledger: TrialLedger) -> None:
    returns = np.random.default_rng(3).normal(0.0006, 0.01, 900)
    alone = counted_trials(STUDY, ledger=ledger, family=FAMILY)
    swept(ledger, [0.03 + i * 1e-6 for i in range(500)])
    many = counted_trials(STUDY, ledger=ledger, family=FAMILY)
    before = deflated_sharpe(returns, alone.sharpes, luck=alone.variance)
    after = deflated_sharpe(returns, many.sharpes, luck=many.variance)
    assert after.trials == 504
    assert after.hurdle > before.hurdle
    assert after.probability < before.probability
    assert deflated_sharpe(returns, many.sharpes).hurdle < before.hurdle, "all in one heap they would"


def test_the_gate_refuses_after_a_sweep_what_it_promoted_before(ledger: TrialLedger, settings: Settings) -> None:
    def decided() -> dict[str, float | None]:
        counted = counted_trials(STUDY, ledger=ledger, family=FAMILY)
        shown = replace(
            evidence(rank_ic=0.05, annual_excess=0.3),
            net_excess_returns=np.random.default_rng(5).normal(0.0012, 0.01, 900),
            trial_sharpes=counted.sharpes,
            trials=len(counted.sharpes),
            trial_variance=counted.variance,
        )
        return decide(shown, settings.gate).measured

    before = decided()
    swept(ledger, list(np.random.default_rng(7).normal(0, 0.04, 300)))
    after = decided()
    level = settings.gate.min_deflated_sharpe_probability
    assert before["trials"] == 4
    assert after["trials"] == 304
    assert (before["deflated_sharpe_probability"] or 0) > level > (after["deflated_sharpe_probability"] or 0)


# the returns of trials


def sharpe(returns: np.ndarray) -> float:
    return float(returns.mean() / returns.std(ddof=1))


def kept_study(home: Path, ledger: TrialLedger, *, trials: int = 4, pruned_at: int = 100) -> np.ndarray:
    """Book a study of which every other trial was given up, its returns where a study keeps them."""
    values = np.random.default_rng(1).normal(0.0005, 0.01, (trials, len(SESSIONS)))
    values[1::2, pruned_at:] = np.nan
    kept = DailyReturns(home / "studies" / "s.returns.parquet", SESSIONS)
    of = document("s", trials=trials)
    for trial, row in zip(of["trials"], values, strict=True):
        kept.add(trial["number"], row, np.full(len(SESSIONS), 0.1))
        known = row[~np.isnan(row)]
        trial |= {"session_sharpe": sharpe(known), "sessions": len(known)}
    booked(ledger, of)
    return values


TESTED = pd.bdate_range(SESSIONS[100], periods=250)


def kept_sweep(
    home: Path,
    ledger: TrialLedger,
    *,
    variants: int = 3,
    family: str = FAMILY,
    like: np.ndarray | None = None,
    scores: str = "s",
    sessions: pd.DatetimeIndex = TESTED,
) -> np.ndarray:
    """Book a sweep, whose returns may be ``like`` some, on the last 200 sessions and 50 later ones; return them."""
    rng = np.random.default_rng(2 + len(scores))
    net, over = rng.normal(0.0005, 0.01, (variants, 250)), rng.normal(0, 0.008, 250)
    if like is not None:
        net = 0.2 * net + like + over
    key = SweepKey("m", "m", scores, "b", sessions[0].date(), sessions[-1].date(), "code")
    store = SweepStore(home / RESULTS, key)
    results = [
        VariantResult(f"v{i}", "{}", dict.fromkeys(MEASURES, 0.0) | {"session_sharpe": sharpe(row - over)}, row, 0.0)
        for i, row in enumerate(net)
    ]
    store.keep_benchmark(sessions, over)
    ledger.record(family, "sweep", store.write(results), evidence=key.evidence)
    return np.asarray(net - over)


def test_stored_returns_of_studies_and_sweeps_stand_in_one_matrix_by_session(
    tmp_path: Path, ledger: TrialLedger
) -> None:
    study, sweep = kept_study(tmp_path, ledger), kept_sweep(tmp_path, ledger)
    swept(ledger, [0.2], evidence="nowhere kept")
    found = counted_trials([], ledger=ledger, family=FAMILY, counted=tmp_path, own=tmp_path)
    assert found.returns.shape == (350, 7)
    assert (found.columns, found.without_returns) == ((0, 1, 2, 3, 4, 5, 6), 1)
    np.testing.assert_array_equal(found.returns[:300, :4], study.T)
    np.testing.assert_array_equal(found.returns[100:, 4:], sweep.T)
    assert np.isnan(found.returns[300:, :4]).all()
    assert np.isnan(found.returns[:100, 4:]).all()
    assert found.sessions == (300, 100, 300, 100, 250, 250, 250, 900)
    for column, position in enumerate(found.columns):
        known = found.returns[:, column]
        assert sharpe(known[~np.isnan(known)]) == pytest.approx(found.sharpes[position], rel=1e-9)


@pytest.mark.parametrize("harm", ["gone", "cut", "another", "no benchmark", "other benchmark"])
def test_returns_that_are_lost_or_not_those_that_were_counted_leave_the_trial_counted(
    tmp_path: Path, ledger: TrialLedger, harm: str
) -> None:
    kept_study(tmp_path, ledger)
    kept_sweep(tmp_path, ledger)
    (variants,) = (tmp_path / RESULTS).glob("*/*.parquet")
    study, benchmark = tmp_path / "studies" / "s.returns.parquet", variants.with_name("benchmark.json")
    if harm == "gone":
        study.unlink()
    elif harm == "cut":
        study.write_bytes(study.read_bytes()[:-100])
    elif harm == "another":
        frame = pd.read_parquet(study)
        frame["trial_2"] = frame["trial_0"]
        frame.to_parquet(study)
    elif harm == "no benchmark":
        benchmark.unlink()
    else:
        benchmark.write_text(benchmark.read_text().replace("0.0", "0.1"))
    found = counted_trials([], ledger=ledger, family=FAMILY, counted=tmp_path, own=tmp_path)
    assert len(found.sharpes) == 7
    left = {"gone": (4, 5, 6), "cut": (4, 5, 6), "another": (0, 1, 3, 4, 5, 6)}
    assert found.columns == left.get(harm, (0, 1, 2, 3))
    assert found.without_returns == 7 - len(found.columns)


def test_a_trial_from_before_sessions_were_kept_has_those_of_its_returns(tmp_path: Path, ledger: TrialLedger) -> None:
    values = kept_study(tmp_path, TrialLedger(tmp_path / "elsewhere" / "trials.sqlite"))
    old = document("s", trials=1)
    del old["trials"][0]["sessions"]
    old["trials"][0]["session_sharpe"] = sharpe(values[0])
    found = counted_trials(study_trials(old), ledger=ledger, family=FAMILY, own=tmp_path)
    assert (found.sessions, found.without_returns) == ((300,), 0)


def test_trials_of_other_years_are_not_compared(ledger: TrialLedger) -> None:
    swept(ledger, [0.10, 0.101, 0.102], sessions=500)
    inner = [{"session_sharpe": value, "sessions": 500} for value in (-0.1, -0.101)]
    assert counted_trials(inner, ledger=ledger, family=FAMILY).variance < 0.01


# trials of other families


def test_looks_of_another_family_count_where_they_are_like_the_candidate(tmp_path: Path, ledger: TrialLedger) -> None:
    own = kept_sweep(tmp_path, ledger)
    candidate = pd.Series(own[0], TESTED)
    wider = kept_sweep(tmp_path, ledger, family="factors-label-wider", like=own[0], scores="wide", variants=5)
    kept_sweep(tmp_path, ledger, family="factors-other-universe", scores="another")
    booked(ledger, document("elsewhere"), family="other-label-universe")
    told = counted_trials([], ledger=ledger, family=FAMILY, counted=tmp_path)
    assert (len(told.sharpes), told.like_it, told.related) == (3, 0, 5 + 3 + 3)
    found = counted_trials([], ledger=ledger, family=FAMILY, counted=tmp_path, candidate=candidate)
    assert (len(found.sharpes), found.like_it, found.related) == (5 + 3, 5, 3 + 3)
    np.testing.assert_array_equal(found.returns, np.vstack([wider, own]).T)
    assert found.columns == tuple(range(8))
    assert found.as_dict() | {"counted": 8, "like_it": 5, "related": 6} == found.as_dict()


def test_a_universe_wider_by_a_yuan_hides_no_search(tmp_path: Path, ledger: TrialLedger) -> None:
    rng = np.random.default_rng(31)
    best = rng.normal(0.0025, 0.01, 250)
    kept_sweep(tmp_path, ledger, variants=1, like=best)
    before = counted_trials([], ledger=ledger, family=FAMILY, counted=tmp_path, candidate=pd.Series(best, TESTED))
    for at in range(40):
        like = 0.75 * best + rng.normal(0, 0.006, 250)
        kept_sweep(tmp_path, ledger, variants=1, family=f"factors-label-{at}", scores="w" * (at + 2), like=like)
    after = counted_trials([], ledger=ledger, family=FAMILY, counted=tmp_path, candidate=pd.Series(best, TESTED))
    assert (after.like_it, after.related) == (40, 0)
    hurdles = [deflated_sharpe(best, one.sharpes, luck=one.variance).hurdle for one in (before, after)]
    assert hurdles[0] == 0.0
    assert hurdles[1] > 0.05


def test_a_look_of_another_family_whose_returns_are_lost_counts_and_one_at_other_years_does_not(
    tmp_path: Path, ledger: TrialLedger
) -> None:
    own = kept_sweep(tmp_path, ledger)
    kept_sweep(tmp_path, ledger, family="a-b-c", scores="early", sessions=pd.bdate_range("2010-01-01", periods=250))
    swept(ledger, [0.1, 0.2], family="d-e-f", evidence="nowhere kept")
    found = counted_trials([], ledger=ledger, family=FAMILY, counted=tmp_path, candidate=pd.Series(own[0], TESTED))
    assert (found.sharpes[:2], found.like_it, found.related) == ((0.1, 0.2), 2, 3)
    assert found.columns == (2, 3, 4)
    assert found.returns.shape == (250, 3)


def test_looks_at_the_same_data_under_another_profile_are_other_families(tmp_path: Path, ledger: TrialLedger) -> None:
    own = kept_sweep(tmp_path, ledger)
    elsewhere = tmp_path / "elsewhere"
    other = TrialLedger(elsewhere / "trials.sqlite")
    kept_sweep(elsewhere, other)
    kept_sweep(elsewhere, other, like=own[0], scores="another")
    shown = {"ledger": ledger, "family": FAMILY, "counted": tmp_path, "beside": {elsewhere: other}}
    assert counted_trials([], **shown).related == 3, "what was run in both is one trial"
    found = counted_trials([], **shown, candidate=pd.Series(own[0], TESTED))
    assert (len(found.sharpes), found.like_it, found.related) == (6, 3, 0)
    for part in ("", "-wal", "-shm"):
        other.path.with_name(other.path.name + part).unlink(missing_ok=True)
    with pytest.raises(LakeError, match="but 6 were counted"):
        counted_trials([], **shown)
