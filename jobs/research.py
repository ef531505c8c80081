"""The research job: tuning to promotion, over tables that the daily job keeps current. Started by a person."""

from __future__ import annotations

import dagster as dg

JOB_NAME = "research"


def research_job(selection: dg.AssetSelection) -> dg.UnresolvedAssetJobDefinition:
    """Return the job over ``selection``."""
    return dg.define_asset_job(
        JOB_NAME,
        selection=selection,
        description="Dataset, tuning, walk-forward, backtest, explanation, report, gate. Every trial is counted.",
    )
