"""What the assets before it left becomes the gate's evidence, and a decision becomes Dagster's checks."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from assets.features import LEAKS_FOUND
from assets.gate_checks import check_results
from assets.gate_evidence import calibration_of, curves_of_gate, drift_of, leaks_of
from assets.io_managers import write_json
from ljwx_pipeline.backtest.trial_ledger import COUNTED
from ljwx_pipeline.config import GateSettings, Settings, market_home
from ljwx_pipeline.errors import PromotionError
from ljwx_pipeline.promotion.check import CHECKS
from ljwx_pipeline.promotion.gate import decide
from tests.fakes.gate_evidence import evidence


@pytest.fixture
def gate(settings: Settings) -> GateSettings:
    return settings.gate


NEWEST = {"newest_first": "2025-10-09", "newest_last": "2025-11-05"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LJWX_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def line_of(tmp_path: Path, **about: Any) -> Any:
    catalogue = SimpleNamespace(version_hash="a" * 64)
    return SimpleNamespace(tables=tmp_path, catalogue=catalogue, **about)


def test_leaks_are_those_of_the_configured_factors_alone(tmp_path: Path, settings: Settings) -> None:
    line = line_of(tmp_path, settings=settings)
    assert leaks_of(line) is None
    write_json(tmp_path, LEAKS_FOUND, {"factor_hash": "a" * 64, "findings": ["KMID: look-ahead"]})
    assert leaks_of(line) == ("KMID: look-ahead",)
    write_json(tmp_path, LEAKS_FOUND, {"factor_hash": "b" * 64, "findings": []})
    assert leaks_of(line) is None, "of other factors: these were never checked"
    origin = market_home(settings) / COUNTED / "tables"
    origin.mkdir(parents=True)
    write_json(origin, LEAKS_FOUND, {"factor_hash": "a" * 64, "findings": []})
    assert leaks_of(line) == (), "a reproduction asks the market it makes a run of"


def test_a_backtest_beside_other_indices_is_refused(tmp_path: Path) -> None:
    line = line_of(tmp_path, settings=SimpleNamespace(gate=SimpleNamespace(benchmark="000905.SH")))
    frame = pd.DataFrame({"session_date": ["2024-01-02"], "equity_cny": [1.0], "000300.SH_points": [2.0]})
    with pytest.raises(PromotionError, match=r"no closes of 000905\.SH"):
        curves_of_gate(line, frame)


def test_what_could_not_be_judged_says_why() -> None:
    drift = drift_of({"drift_ratio": None, "drifted_factors": [], "reason": "756 sessions are needed", **NEWEST})
    assert math.isnan(drift.ratio)
    assert drift.reason == "756 sessions are needed"
    judged = drift_of({"drift_ratio": 0.4, "drifted_factors": ["KMID"], "reason": None, **NEWEST})
    assert (judged.ratio, judged.factors, judged.reason) == (0.4, ("KMID",), "")
    assert judged.sessions == "2025-10-09 to 2025-11-05"
    short = calibration_of({"rows": 0, "reason": "too little history"})
    assert math.isnan(short.covered_frac)
    assert short.reason == "too little history"


def results(decision: dict[str, Any]) -> dict[str, dg.AssetCheckResult]:
    return {str(result.check_name).removeprefix("gate_"): result for result in check_results(decision)}


def test_every_check_is_told_and_none_is_an_error(gate: GateSettings) -> None:
    decision = decide(replace(evidence(rank_ic=0.07, annual_excess=0.30), turnover=99.0), gate)
    told = results(decision.as_dict())
    assert list(told) == list(CHECKS)
    assert {name for name, result in told.items() if not result.passed} == {"turnover"}
    assert all(result.severity is dg.AssetCheckSeverity.WARN for result in told.values())
    assert told["turnover"].description == "turnover is 99.0 times equity a year, one way, not at most 60"
    assert told["turnover"].metadata["threshold"].value == 60.0


def test_what_was_not_asked_passes_and_says_so_and_what_was_not_reached_does_not(gate: GateSettings) -> None:
    skilled = evidence(rank_ic=0.07, annual_excess=0.30)
    left_out = results(decide(skilled, gate.model_copy(update={"left_out": ("drift",)})).as_dict())
    assert left_out["drift"].passed, "nothing is wrong: somebody chose not to ask"
    assert left_out["drift"].metadata["outcome"].value == "not_asked"
    assert "not asked" in str(left_out["drift"].description)
    short = replace(skilled, monthly_net_excess_returns=skilled.monthly_net_excess_returns[:3])
    early = results(decide(short, gate).as_dict())
    assert not early["leak_checks"].passed
    assert "not reached" in str(early["leak_checks"].description)
    assert early["approval"].passed, "it is asked only where a person has to decide"
