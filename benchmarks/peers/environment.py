"""Starts a peer, or any command, as a child: run once and its whole tree of processes measured, or kept to be asked.

Not here: what a peer computes (the scripts beside) and what is compared (the benchmarks).
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
#: The peers' interpreter, made by ``make bench-peers``.
INTERPRETER = ROOT / ".venv-peers" / "bin" / "python"
_SAMPLE_SECONDS = 0.1


class PeerFault(Exception):
    """A child that failed; the message holds the end of what it wrote."""


@dataclass(frozen=True)
class ChildRun:
    """One run of a command.

    Parameters
    ----------
    wall_s
        From the start of the process to its end, imports included.
    cpu_s
        User and system seconds of the process and of every descendant it waited for.
    peak_mib
        Largest proportional set size (shared pages counted once) of the whole tree, sampled ten times a second.
    answer
        What the command wrote as JSON.
    """

    wall_s: float
    cpu_s: float
    peak_mib: float
    answer: dict[str, Any]


def interpreter() -> Path | None:
    """Return the peers' interpreter, None where ``make bench-peers`` was not run."""
    return INTERPRETER if INTERPRETER.is_file() else None


def _required() -> Path:
    found = interpreter()
    if found is None:
        raise PeerFault(f"{INTERPRETER.relative_to(ROOT)} is absent: run make bench-peers")
    return found


def run_peer(script: str, *arguments: str | Path) -> ChildRun:
    """Run a script of this folder with the peers' interpreter; its first argument is followed by the answer's path.

    Raises
    ------
    PeerFault
        When the interpreter is absent, or the script fails.
    """
    return run_child([_required(), HERE / script], *arguments)


class PeerProcess:
    """A script of this folder kept running, so that ours and it can be measured in turn within one process each.

    It first says who it is, then answers each line with a line of JSON, and ends when its input does.

    Raises
    ------
    PeerFault
        When the interpreter is absent, or the script ends before it has answered.
    """

    def __init__(self, script: str, *arguments: str | Path) -> None:
        command = [str(part) for part in (_required(), HERE / script, *arguments)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.about = self._read()

    def ask(self, line: str) -> dict[str, Any]:
        """Send one line and return the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._read()

    def __enter__(self) -> PeerProcess:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.communicate()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise PeerFault(f"the peer ended with exit code {self._process.wait()}: see its own words above")
        answer: dict[str, Any] = json.loads(line)
        return answer


def run_child(command: Sequence[str | Path], *arguments: str | Path) -> ChildRun:
    """Run ``command <first argument> <answer.json> <other arguments>`` and measure its tree.

    Raises
    ------
    PeerFault
        When it ends with another code than zero.
    """
    with tempfile.TemporaryDirectory(prefix="ljwx-peer-") as folder:
        answer = Path(folder) / "answer.json"
        whole = [str(part) for part in (*command, arguments[0], answer, *arguments[1:])]
        with (Path(folder) / "output").open("w+b") as output:
            started = time.perf_counter()
            child = subprocess.Popen(whole, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
            with _PeakMemory(child.pid) as memory:
                _, status, usage = os.wait4(child.pid, 0)
            wall = time.perf_counter() - started
            child.returncode = os.waitstatus_to_exitcode(status)
            if child.returncode != 0:
                output.seek(0)
                said = output.read().decode(errors="replace")[-2000:]
                raise PeerFault(f"{' '.join(whole[1:3])} ended with exit code {child.returncode}: {said}")
        parsed = json.loads(answer.read_text(encoding="utf-8"))
    return ChildRun(wall, usage.ru_utime + usage.ru_stime, memory.peak_mib, parsed)


class _PeakMemory:
    """Samples a process tree's proportional set size until the block ends."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.peak_mib = 0.0

    def __enter__(self) -> _PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._done.wait(_SAMPLE_SECONDS):
            self.peak_mib = max(self.peak_mib, sum(_pss_kib(pid) for pid in _tree(self._pid)) / 1024)


def _tree(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        try:
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
        except OSError:  # it ended between two looks
            continue
    return found


def _pss_kib(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:  # it ended, or is ending
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")), 0)
