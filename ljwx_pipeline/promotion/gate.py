"""The gate: evidence in, a decision with every measured value and reason out.

All checks must hold; a value that cannot be measured never passes. Not here: the formulas (``statistics.py``), how
returns and rank ICs come about (``evaluation/``), moving the champion's alias (``registry.py``).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

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
from ljwx_pipeline.promotion.statistics import deflated_sharpe, finite, mean_interval


@dataclass(frozen=True)
class Evidence:
    """What a candidate shows, all of it out of sample.

    Parameters
    ----------
    rank_ic
        Rank IC per test session on rows that could be entered, in session order, no NaN.
    net_excess_returns
        Strategy return after costs minus benchmark return, per session, no NaN.
    monthly_net_excess_returns
        The same by calendar month: the strategy's month minus the benchmark's.
    trial_sharpes
        Per-session Sharpe ratio of the net returns of every trial of the study, in trial order.
    trials
        How many trials the study says it made; must equal ``len(trial_sharpes)``.
    purge_sessions
        Sessions from a score to the last price its label reads.
    lint_errors
        ``code: fact`` of every finding of severity ``error`` that the result lint made; one is enough to be refused.
    strategy
        Kind of the strategy whose returns these are; one that no account can trade is never promoted.
    trial_variance
        Variance of the trials' luck (``trial_count.CountedTrials``); None: that among ``trial_sharpes``.
    """

    rank_ic: NDArray[np.float64]
    net_excess_returns: NDArray[np.float64]
    monthly_net_excess_returns: NDArray[np.float64]
    trial_sharpes: tuple[float, ...]
    trials: int
    purge_sessions: int
    lint_errors: tuple[str, ...]
    strategy: str
    trial_variance: float | None


@dataclass(frozen=True)
class Check:
    """One requirement: what was measured, what was asked, and a sentence that says both."""

    name: str
    passed: bool
    measured: float | None
    threshold: float
    sentence: str


@dataclass(frozen=True)
class Decision:
    """The gate's answer.

    Parameters
    ----------
    decision
        ``"promoted"`` or ``"refused"``.
    reasons
        Refused: a sentence for every check that failed. Promoted: one for every check, all passed.
    measured
        Every number looked at, by name; None where it could not be measured.
    thresholds
        What each check asked for.
    checks
        All of them, in order.
    """

    decision: Literal["promoted", "refused"]
    reasons: tuple[str, ...]
    measured: dict[str, float | None]
    thresholds: dict[str, float]
    checks: tuple[Check, ...]

    @property
    def promoted(self) -> bool:
        """Whether the model may become champion."""
        return self.decision == "promoted"

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def decide(evidence: Evidence, settings: GateSettings) -> Decision:
    """Return whether a candidate is promoted, with every reason.

    Raises
    ------
    PromotionError
        When the evidence itself is unsound: a NaN, an unknown or contradicted number of trials, a series too short
        for its statistic or one that never varies.
    """
    if evidence.strategy not in TRADABLE_STRATEGIES:
        return _decision([_untradable(evidence.strategy)], {"strategy_tradable": 0.0})
    if evidence.trials != len(evidence.trial_sharpes) or evidence.trials < 1:
        raise PromotionError(
            f"the study made {evidence.trials} trials, but {len(evidence.trial_sharpes)} Sharpe ratios are known",
            "pass the Sharpe ratio of every trial, failed ones too",
        )
    months = finite(evidence.monthly_net_excess_returns, "monthly net excess return")
    checks = [_enough_months(months, settings), _believed(evidence.lint_errors)]
    known: dict[str, float | None] = {"months": float(len(months)), "lint_errors": float(len(evidence.lint_errors))}
    if not checks[0].passed:
        return _decision(checks, known)
    interval = mean_interval(
        evidence.rank_ic, purge_sessions=evidence.purge_sessions, confidence=settings.rank_ic_confidence
    )
    deflated = deflated_sharpe(evidence.net_excess_returns, evidence.trial_sharpes, luck=evidence.trial_variance)
    annual = annual_return(months, periods_per_year=MONTHS_PER_YEAR)
    checks += [
        _above(
            "rank_ic_lower",
            interval.lower,
            settings.min_rank_ic_lower,
            f"rank IC {interval.mean:.4f} of rows that could be bought has the lower "
            f"{settings.rank_ic_confidence:.1%} bound {{measured:.4f}} over {interval.sessions} sessions "
            f"(Newey-West lag {interval.lag})",
        ),
        _above(
            "net_excess_annual_return",
            annual,
            settings.min_net_excess_annual_return,
            f"net monthly excess over {settings.benchmark}, compounded, is {{measured:.2%}} a year",
            percent=True,
        ),
        _above(
            "deflated_sharpe_probability",
            deflated.probability,
            settings.min_deflated_sharpe_probability,
            f"deflated Sharpe probability over {deflated.trials} trials is {{measured:.3f}}",
        ),
    ]
    kpis = {
        "sharpe": sharpe(months, periods_per_year=MONTHS_PER_YEAR),
        "max_drawdown": max_drawdown(months),
        "win_rate": win_rate(months),
        "profit_factor": profit_factor(months),
    }
    if settings.kpi_enabled:
        checks += _kpi_checks(kpis, settings)
    measured = {
        "rank_ic_mean": interval.mean,
        "rank_ic_standard_error": interval.standard_error,
        "rank_ic_lower": interval.lower,
        "rank_ic_lag": float(interval.lag),
        "net_excess_annual_return": annual,
        "deflated_sharpe_probability": deflated.probability,
        "session_sharpe": deflated.sharpe,
        "session_sharpe_hurdle": deflated.hurdle,
        "trials": float(deflated.trials),
        "skewness": deflated.skewness,
        "kurtosis": deflated.kurtosis,
        **kpis,
    }
    return _decision(checks, known | {name: _number(value) for name, value in measured.items()})


def _kpi_checks(kpis: dict[str, float], settings: GateSettings) -> list[Check]:
    limit = settings.max_drawdown_frac
    drawdown = kpis["max_drawdown"]
    passed = drawdown < limit
    return [
        _above(
            "sharpe",
            kpis["sharpe"],
            settings.min_sharpe,
            "Sharpe ratio of monthly net excess returns is {measured:.2f}",
        ),
        Check(
            "max_drawdown",
            passed,
            _number(drawdown),
            limit,
            f"maximum drawdown of monthly net excess returns is {drawdown:.2%}, "
            f"{'below' if passed else 'not below'} {limit:.2%}",
        ),
        _above(
            "win_rate",
            kpis["win_rate"],
            settings.min_win_rate_frac,
            "share of months ahead of the index is {measured:.2%}",
            percent=True,
        ),
        _above(
            "profit_factor",
            kpis["profit_factor"],
            settings.min_profit_factor,
            "profit factor of monthly net excess returns is {measured:.2f}",
        ),
    ]


def _untradable(strategy: str) -> Check:
    tradable = ", ".join(TRADABLE_STRATEGIES)
    sentence = f"strategy {strategy} is for research only, as no account can trade it: {tradable} can be promoted"
    return Check("strategy_tradable", False, 0.0, 1.0, sentence)


def _enough_months(months: NDArray[np.float64], settings: GateSettings) -> Check:
    passed = len(months) >= settings.min_months
    verb = "at least" if passed else "fewer than"
    return Check(
        "months",
        passed,
        float(len(months)),
        float(settings.min_months),
        f"evidence covers {len(months)} months, {verb} {settings.min_months}",
    )


def _believed(lint_errors: tuple[str, ...]) -> Check:
    found = "; ".join(lint_errors)
    sentence = f"the result lint does not believe it: {found}" if found else "the result lint finds no error"
    return Check("lint_errors", not lint_errors, float(len(lint_errors)), 0.0, sentence)


def _above(name: str, measured: float, threshold: float, text: str, *, percent: bool = False) -> Check:
    """Return a check that ``measured`` is strictly above ``threshold``; NaN is not above anything."""
    passed = measured > threshold
    limit = f"{threshold:.2%}" if percent else f"{threshold:g}"
    sentence = f"{text.format(measured=measured)}, {'above' if passed else 'not above'} {limit}"
    return Check(name, passed, _number(measured), threshold, sentence)


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _decision(checks: list[Check], measured: dict[str, float | None]) -> Decision:
    failed = [check for check in checks if not check.passed]
    return Decision(
        decision="refused" if failed else "promoted",
        reasons=tuple(check.sentence for check in failed or checks),
        measured=measured,
        thresholds={check.name: check.threshold for check in checks},
        checks=tuple(checks),
    )
