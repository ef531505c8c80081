"""The result lint shows in Dagster as a check a rule, of its own severity, with what was measured."""

from __future__ import annotations

import dagster as dg

from assets.result_lint import check_result, result_lint
from ljwx_pipeline.config import Settings
from ljwx_pipeline.evaluation.lint import RULES, Finding

ERROR = Finding("sharpe_too_good", "error", "sharpe_too_good", 6.0, 4.0, {"value": 6.0, "most": 4.0})
UNKNOWN = Finding("parameter_cliff", "info", "no_sweep", None, 0.5, {})


def test_every_rule_is_a_check_of_the_net_backtest_that_lets_the_report_go_on(settings: Settings) -> None:
    specs = list(result_lint.check_specs)
    assert [spec.name for spec in specs] == [f"lint_{rule.code}" for rule in RULES]
    assert {spec.asset_key.to_user_string() for spec in specs} == {"net_backtest"}
    assert not any(spec.blocking for spec in specs)  # the report is what shows a finding
    assert {spec.description.split(" on ")[0] for spec in specs if "refuses" in (spec.description or "")} == {
        "refuses the promotion"
    }


def test_a_finding_fails_its_check_with_value_threshold_and_remedy() -> None:
    result = check_result("lint_sharpe_too_good", "error", ERROR)
    assert not result.passed
    assert result.severity == dg.AssetCheckSeverity.ERROR
    assert (result.metadata["value"].value, result.metadata["threshold"].value) == (6.0, 4.0)
    assert "6.00, more than 4. treat it as a leak" in (result.description or "")


def test_what_could_not_be_judged_passes_and_says_so() -> None:
    result = check_result("lint_parameter_cliff", "warning", UNKNOWN)
    assert result.passed
    assert result.metadata["applicable"].value is False
    assert "there is no sweep" in (result.description or "")
    assert check_result("lint_cash_drag", "warning", None).passed
