"""live_soak: a month of sessions with ticks through the whole runner, accelerated: its resident memory stays flat.

The runner is a process of its own on its own paper exchange, in lockstep; the market has 300 symbols with a tick a
minute, the model scores every close. Memory is what the system says of the process, every quarter of a second; that of
the exchange's process is left out.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.clocked import family_cpu_s
from tests.fakes.live_home import CONFIG, Home, live_home

SYMBOLS, SESSIONS, TICK_SECONDS = 300, 21, 60
QUICK_SYMBOLS, QUICK_SESSIONS = 60, 6
LIMIT_MIB, MOST_GROWTH_FRAC = 500.0, 0.03
_SAMPLE_S = 0.25
GOAL = (
    f"resident memory below {LIMIT_MIB:.0f} MiB and flat: at most {MOST_GROWTH_FRAC:.0%} more in the last quarter "
    "than in the second, and no more open files"
)
_RUN = """
import sys
from pathlib import Path
from ljwx_pipeline.config import load_settings
from ljwx_pipeline.live.main import run_replay
from tests.fakes.live_home import live_settings
settings = live_settings(load_settings(config_file=Path(sys.argv[1]), profile="simulated", environ={}))
live = settings.live.model_copy(update={"tick_seconds": int(sys.argv[4])})
settings = settings.model_copy(update={"live": live})
account = run_replay(Path(sys.argv[2]), settings, keys_dir=Path(sys.argv[3]))
print(account.sessions, account.fills)
"""


def run(quick: bool = False) -> dict[str, Any]:
    """Return the result entry; ``quick`` trades a week of 60 symbols."""
    symbols, sessions = (QUICK_SYMBOLS, QUICK_SESSIONS) if quick else (SYMBOLS, SESSIONS)
    with tempfile.TemporaryDirectory(prefix="ljwx-soak-") as made:
        home = live_home(Path(made), symbols=symbols, feed_sessions=sessions)
        home.spool(home.bundle(), "1")
        told = soaked(home)
    return {
        "id": "live_soak",
        "what": f"{sessions} sessions of {symbols} symbols, a tick every {TICK_SECONDS} s, through the whole runner",
        "ours": told,
        "peer": None,
        "ratio": None,
        "ratio_goal": False,
        "goal": GOAL,
        "holds": told["peak_mib"] < LIMIT_MIB
        and told["growth_frac"] <= MOST_GROWTH_FRAC
        and told["fds_last"] <= told["fds_first"]
        and not quick,
        "command": "make bench ONLY=live_soak",
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def soaked(home: Home) -> dict[str, Any]:
    """Trade the home's pack and return what the runner's process held in memory meanwhile."""
    since, before_s = time.perf_counter(), family_cpu_s()
    command = [sys.executable, "-c", _RUN, str(CONFIG), str(home.home), str(home.keys), str(TICK_SECONDS)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    held: list[float] = []
    files: list[int] = []
    peak = 0.0
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        if "VmRSS:" in status:  # not of a process that has just ended
            held.append(_mib(status, "VmRSS:"))
            peak = max(peak, _mib(status, "VmHWM:"))
            files.append(len(list(Path(f"/proc/{process.pid}/fd").iterdir())))
        time.sleep(_SAMPLE_S)
    out, _ = process.communicate()
    assert process.returncode == 0, f"the runner ended with {process.returncode}"
    sessions, fills = (int(number) for number in out.split())
    quarter = len(held) // 4
    second, last = slice(quarter, 2 * quarter), slice(-quarter, None)
    first_mib, last_mib = statistics.median(held[second]), statistics.median(held[last])
    return {
        "sessions": sessions,
        "fills": fills,
        "wall_s": round(time.perf_counter() - since, 1),
        "cpu_s": round(family_cpu_s() - before_s, 1),
        "peak_mib": round(peak, 1),
        "rss_first_mib": round(first_mib, 1),
        "rss_last_mib": round(last_mib, 1),
        "growth_frac": round(last_mib / first_mib - 1, 4),
        "fds_first": int(statistics.median(files[second])),
        "fds_last": int(statistics.median(files[last])),
        "samples": len(held),
    }


def _mib(status: str, name: str) -> float:
    return int(status.split(name)[1].split()[0]) / 1024


if __name__ == "__main__":
    print(json.dumps(run(quick="--quick" in sys.argv), indent=2))
