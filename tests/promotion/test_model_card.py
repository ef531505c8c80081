"""The model card says what the model is, what it showed, why it was promoted or refused, and warns of simulation."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd

from ljwx_pipeline.config import Settings
from ljwx_pipeline.models.walk_forward import FoldRecord
from ljwx_pipeline.promotion.gate import Evidence, decide
from ljwx_pipeline.promotion.model_card import model_card
from tests.fakes.bundles import tiny_manifest

FOLD = FoldRecord(
    name="2021",
    rounds=42,
    tail_rank_ic=0.06,
    rank_ic=0.0712,
    train_rows=1000,
    test_rows=500,
    train_first=date(2018, 1, 2),
    train_last=date(2020, 12, 22),
    test_first=date(2021, 1, 4),
    test_last=date(2021, 12, 31),
    seconds=1.0,
)
SHAP = pd.DataFrame({"factor": [f"F{i}" for i in range(12)], "mean_abs_shap": 1.0, "share_frac": 1 / 12})


def card(settings: Settings, *, simulated: bool) -> str:
    rng = np.random.default_rng(0)
    noise = Evidence(
        rank_ic=0.1 * rng.standard_normal(600),
        net_excess_returns=0.01 * rng.standard_normal(600),
        monthly_net_excess_returns=0.03 * rng.standard_normal(30),
        trial_sharpes=(0.01, -0.02),
        trials=2,
        purge_sessions=6,
        lint_errors=(),
        strategy="topk_dropout",
        trial_variance_floor=0.0,
    )
    return model_card(
        tiny_manifest(simulated=simulated),
        bundle_hash="b" * 64,
        folds=[FOLD],
        decision=decide(noise, settings.gate),
        shap_table=SHAP,
    )


def test_it_names_bundle_lineage_folds_reasons_and_factors(settings: Settings) -> None:
    text = card(settings, simulated=False)
    assert "b" * 64 in text
    assert "2018-01-02 to 2025-10-31" in text
    assert "| 2021 | 2021-01-04 to 2021-12-31 | 0.0712 | 42 | 1000 |" in text
    assert "**Refused.**" in text
    assert "**failed**: rank IC" in text
    assert "| F9 | 8.3% |" in text
    assert "F10" not in text
    assert "`num_leaves`" in text


def test_only_a_simulated_market_is_called_one(settings: Settings) -> None:
    assert "Simulated market" in card(settings, simulated=True)
    assert "Simulated market" not in card(settings, simulated=False)


def test_the_same_inputs_give_the_same_text(settings: Settings) -> None:
    assert card(settings, simulated=True) == card(settings, simulated=True)
