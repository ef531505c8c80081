"""The lint of a result: what makes a backtest too good, too thin or too odd to be believed.

A rule looks at the measured evidence and either finds something or does not. A finding of severity ``error`` keeps a
model from being promoted; a ``warning`` is for whoever signs; ``info`` says what could not be judged. Not here: the
measuring (``lint_evidence.py``), the words (``lint_wording.py``), the thresholds (``[lint]`` of ``ljwx.toml``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ljwx_pipeline.config import LintSettings
from ljwx_pipeline.evaluation.lint_evidence import LintEvidence
from ljwx_pipeline.evaluation.lint_wording import EN, fact_text, remedy_text

Severity = Literal["info", "warning", "error"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
Values = dict[str, float | int | str]


@dataclass(frozen=True)
class Finding:
    """One thing the lint found.

    Parameters
    ----------
    code
        The rule's.
    severity
        ``error``, ``warning`` or ``info``.
    case
        Which of the rule's sentences says it.
    value, threshold
        What was measured and where the rule begins; None where nothing could be measured.
    values
        What the sentence is filled with.
    """

    code: str
    severity: Severity
    case: str
    value: float | None
    threshold: float | None
    values: Values

    @property
    def fact(self) -> str:
        """What was found, in English."""
        return fact_text(EN, self.case, self.values)

    @property
    def remedy(self) -> str:
        """What to do about it, in English."""
        return remedy_text(EN, self.case)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values, the sentences among them."""
        return asdict(self) | {"fact": self.fact, "remedy": self.remedy}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Finding:
        """Return the finding that ``as_dict`` gave."""
        return cls(**{name: document[name] for name in ("code", "severity", "case", "value", "threshold", "values")})


@dataclass(frozen=True)
class Rule:
    """One rule: its code, the worst severity it may find, and the function that looks."""

    code: str
    severity: Severity
    look: Callable[[LintEvidence, LintSettings], Finding | None]


def lint(evidence: LintEvidence, settings: LintSettings) -> tuple[Finding, ...]:
    """Return every finding, the gravest first, then in the order of ``RULES``."""
    found = [finding for rule in RULES if (finding := rule.look(evidence, settings)) is not None]
    return tuple(sorted(found, key=lambda finding: SEVERITIES.index(finding.severity)))


def _fills_beyond_limit(evidence: LintEvidence, _: LintSettings) -> Finding | None:
    count = evidence.fills_beyond_limit
    if not count:
        return None
    values: Values = {"count": count, "fills": evidence.fills, "first": evidence.first_bad_fill}
    return Finding("fills_beyond_limit", "error", "fills_beyond_limit", count, 0, values)


def _fills_at_limit(evidence: LintEvidence, settings: LintSettings) -> Finding | None:
    share, most = evidence.fills_at_limit / max(evidence.fills, 1), settings.max_fills_at_limit_frac
    if share <= most:
        return None
    values: Values = {
        "count": evidence.fills_at_limit,
        "fills": evidence.fills,
        "share": share,
        "most": most,
        "first": evidence.first_bad_fill,
    }
    return Finding("fills_at_limit", "error", "fills_at_limit", share, most, values)


def _too_few_trades(evidence: LintEvidence, settings: LintSettings) -> Finding | None:
    least = settings.min_closed_trades
    if evidence.positions_closed >= least:
        return None
    values: Values = {"count": evidence.positions_closed, "least": least}
    return Finding("too_few_trades", "error", "too_few_trades", evidence.positions_closed, least, values)


def _too_few_months(evidence: LintEvidence, settings: LintSettings) -> Finding | None:
    least = settings.min_months
    if evidence.months >= least:
        return None
    values: Values = {"count": evidence.months, "least": least}
    return Finding("too_few_months", "warning", "too_few_months", evidence.months, least, values)


def _profit_from_one_name(evidence: LintEvidence, settings: LintSettings) -> Finding | None:
    share, most = evidence.top_name_profit_frac, settings.max_name_profit_frac
    if share is None or share <= most:
        return None
    values: Values = {"name": evidence.top_name, "share": share, "most": most}
    return Finding("profit_from_one_name", "warning", "profit_from_one_name", share, most, values)


def _weight_of_one_name(evidence: LintEvidence, settings: LintSettings) -> Finding | None:
    weight, most = evidence.largest_weight_frac, settings.max_name_weight_frac
    if weight <= most:
        return None
    values: Values = {"name": evidence.largest_weight_name, "weight": weight, "most": most}
    return Finding("weight_of_one_name", "warning", "weight_of_one_name", weight, most, values)


def _sharpe_too_good(evidence: LintEvidence, settings: LintSettings) -> Finding | None:
    value, most = evidence.session_sharpe, settings.max_sharpe
    if value is None or value <= most:
        return None
    return Finding("sharpe_too_good", "error", "sharpe_too_good", value, most, {"value": value, "most": most})


def _rank_ic_too_good(evidence: LintEvidence, settings: LintSettings) -> Finding | None:
    value, most = evidence.rank_ic_earned, settings.max_rank_ic
    if value is None or value <= most:
        return None
    values: Values = {"value": value, "most": most, "horizon": evidence.horizon_sessions}
    return Finding("rank_ic_too_good", "error", "rank_ic_too_good", value, most, values)


def _moved_without_data(evidence: LintEvidence, _: LintSettings) -> Finding | None:
    count = evidence.moved_sessions
    if not count:
        return None
    values: Values = {"count": count, "first": evidence.first_moved_session}
    return Finding("moved_without_data", "error", "moved_without_data", count, 0, values)


def _stale_prices(evidence: LintEvidence, settings: LintSettings) -> Finding | None:
    share, most = evidence.stale_value_frac, settings.max_stale_value_frac
    if share <= most:
        return None
    values: Values = {"share": share, "most": most, "sessions": evidence.stale_after_sessions}
    return Finding("stale_prices", "warning", "stale_prices", share, most, values)


def _parameter_cliff(evidence: LintEvidence, settings: LintSettings) -> Finding | None:
    lost, most = evidence.cliff_frac, settings.max_cliff_frac
    if lost is None:
        return Finding("parameter_cliff", "info", "no_sweep", None, most, {})
    if lost <= most:
        return None
    values: Values = {"lost": lost, "most": most, "parameter": evidence.cliff_parameter}
    return Finding("parameter_cliff", "warning", "parameter_cliff", lost, most, values)


def _capacity_below_capital(evidence: LintEvidence, _: LintSettings) -> Finding | None:
    capital, capacity = evidence.capital_cny, evidence.capacity_cny
    if capacity is None:
        return Finding("capacity_below_capital", "info", "no_capacity", None, capital, {})
    if capacity >= capital:
        return None
    values: Values = {"capacity": capacity, "capital": capital}
    return Finding("capacity_below_capital", "error", "capacity_below_capital", capacity, capital, values)


def _vanishes_when_delayed(evidence: LintEvidence, settings: LintSettings) -> Finding | None:
    """Find a rank IC that does not outlive a delay which keeps all but one session of the horizon."""
    earned, delayed, horizon = evidence.rank_ic_earned, evidence.rank_ic_delayed, evidence.horizon_sessions
    if earned is None or delayed is None or horizon < 2 or earned < settings.min_judged_rank_ic:
        return Finding("vanishes_when_delayed", "info", "no_delay", None, settings.min_delayed_frac, {})
    kept, least = delayed / earned, settings.min_delayed_frac * (horizon - 1) / horizon
    if kept >= least:
        return None
    values: Values = {"earned": earned, "delayed": delayed, "kept": kept, "least": least, "horizon": horizon}
    return Finding("vanishes_when_delayed", "error", "vanishes_when_delayed", kept, least, values)


def _knows_the_entry(evidence: LintEvidence, settings: LintSettings) -> Finding | None:
    """Find scores that foretell the return before the entry best: nobody's label holds it, so they have seen it."""
    earned, before, most = evidence.rank_ic_earned, evidence.rank_ic_before_entry, settings.max_before_entry_rank_ic
    if before is None or before <= most or (earned is not None and before <= settings.max_before_entry_ratio * earned):
        return None
    values: Values = {"before": before, "earned": 0.0 if earned is None else earned, "most": most}
    return Finding("knows_the_entry", "error", "knows_the_entry", before, most, values)


def _is_the_session_itself(evidence: LintEvidence, settings: LintSettings) -> Finding | None:
    value, most = evidence.rank_ic_same_session, settings.max_same_session_rank_ic
    if value is None or abs(value) <= most:
        return None
    return Finding(
        "is_the_session_itself", "warning", "is_the_session_itself", value, most, {"value": value, "most": most}
    )


def _turnover_absurd(evidence: LintEvidence, settings: LintSettings) -> Finding | None:
    value, most = evidence.turnover, settings.max_turnover
    if value <= most:
        return None
    return Finding("turnover_absurd", "warning", "turnover_absurd", value, most, {"value": value, "most": most})


def _cash_drag(evidence: LintEvidence, settings: LintSettings) -> Finding | None:
    value, most = evidence.unwanted_cash_frac, settings.max_cash_frac
    if value is None or value <= most:
        return None
    values: Values = {"value": value, "most": most}
    if evidence.abstained_frac is None:
        return Finding("cash_drag", "warning", "cash_drag", value, most, values)
    values = {**values, "abstained": evidence.abstained_frac}
    return Finding("cash_drag", "warning", "cash_drag_of_doubt", value, most, values)


def _benchmark_mismatch(evidence: LintEvidence, settings: LintSettings) -> Finding | None:
    own, best, most = evidence.benchmark_correlation, evidence.closest_correlation, settings.max_benchmark_gap
    if own is None or best is None:
        return Finding("benchmark_mismatch", "info", "no_correlation", None, most, {"benchmark": evidence.benchmark})
    if best - own <= most:
        return None
    values: Values = {"benchmark": evidence.benchmark, "own": own, "closest": evidence.closest_index, "best": best}
    return Finding("benchmark_mismatch", "warning", "benchmark_mismatch", best - own, most, values)


#: Every rule, in the order in which findings of one severity are shown.
RULES: tuple[Rule, ...] = (
    Rule("fills_beyond_limit", "error", _fills_beyond_limit),
    Rule("fills_at_limit", "error", _fills_at_limit),
    Rule("moved_without_data", "error", _moved_without_data),
    Rule("vanishes_when_delayed", "error", _vanishes_when_delayed),
    Rule("knows_the_entry", "error", _knows_the_entry),
    Rule("sharpe_too_good", "error", _sharpe_too_good),
    Rule("rank_ic_too_good", "error", _rank_ic_too_good),
    Rule("too_few_trades", "error", _too_few_trades),
    Rule("capacity_below_capital", "error", _capacity_below_capital),
    Rule("too_few_months", "warning", _too_few_months),
    Rule("profit_from_one_name", "warning", _profit_from_one_name),
    Rule("weight_of_one_name", "warning", _weight_of_one_name),
    Rule("stale_prices", "warning", _stale_prices),
    Rule("parameter_cliff", "warning", _parameter_cliff),
    Rule("is_the_session_itself", "warning", _is_the_session_itself),
    Rule("turnover_absurd", "warning", _turnover_absurd),
    Rule("cash_drag", "warning", _cash_drag),
    Rule("benchmark_mismatch", "warning", _benchmark_mismatch),
)
