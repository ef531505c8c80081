"""exchange_ticks: how many ticks a second the paper exchange sends from its own process to one client over loopback.

300 names, a tick each every three seconds of market time. In lockstep the client acknowledges every frame before the
next step is made; at a speed that is never reached the exchange goes as fast as it can. The client reads and counts, it
decodes no tick. The processor time is the exchange's alone.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.fakes.exchange_process import ExchangeProcess, exchange_process
from tests.fakes.exchange_world import write_market

SYMBOLS, QUICK_SYMBOLS, SECONDS, QUICK_SECONDS = 300, 30, 20.0, 3.0
GOAL_PER_S = 5_000


def run(quick: bool = False) -> dict[str, Any]:
    """Return the result entry; ``quick`` takes few symbols for a moment."""
    symbols, seconds = (QUICK_SYMBOLS, QUICK_SECONDS) if quick else (SYMBOLS, SECONDS)
    with tempfile.TemporaryDirectory(prefix="ljwx-exchange-") as folder:
        pack = write_market(Path(folder) / "feed", symbols=symbols, feed_sessions=6)
        began = time.perf_counter()
        with exchange_process(pack, Path(folder) / "lockstep") as running:
            up_s = time.perf_counter() - began
            lockstep = _counted(running, seconds)
        with exchange_process(pack, Path(folder) / "free", "--speed", "1e9", "--night", "0") as running:
            free = _counted(running, seconds)
    return {
        "id": "exchange_ticks",
        "what": f"ticks of {symbols} names from the paper exchange's process to a client",
        "ours": {
            "lockstep_ticks_per_s": lockstep["ticks_per_s"],
            "lockstep_frames_per_s": lockstep["frames_per_s"],
            "free_ticks_per_s": free["ticks_per_s"],
            "conflated_ticks": free["conflated"],
            "start_s": round(up_s, 2),
            "wall_s": round(lockstep["wall_s"] + free["wall_s"], 2),
            "cpu_s": round(lockstep["cpu_s"] + free["cpu_s"], 2),
            "peak_mib": max(lockstep["peak_mib"], free["peak_mib"]),
        },
        "peer": None,
        "ratio": None,
        "ratio_goal": False,
        "goal": f"{GOAL_PER_S:,} ticks a second in lockstep",
        "holds": lockstep["ticks_per_s"] >= GOAL_PER_S,
        "command": "python -m benchmarks.exchange_ticks" + (" --quick" if quick else ""),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _counted(running: ExchangeProcess, seconds: float) -> dict[str, float]:
    frames = ticks = 0
    with running.stream(ticks=1) as stream:
        cpu, began = _cpu_s(running), time.perf_counter()
        while time.perf_counter() - began < seconds:
            text = stream.recv(timeout=20)
            frames += 1
            ticks += str(text).count(".SIM")
            stream.send(f'{{"ack":{frames}}}')
        wall = time.perf_counter() - began
        cpu = _cpu_s(running) - cpu
    return {
        "ticks_per_s": round(ticks / wall),
        "frames_per_s": round(frames / wall),
        "conflated": running.ask("/health")["conflated_ticks"],
        "wall_s": wall,
        "cpu_s": cpu,
        "peak_mib": _status_kib(running, "VmHWM") // 1024,
    }


def _cpu_s(running: ExchangeProcess) -> float:
    fields = Path(f"/proc/{running.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _status_kib(running: ExchangeProcess, key: str) -> int:
    lines = Path(f"/proc/{running.process.pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))


if __name__ == "__main__":
    print(json.dumps(run("--quick" in sys.argv), indent=2))
