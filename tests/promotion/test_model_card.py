"""The card says what a model is for, what it learned and showed, why it was judged so and where it ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pandas as pd
import pytest

from ljwx_pipeline.config import Settings
from ljwx_pipeline.evaluation.performance import Figure
from ljwx_pipeline.models.walk_forward import FoldRecord
from ljwx_pipeline.promotion.gate import Decision, decide
from ljwx_pipeline.promotion.model_card import SHOWN, CardEvidence, model_card
from ljwx_pipeline.scoring.model import Model
from tests.fakes.bundles import grouped_model, tiny_booster, tiny_manifest
from tests.fakes.gate_evidence import evidence as evidence_of

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
PLAIN = Model.of_booster(tiny_booster())


def decision(settings: Settings, *, months: int = 30) -> Decision:
    shown = evidence_of(rank_ic=0.0, annual_excess=0.0)
    kept = shown.monthly_net_excess_returns[:months]
    noise = replace(shown, monthly_net_excess_returns=kept, trials=2, trial_sharpes=(0.01, -0.02))
    return decide(noise, settings.gate)


@pytest.fixture
def evidence(settings: Settings) -> CardEvidence:
    benchmark = settings.gate.benchmark
    figures = {
        f"{name}{benchmark}" if name.endswith(":") else name: Figure(0.123, -0.045, 0.31, "ratio", "sessions")
        for name in SHOWN
    }
    figures["annual_return"] = Figure(0.123, -0.045, 0.31, "frac", "sessions")
    figures["turnover"] = Figure(12.5, float("nan"), float("nan"), "frac", "sessions")
    return CardEvidence(
        label=settings.label,
        universe=settings.universe,
        rows=123_456,
        folds=[FOLD],
        decision=decision(settings),
        rank_ic_confidence=settings.gate.rank_ic_confidence,
        figures=figures,
        confidence=0.95,
        resamples=2000,
        benchmark=benchmark,
        terms=[("Portfolio", "TopkDropout: 50 names | equal weight")],
        shap_table=SHAP,
        findings=["the capital lies idle on 30 % of the sessions"],
        unknown=[("delisted names", "returns are too good")],
    )


def section(text: str, title: str) -> str:
    return text.split(f"\n## {title}")[1].split("\n## ")[0]


def test_it_says_what_it_is_for_by_the_label_and_the_universe(settings: Settings, evidence: CardEvidence) -> None:
    said = section(model_card(tiny_manifest(), PLAIN, evidence), "Intended use")
    assert f"held for {settings.label.horizon_sessions} sessions" in said
    assert "entered at the close of the next session" in said
    assert "all stocks with a bar on the session" in said
    assert "not under special treatment" in said
    assert f"CNY {settings.universe.min_mean_amount_cny:,.0f}" in said
    narrower = replace(
        evidence, universe=settings.universe.model_copy(update={"index": "000300.SH", "exclude_st": False})
    )
    said = section(model_card(tiny_manifest(), PLAIN, narrower), "Intended use")
    assert "members of 000300.SH" in said
    assert "special treatment" not in said


def test_it_names_interval_lineage_folds_reasons_and_factors(evidence: CardEvidence) -> None:
    text = model_card(tiny_manifest(), PLAIN, evidence)
    assert "| sessions | 2018-01-02 to 2025-10-31 |" in text
    assert "| rows | 123,456 |" in text
    assert "| rank IC, every scored row |" in text, "the gate's is of the rows that could be bought"
    assert "| 2021 | 2021-01-04 to 2021-12-31 | 0.0712 | 42 | 1,000 |" in text
    assert "**Refused** by the promotion gate: rank IC" in text
    asked = section(text, "What the gate asked")
    assert "- **failed**: rank IC" in asked
    others = asked.count("- **failed**") - 1
    assert others
    assert f"(and {others} more, below)" in text
    assert "| F9 | 8.3% |" in text
    assert "F10" not in text
    assert "`num_leaves`" in text


def test_every_measure_stands_beside_its_interval(settings: Settings, evidence: CardEvidence) -> None:
    said = section(model_card(tiny_manifest(), PLAIN, evidence), "What it showed")
    assert "| Compound annual return | 12.3% | -4.5% to 31.0% | 95%, stationary bootstrap of 2,000 |" in said
    assert f"| Information ratio ({settings.gate.benchmark}) | 0.12 | -0.04 to 0.31 |" in said
    assert "| Turnover, one way, times equity a year | 12.50 | none | a fact of the run |" in said
    measured = evidence.decision.measured
    assert f"mean | {measured['rank_ic_mean']:.4f} | above {measured['rank_ic_lower']:.4f} |" in said


def test_a_rank_ic_that_the_gate_did_not_measure_is_not_told(settings: Settings, evidence: CardEvidence) -> None:
    text = model_card(tiny_manifest(), PLAIN, replace(evidence, decision=decision(settings, months=2)))
    assert "Rank IC of rows" not in text
    assert "**Refused** by the promotion gate: evidence covers 2 months" in text
    assert "trials" not in section(text, "Known limits")


def test_its_limits_are_those_of_test_data_and_lint(evidence: CardEvidence) -> None:
    said = section(model_card(tiny_manifest(), PLAIN, evidence), "Known limits")
    assert "tested from 2021-01-04 to 2021-12-31; this one learned from every session to 2025-10-31" in said
    assert "- The result lint: the capital lies idle on 30 % of the sessions" in said
    assert "- Unknown to the data source: delisted names. returns are too good" in said
    assert "Behind it stand 2 trials" in said
    assert "band" not in said


def test_members_are_listed_where_there_are_several(evidence: CardEvidence) -> None:
    text = model_card(tiny_manifest(), grouped_model(), evidence)
    assert "5 members of 5 boosting rounds in all, whose weighted sums make the outputs, routed by industry." in text
    assert "| `group-7.txt` | LightGBM | score | 1 | group 7 |" in text
    assert "| `all.json` | linear | score | 0.5 | every row |" in text
    assert "| `low.json` | linear | lower end of the band | 1 | every row |" in text
    assert "The band's ends are fitted quantiles" in text
    assert "One LightGBM model of 5 boosting rounds." in model_card(tiny_manifest(), PLAIN, evidence)
    assert "One LightGBM model.\n" in model_card(tiny_manifest(rounds=0), PLAIN, evidence)


def test_what_sizes_were_made_by_is_said(evidence: CardEvidence) -> None:
    by_size = replace(grouped_model(), group_by="size")
    assert "routed by size (mean amount)." in model_card(tiny_manifest(group_measure="mean amount"), by_size, evidence)


def test_only_a_simulated_market_is_called_one(evidence: CardEvidence) -> None:
    assert "Simulated market" in model_card(tiny_manifest(simulated=True), PLAIN, evidence)
    assert "Simulated market" not in model_card(tiny_manifest(simulated=False), PLAIN, evidence)


def test_the_same_inputs_give_the_same_text(evidence: CardEvidence) -> None:
    again = replace(evidence, folds=[replace(FOLD, seconds=2.0)])
    assert model_card(tiny_manifest(), PLAIN, evidence) == model_card(tiny_manifest(), PLAIN, again)


def test_every_table_keeps_its_columns(evidence: CardEvidence) -> None:
    lines = model_card(tiny_manifest(), grouped_model(), evidence).splitlines()
    widths = []
    for before, line in zip(["", *lines], lines, strict=False):
        if line.startswith("|"):
            count = line.replace("\\|", "").count("|")
            if before.startswith("|"):
                assert count == widths[-1], line
            widths.append(count)
    assert len(widths) > 20
