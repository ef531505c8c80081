"""Every strategy that was tried raises what a candidate must clear, and no trial ever lowers it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ljwx_pipeline.backtest.sweep_measures import MEASURES
from ljwx_pipeline.backtest.sweep_store import VariantResult
from ljwx_pipeline.backtest.trial_ledger import TrialLedger
from ljwx_pipeline.config import Settings
from ljwx_pipeline.promotion.gate import Evidence, decide
from ljwx_pipeline.promotion.statistics import deflated_sharpe
from ljwx_pipeline.promotion.trial_count import counted_trials, study_trials

STUDY = [{"session_sharpe": value} for value in (0.02, 0.05, -0.01, 0.04)]


def swept(ledger: TrialLedger, sharpes: list[float], *, evidence: str = "e", family: str = "f") -> None:
    results = [
        VariantResult(f"v{i}", "{}", dict.fromkeys(MEASURES, 0.0) | {"session_sharpe": value}, np.zeros(2), 0.0)
        for i, value in enumerate(sharpes)
    ]
    ledger.record(family, "sweep", results, evidence=evidence)


def test_the_study_alone_counts_where_nothing_was_swept(tmp_path: Path) -> None:
    found = counted_trials(STUDY, ledger=TrialLedger(tmp_path / "t.sqlite"), family="f")
    assert found.sharpes == (0.02, 0.05, -0.01, 0.04)
    assert found.variance_floor == pytest.approx(np.var(found.sharpes, ddof=1))


def test_the_trials_of_the_studies_it_was_warm_started_from_count_each_study_a_group(tmp_path: Path) -> None:
    earlier = [{"study": "a", "session_sharpe": -0.3}, {"study": "a", "session_sharpe": 0.3}]
    older = [{"study": "b", "session_sharpe": 0.01}]
    document = {"trials": STUDY, "earlier_trials": [*earlier, *older]}
    found = counted_trials(study_trials(document), ledger=TrialLedger(tmp_path / "t.sqlite"), family="f")
    assert found.sharpes == (0.02, 0.05, -0.01, 0.04, -0.3, 0.3, 0.01)
    assert found.variance_floor == pytest.approx(0.18)


def test_every_variant_of_the_family_is_a_trial(tmp_path: Path) -> None:
    ledger = TrialLedger(tmp_path / "t.sqlite")
    swept(ledger, [0.1, 0.2, 0.3])
    swept(ledger, [0.1, 0.2, 0.3])
    swept(ledger, [0.5], family="another")
    assert counted_trials(STUDY, ledger=ledger, family="f").sharpes == (0.02, 0.05, -0.01, 0.04, 0.1, 0.2, 0.3)


def test_five_hundred_variants_that_are_nearly_one_do_not_lower_the_hurdle(tmp_path: Path) -> None:
    returns = np.random.default_rng(3).normal(0.0006, 0.01, 900)
    ledger = TrialLedger(tmp_path / "t.sqlite")
    alone = counted_trials(STUDY, ledger=ledger, family="f")
    swept(ledger, [0.03 + i * 1e-6 for i in range(500)])
    many = counted_trials(STUDY, ledger=ledger, family="f")
    before = deflated_sharpe(returns, alone.sharpes, variance_floor=alone.variance_floor)
    after = deflated_sharpe(returns, many.sharpes, variance_floor=many.variance_floor)
    assert after.trials == 504
    assert after.hurdle > before.hurdle
    assert after.probability < before.probability
    assert deflated_sharpe(returns, many.sharpes).hurdle < before.hurdle, "without the floor they would"


def test_the_gate_refuses_after_a_sweep_what_it_promoted_before(tmp_path: Path, settings: Settings) -> None:
    rng = np.random.default_rng(4)
    ledger = TrialLedger(tmp_path / "t.sqlite")

    def decided() -> dict[str, float | None]:
        counted = counted_trials(STUDY, ledger=ledger, family="f")
        evidence = Evidence(
            rank_ic=rng.normal(0.05, 0.05, 900),
            net_excess_returns=np.random.default_rng(5).normal(0.0012, 0.01, 900),
            monthly_net_excess_returns=np.random.default_rng(6).normal(0.02, 0.02, 43),
            trial_sharpes=counted.sharpes,
            trials=len(counted.sharpes),
            purge_sessions=6,
            lint_errors=(),
            strategy="topk_dropout",
            trial_variance_floor=counted.variance_floor,
        )
        return decide(evidence, settings.gate).measured

    before = decided()
    swept(ledger, list(np.random.default_rng(7).normal(0, 0.04, 300)))
    after = decided()
    level = settings.gate.min_deflated_sharpe_probability
    assert before["trials"] == 4
    assert after["trials"] == 304
    assert (before["deflated_sharpe_probability"] or 0) > level > (after["deflated_sharpe_probability"] or 0)
