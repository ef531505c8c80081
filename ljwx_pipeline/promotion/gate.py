"""The gate: evidence in, a decision with every measured value and reason out.

All checks asked must hold; a value that cannot be measured never passes. Where nothing failed but the probability of
backtest overfitting cannot be told, or the configuration asks for it, a person decides. Not here: the checks
themselves (``checks.py``, ``trial_checks.py``), the formulas (``statistics.py`` and its neighbours), how returns and
rank ICs come about (``evaluation/``), who may approve (``approval.py``), moving the champion's alias (``moves.py``).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from ljwx_pipeline.config import TRADABLE_STRATEGIES, GateSettings
from ljwx_pipeline.errors import PromotionError
from ljwx_pipeline.promotion import checks, trial_checks
from ljwx_pipeline.promotion.check import Check, Judged
from ljwx_pipeline.promotion.evidence import Evidence
from ljwx_pipeline.promotion.statistics import finite
from ljwx_pipeline.tracking.champion import AWAITING, PROMOTED, REFUSED

Verdict = Literal["promoted", "refused", "awaiting_approval"]


@dataclass(frozen=True)
class Decision:
    """The gate's answer.

    Parameters
    ----------
    decision
        ``"promoted"``, ``"refused"``, or ``"awaiting_approval"`` where nothing failed and a person has to decide.
    reasons
        Refused: a sentence for every check that failed. Awaiting approval: what asks for it. Promoted: one for every
        check that passed.
    measured
        Every number looked at, by name; None where it could not be measured.
    thresholds
        What each check asked for.
    checks
        All of them, in order, those not asked too.
    """

    decision: Verdict
    reasons: tuple[str, ...]
    measured: dict[str, float | None]
    thresholds: dict[str, float | None]
    checks: tuple[Check, ...]

    @property
    def promoted(self) -> bool:
        """Whether the model may become champion without anybody's approval."""
        return self.decision == PROMOTED

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def decide(evidence: Evidence, settings: GateSettings, *, approval_always: bool = False) -> Decision:
    """Return whether a candidate is promoted, with every reason.

    Parameters
    ----------
    approval_always
        Whether a person has to approve even where everything passed.

    Raises
    ------
    PromotionError
        When the evidence itself is unsound: a NaN, an unknown or contradicted number of trials, or a series that never
        varies.
    """
    if evidence.strategy not in TRADABLE_STRATEGIES:
        return _decision([checks.untradable(evidence.strategy)])
    if evidence.trials != len(evidence.trial_sharpes) or evidence.trials < 1:
        raise PromotionError(
            f"{evidence.trials} trials were made, but {len(evidence.trial_sharpes)} Sharpe ratios are known",
            "pass the Sharpe ratio of every trial, failed ones too",
        )
    months = finite(evidence.monthly_net_excess_returns, "monthly net excess return")
    judged = [checks.months(months, settings), checks.lint(evidence.lint_errors)]
    if judged[0].check.outcome == "failed":  # no statistic of so little is worth a line
        return _decision(judged)
    judged += [
        checks.leaks(evidence.leaks, settings),
        checks.rank_ic(evidence, settings),
        checks.net_excess(months, settings),
        trial_checks.deflated(evidence, settings),
        trial_checks.overfitting(evidence, settings),
        *checks.kpis(evidence, months, settings),
        checks.turnover(evidence, settings),
        checks.capacity(evidence, settings),
        checks.drift(evidence, settings),
        checks.calibration(evidence, settings),
        checks.champion(evidence, settings),
    ]
    return _decision([*judged, *([checks.approval()] if approval_always else [])])


def _decision(judged: list[Judged]) -> Decision:
    asked = tuple(one.check for one in judged)
    by_outcome = {
        outcome: tuple(check.sentence for check in asked if check.outcome == outcome)
        for outcome in ("failed", "approval", "passed")
    }
    decision: Verdict = PROMOTED
    reasons = by_outcome["passed"]
    if by_outcome["failed"]:
        decision, reasons = REFUSED, by_outcome["failed"]
    elif by_outcome["approval"]:
        decision, reasons = AWAITING, by_outcome["approval"]
    return Decision(
        decision=decision,
        reasons=reasons,
        measured={name: value for one in judged for name, value in one.measured.items()},
        thresholds={check.name: check.threshold for check in asked if check.outcome != "not_asked"},
        checks=asked,
    )
