"""The MLflow run that the research assets of one Dagster run share.

``training_dataset`` begins it, the assets between add to it by id, ``champion_model`` ends it. A step that fails ends
it as failed; a killed process leaves it open until the next research run finds nobody behind it and closes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from assets.io_managers import read_json, write_json
from assets.made import record_config, record_made
from assets.resources import Line
from ljwx_pipeline.registry import RunStatus, TrackedRun

DOCUMENT = "research_run"


def begin_research_run(line: Line, *, tags: dict[str, object], params: dict[str, object]) -> str:
    """Record a new research run and return its id."""
    registry = line.registry()
    registry.close_abandoned_runs()
    run_id = registry.begin(f"research-{line.settings.profile}", tags={"kind": "research", **tags})
    registry.log(run_id, params=params)
    record_config(line, TrackedRun(registry, run_id))
    write_json(line.tables, DOCUMENT, {"run_id": run_id, "open": True})
    return run_id


def end_research_run(line: Line) -> None:
    """Close the research run as finished, with the hashes of what it made."""
    with research_run(line) as run:
        record_made(line, run)
    _close(line, "FINISHED")


def fail_research_run(line: Line, reason: str) -> None:
    """Close the research run as failed, if one is open."""
    if not (line.tables / f"{DOCUMENT}.json").exists() or not read_json(line.tables, DOCUMENT).get("open"):
        return
    with research_run(line) as run:
        run.tags({"failure": reason})
    _close(line, "FAILED")


def _close(line: Line, status: RunStatus) -> None:
    run_id = research_run_id(line)
    line.registry().end(run_id, status)
    write_json(line.tables, DOCUMENT, {"run_id": run_id, "open": False})


@contextmanager
def research_run(line: Line) -> Iterator[TrackedRun]:
    """Give the research run of this line, to add to."""
    yield TrackedRun(line.registry(), research_run_id(line))


def research_run_id(line: Line) -> str:
    """Return the id of the last research run."""
    return str(read_json(line.tables, DOCUMENT)["run_id"])
