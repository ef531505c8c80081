"""The gate's decision as asset checks, one a requirement, beside the asset that decided.

A refusal is the line at work and no failure of it: none of them is an error. Not here: the decision
(``evaluation.py``), what is asked (``ljwx_pipeline.promotion.check``).
"""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from assets.io_managers import read_json
from assets.resources import Line
from ljwx_pipeline.promotion.check import CHECKS

DECIDED = dg.AssetKey("promotion_decision")
#: Checks that a decision lists only where there is something to say.
_ONLY_WHERE_ASKED = ("strategy_tradable", "approval")


@dg.multi_asset_check(
    specs=[dg.AssetCheckSpec(f"gate_{name}", asset=DECIDED, description=asks) for name, asks in CHECKS.items()],
    name="gate_checks",
    can_subset=True,
)
def gate_checks(context: dg.AssetCheckExecutionContext, line: Line) -> Iterator[dg.AssetCheckResult]:
    """Say of every requirement of the gate how the newest decision found it."""
    for result in check_results(read_json(line.tables, DECIDED.to_user_string())):
        if dg.AssetCheckKey(DECIDED, str(result.check_name)) in context.selected_asset_check_keys:
            yield result


def check_results(decision: Mapping[str, Any]) -> Iterator[dg.AssetCheckResult]:
    """Yield the result of every check of the gate; one that is not asked passes and says so."""
    told = {check["name"]: check for check in decision["checks"]}
    for name, asks in CHECKS.items():
        check = told.get(name)
        if check is None:
            here = name in _ONLY_WHERE_ASKED
            said = "nothing of the kind is asked here" if here else "not reached: the evidence was refused before"
            yield _check_result(name, passed=here, said=f"{asks}: {said}", metadata={"outcome": "none"})
            continue
        metadata = {key: check[key] for key in ("outcome", "measured", "threshold") if check[key] is not None}
        yield _check_result(
            name, passed=check["outcome"] in ("passed", "not_asked"), said=check["sentence"], metadata=metadata
        )


def _check_result(name: str, *, passed: bool, said: str, metadata: dict[str, Any]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=DECIDED,
        check_name=f"gate_{name}",
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=said,
        metadata=metadata,
    )
