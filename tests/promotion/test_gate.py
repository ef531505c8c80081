"""The gate promotes planted skill, refuses noise with every KPI threshold off, and never passes the unmeasurable."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ljwx_pipeline.config import GateSettings, Settings
from ljwx_pipeline.errors import PromotionError
from ljwx_pipeline.promotion.gate import Evidence, decide

SESSIONS = 1200
MONTHS = 60


def evidence(seed: int = 0, *, rank_ic: float, annual_excess: float, trials: int = 12) -> Evidence:
    """Five test years: overlapping rank ICs, fat-tailed excess returns (8 % a year volatility) that go with them."""
    rng = np.random.default_rng(seed)
    steps = rng.standard_normal(SESSIONS + 4)
    moving = np.convolve(steps, np.ones(5), mode="valid") / math.sqrt(5)
    returns = 0.5 * steps[4:] + math.sqrt(0.75) * rng.standard_t(5, SESSIONS) / math.sqrt(5 / 3)
    excess = annual_excess / 244 + 0.08 / math.sqrt(244) * returns
    return Evidence(
        rank_ic=rank_ic + 0.12 * moving,
        net_excess_returns=excess,
        monthly_net_excess_returns=np.prod(1 + excess.reshape(MONTHS, -1), axis=1) - 1,
        trial_sharpes=tuple(rng.normal(annual_excess / 0.08, 0.5, trials) / math.sqrt(244)),
        trials=trials,
        purge_sessions=6,
        lint_errors=(),
        strategy="topk_dropout",
        trial_variance=None,
    )


def test_one_error_of_the_result_lint_refuses_and_names_its_code(gate: GateSettings) -> None:
    error = "sharpe_too_good: the Sharpe ratio of session returns after costs is 6.00, more than 4"
    skilled = evidence(rank_ic=0.07, annual_excess=0.30)
    decision = decide(replace(skilled, lint_errors=(error,)), gate)
    assert decide(skilled, gate).promoted
    assert not decision.promoted
    assert decision.reasons == (f"the result lint does not believe it: {error}",)
    assert decision.measured["lint_errors"] == 1


def test_a_short_result_is_refused_for_both_its_months_and_its_lint_error(gate: GateSettings) -> None:
    short = evidence(rank_ic=0.07, annual_excess=0.30)
    short = replace(short, monthly_net_excess_returns=short.monthly_net_excess_returns[:3], lint_errors=("cash: x",))
    assert [check.name for check in decide(short, gate).checks if not check.passed] == ["months", "lint_errors"]


@pytest.fixture
def gate(settings: Settings) -> GateSettings:
    return settings.gate


@pytest.fixture
def lenient(gate: GateSettings) -> GateSettings:
    """KPI thresholds off, the others at zero: what is left is statistics."""
    return gate.model_copy(update={"kpi_enabled": False, "min_net_excess_annual_return": 0.0, "min_rank_ic_lower": 0.0})


def test_planted_skill_is_promoted_with_every_check_as_a_reason(gate: GateSettings) -> None:
    for seed in range(10):
        decision = decide(evidence(seed, rank_ic=0.07, annual_excess=0.30), gate)
        assert decision.promoted, decision.reasons
        assert [check.name for check in decision.checks] == [
            "months",
            "lint_errors",
            "rank_ic_lower",
            "net_excess_annual_return",
            "deflated_sharpe_probability",
            "sharpe",
            "max_drawdown",
            "win_rate",
            "profit_factor",
        ]
        assert len(decision.reasons) == len(decision.checks)


def test_pure_noise_is_refused_with_every_kpi_threshold_off(lenient: GateSettings) -> None:
    promoted = sum(decide(evidence(seed, rank_ic=0.0, annual_excess=0.0), lenient).promoted for seed in range(2000))
    assert promoted <= 4  # 0.2 %


def test_noise_that_drifts_above_the_benchmark_is_still_refused(lenient: GateSettings) -> None:
    # Equal weights may beat a weighted index for years without any skill: the rank IC has to refuse alone.
    promoted = sum(decide(evidence(seed, rank_ic=0.0, annual_excess=0.15), lenient).promoted for seed in range(1000))
    assert promoted <= 5


def test_a_lucky_ranking_that_earns_nothing_is_refused(lenient: GateSettings) -> None:
    promoted = sum(decide(evidence(seed, rank_ic=0.03, annual_excess=0.0), lenient).promoted for seed in range(1000))
    assert promoted <= 10


def test_excess_return_above_zero_alone_is_not_enough(lenient: GateSettings) -> None:
    decision = decide(evidence(3, rank_ic=0.0, annual_excess=0.04), lenient)
    assert decision.measured["net_excess_annual_return"] is not None
    assert decision.measured["net_excess_annual_return"] > 0
    assert not decision.promoted


def test_a_refusal_says_what_was_measured_and_what_was_asked(gate: GateSettings) -> None:
    decision = decide(evidence(rank_ic=0.0, annual_excess=0.0), gate)
    assert decision.decision == "refused"
    assert decision.reasons == tuple(check.sentence for check in decision.checks if not check.passed)
    assert any("rank IC" in reason and "not above 0" in reason and "99.9%" in reason for reason in decision.reasons)
    said = " | ".join(check.sentence for check in decision.checks)
    for basis in ("of rows that could be bought", "net monthly excess over", "compounded", "months ahead of the index"):
        assert basis in said, "the report shows other figures of these kinds"
    assert any(f"over {gate.benchmark}" in check.sentence for check in decision.checks)
    json.loads(json.dumps(decision.as_dict(), allow_nan=False))


@pytest.mark.parametrize(
    ("key", "value", "name"),
    [
        ("min_rank_ic_lower", 0.2, "rank_ic_lower"),
        ("min_net_excess_annual_return", 5.0, "net_excess_annual_return"),
        ("min_deflated_sharpe_probability", 1.0, "deflated_sharpe_probability"),
        ("min_sharpe", 20.0, "sharpe"),
        ("max_drawdown_frac", 1e-6, "max_drawdown"),
        ("min_win_rate_frac", 1.0, "win_rate"),
        ("min_profit_factor", 1e6, "profit_factor"),
        ("min_months", 61, "months"),
    ],
)
def test_each_threshold_refuses_on_its_own(gate: GateSettings, key: str, value: float, name: str) -> None:
    decision = decide(evidence(rank_ic=0.07, annual_excess=0.30), gate.model_copy(update={key: value}))
    assert [check.name for check in decision.checks if not check.passed] == [name]
    assert not decision.promoted


def test_switching_the_kpi_thresholds_off_keeps_their_measurements(lenient: GateSettings) -> None:
    decision = decide(evidence(rank_ic=0.07, annual_excess=0.30), lenient)
    assert decision.promoted
    assert "sharpe" not in decision.thresholds
    assert decision.measured["sharpe"] is not None


def test_too_few_months_are_refused_before_anything_is_computed(gate: GateSettings) -> None:
    short = replace(evidence(rank_ic=0.07, annual_excess=0.3), monthly_net_excess_returns=np.array([0.1, 0.2]))
    decision = decide(short, gate)
    assert decision.reasons == ("evidence covers 2 months, fewer than 24",)


def test_no_months_at_all_are_refused(gate: GateSettings) -> None:
    empty = replace(evidence(rank_ic=0.07, annual_excess=0.3), monthly_net_excess_returns=np.empty(0))
    assert not decide(empty, gate).promoted


@pytest.mark.parametrize(
    "change",
    [
        {"trials": 0, "trial_sharpes": ()},
        {"trials": 13},
        {"trials": -1},
        {"trial_sharpes": (math.nan,) * 12},
        {"rank_ic": np.full(SESSIONS, math.nan)},
        {"rank_ic": np.zeros(10)},
        {"net_excess_returns": np.full(SESSIONS, math.nan)},
        {"net_excess_returns": np.zeros(SESSIONS)},
        {"monthly_net_excess_returns": np.full(MONTHS, math.inf)},
    ],
)
def test_unsound_evidence_is_an_error_and_never_passes(lenient: GateSettings, change: dict[str, Any]) -> None:
    with pytest.raises(PromotionError) as caught:
        decide(replace(evidence(rank_ic=0.07, annual_excess=0.3), **change), lenient)
    assert caught.value.remedy


def test_months_that_never_vary_have_no_sharpe_and_do_not_pass(gate: GateSettings) -> None:
    flat = replace(evidence(rank_ic=0.07, annual_excess=0.3), monthly_net_excess_returns=np.full(MONTHS, 0.01))
    decision = decide(flat, gate)
    assert [check.name for check in decision.checks if not check.passed] == ["sharpe"]
    assert decision.measured["sharpe"] is None
    assert decision.measured["profit_factor"] is None


def test_the_kpi_figures_are_monthly_and_by_hand(gate: GateSettings) -> None:
    months = np.tile([0.10, -0.05, 0.02, -0.01], 15)
    measured = decide(
        replace(evidence(rank_ic=0.07, annual_excess=0.3), monthly_net_excess_returns=months), gate
    ).measured
    assert measured["sharpe"] == pytest.approx(months.mean() / months.std(ddof=1) * math.sqrt(12))
    assert measured["net_excess_annual_return"] == pytest.approx((1.10 * 0.95 * 1.02 * 0.99) ** 3 - 1)
    assert measured["max_drawdown"] == pytest.approx(0.05)
    assert measured["win_rate"] == 0.5
    assert measured["profit_factor"] == pytest.approx(2.0)


def test_a_strategy_that_no_account_can_trade_is_refused_however_good(gate: GateSettings) -> None:
    best = evidence(rank_ic=0.07, annual_excess=0.30)
    assert decide(best, gate).promoted
    decision = decide(replace(best, strategy="long_short"), gate)
    assert not decision.promoted
    assert decision.reasons == (
        "strategy long_short is for research only, as no account can trade it: topk_dropout, score_weighted can be "
        "promoted",
    )
    assert decide(replace(best, strategy="score_weighted"), gate).promoted
