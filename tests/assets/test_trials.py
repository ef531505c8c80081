"""The promotion gate counts every strategy tried on a model's family, beside the trials of its own study."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from assets.evaluation import trials_behind
from ljwx_pipeline.backtest.sweep_measures import MEASURES
from ljwx_pipeline.backtest.sweep_store import VariantResult
from ljwx_pipeline.backtest.trial_ledger import LEDGER_FILE, TrialLedger, strategy_family
from ljwx_pipeline.config import Settings, market_home
from ljwx_pipeline.label import label_hash

STUDY = {"trials": [{"session_sharpe": 0.05}, {"session_sharpe": 0.07}]}
FACTORS = "f" * 64


@pytest.fixture
def line(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.setenv("LJWX_HOME", str(tmp_path))
    return SimpleNamespace(settings=settings, catalogue=SimpleNamespace(version_hash=FACTORS))


def tried(settings: Settings, factors: str = FACTORS) -> None:
    """Count two variants that a sweep tried on a model of ``factors``."""
    family = strategy_family(factor_hash=factors, label_hash=label_hash(settings.label), universe=settings.universe)
    results = [
        VariantResult(name, "{}", dict.fromkeys(MEASURES, 0.0) | {"session_sharpe": sharpe}, np.zeros(3), 0.01, "")
        for name, sharpe in [("a", 0.1), ("b", -0.3)]
    ]
    TrialLedger(market_home(settings) / LEDGER_FILE).record(family, "sweep", results, evidence="e")


def test_without_a_sweep_the_study_alone_counts(line: SimpleNamespace) -> None:
    assert trials_behind(line, STUDY).sharpes == (0.05, 0.07)


def test_variants_of_the_family_count_and_those_of_other_factors_do_not(line: SimpleNamespace) -> None:
    tried(line.settings)
    tried(line.settings, factors="0" * 64)
    counted = trials_behind(line, STUDY)
    assert counted.sharpes == (0.05, 0.07, 0.1, -0.3)
    assert counted.variance_floor == pytest.approx(0.08)


def test_a_replay_counts_what_was_tried_on_the_market_it_replays(line: SimpleNamespace) -> None:
    tried(line.settings)
    source = line.settings.source.model_copy(update={"as_of": "2026-01-05T18:00:00+08:00"})
    line.settings = line.settings.model_copy(update={"source": source})
    assert market_home(line.settings).name.endswith("Z")
    assert len(trials_behind(line, STUDY).sharpes) == 4
