"""Run every check that applies, and hand on the rows that passed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.market.tables import TABLES, SourceDescription
from ljwx_pipeline.quality.checks import CHECKS, Check, Market
from ljwx_pipeline.quality.results import CheckResult, require_passed
from ljwx_pipeline.quality.schemas import KEYS, validate


def run_checks(
    tables: Mapping[str, pd.DataFrame], description: SourceDescription, sessions: pd.DatetimeIndex
) -> list[CheckResult]:
    """Return the outcome of every schema and check for the ``tables`` given.

    Parameters
    ----------
    tables
        Canonical tables by name; those left out make their checks not applicable, as do empty ones.
    description
        What their source says of itself; the unit check is not applicable under a declared adjustment.
    sessions
        The sessions the bars should cover, ascending.

    Raises
    ------
    DataQualityError
        When a name is not a canonical table.

    Notes
    -----
    A table that breaks its schema is not looked at further: its other checks are reported as not applicable.
    """
    results = [validate(name, frame) for name, frame in tables.items()]
    sound = {
        name: tables[name].reset_index(drop=True) for name, result in zip(tables, results, strict=True) if result.passed
    }
    market = Market(sound, description, sessions)
    return results + [_outcome(check, market, tables) for check in CHECKS]


def checked(table: str, frame: pd.DataFrame, results: Sequence[CheckResult]) -> pd.DataFrame:
    """Return ``frame`` in the canonical column and row order, if no result blocks.

    Raises
    ------
    DataQualityError
        Naming each blocking check.
    """
    require_passed(results)
    if f"{table}.schema" not in {result.name for result in results}:
        raise DataQualityError(f"table {table} was never checked", "run the checks over it first")
    keys = KEYS.get(table)
    ordered = frame[list(TABLES[table])]
    return ordered.sort_values(keys, kind="stable", ignore_index=True) if keys else ordered.reset_index(drop=True)


def _outcome(check: Check, market: Market, given: Mapping[str, pd.DataFrame]) -> CheckResult:
    if check.raw_only and market.description.adjustment != "raw":
        return CheckResult(
            check.name,
            True,
            "not_applicable",
            {},
            f"not applicable under declared {market.description.adjustment} adjustment: amount and volume are raw",
        )
    for name in check.needs:
        if name not in market.tables or market.tables[name].empty:
            why = "breaks its schema" if name in given and name not in market.tables else "is empty or not given"
            return CheckResult(check.name, True, "not_applicable", {}, f"not applicable: table {name} {why}")
    finding = check.test(market)
    measured = {"judged": finding.judged, "bad": finding.bad, **finding.measured}
    if finding.bad == 0:
        return CheckResult(check.name, True, check.severity, measured, f"holds on all {finding.judged} {finding.unit}")
    tolerated = check.min_good_frac < 1.0 and 1.0 - finding.bad / finding.judged >= check.min_good_frac
    said = "".join(f", {name} {value}" for name, value in finding.measured.items())
    message = f"{check.says}; first at {finding.first}, {finding.bad} of {finding.judged} {finding.unit}{said}"
    return CheckResult(check.name, tolerated, check.severity, measured, message)
