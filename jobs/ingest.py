"""The ingest job: from the source to checked bars and their scores, nothing computed from them. ``ljwx backfill``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from ljwx_pipeline.command_options import command_line, up_command

if TYPE_CHECKING:  # the type has no public name
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

JOB_NAME = "ingest"


def ingest_job(selection: dg.AssetSelection) -> UnresolvedAssetJobDefinition:
    """Return the job over ``selection``."""
    return dg.define_asset_job(
        JOB_NAME,
        selection=selection,
        description="Fetch what the lake lacks, check it, score it. Stopped at any instant, it goes on where it was.",
    )


def ingest_outcome(
    result: dg.ExecuteInProcessResult, profile: str, overrides: Mapping[str, Any], seconds: float, *, as_of: str = ""
) -> dict[str, Any]:
    """Return what a finished run of the job did, from what its assets said of themselves, and the commands that follow.

    ``overrides`` are the dotted keys given on the command line: the commands repeat them. A run that replays ``as_of``
    adds nothing.
    """
    bars, checked, quality = (_said(result, name) for name in ("raw_bars", "checked_bars", "data_quality"))
    checks = result.get_asset_check_evaluations()
    return {
        "profile": profile,
        "as_of": as_of,
        "first_session": checked["first_session"],
        "last_session": bars["last_session"],
        "rows": bars["dagster/row_count"],
        "sessions": _said(result, "calendar")["dagster/row_count"],
        "added": 0 if as_of else bars["rows_added"],
        "restated": bars["rows_restated"],
        "quarantined": checked["quarantined_rows"],
        "score": round(quality["mean_score"], 2),
        "checks": {
            "passed": sum(check.passed for check in checks),
            "warned": _names(check for check in checks if not check.passed and not _blocks(check)),
            "blocked": _names(check for check in checks if not check.passed and _blocks(check)),
        },
        "models_flagged": bars["models_flagged"],
        "seconds": round(seconds, 1),
        "next": {
            "what the lake holds": command_line("data tables", profile, overrides),
            "how good the rows are": command_line("data quality", profile, overrides),
            "rows set aside": command_line("data quarantine", profile, overrides),
            "run the whole line": command_line("run", profile, overrides),
            "start the pages": up_command(profile, overrides),
        },
    }


def outcome_table(outcome: Mapping[str, Any]) -> str:
    """Return the outcome as lines for a terminal, with the commands that show more and go on."""
    checks = outcome["checks"]
    unmet = [*checks["blocked"], *checks["warned"]]
    counts = f"{checks['passed']} passed, {len(checks['warned'])} warn, {len(checks['blocked'])} block"
    lines = {
        "rows": f"{outcome['rows']:,} in the lake",
        "sessions": f"{outcome['sessions']:,}, {outcome['first_session']} to {outcome['last_session']}",
        "added": f"{outcome['added']:,} rows",
        "restated": f"{outcome['restated']:,} rows came back different",
        "quarantined": f"{outcome['quarantined']:,} rows",
        "score": f"{outcome['score']:.2f} of 100, mean over the sessions",
        "checks": counts + (f": {', '.join(unmet)}" if unmet else ""),
        "models": outcome["models_flagged"],
        "seconds": f"{outcome['seconds']:.1f}",
    }
    if outcome["as_of"]:
        del lines["added"]
        lines["rows"] = f"{outcome['rows']:,} replayed as known at {outcome['as_of']}; nothing was added"
    if outcome["models_flagged"] == "none":
        del lines["models"]
    following = dict(outcome["next"])
    if not outcome["quarantined"]:
        del following["rows set aside"]
    told = [f"{name:<12} {text}" for name, text in lines.items()]
    return "\n".join([*told, "", "what next", *(f"  {name:<22} {command}" for name, command in following.items())])


def _blocks(check: dg.AssetCheckEvaluation) -> bool:
    return check.severity == dg.AssetCheckSeverity.ERROR


def _names(checks: Iterable[dg.AssetCheckEvaluation]) -> list[str]:
    return sorted(f"{check.asset_key.to_user_string()}.{check.check_name}" for check in checks)


def _said(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    """Return the plain values that ``asset`` put beside itself in this run."""
    for event in result.get_asset_materialization_events():
        materialization = event.step_materialization_data.materialization
        if materialization.asset_key == dg.AssetKey(asset):
            return {name: value.value for name, value in materialization.metadata.items()}
    return {}
