"""The lint of the net backtest as asset checks, one a rule: what it found shows beside the asset that was judged.

A finding of severity ``error`` does not stop the report, which shows it; it stops the promotion. Not here: the rules
(``ljwx_pipeline.evaluation.lint``), the measuring (``net_backtest`` leaves it beside its table).
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import dagster as dg

from assets.io_managers import read_json
from assets.lineage import lineage_of
from assets.resources import Line
from ljwx_pipeline.evaluation.lint import RULES, Finding, lint
from ljwx_pipeline.evaluation.lint_evidence import LintEvidence
from ljwx_pipeline.evaluation.lint_wording import EN, LOOKS_FOR

#: The document that ``net_backtest`` leaves.
LINT_EVIDENCE = "lint_evidence"
JUDGED = dg.AssetKey("net_backtest")
#: What becomes of a finding, before what it is.
WHEN = {"error": "refuses the promotion on", "warning": "warns of"}


def findings(line: Line) -> tuple[Finding, ...]:
    """Return what the lint finds in the line's last net backtest, by the thresholds and the sweeps of today."""
    from ljwx_pipeline.evaluation.swept_cliff import swept_cliff  # heavy: the kernels

    evidence = LintEvidence.from_dict(read_json(line.tables, LINT_EVIDENCE))
    lineage = lineage_of(line)
    hashes = {name: lineage[name] for name in ("data_hash", "factor_hash")}
    fall, parameter = swept_cliff(
        line.home, line.settings, hashes=hashes, span=(evidence.first_session, evidence.last_session)
    )
    return lint(replace(evidence, cliff_frac=fall, cliff_parameter=parameter), line.settings.lint)


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(
            f"lint_{rule.code}", asset=JUDGED, description=f"{WHEN[rule.severity]} {LOOKS_FOR[EN][rule.code]}"
        )
        for rule in RULES
    ],
    name="result_lint",
    can_subset=True,
)
def result_lint(context: dg.AssetCheckExecutionContext, line: Line) -> Iterator[dg.AssetCheckResult]:
    """Judge the net backtest by every rule of the lint."""
    found = {finding.code: finding for finding in findings(line)}
    for rule in RULES:
        name = f"lint_{rule.code}"
        if dg.AssetCheckKey(JUDGED, name) in context.selected_asset_check_keys:
            yield check_result(name, rule.severity, found.get(rule.code))


def check_result(name: str, gravest: str, finding: Finding | None) -> dg.AssetCheckResult:
    """Return the check's result; what could not be judged passes and says so."""
    severity = dg.AssetCheckSeverity.ERROR if gravest == "error" else dg.AssetCheckSeverity.WARN
    if finding is None:
        return dg.AssetCheckResult(
            asset_key=JUDGED, check_name=name, passed=True, severity=severity, metadata={"applicable": True}
        )
    metadata: dict[str, Any] = {"applicable": finding.severity != "info"}
    metadata |= {} if finding.value is None else {"value": float(finding.value)}
    metadata |= {} if finding.threshold is None else {"threshold": float(finding.threshold)}
    return dg.AssetCheckResult(
        asset_key=JUDGED,
        check_name=name,
        passed=finding.severity == "info",
        severity=severity,
        description=f"{finding.fact}. {finding.remedy}",
        metadata=metadata,
    )
