"""The research job: tuning to promotion, over tables that the daily job keeps current. Started by a person.

``research_parallel`` is the same job with a process for each step, so that several folds are at work at a time; each
process costs seconds to start, which pays when a fold takes longer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from assets.walk_forward import WORKERS_TAG
from jobs.market_lock import one_writer_executor
from ljwx_pipeline.config import Settings

if TYPE_CHECKING:  # the type has no public name
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

JOB_NAME = "research"
PARALLEL_JOB_NAME = "research_parallel"


def research_job(selection: dg.AssetSelection) -> UnresolvedAssetJobDefinition:
    """Return the job over ``selection``."""
    return dg.define_asset_job(
        JOB_NAME,
        selection=selection,
        description="Dataset, tuning, walk-forward, backtest, explanation, report, gate. Every trial is counted.",
    )


def parallel_research_job(selection: dg.AssetSelection, settings: Settings) -> UnresolvedAssetJobDefinition:
    """Return the job over ``selection`` with ``walk_forward.workers`` steps at a time, each in its own process."""
    workers = settings.walk_forward.workers
    return dg.define_asset_job(
        PARALLEL_JOB_NAME,
        selection=selection,
        description=f"The research job with {workers} steps at a time, each in its own process: folds in parallel.",
        tags={WORKERS_TAG: str(workers)},
        # forked from a process that has imported everything: no step pays for that again
        executor_def=one_writer_executor(settings, dg.multiprocess_executor).configured(
            {
                "max_concurrent": workers,
                "start_method": {"forkserver": {"preload_modules": ["jobs.definitions"]}},
            }
        ),
    )
