"""Run every check that applies, and hand on the rows that passed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np
import pandas as pd

from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.market.tables import TABLES, SourceDescription
from ljwx_pipeline.quality.checks import CHECKS
from ljwx_pipeline.quality.quarantine import MAX_SESSION_FRAC, rows_out, session_share
from ljwx_pipeline.quality.results import NO_ROWS, CheckResult, require_passed
from ljwx_pipeline.quality.rule import Check, Market
from ljwx_pipeline.quality.schemas import KEYS, validate, validate_bars


def run_checks(
    tables: Mapping[str, pd.DataFrame],
    description: SourceDescription,
    sessions: pd.DatetimeIndex,
    *,
    beside: Mapping[str, pd.DataFrame] | None = None,
    before: Mapping[str, pd.DataFrame] | None = None,
    as_of: date | None = None,
    checks: Sequence[Check] = CHECKS,
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
    beside
        Tables, whole or some of their columns, that checks may look at and that are not judged themselves.
    before
        Rows of earlier sessions by table (at least ``scan.last_rows`` of them), so that a month or a session alone is
        judged as it would be within its whole history; they are not judged themselves.
    as_of
        The day on which the tables were known; None leaves the check for future-dated rows out.
    checks
        The rules; ``(*CHECKS, *anomalies.ANOMALIES)`` adds the statistics.

    Raises
    ------
    DataQualityError
        When a name is not a canonical table.

    Notes
    -----
    A table that breaks its schema by more than single rows is not looked at further: its other checks are reported as
    not applicable.
    """
    given = {name: _numbered(frame) for name, frame in tables.items()}
    earlier = {} if before is None else {name: frame for name, frame in before.items() if len(frame)}
    known = {name: validate(name, frame) for name, frame in given.items() if name != "bars"}
    sound = dict(beside or {}) | {name: given[name] for name, result in known.items() if not result.blocks}
    market = Market(sound, description, sessions, earlier, as_of)
    if "bars" in given:
        with_bars = Market({**sound, "bars": given["bars"]}, description, sessions, earlier, as_of)
        known["bars"] = validate_bars(with_bars)
        market = market if known["bars"].blocks else with_bars
    return [known[name] for name in tables] + [_outcome(check, market, tables) for check in checks]


def checked(
    table: str,
    frame: pd.DataFrame,
    results: Sequence[CheckResult],
    *,
    releases: pd.DataFrame | None = None,
    max_session_frac: float = MAX_SESSION_FRAC,
) -> pd.DataFrame:
    """Return ``frame`` in the canonical column and row order without its rows in quarantine, if no result blocks.

    Parameters
    ----------
    table, frame
        The very rows that were checked.
    results
        Of checking them.
    releases, max_session_frac
        As in ``quarantine.split``.

    Raises
    ------
    DataQualityError
        Naming each blocking check, or the session of which too much is in quarantine.
    """
    require_passed(results)
    if f"{table}.schema" not in {result.name for result in results}:
        raise DataQualityError(f"table {table} was never checked", "run the checks over it first")
    out = np.unique(np.concatenate([NO_ROWS, *(rows for _, rows in rows_out(table, frame, results, releases))]))
    if len(out):
        require_passed([session_share(table, frame, out, max_session_frac)])
        frame = frame.iloc[np.setdiff1d(np.arange(len(frame)), out)]
    keys = KEYS.get(table)
    ordered = frame[list(TABLES[table])]
    return ordered.sort_values(keys, kind="stable", ignore_index=True) if keys else ordered.reset_index(drop=True)


def _numbered(frame: pd.DataFrame) -> pd.DataFrame:
    """Return ``frame`` with rows counted from 0, without a copy where they already are."""
    return frame if frame.index.equals(pd.RangeIndex(len(frame))) else frame.reset_index(drop=True)


def _outcome(check: Check, market: Market, given: Mapping[str, pd.DataFrame]) -> CheckResult:
    why = _why_not(check, market, given)
    if why:
        return CheckResult(check.name, True, "not_applicable", {}, f"not applicable{why}")
    finding = check.test(market)
    measured = {"judged": finding.judged, "bad": finding.bad, **finding.measured}
    if finding.bad == 0:
        holds = f"holds on all {finding.judged} {finding.unit}"
        return CheckResult(check.name, True, check.severity, measured, holds, check.repair)
    said = "".join(f", {name} {value}" for name, value in finding.measured.items())
    first, *others = finding.sample
    also = f" (then {', '.join(others)})" if others else ""
    message = f"{check.says}; first at {first}{also}, {finding.bad} of {finding.judged} {finding.unit}{said}"
    severity = check.severity_of(finding)
    return CheckResult(check.name, False, severity, measured, message, check.repair, finding.rows, finding.faults)


def _why_not(check: Check, market: Market, given: Mapping[str, pd.DataFrame]) -> str:
    if check.raw_only and market.description.adjustment != "raw":
        return f" under declared {market.description.adjustment} adjustment: amount, volume and tick are raw"
    if check.needs_as_of and market.as_of is None:
        return ": the day on which the table was known is not given"
    for name in check.needs:
        if name not in market.tables or market.tables[name].empty:
            why = "breaks its schema" if name in given and name not in market.tables else "is empty or not given"
            return f": table {name} {why}"
    return ""
