"""Ctrl-C on the terminal of a running `ljwx backfill`: one sentence, exit code 130, a run that is closed."""

from __future__ import annotations

import os
import pty
import sys
import time
from pathlib import Path

import dagster as dg
import pytest

ROOT = Path(__file__).resolve().parents[2]
CTRL_C = b"\x03"
SAID = "stopped; what was finished is kept, run again to go on"


def typed(home: Path, *arguments: str, stop_after: str, timeout_s: float = 120.0) -> tuple[int, str]:
    """Run ``ljwx`` on a terminal of its own, press Ctrl-C once ``stop_after`` is shown; return exit code and output."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        command = [sys.executable, "-m", "ljwx_pipeline.cli", *arguments]
        os.execve(sys.executable, command, dict(os.environ, LJWX_HOME=str(home), TERM="dumb"))
    shown, pressed, until = "", False, time.monotonic() + timeout_s
    while time.monotonic() < until:
        try:
            shown += os.read(terminal, 65536).decode(errors="replace")
        except OSError:  # Linux tells that the last process left the terminal this way
            break
        if not pressed and stop_after in shown:
            os.write(terminal, CTRL_C)
            pressed = True
    os.close(terminal)
    assert pressed, shown
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown


@pytest.mark.slow
def test_ctrl_c_ends_a_backfill_in_one_sentence_and_closes_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, shown = typed(tmp_path, "backfill", "--set", "simulated.symbols=800", stop_after="calendar ")
    assert code == 130, shown
    assert SAID in shown.splitlines()[-1], shown
    assert "\x1b" not in shown, "a dumb terminal knows no colour"
    for word in ("Traceback", "KeyboardInterrupt", "watch_orphans", "Error"):
        assert word not in shown, shown
    (market,) = (tmp_path / "markets").iterdir()
    monkeypatch.setenv("DAGSTER_HOME", str(market / "dagster"))
    with dg.DagsterInstance.get() as instance:
        (run,) = instance.get_runs()
        assert run.status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
