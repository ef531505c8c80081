"""A job whose steps run in processes of their own, executed and watched from this one.

What the processes write to their error stream, Dagster's lines on their start among them, goes to a file of the
instance: among the progress it reads as a fault. Not here: which job that is (``research.py``), how progress is shown
(``progress.py``).
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.events import RunFailureReason
from dagster_shared.error import SerializableErrorInfo

POLL_S = 1.0
_PAGE = 200
#: Classes of the error of a step that was stopped.
_STOPPED = ("DagsterExecutionInterruptedError", "KeyboardInterrupt")
#: Below the instance's folder: what the processes of the last run wrote to their error stream.
WORKERS_LOG = "workers.log"


class StepFailedError(dg.DagsterError):
    """A step of a run in several processes failed: which one, and why."""


def execute_apart(
    job: Callable[[], dg.JobDefinition],
    instance: dg.DagsterInstance,
    *,
    tags: Mapping[str, str],
    watch: Callable[[dg.EventLogEntry], None],
    run_config: Mapping[str, Any],
) -> None:
    """Execute a job by its own executor, and give ``watch`` every event that its processes write.

    Parameters
    ----------
    job
        A function of a module, which each process calls to get the job.
    tags
        Of the run, which no other run has.

    Raises
    ------
    StepFailedError
        Names the first step that failed and why.
    dagster.DagsterExecutionInterruptedError
        When nothing failed, and a person stopped the run.
    OSError
        When ``WORKERS_LOG`` cannot be written.
    """
    workers_log = Path(instance.root_directory) / WORKERS_LOG
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(instance, dict(tags), watch, ended), daemon=True)
    recipe = dg.reconstructable(job)
    watcher.start()
    try:
        with (
            _errors_into(workers_log),
            dg.execute_job(
                recipe, instance, run_config=dict(run_config), tags=dict(tags), raise_on_error=False
            ) as result,
        ):
            events, succeeded = result.all_events, result.success
    finally:
        ended.set()
        watcher.join()
    if not succeeded:
        raise _why(events, workers_log)


def _why(events: Sequence[dg.DagsterEvent], workers_log: Path) -> BaseException:
    """Return what a run that did not succeed is told as: its first step that failed by itself, or that it was stopped.

    Ctrl-C fails each step that is under way with an error of its own.
    """
    causes = {event.step_key: _cause(event.step_failure_data.error) for event in events if event.is_step_failure}
    for step, cause in causes.items():
        if cause is None or cause.cls_name not in _STOPPED:
            reason = "for no reason it tells" if cause is None else cause.message.strip()
            return StepFailedError(f"step {step} failed: {reason}")
    unasked = RunFailureReason.UNEXPECTED_TERMINATION
    if causes or any(event.is_run_failure and event.job_failure_data.failure_reason == unasked for event in events):
        return dg.DagsterExecutionInterruptedError()
    return StepFailedError(f"the run failed; what its processes wrote stands in {workers_log}")


def _cause(error: SerializableErrorInfo | None) -> SerializableErrorInfo | None:
    return error.cause if error is not None and error.cause is not None else error


@contextmanager
def _errors_into(path: Path) -> Iterator[None]:
    """Point the error stream, which processes inherit, at ``path`` for the ``with`` block."""
    sys.stderr.flush()
    terminal = os.dup(2)
    try:
        with path.open("wb") as log:
            os.dup2(log.fileno(), 2)
            try:
                yield
            finally:
                sys.stderr.flush()
                os.dup2(terminal, 2)
    finally:
        os.close(terminal)


def _watch(
    instance: dg.DagsterInstance,
    tags: dict[str, str],
    watch: Callable[[dg.EventLogEntry], None],
    ended: threading.Event,
) -> None:
    run_id, cursor, last = None, None, False
    while True:
        if run_id is None:
            runs = instance.get_runs(dg.RunsFilter(tags=tags), limit=1)
            run_id = runs[0].run_id if runs else None
        if run_id is not None:
            page = instance.get_records_for_run(run_id, cursor=cursor, limit=_PAGE)
            cursor = page.cursor
            for record in page.records:
                watch(record.event_log_entry)
            if page.has_more:
                continue
        if last:
            return
        last = ended.wait(POLL_S)  # once more after the end: what was written last
