"""The MLflow run that the research assets of one Dagster run share.

The run is made by ``training_dataset``; later assets add to it by id. Each addition is complete in itself, so that
no run is left open when a step fails or the process is killed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from assets.io_managers import read_json, write_json
from assets.resources import Line
from ljwx_pipeline.registry import Registry, TrackedRun

DOCUMENT = "research_run"


def begin_research_run(line: Line, *, tags: dict[str, object], params: dict[str, object]) -> str:
    """Record a new research run and return its id."""
    registry = line.registry()
    registry.close_abandoned_runs()
    with registry.run(f"research-{line.settings.profile}", tags=tags) as run:
        run.params(params)
    write_json(line.tables, DOCUMENT, {"run_id": run.run_id})
    return run.run_id


@contextmanager
def research_run(line: Line) -> Iterator[TrackedRun]:
    """Give the research run of this line, to add to."""
    yield existing_run(line.registry(), research_run_id(line))


def research_run_id(line: Line) -> str:
    """Return the id of the last research run."""
    return str(read_json(line.tables, DOCUMENT)["run_id"])


def existing_run(registry: Registry, run_id: str) -> TrackedRun:
    """Return a handle on a run that exists."""
    return TrackedRun(registry, run_id)
