"""A job in its own process group gets the signals meant for it, also those that came before it was ready."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

CHILD = """
import os, signal, sys, time
from ljwx_pipeline.job_process import let_signals_through
print("child", os.getpgid(0), flush=True)
time.sleep(0.5)  # still importing
try:
    let_signals_through()
    time.sleep(30)
except KeyboardInterrupt:
    print("told", flush=True)
    sys.exit(130)
"""
PARENT = """
import os, signal, sys
from pathlib import Path
from ljwx_pipeline.job_process import run_in_own_group
if sys.argv[2] == "ignored":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
code = run_in_own_group([sys.executable, "-c", sys.argv[1]], cwd=Path.cwd(), environment=os.environ)
print("parent", code, signal.getsignal(signal.SIGINT) is signal.default_int_handler, flush=True)
"""


def started(child: str, how: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PARENT, child, how]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True, cwd=Path.cwd())


def test_an_interrupt_of_the_whole_foreground_group_reaches_the_job_once_it_is_ready() -> None:
    process = started(CHILD, "heard")
    assert process.stdout is not None
    group = int(process.stdout.readline().split()[1])
    assert group != process.pid, "its helpers are in no terminal's foreground group"
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert out.split() == ["told", "parent", "130", "True"]


def test_an_ignored_interrupt_stays_ignored() -> None:
    process = started("print('child', flush=True); import time; time.sleep(0.5)", "ignored")
    assert process.stdout is not None
    assert process.stdout.readline() == "child\n"
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert out.split() == ["parent", "0", "False"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_stop_of_this_process_alone_is_handed_on(number: signal.Signals) -> None:
    child = "from ljwx_pipeline.job_process import let_signals_through as go; go(); print('child', flush=True); " + (
        "import time; time.sleep(30)"
    )
    process = started(child, "heard")
    assert process.stdout is not None
    assert process.stdout.readline() == "child\n"
    process.send_signal(number)
    out, _ = process.communicate(timeout=20)
    assert out.split() == ["parent", f"-{int(number)}", "True"]
