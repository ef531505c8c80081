"""The lock of a market's tables: a run of the line writes them, a comparison reads those of one run.

Whoever starts a run, its steps hold the lock: ``LineRun`` takes it for `ljwx run`, the executor of the code location
for a run that Dagster starts itself, from its page, a schedule or a sensor. Not here: the lake's own locks
(``ljwx_pipeline.lake``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import dagster as dg

from ljwx_pipeline.config import Settings, market_home
from ljwx_pipeline.lake.locking import exclusive

LOCK_TIMEOUT_S = 2.0
#: Locks held, with the process that does: one that was forked holds nothing.
_held: dict[Path, int] = {}


@contextmanager
def one_writer(settings: Settings) -> Iterator[None]:
    """Hold the market's tables alone for the ``with`` block; a process that holds them already goes on.

    Raises
    ------
    LakeError
        When another process still holds them after ``LOCK_TIMEOUT_S`` seconds.
    """
    path = market_home(settings) / "run.lock"
    if _held.get(path) == os.getpid():
        yield
        return
    with exclusive(path, timeout_s=LOCK_TIMEOUT_S):
        _held[path] = os.getpid()
        try:
            yield
        finally:
            del _held[path]


def one_writer_executor(settings: Settings, inner: dg.ExecutorDefinition) -> dg.ExecutorDefinition:
    """Return ``inner`` with the market's tables held alone for the length of a run's steps.

    The process that executes the run holds them, and its steps' own processes work under it.
    """
    make = cast("Callable[[dg.InitExecutorContext], dg.Executor]", inner.executor_creation_fn)

    def made(context: dg.InitExecutorContext) -> dg.Executor:
        return _OneWriter(make(context), settings)

    return dg.ExecutorDefinition(
        name=inner.name,
        config_schema=inner.config_schema,
        requirements=inner.get_requirements,
        executor_creation_fn=made,
        description=inner.description,
    )


class _OneWriter(dg.Executor):
    """An executor's work under the lock; the run fails with who holds it where another process does."""

    def __init__(self, inner: dg.Executor, settings: Settings) -> None:
        self._inner, self._settings = inner, settings

    @property
    def retries(self) -> Any:
        """Those of the executor within."""
        return self._inner.retries

    @property
    def step_dependency_config(self) -> Any:
        """That of the executor within."""
        return self._inner.step_dependency_config

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[dg.DagsterEvent]:
        """Yield the events of the executor within."""
        with one_writer(self._settings):
            yield from self._inner.execute(plan_context, execution_plan)
