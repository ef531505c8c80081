"""Progress of an in-process run on a terminal, fed by Dagster's own events.

The job's name stands first, every finished step is a line with its seconds. A message that an asset logs
(``context.log.info``) is the inner progress of the step it comes from: it shows in Dagster's UI and here.

Lines go to a copy of the error stream that was taken before the run. While a step runs Dagster points the stream itself
at a file, shows that file through a ``tail`` and ends it without waiting: the last line of a run was lost now and then
(dagster issue 23336).
"""

from __future__ import annotations

import os
import time
from types import TracebackType

import dagster as dg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

QUIET_S = 2.0


class StepProgress:
    """Shows a run's steps as they start and finish; a context manager.

    Parameters
    ----------
    job
        Its name.
    steps
        How many steps the run has, a step that is mapped over outputs counted once.
    mapped
        Whether there is such a step: how many outputs it has is known only once the run is on its way.
    """

    def __init__(self, job: str, steps: int, *, mapped: bool = False) -> None:
        self._heading = f"job {job}, {steps} step{'s' if steps != 1 else ''}{' or more' if mapped else ''}"
        #: By asset: those of a graph's steps together.
        self.seconds: dict[str, float] = {}
        self._done = 0
        self._total = steps
        self._mapped: set[str] = set()
        self.failed_checks: list[str] = []
        self.checks = {"passed": 0, "warned": 0, "failed": 0, "blocked": 0}
        self._terminal = os.fdopen(os.dup(2), "w", encoding="utf-8", buffering=1)
        self._console = Console(file=self._terminal, highlight=False)
        self._started: dict[str, float] = {}
        self._said: dict[str, float] = {}
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_interactive,
        )
        self._task = self._progress.add_task(job, total=steps)

    def __enter__(self) -> StepProgress:
        self._console.print(self._heading)
        self._progress.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self._progress.stop()
        self._terminal.close()

    def handle(self, entry: dg.EventLogEntry, _cursor: str | None = None) -> None:
        """Take one event of the run."""
        event, step = entry.dagster_event, entry.step_key
        if step is None:
            return
        now = time.monotonic()
        if event is None:
            self._inner(step, entry.user_message, now)
        elif event.event_type_value == "STEP_START":
            self._started[step] = now
            self._progress.update(self._task, description=step)
        elif event.event_type_value == "STEP_OUTPUT":
            self._note_mapped(step, event.step_output_data.mapping_key)
        elif event.event_type_value == "ASSET_CHECK_EVALUATION":
            self._note_check(event.asset_check_evaluation_data)
        elif event.event_type_value in {"STEP_SUCCESS", "STEP_FAILURE", "STEP_SKIPPED"}:
            self._finish(step, event.event_type_value, now)

    def _inner(self, step: str, message: str, now: float) -> None:
        self._progress.update(self._task, description=f"{step}: {message}")
        if not self._console.is_interactive and now - self._said.get(step, self._started.get(step, now)) > QUIET_S:
            self._said[step] = now
            self._console.print(f"     … {step}: {message}")

    def _note_mapped(self, step: str, mapping_key: str | None) -> None:
        """Count one more step for each output that a step is mapped over, beyond the one that was counted."""
        if mapping_key is None:
            return
        if step in self._mapped:
            self._total += 1
            self._progress.update(self._task, total=self._total)
        self._mapped.add(step)

    def _note_check(self, check: dg.AssetCheckEvaluation) -> None:
        blocks = not check.passed and check.severity == dg.AssetCheckSeverity.ERROR
        self.checks["passed" if check.passed else "failed" if blocks else "warned"] += 1
        self.checks["blocked"] += blocks
        if blocks:
            where = f"check {check.check_name} of {check.asset_key.to_user_string()} failed"
            self.failed_checks.append(f"{where} ({check.description})" if check.description else where)

    def _finish(self, step: str, outcome: str, now: float) -> None:
        seconds = now - self._started.get(step, now)
        asset = step.split(".")[0]
        self.seconds[asset] = round(self.seconds.get(asset, 0.0) + seconds, 3)
        self._done += 1
        self._progress.advance(self._task)
        mark = {"STEP_SUCCESS": "[green]✓[/]", "STEP_FAILURE": "[red]✗[/]", "STEP_SKIPPED": "[dim]-[/]"}[outcome]
        self._console.print(f"{mark} {self._done:>3}  {step:<42} {seconds:7.1f} s")
