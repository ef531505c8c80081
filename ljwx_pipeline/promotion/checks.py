"""The gate's checks of the result and of what the model would trade on, one function each.

A check that ``gate.left_out`` names is not asked, and the decision says so. Not here: the checks of the trials behind
it (``trial_checks.py``), the decision (``gate.py``), the formulas (``statistics.py`` and its neighbours).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple

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
from ljwx_pipeline.promotion.check import (
    Check,
    Judged,
    above,
    at_most,
    left_out,
    not_asked,
    number,
    numbers,
    outcome_of,
    unmeasured,
)
from ljwx_pipeline.promotion.evidence import Evidence
from ljwx_pipeline.promotion.statistics import finite, mean_interval
from ljwx_pipeline.uncertainty.coverage import coverage_bounds

Float = NDArray[np.float64]

#: Common sessions below which champion and candidate are not compared.
MIN_COMMON_SESSIONS = 60
#: Sessions a month, for telling how many more are needed.
SESSIONS_PER_MONTH = 20
#: Closed trades below which their win rate and profit factor say nothing.
MIN_TRADES = 30


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
    check = Check("months", outcome_of(lacking <= 0), float(found), float(needed), said)
    return Judged(check, {"months": float(found)})


def lint(errors: Sequence[str]) -> Judged:
    """Return whether the result lint found no error."""
    sentence = (
        f"the result lint does not believe it: {'; '.join(errors)}" if errors else "the result lint finds no error"
    )
    count = float(len(errors))
    return Judged(Check("lint_errors", outcome_of(not errors), count, 0.0, sentence), {"lint_errors": count})


def leaks(findings: Sequence[str] | None, settings: GateSettings) -> Judged:
    """Return whether the factors were checked for leaks and none was found."""
    if left_out("leak_checks", settings):
        return not_asked("leak_checks", 0.0)
    if findings is None:
        said = "no leak check of these factors is known: run `ljwx run`, which checks them"
        return Judged(Check("leak_checks", "failed", None, 0.0, said), {"leaks": None})
    said = (
        f"factors see the future: {'; '.join(findings)}" if findings else "no leak check found a factor that sees ahead"
    )
    count = float(len(findings))
    return Judged(Check("leak_checks", outcome_of(not findings), count, 0.0, said), {"leaks": count})


def rank_ic(evidence: Evidence, settings: GateSettings) -> Judged:
    """Return whether the mean rank IC's lower bound is above its threshold."""
    name, threshold = "rank_ic_lower", settings.min_rank_ic_lower
    series = finite(evidence.rank_ic, "rank IC")
    try:
        interval = mean_interval(series, purge_sessions=evidence.purge_sessions, confidence=settings.rank_ic_confidence)
    except PromotionError as error:
        return unmeasured(name, threshold, error)
    check = above(
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
    return Judged(check, numbers(measured))


def net_excess(returns: Float, settings: GateSettings) -> Judged:
    """Return whether compounded monthly net excess is above its threshold a year."""
    name = "net_excess_annual_return"
    annual = annual_return(returns, periods_per_year=MONTHS_PER_YEAR)
    said = f"net monthly excess over {settings.benchmark}, compounded, is {{measured:.2%}} a year"
    check = above(name, annual, settings.min_net_excess_annual_return, said, percent=True)
    return Judged(check, numbers({name: annual}))


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
        above(
            "sharpe",
            sharpe(returns, periods_per_year=MONTHS_PER_YEAR),
            settings.min_sharpe,
            f"Sharpe ratio of monthly net excess returns {against} is {{measured:.2f}}",
        ),
        Check(
            "max_drawdown",
            outcome_of(below),
            number(worst),
            settings.max_drawdown_frac,
            f"maximum drawdown of monthly net excess returns {against} is {worst:.2%}, "
            f"{'below' if below else 'not below'} {settings.max_drawdown_frac:.2%}",
        ),
        above(
            "win_rate",
            win_rate(basis) if enough else math.nan,
            least_wins,
            f"share of months ahead of {settings.benchmark} is {{measured:.2%}}"
            if monthly
            else f"share of {count} that gained is {{measured:.2%}}",
            percent=True,
        ),
        above(
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
    return at_most("turnover", evidence.turnover, settings.max_turnover, said, settings)


def capacity(evidence: Evidence, settings: GateSettings) -> Judged:
    """Return whether the market carries the capital: half of the orders fill within a session."""
    name, threshold = "capacity", settings.min_capacity_frac
    if left_out(name, settings):
        return not_asked(name, threshold)
    share = evidence.capacity_cny / evidence.capital_cny
    passed = share >= threshold
    said = (
        f"the median order reaches the participation limit at CNY {evidence.capacity_cny:,.0f}, {share:.2f} times the "
        f"capital of {evidence.capital_cny:,.0f}, {'at least' if passed else 'not at least'} {threshold:g} times"
    )
    check = Check(name, outcome_of(passed), number(share), threshold, said)
    return Judged(check, numbers({"capacity_cny": evidence.capacity_cny}))


def drift(evidence: Evidence, settings: GateSettings) -> Judged:
    """Return whether the newest inputs are like those of training."""
    found, name, threshold = evidence.drift, "drift", settings.max_drift_ratio
    if found.reason and not left_out(name, settings):
        return unmeasured(name, threshold, f"drift of the inputs cannot be judged: {found.reason}")
    which = f" ({', '.join(found.factors[:5])})" if found.factors else ""
    when = f" ({found.sessions})" if found.sessions else ""
    said = f"drift of the newest inputs{when} is {{measured:.2f}} of its limit{which}"
    return at_most(name, found.ratio, threshold, said, settings)


def calibration(evidence: Evidence, settings: GateSettings) -> Judged:
    """Return whether the prediction intervals held what they promise, in total and in every group."""
    found, name = evidence.calibration, "calibration"
    (least, most), (group_least, group_most) = astuple(coverage_bounds(found.nominal_frac))
    if left_out(name, settings):
        return not_asked(name, None)
    if found.reason or not found.groups:
        why = (
            found.reason or f"none of its years, industries and volatility thirds is large enough ({found.rows:,} rows)"
        )
        return unmeasured(name, None, f"coverage of the intervals cannot be judged: {why}")
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
    return Judged(Check(name, outcome_of(total and groups), number(found.covered_frac), None, said), numbers(measured))


def champion(evidence: Evidence, settings: GateSettings) -> Judged:
    """Return whether the candidate is better than the champion on sessions that were out of sample for both.

    The probability is that of Student's t of the mean difference with Newey and West's error. A model that earned the
    same on every session is the same one trained anew, and may follow it. A champion under an alarm of lost skill need
    not be beaten on a past that is over.
    """
    rival, name, threshold = evidence.rival, "champion", settings.min_champion_probability
    if left_out(name, settings):
        return not_asked(name, threshold)
    if rival is None:
        return Judged(Check(name, "passed", None, threshold, "no other model is champion"), {name: None})
    who = f"the champion, version {rival.version}"
    if rival.skill_lost_since:
        said = f"{who}, stands under an alarm of lost skill since {rival.skill_lost_since}: it need not be beaten"
        return Judged(Check(name, "passed", None, threshold, said), {name: None})
    if rival.reason:
        return unmeasured(name, threshold, f"it cannot be compared with {who}: {rival.reason}")
    sessions = len(rival.differences)
    if sessions < MIN_COMMON_SESSIONS:
        return unmeasured(
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
    return Judged(Check(name, outcome_of(passed), number(probability), threshold, said), numbers(measured))


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
