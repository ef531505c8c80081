"""A child process in a process group of its own, to which this process hands on the signals that are meant for it.

Ctrl-C on a terminal reaches every process of the foreground group: the job, and each helper that Dagster started for
it, which ends in a traceback. So the job gets its signals from here alone, and its helpers get none.

Not here: which job (``supervisor.py``).
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

#: What ends the job. One that this process was told to ignore (``nohup``, a background job) stays ignored.
HANDED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_in_own_group(command: Sequence[str], *, cwd: Path, environment: Mapping[str, str]) -> int:
    """Run ``command`` to its end and return its exit code; Ctrl-C, a stop and Ctrl-Z are handed on to it.

    It begins with these signals held back, so that none finds it unready: it calls ``let_signals_through``.
    """
    handlers = {number: signal.getsignal(number) for number in (*HANDED_ON, signal.SIGTSTP)}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, HANDED_ON)
    try:
        child = subprocess.Popen(list(command), cwd=cwd, env=dict(environment), process_group=0)

        def hand_on(number: int, _frame: FrameType | None) -> None:
            child.send_signal(number)

        def pause(_number: int, _frame: FrameType | None) -> None:
            os.killpg(child.pid, signal.SIGSTOP)
            os.kill(os.getpid(), signal.SIGSTOP)
            os.killpg(child.pid, signal.SIGCONT)

        for number, handler in handlers.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, pause if number == signal.SIGTSTP else hand_on)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return child.wait()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def let_signals_through() -> None:
    """Take the signals that ``run_in_own_group`` held back while this process was starting."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDED_ON)
