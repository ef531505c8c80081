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
from ljwx_pipeline.promotion.check import CHECKS
from ljwx_pipeline.promotion.evidence import Calibration, Drift, Rival, Selection
from ljwx_pipeline.promotion.gate import decide
from tests.fakes.gate_evidence import MONTHS, SESSIONS, configurations, evidence


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
    """KPI thresholds off, the trials' own returns not asked: what is left are the statistics of the result."""
    return gate.model_copy(update={"kpi_enabled": False, "left_out": ("overfitting",)})


def test_planted_skill_is_promoted_with_every_check_as_a_reason(gate: GateSettings) -> None:
    for seed in range(10):
        decision = decide(evidence(seed, rank_ic=0.07, annual_excess=0.30), gate)
        assert decision.promoted, decision.reasons
        assert [check.name for check in decision.checks] == [
            "months",
            "lint_errors",
            "leak_checks",
            "rank_ic_lower",
            "net_excess_annual_return",
            "deflated_sharpe_probability",
            "overfitting",
            "sharpe",
            "max_drawdown",
            "win_rate",
            "profit_factor",
            "turnover",
            "capacity",
            "drift",
            "calibration",
            "champion",
        ]
        assert {check.name for check in decision.checks} < set(CHECKS)
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
    for basis in ("of rows that could be bought", "net monthly excess over", "compounded", "share of months ahead of"):
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
        ("max_turnover", 29.0, "turnover"),
        ("min_capacity_frac", 5.1, "capacity"),
        ("max_drift_ratio", 0.3, "drift"),
    ],
)
def test_each_threshold_refuses_on_its_own(gate: GateSettings, key: str, value: float, name: str) -> None:
    decision = decide(evidence(rank_ic=0.07, annual_excess=0.30), gate.model_copy(update={key: value}))
    assert decision.decision == "refused"
    assert [check.name for check in decision.checks if not check.passed] == [name]
    assert not decision.promoted


def test_switching_the_kpi_thresholds_off_keeps_their_measurements(lenient: GateSettings) -> None:
    decision = decide(evidence(rank_ic=0.07, annual_excess=0.30), lenient)
    assert decision.promoted
    assert "sharpe" not in decision.thresholds
    assert {check.name for check in decision.checks if check.outcome == "not_asked"} == {
        "overfitting",
        "sharpe",
        "max_drawdown",
        "win_rate",
        "profit_factor",
    }
    assert decision.measured["sharpe"] is not None


def test_too_few_months_are_refused_before_anything_is_computed(gate: GateSettings) -> None:
    short = replace(evidence(rank_ic=0.07, annual_excess=0.3), monthly_net_excess_returns=np.array([0.1, 0.2]))
    decision = decide(short, gate)
    assert decision.reasons == ("evidence covers 2 months, fewer than 24: test on 22 more (about 440 sessions)",)


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


def test_too_few_sessions_are_refused_with_the_number_needed(lenient: GateSettings) -> None:
    skilled = evidence(rank_ic=0.07, annual_excess=0.30)
    few = replace(skilled, rank_ic=skilled.rank_ic[:100], net_excess_returns=skilled.net_excess_returns[:40])
    decision = decide(few, lenient)
    assert decision.reasons == (
        "100 sessions of rank IC are too few for an interval over lag 24: test on at least 150 sessions",
        "40 net excess returns are too few for a Sharpe ratio: test on at least 60 sessions",
    )
    weak = evidence(1, rank_ic=0.07, annual_excess=0.10)
    decision = decide(weak, lenient)
    needed = decision.measured["sessions_needed"]
    assert needed is not None
    assert needed > SESSIONS
    assert any(f"{needed:,.0f} sessions are needed, there are 1,200" in reason for reason in decision.reasons)


def test_configurations_that_only_fit_their_sample_are_refused(gate: GateSettings) -> None:
    rng = np.random.default_rng(5)
    noise = Selection("study two", configurations(rng, 30, annual_excess=0.0))
    decision = decide(replace(evidence(rank_ic=0.07, annual_excess=0.30), study=noise), gate)
    (check,) = (check for check in decision.checks if check.name == "overfitting")
    assert (decision.decision, check.outcome) == ("refused", "failed")
    assert "probability of backtest overfitting among 30 configurations of study two is" in check.sentence


def test_configurations_that_share_one_edge_pass_whatever_their_ranks(gate: GateSettings) -> None:
    for seed in range(5):
        decision = decide(evidence(seed, rank_ic=0.07, annual_excess=0.30, trials=20), gate)
        (check,) = (check for check in decision.checks if check.name == "overfitting")
        assert check.passed
        assert check.measured is not None
        if check.measured > gate.max_pbo_frac:
            assert "ranks among them say nothing" in check.sentence
            assert check.threshold is None, "0.7 beside 'at most 0.2' and passed would read as an error"
            break
        assert check.threshold == gate.max_pbo_frac
    else:
        pytest.fail("no seed had a probability above the limit: the second rule was never asked")


NOTHING = Selection("study one", np.empty((480, 0)))


def test_many_strategies_do_not_stand_in_for_a_study_that_cannot_be_judged(gate: GateSettings) -> None:
    skilled = evidence(rank_ic=0.07, annual_excess=0.30)
    for study in (NOTHING, Selection("study one", skilled.study.returns[:, :9])):
        decision = decide(replace(skilled, study=study, strategies=skilled.study), gate)
        assert decision.decision == "awaiting_approval"
        assert f"study one has {study.returns.shape[1]} distinct configurations" in decision.reasons[0]
    noise = Selection("strategies", configurations(np.random.default_rng(5), 30, annual_excess=0.0))
    assert decide(replace(skilled, study=NOTHING, strategies=noise), gate).decision == "refused"


def test_few_closed_trades_are_not_judged(gate: GateSettings) -> None:
    lucky = replace(evidence(rank_ic=0.07, annual_excess=0.30), trade_returns=np.full(29, 0.001))
    decision = decide(lucky, gate.model_copy(update={"profile": "trend"}))
    assert {check.name for check in decision.checks if check.outcome == "failed"} == {"win_rate", "profit_factor"}
    assert all("29 closed trades after fees (fewer than 30: not judged)" in reason for reason in decision.reasons)


def test_trials_with_other_factors_are_told_and_the_effective_number_is_bounded(gate: GateSettings) -> None:
    skilled = evidence(rank_ic=0.07, annual_excess=0.30)
    many = np.tile(skilled.trial_returns, (1, 200))
    decision = decide(replace(skilled, related=7, trial_returns=many), gate)
    (said,) = (check.sentence for check in decision.checks if check.name == "deflated_sharpe_probability")
    assert "12 of the newest 2000 of 2400 whose returns are kept differ" in said
    assert "(7 more with other factors or another universe are not counted)" in said
    assert decision.measured["trials_related"] == 7


def test_the_worst_choice_counts(gate: GateSettings) -> None:
    skilled = evidence(rank_ic=0.07, annual_excess=0.30)
    noise = Selection("a sweep", configurations(np.random.default_rng(5), 30, annual_excess=0.0))
    few = Selection("a small sweep", configurations(np.random.default_rng(6), 4, annual_excess=0.0))
    assert decide(replace(skilled, strategies=few), gate).promoted
    assert decide(replace(skilled, strategies=noise), gate).decision == "refused"


def test_fewer_than_ten_configurations_ask_for_a_person(gate: GateSettings) -> None:
    few = evidence(rank_ic=0.07, annual_excess=0.30, trials=9)
    decision = decide(few, gate)
    assert decision.decision == "awaiting_approval"
    assert not decision.promoted
    assert decision.reasons == (
        "overfitting is not assessable: study one has 9 distinct configurations whose returns are kept, and 10 are "
        "needed: a person has to approve it, or tune.trials has to be raised",
    )
    copies = np.repeat(few.trial_returns[:, :3], 5, axis=1)
    copied = decide(replace(few, study=Selection("copies", copies)), gate)
    assert "copies has 3 distinct configurations" in copied.reasons[0]
    assert decide(replace(few, study=NOTHING), gate).decision == "awaiting_approval"
    failing = decide(replace(few, turnover=99.0), gate)
    assert failing.decision == "refused", "nobody is asked to approve what failed"


def test_approval_of_every_promotion_is_asked_only_where_nothing_failed(gate: GateSettings) -> None:
    skilled = evidence(rank_ic=0.07, annual_excess=0.30)
    decision = decide(skilled, gate, approval_always=True)
    assert (decision.decision, len(decision.reasons)) == ("awaiting_approval", 1)
    assert "approval.required" in decision.reasons[0]
    assert decide(replace(skilled, turnover=99.0), gate, approval_always=True).decision == "refused"


@pytest.mark.parametrize(("profile", "wins", "passes"), [("trend", 0.5, True), ("reversion", 0.5, False)])
def test_profiles_of_trades_take_win_rate_and_profit_factor_of_closed_trades(
    gate: GateSettings, profile: str, wins: float, passes: bool
) -> None:
    trades = np.where(np.arange(200) % 2 == 0, 0.03, -0.01)
    skilled = replace(evidence(rank_ic=0.07, annual_excess=0.30), trade_returns=trades)
    decision = decide(skilled, gate.model_copy(update={"profile": profile}))
    assert (decision.measured["win_rate"], decision.measured["profit_factor"]) == (wins, pytest.approx(3.0))
    assert decision.promoted is passes
    assert any("200 closed trades after fees" in check.sentence for check in decision.checks)
    none = decide(replace(skilled, trade_returns=np.empty(0)), gate.model_copy(update={"profile": profile}))
    assert {check.name for check in none.checks if check.outcome == "failed"} == {"win_rate", "profit_factor"}


def calibrated(total: float, least: float, most: float, *, groups: int = 5) -> Calibration:
    return Calibration(total, least, most, rows=1_000, groups=groups, nominal_frac=0.9)


@pytest.mark.parametrize(
    ("change", "name", "said"),
    [
        ({"leaks": None}, "leak_checks", "no leak check of these factors is known"),
        ({"leaks": ("KMID sees ahead",)}, "leak_checks", "factors see the future: KMID sees ahead"),
        ({"turnover": math.nan}, "turnover", "not at most"),
        ({"capacity_cny": math.nan}, "capacity", "not at least"),
        ({"drift": Drift(math.nan, reason="756 sessions are needed")}, "drift", "cannot be judged: 756 sessions"),
        ({"calibration": Calibration(math.nan, reason="too short")}, "calibration", "cannot be judged: too short"),
        ({"calibration": calibrated(0.87, 0.87, 0.87)}, "calibration", "not within 88% to 92%"),
        ({"calibration": calibrated(0.9, 0.84, 0.92)}, "calibration", "not within 85% to 95%"),
        ({"calibration": calibrated(0.9, 0.88, 0.96)}, "calibration", "not within 85% to 95%"),
        ({"calibration": calibrated(0.9, math.nan, math.nan, groups=0)}, "calibration", "is large enough (1,000 rows)"),
        ({"rival": Rival("3", np.zeros(59))}, "champion", "shares 59 sessions with the champion, version 3"),
        ({"rival": Rival("3", reason="it was revised")}, "champion", "cannot be compared with the champion"),
        ({"rival": Rival("3", np.full(500, -0.001))}, "champion", "better with probability 0.000"),
    ],
)
def test_what_cannot_be_measured_never_passes_unless_it_is_left_out(
    gate: GateSettings, change: dict[str, Any], name: str, said: str
) -> None:
    shown = replace(evidence(rank_ic=0.07, annual_excess=0.30), **change)
    decision = decide(shown, gate)
    assert [check.name for check in decision.checks if check.outcome == "failed"] == [name]
    assert said in decision.reasons[0]
    without = decide(shown, gate.model_copy(update={"left_out": (name,)}))
    assert without.promoted
    assert any(check.sentence.endswith(f"not asked (gate.left_out names {name})") for check in without.checks)
    json.loads(json.dumps(decision.as_dict(), allow_nan=False))


def test_a_better_candidate_beats_the_champion_and_the_same_model_anew_may_follow_it(gate: GateSettings) -> None:
    skilled = evidence(rank_ic=0.07, annual_excess=0.30)
    better = 0.0005 + 0.003 * np.random.default_rng(1).standard_normal(600)
    decision = decide(replace(skilled, rival=Rival("3", better)), gate)
    assert decision.promoted
    assert decision.measured["champion_probability"] == pytest.approx(1.0, abs=0.01)
    same = decide(replace(skilled, rival=Rival("3", np.zeros(600))), gate)
    assert same.promoted
    assert any("the same model, trained anew" in reason for reason in same.reasons)
    little = decide(replace(skilled, rival=Rival("3", better - 0.00034)), gate)
    assert 0.5 < (little.measured["champion_probability"] or 0) < gate.min_champion_probability
    assert little.decision == "refused", "a little better may be luck"
    worse = decide(replace(skilled, rival=Rival("3", -better)), gate)
    assert worse.decision == "refused"
    fallen = decide(replace(skilled, rival=Rival("3", -better, skill_lost_since="2026-03-02")), gate)
    assert fallen.promoted
    assert any("alarm of lost skill since 2026-03-02: it need not be beaten" in reason for reason in fallen.reasons)


def test_intervals_are_held_to_the_coverage_they_were_made_for(gate: GateSettings) -> None:
    skilled = evidence(rank_ic=0.07, annual_excess=0.30)
    eighty = replace(calibrated(0.8, 0.76, 0.84), nominal_frac=0.8)
    assert decide(replace(skilled, calibration=eighty), gate).promoted
    assert decide(replace(skilled, calibration=replace(eighty, nominal_frac=0.9)), gate).decision == "refused"
