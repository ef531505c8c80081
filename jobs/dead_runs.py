"""Runs that a killed process left behind: Dagster would show them as started for ever and count them as at work.

``python -m jobs.dead_runs`` closes them; ``ljwx up`` does that first, which also makes Dagster's database.
"""

from __future__ import annotations

import os
import socket
import sys

import dagster as dg

HOST_TAG, PID_TAG = "ljwx/host", "ljwx/pid"
UNFINISHED = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def process_tags() -> dict[str, str]:
    """Return the tags that say which process executes a run."""
    return {HOST_TAG: socket.gethostname(), PID_TAG: str(os.getpid())}


def close_dead_runs(instance: dg.DagsterInstance) -> int:
    """Report as failed every unfinished run of this machine whose process no longer lives; return how many."""
    closed = 0
    for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED, tags={HOST_TAG: socket.gethostname()})):
        if not _alive(int(run.tags.get(PID_TAG, "0"))):
            instance.report_run_failed(run, "The process that executed this run ended without a word; run it again.")
            closed += 1
    return closed


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid > 0


def main() -> int:
    """Close dead runs of the instance that the environment names."""
    with dg.DagsterInstance.get() as instance:
        close_dead_runs(instance)
    return 0


if __name__ == "__main__":
    sys.exit(main())
