"""A line run in one process: execute a job, evaluate the real sensor, execute the deployment it requests.

Not here: what the steps do (``assets/``) and how settings are read (``ljwx_pipeline.config``).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.io_managers import read_json, read_table
from assets.live import runner_holds_champion
from assets.partitions import range_tags
from assets.resources import Line
from assets.summary import assemble_summary, publish_summary
from assets.tracking import fail_research_run
from jobs.apart import execute_apart
from jobs.dead_runs import close_dead_runs, process_tags
from jobs.definitions import build_definitions, parallel_research
from jobs.market_lock import one_writer
from jobs.progress import StepProgress
from jobs.sensors import DEPLOY_JOB_NAME, SENSOR_NAME, Handover
from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.command_options import up_command
from ljwx_pipeline.config import Settings
from ljwx_pipeline.errors import DataQualityError, EnvironmentFault

if TYPE_CHECKING:  # the type has no public name
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition as AnyJob

RUN_KEY_TAG = "dagster/run_key"
SENSOR_TAG = "dagster/sensor_name"
#: Tells the run of one command from every other.
ATTEMPT_TAG = "ljwx/attempt"
SILENT_CONSOLE = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class LineRun:
    """One profile's run; a context manager that owns the Dagster instance.

    Parameters
    ----------
    settings
        The frozen settings; the environment must already hold the same (the assets read it themselves).
    overrides
        The dotted keys among them that were given on the command line: what the commands shown to people repeat.
    jobs
        Jobs that no page offers, beside those of the code location.
    line
        What the steps work on; None: the line of these settings.
    """

    def __init__(
        self,
        settings: Settings,
        overrides: Mapping[str, Any],
        *,
        jobs: Sequence[AnyJob] = (),
        line: Line | None = None,
    ) -> None:
        self._settings = settings
        self._up_command = up_command(settings.profile, overrides)
        self._line = line or Line()
        self._instance = dg.DagsterInstance.get()
        self._stack = ExitStack()
        self._stack.callback(self._instance.dispose)
        self._definitions = dg.Definitions.merge(build_definitions(settings, self._line), dg.Definitions(jobs=jobs))
        self._clock = SystemClock()
        self._started_s = self._clock.monotonic_s()
        self._seconds: dict[str, float] = {}
        self._checks = {"passed": 0, "warned": 0, "failed": 0, "blocked": 0}

    def __enter__(self) -> LineRun:
        # one writer of a market's tables at a time: a second run would mix its tables with this one's
        self._stack.enter_context(one_writer(self._settings))
        close_dead_runs(self._instance)
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self._stack.close()

    def execute(self, job_name: str, tags: dict[str, str] | None = None) -> dg.ExecuteInProcessResult:
        """Execute a job with progress.

        Raises
        ------
        LjwxError
            The first deliberate error of a step, or a blocking check that failed, as one message.
        """
        job = self._definitions.resolve_job_def(job_name)
        run_id = dg.DagsterRun(job_name=job_name).run_id
        with self._watched(job, f"see run {run_id} in the Dagster UI ({self._up_command})") as progress:
            self._instance.add_event_listener(run_id, progress.handle)
            return job.execute_in_process(
                instance=self._instance,
                run_id=run_id,
                tags=self._tags(job) | (tags or {}),
                raise_on_error=True,
                run_config=SILENT_CONSOLE,
            )

    def execute_apart(self, job_name: str) -> None:
        """Execute a job whose steps have processes of their own, with progress.

        Raises
        ------
        LjwxError
            Names the first step that failed, or a blocking check.
        """
        job = self._definitions.resolve_job_def(job_name)
        remedy = f"see the last run of {job_name} in the Dagster UI ({self._up_command})"
        with self._watched(job, remedy) as progress:
            tags = self._tags(job) | {ATTEMPT_TAG: secrets.token_hex(8)}
            execute_apart(
                parallel_research, self._instance, tags=tags, watch=progress.handle, run_config=SILENT_CONSOLE
            )

    @contextmanager
    def _watched(self, job: dg.JobDefinition, remedy: str) -> Iterator[StepProgress]:
        """Show the progress of the block's run, and tell its failure as one message."""
        with StepProgress(job.name, step_count(job.graph), mapped=has_mapped_step(job.graph)) as progress:
            try:
                yield progress
            except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
                fail_research_run(self._line, "stopped by a person")
                raise
            except Exception as error:
                fail_research_run(self._line, str(error))
                if not isinstance(error, dg.DagsterError):
                    raise
                if progress.failed_checks:
                    raise DataQualityError("; ".join(progress.failed_checks), remedy) from None
                raise EnvironmentFault(str(error), remedy) from error
            finally:
                self._seconds |= progress.seconds
                self._checks = {name: count + progress.checks[name] for name, count in self._checks.items()}

    def _tags(self, job: dg.JobDefinition) -> dict[str, str]:
        return self._partition_tags(job) | {"ljwx/profile": self._settings.profile} | process_tags()

    def deploy_requested(self) -> None:
        """Evaluate the champion sensor once, from the last handover on, and execute the run it requests."""
        sensor = self._definitions.get_sensor_def(SENSOR_NAME)
        # a handover whose bundle or account is gone counts as none: deploying again does nothing twice
        handover = self._last_handover() if runner_holds_champion(self._line) else None
        context = dg.build_sensor_context(
            instance=self._instance,
            definitions=self._definitions,
            resources={"line": self._line},
            cursor=handover,
        )
        with context:
            tick = sensor.evaluate_tick(context)
        for request in tick.run_requests or []:
            self.execute(DEPLOY_JOB_NAME, {RUN_KEY_TAG: str(request.run_key), SENSOR_TAG: SENSOR_NAME, **request.tags})

    def daily_report(self, *, as_json: bool) -> str:
        """Return what the daily job found: rows, scores and how the champion fares."""
        tables = self._line.tables
        scores = read_table(tables, "daily_scores")
        found = {
            "profile": self._settings.profile,
            "bars": len(self._line.checked_bars()),
            "scores": len(scores),
            "last_session": None if scores.empty else f"{scores['session_date'].max():%Y-%m-%d}",
            "monitoring": read_json(tables, "model_monitoring"),
            "checks": self._checks,
            "seconds": {**self._seconds, "total": self._elapsed_s()},
        }
        if as_json:
            return json.dumps(found, indent=2)
        return "\n".join(f"{name:<14} {value}" for name, value in found.items() if name != "seconds")

    def summary(self) -> dict[str, Any]:
        """Assemble, publish and return the run's summary."""
        seconds = self._seconds | {"total": self._elapsed_s()}
        summary = assemble_summary(self._line, seconds, self._checks, up_command=self._up_command)
        publish_summary(self._line, summary)
        return summary

    def _elapsed_s(self) -> float:
        return round(self._clock.monotonic_s() - self._started_s, 3)

    def _last_handover(self) -> str | None:
        """Return the run key of the last deployment of this market's model that succeeded."""
        served = dg.RunsFilter(tags={SENSOR_TAG: SENSOR_NAME}, statuses=[dg.DagsterRunStatus.SUCCESS])
        for run in self._instance.get_runs(served, limit=100):
            handover = Handover.parse(run.tags.get(RUN_KEY_TAG))
            if handover is not None and handover.model == self._line.registered_model:
                return str(handover)
        return None

    def _partition_tags(self, job: dg.JobDefinition) -> dict[str, str]:
        if job.partitions_def is None:
            return {}
        span = self._settings.source
        sessions = self._line.source().sessions(span.first_session, span.until)
        first, last = (f"{day:%Y-%m-01}" for day in (sessions[0], sessions[-1]))
        return range_tags(first, last)


def step_count(graph: dg.GraphDefinition) -> int:
    """Return how many steps a graph has, those of the graphs in it with them, a mapped one counted once."""
    definitions = [node.definition for node in graph.node_dict.values()]
    return sum(step_count(one) if isinstance(one, dg.GraphDefinition) else 1 for one in definitions)


def has_mapped_step(graph: dg.GraphDefinition) -> bool:
    """Return whether a step of a graph, or of the graphs in it, is mapped over outputs."""
    definitions = [node.definition for node in graph.node_dict.values()]
    return any(
        has_mapped_step(one) if isinstance(one, dg.GraphDefinition) else any(out.is_dynamic for out in one.output_defs)
        for one in definitions
    )
