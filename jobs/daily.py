"""The daily job: ingest to scores and monitoring, on sessions at 18:00 Shanghai time. No tuning, no training.

A day that was missed is caught up with: the request begins at the month of the last session the lake holds.
"""

from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING

import dagster as dg

from assets.partitions import range_tags
from ljwx_pipeline.config import OPEN, ScheduleSettings
from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.market.calendar import is_session

if TYPE_CHECKING:  # the type has no public name
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

JOB_NAME = "daily_pipeline"


def daily_job(selection: dg.AssetSelection) -> "UnresolvedAssetJobDefinition":
    """Return the job over ``selection``."""
    return dg.define_asset_job(
        JOB_NAME,
        selection=selection,
        description="Ingest the session, check it, compute factors, score with the champion, monitor. Trains nothing.",
    )


def daily_schedule(
    job: "UnresolvedAssetJobDefinition",
    settings: ScheduleSettings,
    partitions: dg.MonthlyPartitionsDefinition,
    last_held: Callable[[], date | None],
) -> dg.ScheduleDefinition:
    """Return the schedule that on every trading session asks for what the lake lacks, up to the current month.

    Parameters
    ----------
    last_held
        Asked at each tick: the last session the lake holds; None for an empty lake, which is filled from the start.
    """
    hour, minute = settings.daily_at.split(":")

    @dg.schedule(
        job=job,
        cron_schedule=f"{int(minute)} {int(hour)} * * 1-5",
        execution_timezone="Asia/Shanghai",
        name="daily_schedule",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"{settings.daily_at} Asia/Shanghai; holidays are skipped by the exchange calendar, "
        "months that were missed are caught up with.",
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        day = context.scheduled_execution_time.date()
        try:
            if not is_session(day):
                return dg.SkipReason(f"{day} is not a trading session")
        except SourceError as error:  # the calendar ends before today: a tick that fails would tell no remedy
            return dg.SkipReason(str(error))
        keys = partitions.get_partition_keys(current_time=context.scheduled_execution_time)
        month = _month(day)
        if month not in keys:
            return dg.SkipReason(
                f"{day} is past the source's last session: raise source.last_session, or set it to {OPEN}"
            )
        held = last_held()
        first = keys[0] if held is None else min(max(_month(held), keys[0]), month)
        return dg.RunRequest(run_key=day.isoformat(), tags=range_tags(first, month))

    return schedule


def _month(day: date) -> str:
    return day.replace(day=1).isoformat()
