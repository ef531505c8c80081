"""What a check of the gate is, which there are, and how the outcome of one is told.

A value that cannot be measured never passes. Not here: the checks themselves (``checks.py``, ``trial_checks.py``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ljwx_pipeline.config import GateSettings
from ljwx_pipeline.errors import PromotionError

Outcome = Literal["passed", "failed", "approval", "not_asked"]


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
        What the measured value is held against; None where that is a range, or not what decided.
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


def left_out(name: str, settings: GateSettings) -> bool:
    """Whether ``gate.left_out`` names the check."""
    return name in settings.left_out


def not_asked(name: str, threshold: float | None) -> Judged:
    """Return a check that was left out, which says so."""
    sentence = f"{CHECKS[name]}: not asked (gate.left_out names {name})"
    return Judged(Check(name, "not_asked", None, threshold, sentence))


def unmeasured(name: str, threshold: float | None, why: str | PromotionError) -> Judged:
    """Return the failure of a check whose value cannot be had."""
    sentence = f"{why.fact}: {why.remedy}" if isinstance(why, PromotionError) else why
    return Judged(Check(name, "failed", None, threshold, sentence), {name: None})


def above(name: str, measured: float, threshold: float, text: str, *, percent: bool = False) -> Check:
    """Return a check that ``measured`` is strictly above ``threshold``; NaN is not above anything."""
    passed = measured > threshold
    limit = f"{threshold:.2%}" if percent else f"{threshold:g}"
    sentence = f"{text.format(measured=measured)}, {'above' if passed else 'not above'} {limit}"
    return Check(name, outcome_of(passed), number(measured), threshold, sentence)


def at_most(name: str, measured: float, threshold: float, text: str, settings: GateSettings) -> Judged:
    """Return a check that ``measured`` is at most ``threshold``, unless it is left out; NaN never is."""
    if left_out(name, settings):
        return not_asked(name, threshold)
    passed = measured <= threshold
    sentence = f"{text.format(measured=measured)}, {'at most' if passed else 'not at most'} {threshold:g}"
    return Judged(Check(name, outcome_of(passed), number(measured), threshold, sentence), numbers({name: measured}))


def outcome_of(passed: bool) -> Outcome:
    """Return the outcome of a check that was judged."""
    return "passed" if passed else "failed"


def number(value: float) -> float | None:
    """Return the value; None where it is not finite."""
    return value if math.isfinite(value) else None


def numbers(values: Mapping[str, float]) -> dict[str, float | None]:
    """Return the values by name; None where one is not finite."""
    return {name: number(value) for name, value in values.items()}
