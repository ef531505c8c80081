"""The gate's checks of what was tried: whether the result is more than luck among so many, and the choice no accident.

Not here: how trials are counted (``trial_count.py``), the formulas (``statistics.py`` and its neighbours).
"""

from __future__ import annotations

import math

from ljwx_pipeline.config import GateSettings
from ljwx_pipeline.errors import PromotionError
from ljwx_pipeline.promotion.check import Check, Judged, above, left_out, not_asked, numbers, outcome_of, unmeasured
from ljwx_pipeline.promotion.effective_trials import effective_trials
from ljwx_pipeline.promotion.evidence import Evidence, Selection
from ljwx_pipeline.promotion.overfitting import NotAssessable, backtest_overfitting
from ljwx_pipeline.promotion.reality_check import reality_check
from ljwx_pipeline.promotion.statistics import MIN_RETURNS, deflated_sharpe, deflated_track_record

#: Trials whose returns are compared with each other for the effective number, the newest: a matrix of their pairs.
MOST_COMPARED = 2_000
#: Of the reality check's resamples: the same evidence gives the same p-value.
_SEED = 7


def deflated(evidence: Evidence, settings: GateSettings) -> Judged:
    """Return whether the Sharpe ratio is more than the best of all trials would show by luck.

    Deflated by the raw number of trials: an effective number is an estimate, and counting correlated trials fully errs
    on the careful side. The effective numbers of those whose returns are kept stand beside it.
    """
    name, threshold = "deflated_sharpe_probability", settings.min_deflated_sharpe_probability
    sessions = len(evidence.net_excess_returns)
    if sessions < MIN_RETURNS:
        said = f"{sessions} net excess returns are too few for a Sharpe ratio: test on at least {MIN_RETURNS} sessions"
        return unmeasured(name, threshold, said)
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
    check = above(name, found.probability, threshold, said)
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
    return Judged(check, numbers(measured))


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
    if left_out(name, settings):
        return not_asked(name, threshold)
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
        return unmeasured(name, threshold, error)
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
    # what passes by its shared edge was not held against the probability asked
    asked = None if shared and not low else threshold
    check = Check(name, outcome_of(low or shared), found.probability, asked, said)
    return Judged(check, numbers(measured))
