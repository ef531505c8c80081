"""The research job: tuning to promotion, over tables that the daily job keeps current. Started by a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:  # the type has no public name
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

JOB_NAME = "research"


def research_job(selection: dg.AssetSelection) -> UnresolvedAssetJobDefinition:
    """Return the job over ``selection``."""
    return dg.define_asset_job(
        JOB_NAME,
        selection=selection,
        description="Dataset, tuning, walk-forward, backtest, explanation, report, gate. Every trial is counted.",
    )
