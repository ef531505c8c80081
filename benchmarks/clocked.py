"""What a call takes in this process, measured several times, and what this process and all it started have spent."""

from __future__ import annotations

import os
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def clocked(call: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    """Return what a call took, wall and CPU seconds of this process, and what it returned."""
    wall, cpu = time.perf_counter(), time.process_time()
    said = call()
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}, said


def costs(measured: list[dict[str, float]]) -> dict[str, float]:
    """Return the medians of several turns, as a result entry keeps them."""
    return {key: round(median(measured, key), 4) for key in ("wall_s", "cpu_s")}


def median(measured: list[dict[str, float]], key: str) -> float:
    """Return the median of one of the measures."""
    return statistics.median(one[key] for one in measured)


def family_cpu_s() -> float:
    """Return the CPU seconds of this process, of those that it started, and of all that these have waited for."""
    spent = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        used = resource.getrusage(who)
        spent += used.ru_utime + used.ru_stime
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text().split():
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            # user, system, and both of the children that it has waited for
            spent += sum(int(ticks) for ticks in fields[11:15]) / os.sysconf("SC_CLK_TCK")
    return spent
