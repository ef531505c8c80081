"""A job in processes of its own: its events reach the watcher, the step that failed is named, and it can be stopped."""

import os
import signal
from pathlib import Path

import dagster as dg
import pytest

from jobs.apart import WORKERS_LOG, StepFailedError, execute_apart
from jobs.session import SILENT_CONSOLE, has_mapped_step, step_count
from tests.fakes.apart_jobs import job, of_one, of_parts


@pytest.mark.slow
def test_events_of_every_process_reach_the_watcher_and_a_failed_step_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    seen: list[dg.EventLogEntry] = []
    tags = {"ljwx/attempt": "this one", "fails": "two"}
    named = pytest.raises(StepFailedError, match=r"step parts.part\[two\] failed: .*the part is broken")
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance, named:
        execute_apart(job, instance, tags=tags, watch=seen.append, run_config=SILENT_CONSOLE)
    ended = {e.step_key: e.dagster_event.event_type_value for e in seen if e.dagster_event and e.step_key}
    assert ended == {
        "parts.plan": "STEP_SUCCESS",
        "parts.part[one]": "STEP_SUCCESS",
        "parts.part[two]": "STEP_FAILURE",
    }
    said = capfd.readouterr().err
    assert "STEP_WORKER_STARTED" not in said
    assert " - dagster - " not in said
    assert "STEP_WORKER_STARTED" in (tmp_path / WORKERS_LOG).read_text()


@pytest.mark.slow
@pytest.mark.parametrize("when", ["STEP_START", "ENGINE_EVENT"])
def test_ctrl_c_is_no_failure_of_the_steps_it_stops(tmp_path: Path, when: str) -> None:
    pressed: list[dg.EventLogEntry] = []

    def press(entry: dg.EventLogEntry) -> None:
        event = entry.dagster_event
        waiting = event is not None and (when == "ENGINE_EVENT" or (event.step_key or "").startswith("parts.part"))
        if waiting and event.event_type_value == when and not pressed:
            pressed.append(entry)
            os.kill(os.getpid(), signal.SIGINT)

    tags = {"ljwx/attempt": "stopped", "waits": "yes"}
    with (
        dg.DagsterInstance.local_temp(str(tmp_path)) as instance,
        pytest.raises(dg.DagsterExecutionInterruptedError),
    ):
        execute_apart(job, instance, tags=tags, watch=press, run_config=SILENT_CONSOLE)
    assert pressed


@pytest.mark.slow
def test_a_step_that_failed_before_ctrl_c_is_named(tmp_path: Path) -> None:
    def press(entry: dg.EventLogEntry) -> None:
        if entry.dagster_event is not None and entry.dagster_event.is_step_failure and entry.step_key.endswith("[two]"):
            os.kill(os.getpid(), signal.SIGINT)

    tags = {"ljwx/attempt": "failed, then stopped", "fails": "two", "waits": "yes"}
    named = pytest.raises(StepFailedError, match=r"step parts.part\[two\] failed: .*the part is broken")
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance, named:
        execute_apart(job, instance, tags=tags, watch=press, run_config=SILENT_CONSOLE)


def test_a_mapped_step_is_counted_once() -> None:
    assert step_count(of_parts.graph) == 2
    assert has_mapped_step(of_parts.graph)
    assert not has_mapped_step(of_one.graph)
