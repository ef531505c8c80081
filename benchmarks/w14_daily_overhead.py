"""W14: how much of ``daily_pipeline`` is spent outside the domain's own functions, on the small simulated panel.

A thread looks at the job's main thread every few milliseconds and adds the time since its last look to what it sees: a
stack whose outermost frame of ``ljwx_pipeline`` belongs to the domain is domain time, one that is in the lake, the
registry, Feast or the configuration is serialisation and tracking, one without such a frame is orchestration. Sampling
costs little and, unlike a profiler, slows both sides alike. The second run, on data that is already there, is measured
too: that is what a day looks like.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = str(ROOT / "ljwx_pipeline") + os.sep
#: Of the library, what is not the domain: storing, tracking, serving, configuring.
NOT_DOMAIN = (
    "lake",
    "registry.py",
    "feature_store",
    "feature_table.py",
    "config",
    "supervisor.py",
)
LOOK_EVERY_S = 0.004
SYMBOLS, FIRST_SESSION, LAST_SESSION = 300, "2015-09-21", "2025-12-31"
GOAL_FRAC = 0.25


def run(quick: bool = False) -> dict[str, Any]:
    """Return the result entry; ``quick`` takes a tenth of the symbols and two years."""
    symbols, first = (30, "2023-12-29") if quick else (SYMBOLS, FIRST_SESSION)
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="ljwx-w14-") as home:
        os.environ |= {
            "LJWX_HOME": home,
            "LJWX_PROFILE": "simulated",
            "LJWX_SIMULATED__SYMBOLS": str(symbols),
            "LJWX_SOURCE__FIRST_SESSION": first,
            "LJWX_SOURCE__LAST_SESSION": LAST_SESSION,
        }
        try:
            first_run, again = _job_shares(), _job_shares()
        finally:
            os.environ.clear()
            os.environ.update(before)
    return {
        "id": "W14",
        "what": f"daily_pipeline, {symbols} symbols, {first} to {LAST_SESSION}: share outside the domain's functions",
        "ours": {
            **first_run,
            "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            "again": again,
        },
        "peer": None,
        "ratio": None,
        "ratio_goal": False,
        "goal": f"at most {GOAL_FRAC:.0%} of the first run outside",
        "holds": first_run["outside_frac"] <= GOAL_FRAC,
        "command": "python -m benchmarks.w14_daily_overhead",
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _job_shares() -> dict[str, Any]:
    from jobs.session import LineRun  # heavy, and after the environment names the home
    from ljwx_pipeline.config import dagster_home, load_settings
    from ljwx_pipeline.supervisor import child_environment, prepare_dagster_home

    settings = load_settings()
    os.environ |= child_environment(settings, {})
    prepare_dagster_home(dagster_home(settings))
    wall, cpu = time.perf_counter(), time.process_time()
    with LineRun(settings, {}) as line, sampled_shares() as seconds:
        line.execute("daily_pipeline")
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    whole = sum(seconds.values())
    return {
        "wall_s": round(wall, 3),
        "cpu_s": round(cpu, 3),
        "domain_s": round(seconds["domain"], 3),
        "storing_and_tracking_s": round(whole - seconds["domain"] - seconds["orchestration"], 3),
        "orchestration_s": round(seconds["orchestration"], 3),
        "outside_frac": round(1 - seconds["domain"] / whole, 4),
        "parts_s": {part: round(seconds[part], 3) for part in NOT_DOMAIN if part in seconds},
    }


@contextmanager
def sampled_shares() -> Iterator[Counter[str]]:
    """Yield seconds by kind of work of the calling thread, complete when the block has ended."""
    seconds: Counter[str] = Counter()
    watched, ended = threading.get_ident(), threading.Event()

    def watch() -> None:
        last = time.perf_counter()
        while not ended.wait(LOOK_EVERY_S):
            now = time.perf_counter()
            seconds[kind_of_work(sys._current_frames().get(watched))] += now - last
            last = now

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield seconds
    finally:
        ended.set()
        watcher.join()


def kind_of_work(frame: FrameType | None) -> str:
    """Return what the outermost library frame of a stack stands for: domain, orchestration or one of ``NOT_DOMAIN``."""
    outermost = None
    while frame is not None:
        if frame.f_code.co_filename.startswith(LIBRARY):
            outermost = frame.f_code.co_filename.removeprefix(LIBRARY)
        frame = frame.f_back
    if outermost is None:
        return "orchestration"
    part = Path(outermost).parts[0]
    return part if part in NOT_DOMAIN else "domain"


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
