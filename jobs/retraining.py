"""The sensor that asks for a training when the model that trades decays; whether its model trades is the gate's answer.

A request is written down before Dagster is asked and ends when its run does, so that a process killed in between asks
again for the same one (Dagster's run key makes it one run), and never for two. Only a run that succeeded answers the
alarms; one that failed may be run again by a person, and counts by how that ends.
"""

from typing import TYPE_CHECKING

import dagster as dg

from assets.resources import Line
from jobs.market_lock import one_writer
from ljwx_pipeline.config import MonitoringSettings
from ljwx_pipeline.errors import LakeError, LjwxError
from ljwx_pipeline.tracking import RetrainingJournal
from ljwx_pipeline.tracking.alarms import RequestLine
from ljwx_pipeline.tracking.retraining import retraining_now

if TYPE_CHECKING:  # the type has no public name
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

SENSOR_NAME = "retraining_sensor"
#: Tag of a run: the request it answers.
REQUEST_TAG = "ljwx/retraining"
WILL_RETRY_TAG = "dagster/will_retry"
FINISHED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


def retraining_journal(line: Line) -> RetrainingJournal:
    """Return this market's record of trainings asked for."""
    return RetrainingJournal(line.home / "tracking")


def retraining_sensor(job: "UnresolvedAssetJobDefinition", settings: MonitoringSettings) -> dg.SensorDefinition:
    """Return the sensor; it runs by default where ``monitoring.retrain`` says so."""
    status = dg.DefaultSensorStatus.RUNNING if settings.retrain else dg.DefaultSensorStatus.STOPPED

    @dg.sensor(
        job=job,
        name=SENSOR_NAME,
        minimum_interval_seconds=300,
        default_status=status,
        description="Watches the alarms about the champion; an unanswered one requests the research job, with a "
        f"cool-down of {settings.cool_down_sessions} sessions. The gate decides on its model.",
    )
    def sensor(context: dg.SensorEvaluationContext, line: Line) -> dg.RunRequest | dg.SkipReason:
        try:
            return _asked(context, line)
        except LjwxError as error:  # a tick that fails would show a traceback before the remedy
            context.log.error(str(error))
            return dg.SkipReason(str(error))

    return sensor


def _asked(context: dg.SensorEvaluationContext, line: Line) -> dg.RunRequest | dg.SkipReason:
    journal = retraining_journal(line)
    for request in journal.open_requests():
        run = _newest_run(context, request)
        if run is None:  # written down, and killed before Dagster heard of it
            return _run_request(request)
        if _ended(run):
            journal.ended(request.key, run_id=run.run_id, status=run.status.value)
    failed = journal.failed_last()
    if failed is not None:
        request, end = failed
        again = _newest_run(context, request)
        if again is not None and again.run_id != end.run_id:
            if not _ended(again):
                return dg.SkipReason(f"the training asked for on {request.session} is run again")
            journal.ended(request.key, run_id=again.run_id, status=again.status.value)
    sessions, cool_down = line.sessions(), line.settings.monitoring.cool_down_sessions
    due = retraining_now(line.home / "tracking", line.registered_model, sessions, cool_down_sessions=cool_down)
    if not due.asked:
        earliest = f"; not before {due.earliest}" if due.earliest else ""
        return dg.SkipReason(f"{due.reason}{earliest}")
    try:
        with one_writer(line.settings):  # a training that is refused for another run's sake would count as failed
            context.log.info(due.reason)
    except LakeError as error:
        return dg.SkipReason(f"{due.reason}; asked for later: {error.fact}")
    return _run_request(journal.requested(sessions[-1].date(), due.alarms))


def _newest_run(context: dg.SensorEvaluationContext, request: RequestLine) -> dg.DagsterRun | None:
    runs = context.instance.get_runs(dg.RunsFilter(tags={REQUEST_TAG: request.key}), limit=1)
    return runs[0] if runs else None


def _ended(run: dg.DagsterRun) -> bool:
    return run.status in FINISHED and run.tags.get(WILL_RETRY_TAG) != "true"


def _run_request(request: RequestLine) -> dg.RunRequest:
    return dg.RunRequest(run_key=request.key, tags={REQUEST_TAG: request.key})
