"""What a call takes in this process, measured several times: for benchmarks that start no process of their own."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
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
