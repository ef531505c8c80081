"""The daily job: ingest to scores and monitoring, on sessions at 18:00 Shanghai time. No tuning, no training."""

from typing import TYPE_CHECKING

import dagster as dg

from assets.partitions import range_tags
from ljwx_pipeline.config import ScheduleSettings
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
    job: "UnresolvedAssetJobDefinition", settings: ScheduleSettings, partitions: dg.MonthlyPartitionsDefinition
) -> dg.ScheduleDefinition:
    """Return the schedule that asks for the current month's partition on every trading session."""
    hour, minute = settings.daily_at.split(":")

    @dg.schedule(
        job=job,
        cron_schedule=f"{int(minute)} {int(hour)} * * 1-5",
        execution_timezone="Asia/Shanghai",
        name="daily_schedule",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"{settings.daily_at} Asia/Shanghai; holidays are skipped by the exchange calendar.",
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        day = context.scheduled_execution_time.date()
        if not is_session(day):
            return dg.SkipReason(f"{day} is not a trading session")
        keys = partitions.get_partition_keys()
        month = day.replace(day=1).isoformat()
        if month not in keys:
            return dg.SkipReason(f"{day} is past the source's last session: raise source.last_session")
        return dg.RunRequest(run_key=day.isoformat(), tags=range_tags(month, month))

    return schedule
