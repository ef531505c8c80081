"""A run's progress names the job, so that the numbers of a second job are not taken for the first one's."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dagster._core.execution.compute_logs import redirect_to_file

from jobs.progress import StepProgress


@pytest.mark.parametrize(("steps", "words"), [(27, "job main, 27 steps\n"), (1, "job main, 1 step\n")])
def test_the_job_is_named_before_its_first_step(capfd: pytest.CaptureFixture[str], steps: int, words: str) -> None:
    with StepProgress("main", steps):
        assert capfd.readouterr().err == words


def test_a_job_with_folds_has_more_steps_than_are_known_at_first(capfd: pytest.CaptureFixture[str]) -> None:
    with StepProgress("main", 40, mapped=True):
        assert capfd.readouterr().err == "job main, 40 steps or more\n"


def test_a_dumb_terminal_gets_lines_alone(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes the stream for a terminal
    monkeypatch.setattr("jobs.progress.QUIET_S", -1.0)
    said: Any = SimpleNamespace(dagster_event=None, step_key="raw_bars", user_message="half of it")
    with StepProgress("main", 2) as progress:
        progress.handle(said)
    assert capfd.readouterr().err == "job main, 2 steps\n     … raw_bars: half of it\n"


def test_what_is_said_while_a_step_s_output_is_captured_reaches_the_terminal(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    said: Any = SimpleNamespace(dagster_event=SimpleNamespace(event_type_value="STEP_SUCCESS"), step_key="raw_bars")
    with StepProgress("main", 1) as progress, redirect_to_file(sys.stderr, str(tmp_path / "captured.err")):
        progress.handle(said)
    assert "raw_bars" in capfd.readouterr().err
    assert progress.seconds == {"raw_bars": 0.0}


def event(kind: str, step: str, **more: Any) -> Any:
    return SimpleNamespace(dagster_event=SimpleNamespace(event_type_value=kind, **more), step_key=step)


def test_steps_that_are_mapped_are_counted_and_add_up_to_their_asset(capfd: pytest.CaptureFixture[str]) -> None:
    with StepProgress("research", 3) as progress:
        for name in ("2020", "2021", "2022"):
            output = SimpleNamespace(mapping_key=name)
            progress.handle(event("STEP_OUTPUT", "walk.plan", step_output_data=output))
        progress.handle(event("STEP_SUCCESS", "walk.plan"))
        for name in ("2020", "2021", "2022"):
            progress.handle(event("STEP_SUCCESS", f"walk.fold[{name}]"))
        progress.handle(event("STEP_OUTPUT", "walk.collect", step_output_data=SimpleNamespace(mapping_key=None)))
        progress.handle(event("STEP_SUCCESS", "walk.collect"))
        (task,) = progress._progress.tasks
        assert (task.completed, task.total) == (5, 5)
    assert progress.seconds == {"walk": 0.0}
    said = capfd.readouterr().err
    assert said.startswith("job research, 3 steps\n")
    assert "  3  walk.fold[2021] " in said
