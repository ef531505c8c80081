"""A line run in one process: execute a job, evaluate the real sensor, execute the deployment it requests.

Not here: what the steps do (``assets/``) and how settings are read (``ljwx_pipeline.config``).
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

import dagster as dg

from assets.partitions import range_tags
from assets.resources import Line
from assets.summary import assemble_summary, publish_summary
from jobs.definitions import build_definitions
from jobs.progress import StepProgress
from jobs.sensors import DEPLOY_JOB_NAME, SENSOR_NAME
from ljwx_pipeline.config import Settings
from ljwx_pipeline.errors import DataQualityError

RUN_KEY_TAG = "dagster/run_key"
SENSOR_TAG = "dagster/sensor_name"
SILENT_CONSOLE = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class LineRun:
    """One profile's run; a context manager that owns the Dagster instance.

    Parameters
    ----------
    settings
        The frozen settings; the environment must already hold the same (the assets read it themselves).
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._line = Line()
        self._instance = dg.DagsterInstance.get()
        self._definitions = build_definitions(settings)
        self._started = time.monotonic()
        self._seconds: dict[str, float] = {}
        self._checks = {"passed": 0, "failed": 0, "blocked": 0}

    def __enter__(self) -> LineRun:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self._instance.dispose()

    def execute(self, job_name: str, tags: dict[str, str] | None = None) -> dg.ExecuteInProcessResult:
        """Execute a job with progress.

        Raises
        ------
        LjwxError
            The first deliberate error of a step, or a blocking check that failed, as one message.
        """
        job = self._definitions.resolve_job_def(job_name)
        run_id = dg.DagsterRun(job_name=job_name).run_id
        every_tag = self._partition_tags(job) | {"ljwx/profile": self._settings.profile} | (tags or {})
        with StepProgress(job_name, len(job.graph.node_dict)) as progress:
            self._instance.add_event_listener(run_id, progress.handle)
            try:
                result = job.execute_in_process(
                    instance=self._instance,
                    run_id=run_id,
                    tags=every_tag,
                    raise_on_error=True,
                    run_config=SILENT_CONSOLE,
                )
            except dg.DagsterError as error:
                fact = "; ".join(progress.failed_checks) or str(error)
                raise DataQualityError(fact, f"see run {run_id} in the Dagster UI (make up)") from None
            finally:
                self._seconds |= progress.seconds
                self._checks = {name: count + progress.checks[name] for name, count in self._checks.items()}
        return result

    def deploy_requested(self) -> None:
        """Evaluate the champion sensor once and execute the run it requests, unless that run key was served before."""
        sensor = self._definitions.get_sensor_def(SENSOR_NAME)
        resources = {"line": self._line}
        with dg.build_sensor_context(
            instance=self._instance, definitions=self._definitions, resources=resources
        ) as context:
            tick = sensor.evaluate_tick(context)
        for request in tick.run_requests or []:
            tags = {RUN_KEY_TAG: str(request.run_key), SENSOR_TAG: SENSOR_NAME, **request.tags}
            if not self._served(str(request.run_key)):
                self.execute(DEPLOY_JOB_NAME, tags)

    def summary(self) -> dict[str, Any]:
        """Assemble, publish and return the run's summary."""
        seconds = self._seconds | {"total": round(time.monotonic() - self._started, 3)}
        summary = assemble_summary(self._line, seconds, self._checks)
        publish_summary(self._line, summary)
        return summary

    def _served(self, run_key: str) -> bool:
        served = dg.RunsFilter(
            tags={RUN_KEY_TAG: run_key, SENSOR_TAG: SENSOR_NAME}, statuses=[dg.DagsterRunStatus.SUCCESS]
        )
        return self._instance.get_runs_count(served) > 0

    def _partition_tags(self, job: dg.JobDefinition) -> dict[str, str]:
        if job.partitions_def is None:
            return {}
        span = self._settings.source
        sessions = self._line.source().sessions(span.first_session, span.last_session)
        first, last = (f"{day:%Y-%m-01}" for day in (sessions[0], sessions[-1]))
        return range_tags(first, last)
