"""W1: Alpha158 over 300 symbols x 2,500 sessions with suspensions, float32 out, beside qlib's and vnpy.alpha's own.

Ours and the peers take turns, each peer in a process of its own (``make bench-peers``):

- *kernel*: from arrays in memory to the 158 factors, two threads, warm, through ``evaluate`` as any user's own factor;
  ours again with ten factors more that no catalogue holds. Of qlib the seconds of its loader, of vnpy.alpha those of
  ``prepare_data``, each with two workers and without its imports. The first call of ours is reported apart.
- *fresh process*: from the start of a process, through its imports and reading its own file (ours Parquet, qlib's the
  folder it reads by design), to the factors in memory.
- *bandwidth limit*: writing an array of the result's size once, two threads, into memory that is already there.

Peak memory of ours is this process's own, so the bench wants a fresh one.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks.bars_file import write_bars
from benchmarks.peers.environment import ChildRun, interpreter, run_child, run_peer
from benchmarks.peers.qlib_store import write_qlib_store
from benchmarks.user_factors import user_factors
from ljwx_pipeline.expressions.evaluate import evaluate
from ljwx_pipeline.expressions.nodes import Expr
from ljwx_pipeline.factors.alpha158 import alpha158
from ljwx_pipeline.market.panel import Panel

SYMBOLS, SESSIONS = 300, 2_500
SUSPENDED_FRAC = 0.084  # leaves about 687,000 rows
THREADS = 2
PEERS = ("qlib", "vnpy")
#: Turns with each peer: vnpy.alpha is slow and steady.
TURNS = {"qlib": 3, "vnpy": 1}
#: What each measured figure must reach (``bytes_a_value``: must not exceed).
MUST = {"kernel_ratio_qlib": 40.0, "kernel_ratio_vnpy": 140.0, "fresh_ratio_qlib": 5.0, "bytes_a_value": 12.0}
GOAL = (
    "kernel at least 40 times qlib's and 140 times vnpy.alpha's speed, a fresh process 5 times qlib's; "
    "peak at most 12 bytes a row and factor"
)


@dataclass
class Turns:
    """What was measured in turn, by what it is."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    children: dict[str, list[ChildRun]] = field(default_factory=dict)

    def of(self, name: str) -> float:
        """Return the median wall seconds of ``name``."""
        return statistics.median(self.seconds[name])

    def clock(self, name: str, call: Callable[[], object], repeats: int = 1) -> None:
        """Call, keeping wall and CPU seconds."""
        for _ in range(repeats):
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            self.seconds.setdefault(name, []).append(time.perf_counter() - wall)
            self.seconds.setdefault(f"{name}_cpu", []).append(time.process_time() - cpu)

    def child(self, name: str, child: ChildRun) -> None:
        """Keep a child's run."""
        self.children.setdefault(name, []).append(child)
        self.seconds.setdefault(f"{name}_fresh", []).append(child.wall_s)
        self.seconds.setdefault(f"{name}_fresh_cpu", []).append(child.cpu_s)
        if "kernel_wall_s" in child.answer:
            self.seconds.setdefault(name, []).append(child.answer["kernel_wall_s"])


def run(quick: bool = False, peers: Sequence[str] | None = None) -> dict[str, Any]:
    """Return the result entry.

    Parameters
    ----------
    quick
        A tenth of the symbols and no peer, for a look at the bench itself.
    peers
        Of ``PEERS``; all that are installed if None.
    """
    asked = () if quick and peers is None else PEERS if peers is None else tuple(peers)
    installed = asked if interpreter() is not None else ()
    symbols = SYMBOLS // 10 if quick else SYMBOLS
    panel = seeded_panel(symbols, SESSIONS)
    rows = int((~np.isnan(panel.fields["close"])).sum())
    ours, turns = measure(panel, rows, 1 if quick else 3, installed)
    reached = {name: ours.get(name) for name in MUST}
    qlib = described(turns, "qlib") if "qlib" in installed else None
    return {
        "id": "W1",
        "what": f"Alpha158, {symbols} symbols x {SESSIONS} sessions, {rows} rows, float32 out",
        "ours": ours,
        "peer": qlib,
        "other_peers": [described(turns, name) for name in installed if name != "qlib"],
        "ratio": ours.get("kernel_ratio_qlib"),
        "goal": GOAL,
        "holds": qlib is not None and holds(reached),
        "command": "python -m benchmarks.w1_alpha158" + (" --quick" if quick else ""),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def holds(reached: Mapping[str, float | None]) -> bool:
    """Return whether every figure was measured and reaches what it must."""
    return all(
        value is not None and (value <= MUST[name] if name == "bytes_a_value" else value >= MUST[name])
        for name, value in reached.items()
    )


def measure(panel: Panel, rows: int, turns_of_ours: int, peers: Sequence[str]) -> tuple[dict[str, Any], Turns]:
    """Return the figures of ours, with ratios to the peers that ran, and everything that was measured."""
    catalogue = alpha158().expressions
    turns = Turns()
    before_mib = peak_mib()
    began = time.perf_counter()
    values = evaluate(catalogue, panel, THREADS)
    first_s = time.perf_counter() - began
    del values
    evaluate(catalogue, panel, THREADS)
    bytes_a_value = (peak_mib() - before_mib) * 2**20 / (rows * len(catalogue))
    with tempfile.TemporaryDirectory(prefix="ljwx-w1-") as name:
        folder = Path(name)
        write_qlib_store(panel, folder / "qlib")
        write_bars([panel], folder / "bars.parquet", pa.float64())
        if "vnpy" in peers:
            write_vnpy_bars(panel, folder / "vnpy.parquet")
        for turn in range(max([turns_of_ours, *(TURNS[peer] for peer in peers)])):
            if "qlib" in peers and turn < TURNS["qlib"]:
                turns.child("qlib", run_peer("qlib_alpha158.py", folder / "qlib", "--workers", str(THREADS)))
            our_turn(turns, catalogue, panel, folder / "bars.parquet")
            if "vnpy" in peers and turn < TURNS["vnpy"]:
                turns.child("vnpy", run_peer("vnpy_alpha158.py", folder / "vnpy.parquet", "--workers", str(THREADS)))
    return figures(turns, first_s, bytes_a_value, peers), turns


def our_turn(turns: Turns, catalogue: Mapping[str, Expr], panel: Panel, bars: Path) -> None:
    """Measure ours three times: the catalogue, the catalogue and a user's ten, a fresh process; and the limit."""
    more = {**catalogue, **user_factors()}
    limit(turns, (len(catalogue), *panel.fields["close"].shape))
    for _ in range(3):
        turns.clock("kernel", lambda: evaluate(catalogue, panel, THREADS))
        turns.clock("kernel_168", lambda: evaluate(more, panel, THREADS))
    command = [sys.executable, "-m", "benchmarks.fresh_alpha158"]
    turns.child("ours", run_child(command, bars, "--threads", str(THREADS)))


def limit(turns: Turns, shape: tuple[int, ...]) -> None:
    """Measure writing a float32 array of ``shape`` once, its parts on the threads, into memory that is there."""
    parts = np.array_split(np.zeros(shape, dtype=np.float32), THREADS)
    with ThreadPoolExecutor(THREADS) as pool:
        turns.clock("limit", lambda: list(pool.map(lambda part: part.fill(1.0), parts)), repeats=4)


def figures(turns: Turns, first_s: float, bytes_a_value: float, peers: Sequence[str]) -> dict[str, Any]:
    """Return medians and the ratios that the peers' runs allow."""
    fresh = sorted(turns.children["ours"], key=lambda child: child.wall_s)[len(turns.children["ours"]) // 2]
    found = {
        "wall_s": round(turns.of("kernel"), 4),
        "best_wall_s": round(min(turns.seconds["kernel"]), 4),
        "cpu_s": round(turns.of("kernel_cpu"), 4),
        "first_wall_s": round(first_s, 3),
        "wall_168_s": round(turns.of("kernel_168"), 4),
        "cpu_168_s": round(turns.of("kernel_168_cpu"), 4),
        "fresh_wall_s": round(turns.of("ours_fresh"), 3),
        "fresh_cpu_s": round(turns.of("ours_fresh_cpu"), 3),
        "fresh_read_s": fresh.answer["read_s"],
        "fresh_factors_s": fresh.answer["factors_s"],
        "fresh_peak_mib": round(max(child.peak_mib for child in turns.children["ours"]), 1),
        "limit_s": round(turns.of("limit"), 4),
        "times_the_limit": round(turns.of("kernel") / turns.of("limit"), 1),
        "peak_mib": round(peak_mib(), 1),
        "bytes_a_value": round(bytes_a_value, 2),
        "threads": THREADS,
    }
    for peer in peers:
        found[f"kernel_ratio_{peer}"] = round(turns.of(peer) / turns.of("kernel"), 2)
        # the peer without the ten more, ours with them: a lower bound
        found[f"kernel_168_ratio_{peer}"] = round(turns.of(peer) / turns.of("kernel_168"), 2)
        found[f"fresh_ratio_{peer}"] = round(turns.of(f"{peer}_fresh") / turns.of("ours_fresh"), 2)
        found[f"fresh_cpu_ratio_{peer}"] = round(turns.of(f"{peer}_fresh_cpu") / turns.of("ours_fresh_cpu"), 2)
    return found


def described(turns: Turns, peer: str) -> dict[str, Any]:
    """Return a peer's own figures: the seconds of its kernel, and those, CPU and memory of its whole process tree."""
    children = turns.children[peer]
    return {
        "name": children[0].answer["name"],
        "version": children[0].answer["version"],
        "wall_s": round(turns.of(peer), 2),
        "fresh_wall_s": round(turns.of(f"{peer}_fresh"), 2),
        "cpu_s": round(turns.of(f"{peer}_fresh_cpu"), 2),
        "peak_mib": round(max(child.peak_mib for child in children), 1),
        "runs": len(children),
    }


def write_vnpy_bars(panel: Panel, path: Path) -> None:
    """Write the bars under the names vnpy.alpha wants."""
    symbol, session = np.nonzero(~np.isnan(panel.fields["close"]))
    keys = {"datetime": panel.sessions[session], "vt_symbol": np.array(panel.symbols, dtype=object)[symbol]}
    fields = {name: values[symbol, session] for name, values in panel.fields.items()}
    pd.DataFrame(keys | fields).to_parquet(path, index=False)


def seeded_panel(symbols: int, sessions: int) -> Panel:
    """Return a random walk on the 0.01 tick with suspensions; the same for the same size."""
    rng = np.random.default_rng(158)
    shape = (symbols, sessions)
    close = np.round(20 * np.exp(np.cumsum(rng.normal(0, 0.02, shape), axis=1)) + 1, 2)
    open_ = np.round(close * np.exp(rng.normal(0, 0.006, shape)), 2)
    high = np.round(np.maximum(open_, close) * (1 + np.abs(rng.normal(0, 0.006, shape))), 2)
    low = np.round(np.minimum(open_, close) * (1 - np.abs(rng.normal(0, 0.006, shape))), 2)
    volume = np.round(rng.lognormal(14, 0.7, shape), -2)
    vwap = (open_ + high + low + close) / 4
    fields = {"open": open_, "high": high, "low": low, "close": close, "vwap": vwap, "volume": volume}
    suspended = rng.random(shape) < SUSPENDED_FRAC
    for values in fields.values():
        values[suspended] = np.nan
    names = tuple(f"S{number:05d}.SIM" for number in range(symbols))
    return Panel(names, pd.bdate_range("2015-01-05", periods=sessions, name="session_date"), fields)


def peak_mib() -> float:
    """Return this process's own peak so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Parse, run, print; nothing is recorded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--peers", help="qlib, vnpy, both with a comma, or none")
    options = parser.parse_args()
    peers = None if options.peers is None else [name for name in PEERS if name in options.peers.split(",")]
    print(json.dumps(run(options.quick, peers), indent=2))


if __name__ == "__main__":
    main()
