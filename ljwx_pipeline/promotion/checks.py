"""The gate's checks, one function each: what is measured, what is asked, and a sentence that says both.

A value that cannot be measured never passes. A check that ``gate.left_out`` names is not asked, and the decision says
so. Not here: the decision (``gate.py``), the formulas (``statistics.py`` and its neighbours).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from ljwx_pipeline.coefficients import newey_west_error, newey_west_lag
from ljwx_pipeline.config import TRADABLE_STRATEGIES, GateSettings
from ljwx_pipeline.errors import PromotionError
from ljwx_pipeline.evaluation.metrics import (
    MONTHS_PER_YEAR,
    annual_return,
    max_drawdown,
    profit_factor,
    sharpe,
    win_rate,
)
from ljwx_pipeline.promotion.effective_trials import effective_trials
from ljwx_pipeline.promotion.evidence import Evidence, Selection
from ljwx_pipeline.promotion.overfitting import NotAssessable, backtest_overfitting
from ljwx_pipeline.promotion.reality_check import reality_check
from ljwx_pipeline.promotion.statistics import (
    MIN_RETURNS,
    deflated_sharpe,
    deflated_track_record,
    finite,
    mean_interval,
)
from ljwx_pipeline.uncertainty.coverage import coverage_bounds

Float = NDArray[np.float64]
Outcome = Literal["passed", "failed", "approval", "not_asked"]

#: Common sessions below which champion and candidate are not compared.
MIN_COMMON_SESSIONS = 60
#: Sessions a month, for telling how many more are needed.
SESSIONS_PER_MONTH = 20
#: Trials whose returns are compared with each other for the effective number, the newest: a matrix of their pairs.
MOST_COMPARED = 2_000
#: Closed trades below which their win rate and profit factor say nothing.
MIN_TRADES = 30
#: Of the reality check's resamples: the same evidence gives the same p-value.
_SEED = 7


@dataclass(frozen=True)
class Check:
    """One requirement: what was measured, what was asked, and a sentence that says both.

    Parameters
    ----------
    name
        One of ``CHECKS``.
    outcome
        ``passed``, ``failed``, ``approval`` (cannot be judged, a person has to decide) or ``not_asked``.
    measured
        None where it could not be measured or was not.
    threshold
        What the measured value is held against; None where that is a range.
    """

    name: str
    outcome: Outcome
    measured: float | None
    threshold: float | None
    sentence: str

    @property
    def passed(self) -> bool:
        """Whether it holds."""
        return self.outcome == "passed"


@dataclass(frozen=True)
class Judged:
    """A check, and every number looked at for it by name; None where it could not be measured."""

    check: Check
    measured: Mapping[str, float | None] = field(default_factory=dict)


#: Every check by name and in order, as what it asks.
CHECKS: Mapping[str, str] = {
    "strategy_tradable": "an account can trade the strategy",
    "months": "there are enough months of evidence",
    "lint_errors": "the result lint believes the result",
    "leak_checks": "no factor sees the future",
    "rank_ic_lower": "the lower bound of the rank IC is above its threshold",
    "net_excess_annual_return": "it earns more than the benchmark after costs",
    "deflated_sharpe_probability": "its Sharpe ratio is more than the best of so many lucky trials",
    "overfitting": "the best of the trials is good outside of its sample too",
    "sharpe": "Sharpe ratio of monthly net excess returns",
    "max_drawdown": "maximum drawdown of monthly net excess returns",
    "win_rate": "share of months ahead of the benchmark, or of closed trades that gained",
    "profit_factor": "gains over losses, of months or of closed trades",
    "turnover": "it trades no more than the costs assumed allow",
    "capacity": "the market carries the capital",
    "drift": "the newest inputs are those it learned from",
    "calibration": "its prediction intervals hold what they promise",
    "champion": "it is better than the champion out of sample",
    "approval": "a person approves it",
}


def untradable(strategy: str) -> Judged:
    """Return the refusal of a strategy that no account can trade."""
    sentence = (
        f"strategy {strategy} is for research only, as no account can trade it: {', '.join(TRADABLE_STRATEGIES)} can "
        "be promoted"
    )
    return Judged(Check("strategy_tradable", "failed", 0.0, 1.0, sentence), {"strategy_tradable": 0.0})


def months(returns: Float, settings: GateSettings) -> Judged:
    """Return whether there are enough months, and how many more it takes."""
    found, needed = len(returns), settings.min_months
    lacking = needed - found
    said = (
        f"evidence covers {found} months, fewer than {needed}: test on {lacking} more (about "
        f"{lacking * SESSIONS_PER_MONTH} sessions)"
        if lacking > 0
        else f"evidence covers {found} months, at least {needed}"
    )
    check = Check("months", _told(lacking <= 0), float(found), float(needed), said)
    return Judged(check, {"months": float(found)})


def lint(errors: Sequence[str]) -> Judged:
    """Return whether the result lint found no error."""
    sentence = (
        f"the result lint does not believe it: {'; '.join(errors)}" if errors else "the result lint finds no error"
    )
    count = float(len(errors))
    return Judged(Check("lint_errors", _told(not errors), count, 0.0, sentence), {"lint_errors": count})


def leaks(findings: Sequence[str] | None, settings: GateSettings) -> Judged:
    """Return whether the factors were checked for leaks and none was found."""
    if _left_out("leak_checks", settings):
        return _not_asked("leak_checks", 0.0)
    if findings is None:
        said = "no leak check of these factors is known: run `ljwx run`, which checks them"
        return Judged(Check("leak_checks", "failed", None, 0.0, said), {"leaks": None})
    said = (
        f"factors see the future: {'; '.join(findings)}" if findings else "no leak check found a factor that sees ahead"
    )
    count = float(len(findings))
    return Judged(Check("leak_checks", _told(not findings), count, 0.0, said), {"leaks": count})


def rank_ic(evidence: Evidence, settings: GateSettings) -> Judged:
    """Return whether the mean rank IC's lower bound is above its threshold."""
    name, threshold = "rank_ic_lower", settings.min_rank_ic_lower
    series = finite(evidence.rank_ic, "rank IC")
    try:
        interval = mean_interval(series, purge_sessions=evidence.purge_sessions, confidence=settings.rank_ic_confidence)
    except PromotionError as error:
        return _unmeasured(name, threshold, error)
    check = _above(
        name,
        interval.lower,
        threshold,
        f"rank IC {interval.mean:.4f} of rows that could be bought has the lower {settings.rank_ic_confidence:.1%} "
        f"bound {{measured:.4f}} over {interval.sessions} sessions (Newey-West lag {interval.lag})",
    )
    measured = {
        "rank_ic_mean": interval.mean,
        "rank_ic_standard_error": interval.standard_error,
        "rank_ic_lower": interval.lower,
        "rank_ic_lag": float(interval.lag),
    }
    return Judged(check, _numbers(measured))


def net_excess(returns: Float, settings: GateSettings) -> Judged:
    """Return whether compounded monthly net excess is above its threshold a year."""
    name = "net_excess_annual_return"
    annual = annual_return(returns, periods_per_year=MONTHS_PER_YEAR)
    said = f"net monthly excess over {settings.benchmark}, compounded, is {{measured:.2%}} a year"
    check = _above(name, annual, settings.min_net_excess_annual_return, said, percent=True)
    return Judged(check, _numbers({name: annual}))


def deflated(evidence: Evidence, settings: GateSettings) -> Judged:
    """Return whether the Sharpe ratio is more than the best of all trials would show by luck.

    Deflated by the raw number of trials: an effective number is an estimate, and counting correlated trials fully errs
    on the careful side. The effective numbers of those whose returns are kept stand beside it.
    """
    name, threshold = "deflated_sharpe_probability", settings.min_deflated_sharpe_probability
    sessions = len(evidence.net_excess_returns)
    if sessions < MIN_RETURNS:
        said = f"{sessions} net excess returns are too few for a Sharpe ratio: test on at least {MIN_RETURNS} sessions"
        return _unmeasured(name, threshold, said)
    found = deflated_sharpe(evidence.net_excess_returns, evidence.trial_sharpes, luck=evidence.trial_variance)
    newest = evidence.trial_returns[:, -MOST_COMPARED:]
    effective = effective_trials(newest) if newest.shape[1] else None
    needed = deflated_track_record(found, luck=evidence.trial_variance, confidence=threshold)
    said = f"deflated Sharpe probability over {found.trials} trials is {{measured:.3f}}"
    if effective is not None:
        kept = evidence.trial_returns.shape[1]
        of_these = f"the newest {effective.trials} of {kept}" if kept > effective.trials else f"the {kept}"
        said += (
            f" ({effective.distinct} of {of_these} whose returns are kept differ, in effect "
            f"{effective.by_average_correlation:.1f} by correlation, {effective.by_eigenvalues:.1f} by eigenvalues)"
        )
    if evidence.related:
        said += f" ({evidence.related} more with other factors or another universe are not counted)"
    check = _above(name, found.probability, threshold, said)
    if check.outcome == "failed" and found.sharpe > 0:
        enough = "no number of sessions is enough" if math.isinf(needed) else f"{needed:,.0f} sessions are needed"
        sentence = f"{check.sentence}: at this Sharpe ratio {enough}, there are {sessions:,}"
        check = Check(check.name, check.outcome, check.measured, check.threshold, sentence)
    measured = {
        "deflated_sharpe_probability": found.probability,
        "session_sharpe": found.sharpe,
        "session_sharpe_hurdle": found.hurdle,
        "trials": float(found.trials),
        "trials_related": float(evidence.related),
        "skewness": found.skewness,
        "kurtosis": found.kurtosis,
        "sessions_needed": needed,
        "trials_distinct": math.nan if effective is None else float(effective.distinct),
        "trials_effective_correlation": math.nan if effective is None else effective.by_average_correlation,
        "trials_effective_eigenvalues": math.nan if effective is None else effective.by_eigenvalues,
    }
    return Judged(check, _numbers(measured))


def overfitting(evidence: Evidence, settings: GateSettings) -> Judged:
    """Return whether what was best in a sample was good outside of it, over every choice that led to the candidate.

    The probability of backtest overfitting must be low. Where all configurations share one real edge, ranks among them
    are luck and the probability says nothing (on a real panel 0.81 among 50 trials that all earn): then the winners
    must hardly ever lose outside of the sample, and Hansen's test must find the best of them better than nothing. The
    worse of both choices counts, of hyperparameters and of strategies on the candidate's scores. A study of fewer than
    10 distinct configurations whose returns are kept cannot be judged, and a person decides; fewer strategies than
    that are hardly a choice, and count in the deflation alone.
    """
    name, threshold = "overfitting", settings.max_pbo_frac
    if _left_out(name, settings):
        return _not_asked(name, threshold)
    study, strategies = _one_choice(evidence.study, settings), _one_choice(evidence.strategies, settings)
    if "failed" not in (study.check.outcome, strategies.check.outcome) and study.check.outcome == "approval":
        distinct = int(study.measured["configurations"] or 0)
        said = (
            f"overfitting is not assessable: {evidence.study.name} has {distinct} distinct configurations whose "
            "returns are kept, and 10 are needed: a person has to approve it, or tune.trials has to be raised"
        )
        return Judged(Check(name, "approval", None, threshold, said), {"pbo": None})
    judged = [one for one in (study, strategies) if one.check.outcome != "approval"]
    return max(judged, key=lambda one: (one.check.outcome == "failed", one.check.measured or 0.0))


def _one_choice(selection: Selection, settings: GateSettings) -> Judged:
    name, threshold = "overfitting", settings.max_pbo_frac
    if selection.returns.shape[1] == 0:
        return Judged(Check(name, "approval", None, threshold, "no returns are kept"), {"configurations": 0.0})
    try:
        found = backtest_overfitting(selection.returns)
        if isinstance(found, NotAssessable):
            check = Check(name, "approval", None, threshold, "not assessable")
            return Judged(check, {"configurations": float(found.configurations)})
        tested = reality_check(selection.returns, seed=_SEED)
    except PromotionError as error:
        return _unmeasured(name, threshold, error)
    low = found.probability <= threshold
    shared = found.loss_frac <= settings.max_loss_frac and tested.spa_consistent <= settings.max_reality_check_p
    relation = "not above" if low else "above"
    beside = (
        f"its winners lose outside of the sample in {found.loss_frac:.1%} of the splits, and the best is better than "
        f"nothing with p = {tested.spa_consistent:.4f}"
    )
    ends = {
        (True, True): beside,
        (True, False): beside,
        (False, True): f"{beside}: they share one edge, ranks among them say nothing",
        (False, False): f"{beside} (asked in its place: {settings.max_loss_frac:.1%} and p = "
        f"{settings.max_reality_check_p:g} at most)",
    }
    said = (
        f"probability of backtest overfitting among {found.configurations} configurations of {selection.name} is "
        f"{found.probability:.3f}, {relation} {threshold:g}; {ends[low, shared]}"
    )
    measured = {
        "pbo": found.probability,
        "overfitting_loss_frac": found.loss_frac,
        "reality_check_p": tested.spa_consistent,
        "configurations": float(found.configurations),
    }
    check = Check(name, _told(low or shared), found.probability, threshold, said)
    return Judged(check, _numbers(measured))


def kpis(evidence: Evidence, returns: Float, settings: GateSettings) -> list[Judged]:
    """Return the four KPI checks on the basis of the profile; only measured, not asked, where they are switched off.

    Sharpe ratio and drawdown are of monthly net excess returns in every profile. Win rate and profit factor are of
    months in ``cross_section``, of closed trades after fees in ``trend`` and ``reversion``.
    """
    monthly = settings.profile == "cross_section"
    basis = returns if monthly else finite(evidence.trade_returns, "closed trade's return")
    least_wins = settings.reversion_min_win_rate_frac if settings.profile == "reversion" else settings.min_win_rate_frac
    worst = max_drawdown(returns)
    below = worst < settings.max_drawdown_frac
    against = f"over {settings.benchmark}"
    count = f"{len(basis):,} closed trades after fees"
    enough = monthly or len(basis) >= MIN_TRADES
    count += "" if enough else f" (fewer than {MIN_TRADES}: not judged)"
    judged = [
        _above(
            "sharpe",
            sharpe(returns, periods_per_year=MONTHS_PER_YEAR),
            settings.min_sharpe,
            f"Sharpe ratio of monthly net excess returns {against} is {{measured:.2f}}",
        ),
        Check(
            "max_drawdown",
            _told(below),
            _number(worst),
            settings.max_drawdown_frac,
            f"maximum drawdown of monthly net excess returns {against} is {worst:.2%}, "
            f"{'below' if below else 'not below'} {settings.max_drawdown_frac:.2%}",
        ),
        _above(
            "win_rate",
            win_rate(basis) if enough else math.nan,
            least_wins,
            f"share of months ahead of {settings.benchmark} is {{measured:.2%}}"
            if monthly
            else f"share of {count} that gained is {{measured:.2%}}",
            percent=True,
        ),
        _above(
            "profit_factor",
            profit_factor(basis) if enough else math.nan,
            settings.min_profit_factor,
            f"profit factor of monthly net excess returns {against} is {{measured:.2f}}"
            if monthly
            else f"profit factor of {count} is {{measured:.2f}}",
        ),
    ]
    off = "not asked (gate.kpi_enabled = false): "
    return [
        Judged(
            one
            if settings.kpi_enabled
            else Check(one.name, "not_asked", one.measured, one.threshold, off + one.sentence),
            {one.name: one.measured},
        )
        for one in judged
    ]


def turnover(evidence: Evidence, settings: GateSettings) -> Judged:
    """Return whether it trades no more often than allowed."""
    said = "turnover is {measured:.1f} times equity a year, one way"
    return _at_most("turnover", evidence.turnover, settings.max_turnover, said, settings)


def capacity(evidence: Evidence, settings: GateSettings) -> Judged:
    """Return whether the market carries the capital: half of the orders fill within a session."""
    name, threshold = "capacity", settings.min_capacity_frac
    if _left_out(name, settings):
        return _not_asked(name, threshold)
    share = evidence.capacity_cny / evidence.capital_cny
    passed = share >= threshold
    said = (
        f"the median order reaches the participation limit at CNY {evidence.capacity_cny:,.0f}, {share:.2f} times the "
        f"capital of {evidence.capital_cny:,.0f}, {'at least' if passed else 'not at least'} {threshold:g} times"
    )
    check = Check(name, _told(passed), _number(share), threshold, said)
    return Judged(check, _numbers({"capacity_cny": evidence.capacity_cny}))


def drift(evidence: Evidence, settings: GateSettings) -> Judged:
    """Return whether the newest inputs are like those of training."""
    found, name, threshold = evidence.drift, "drift", settings.max_drift_ratio
    if found.reason and not _left_out(name, settings):
        return _unmeasured(name, threshold, f"drift of the inputs cannot be judged: {found.reason}")
    which = f" ({', '.join(found.factors[:5])})" if found.factors else ""
    when = f" ({found.sessions})" if found.sessions else ""
    said = f"drift of the newest inputs{when} is {{measured:.2f}} of its limit{which}"
    return _at_most(name, found.ratio, threshold, said, settings)


def calibration(evidence: Evidence, settings: GateSettings) -> Judged:
    """Return whether the prediction intervals held what they promise, in total and in every group."""
    found, name = evidence.calibration, "calibration"
    (least, most), (group_least, group_most) = astuple(coverage_bounds(found.nominal_frac))
    if _left_out(name, settings):
        return _not_asked(name, None)
    if found.reason or not found.groups:
        why = (
            found.reason or f"none of its years, industries and volatility thirds is large enough ({found.rows:,} rows)"
        )
        return _unmeasured(name, None, f"coverage of the intervals cannot be judged: {why}")
    total = least <= found.covered_frac <= most
    groups = group_least <= found.least_group_frac and found.most_group_frac <= group_most
    said = (
        f"prediction intervals hold {found.covered_frac:.1%} of {found.rows:,} outcomes, "
        f"{'within' if total else 'not within'} {least:.0%} to {most:.0%}, and {found.least_group_frac:.1%} to "
        f"{found.most_group_frac:.1%} in the {found.groups} years, industries and volatility thirds that are large "
        f"enough, {'within' if groups else 'not within'} {group_least:.0%} to {group_most:.0%}"
    )
    measured = {
        "coverage_frac": found.covered_frac,
        "coverage_least_group_frac": found.least_group_frac,
        "coverage_most_group_frac": found.most_group_frac,
    }
    return Judged(Check(name, _told(total and groups), _number(found.covered_frac), None, said), _numbers(measured))


def champion(evidence: Evidence, settings: GateSettings) -> Judged:
    """Return whether the candidate is better than the champion on sessions that were out of sample for both.

    The probability is that of Student's t of the mean difference with Newey and West's error. A model that earned the
    same on every session is the same one trained anew, and may follow it. A champion under an alarm of lost skill need
    not be beaten on a past that is over.
    """
    rival, name, threshold = evidence.rival, "champion", settings.min_champion_probability
    if _left_out(name, settings):
        return _not_asked(name, threshold)
    if rival is None:
        return Judged(Check(name, "passed", None, threshold, "no other model is champion"), {name: None})
    who = f"the champion, version {rival.version}"
    if rival.skill_lost_since:
        said = f"{who}, stands under an alarm of lost skill since {rival.skill_lost_since}: it need not be beaten"
        return Judged(Check(name, "passed", None, threshold, said), {name: None})
    if rival.reason:
        return _unmeasured(name, threshold, f"it cannot be compared with {who}: {rival.reason}")
    sessions = len(rival.differences)
    if sessions < MIN_COMMON_SESSIONS:
        return _unmeasured(
            name, threshold, f"it shares {sessions} sessions with {who}: {MIN_COMMON_SESSIONS} are needed"
        )
    differences = finite(rival.differences, "difference to the champion")
    mean, probability = float(differences.mean()), probability_above_zero(differences)
    if not differences.any():
        said = (
            f"over {sessions:,} sessions out of sample for both it earns what {who} earns: the same model, trained anew"
        )
        return Judged(Check(name, "passed", probability, threshold, said), {"champion_sessions": float(sessions)})
    passed = probability >= threshold
    said = (
        f"over {sessions:,} sessions out of sample for both it returns {mean * 1e4:+.2f} basis points a session "
        f"against {who}: better with probability {probability:.3f}, "
        f"{'at least' if passed else 'not at least'} {threshold:g}"
    )
    measured = {
        "champion_probability": probability,
        "champion_mean_difference": mean,
        "champion_sessions": float(sessions),
    }
    return Judged(Check(name, _told(passed), _number(probability), threshold, said), _numbers(measured))


def approval() -> Judged:
    """Return what asks for a person where every promotion needs one."""
    said = "a person has to approve every promotion (approval.required = always)"
    return Judged(Check("approval", "approval", None, 1.0, said))


def probability_above_zero(differences: Float) -> float:
    """Return P(mean > 0) of a daily series by Student's t with Newey and West's error; 0.5 where it is all zeros."""
    mean = float(differences.mean())
    lag = newey_west_lag(len(differences), 1)
    error = newey_west_error(differences, lag)
    if error == 0.0:
        return 0.5 if mean == 0.0 else float(mean > 0)
    return float(stdtr(len(differences) // (lag + 1) - 1, mean / error))


def _left_out(name: str, settings: GateSettings) -> bool:
    return name in settings.left_out


def _not_asked(name: str, threshold: float | None) -> Judged:
    sentence = f"{CHECKS[name]}: not asked (gate.left_out names {name})"
    return Judged(Check(name, "not_asked", None, threshold, sentence))


def _unmeasured(name: str, threshold: float | None, why: str | PromotionError) -> Judged:
    """Return the failure of a check whose value cannot be had."""
    sentence = f"{why.fact}: {why.remedy}" if isinstance(why, PromotionError) else why
    return Judged(Check(name, "failed", None, threshold, sentence), {name: None})


def _above(name: str, measured: float, threshold: float, text: str, *, percent: bool = False) -> Check:
    """Return a check that ``measured`` is strictly above ``threshold``; NaN is not above anything."""
    passed = measured > threshold
    limit = f"{threshold:.2%}" if percent else f"{threshold:g}"
    sentence = f"{text.format(measured=measured)}, {'above' if passed else 'not above'} {limit}"
    return Check(name, _told(passed), _number(measured), threshold, sentence)


def _at_most(name: str, measured: float, threshold: float, text: str, settings: GateSettings) -> Judged:
    """Return a check that ``measured`` is at most ``threshold``, unless it is left out; NaN never is."""
    if _left_out(name, settings):
        return _not_asked(name, threshold)
    passed = measured <= threshold
    sentence = f"{text.format(measured=measured)}, {'at most' if passed else 'not at most'} {threshold:g}"
    return Judged(Check(name, _told(passed), _number(measured), threshold, sentence), _numbers({name: measured}))


def _told(passed: bool) -> Outcome:
    return "passed" if passed else "failed"


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _numbers(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _number(value) for name, value in values.items()}
