from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from jobs.dead_runs import HOST_TAG, PID_TAG, close_dead_runs, process_tags


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as found:
        yield found


def started(instance: dg.DagsterInstance, tags: dict[str, str]) -> str:
    run = dg.DagsterRun(job_name="main", status=dg.DagsterRunStatus.STARTED, tags=tags)
    return instance.add_run(run).run_id


def ended_process() -> str:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return str(child.pid)


def test_a_run_whose_process_is_gone_is_reported_failed(instance: dg.DagsterInstance) -> None:
    run = started(instance, process_tags() | {PID_TAG: ended_process()})
    assert close_dead_runs(instance) == 1
    assert instance.get_run_by_id(run).status == dg.DagsterRunStatus.FAILURE
    assert close_dead_runs(instance) == 0


@pytest.mark.parametrize(
    "tags", [process_tags(), {HOST_TAG: "another", PID_TAG: "1"}, {}], ids=["ours", "far", "daemon's"]
)
def test_a_run_that_may_be_at_work_is_left_alone(instance: dg.DagsterInstance, tags: dict[str, str]) -> None:
    run = started(instance, tags)
    assert close_dead_runs(instance) == 0
    assert instance.get_run_by_id(run).status == dg.DagsterRunStatus.STARTED
