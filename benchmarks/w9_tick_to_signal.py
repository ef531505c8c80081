"""W9: from a tick to its symbol's provisional score and rank, on one core; and the whole market scored anew.

Alpha158 and a model of 100 trees over 300 symbols. Ticks fall due at even intervals, symbols in a shuffled order; each
is judged, queued, its factors computed, scored and ranked in one thread. A tick's latency runs from the instant it was
*due*, not from when the loop came to it, to the signal of its symbol that holds it or a newer one, so that a loop that
falls behind shows it, and ticks that were conflated count, too. ``own_core`` tells the same without what other
programs on the machine take; ``frames`` is of ticks that come 300 at once. Not here: decoding frames and the judging
alone (``live_ticks.py``), orders and their durable intent.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np

from benchmarks.w1_alpha158 import peak_mib
from ljwx_pipeline.factors.alpha158 import alpha158
from ljwx_pipeline.live.online.signals import BATCH_SYMBOLS, LiveSignals
from ljwx_pipeline.scoring.model import Model
from ljwx_pipeline.trading.exchange_wire import Tick
from tests.fakes.online_world import World, online_world

SYMBOLS, MARKET_SYMBOLS, SEED = 300, 5_400, 7
TICKS_PER_S, BURST_TICKS_PER_S = 1_000, 3_000
SECONDS, BURST_SECONDS = 30, 10
TREES, LEAVES = 100, 31
MOST_P99_MS, MOST_MARKET_S = 5.0, 0.2
EDGES_MS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0)


def run(quick: bool = False) -> dict[str, Any]:
    """Return the result entry; ``quick`` takes a tenth of the seconds and of the market."""
    wall, cpu = time.perf_counter(), time.process_time()
    seconds, burst = (3, 1) if quick else (SECONDS, BURST_SECONDS)
    model = seeded_model()
    with tempfile.TemporaryDirectory(prefix="ljwx-w9-") as folder:
        world = online_world(Path(folder) / "some", alpha158(), symbols=SYMBOLS, feed_sessions=2, model=model)
        steady = paced(world, TICKS_PER_S, seconds)
        hurried = paced(world, BURST_TICKS_PER_S, burst)
        frames = paced(world, TICKS_PER_S, seconds, at_once=SYMBOLS)
        alone = paced(world, TICKS_PER_S, seconds, clocked=OwnCore)
        found = {
            **{f"signal_{name}": value for name, value in steady.items() if name != "histogram_ms"},
            "histogram_ms": steady["histogram_ms"],
            "own_core_p50_ms": alone["p50_ms"],
            "own_core_p99_ms": alone["p99_ms"],
            "frames_p99_ms": frames["p99_ms"],
            "burst_p99_ms": hurried["p99_ms"],
            "burst_conflated": hurried["conflated"],
            **stood_still(world),
            "ticks_per_s": sustained(world, 300 if quick else 1_500),
        }
        size = MARKET_SYMBOLS // 10 if quick else MARKET_SYMBOLS
        market = online_world(Path(folder) / "all", alpha158(), symbols=size, feed_sessions=2, model=model)
        found |= whole_market(market, 3 if quick else 9)
    spent = {"wall_s": round(time.perf_counter() - wall, 3), "cpu_s": round(time.process_time() - cpu, 3)}
    return {
        "id": "W9",
        "what": f"tick to signal, {SYMBOLS} symbols at {TICKS_PER_S:,}/s; {size:,} symbols scored anew",
        "ours": {**spent, "peak_mib": round(peak_mib(), 1), **found},
        "peer": None,
        "ratio": None,
        "ratio_goal": False,
        "goal": f"p99 at most {MOST_P99_MS:g} ms, the whole market within {MOST_MARKET_S * 1e3:g} ms, nothing lost",
        "holds": bool(found["signal_p99_ms"] <= MOST_P99_MS)
        and found["market_scored_s"] <= MOST_MARKET_S
        and found["still_nothing_lost"],
        "command": "make bench ONLY=W9",
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def seeded_model() -> Model:
    """Return a booster over Alpha158 of the size that the line trains."""
    rng, width = np.random.default_rng(SEED), len(alpha158().names)
    features = rng.standard_normal((8_000, width)).astype(np.float32) * np.float32(0.05)
    label = features[:, :20].sum(axis=1) + rng.standard_normal(len(features))
    options = {"verbosity": -1, "num_leaves": LEAVES, "deterministic": True, "num_threads": 1, "max_bin": 63}
    return Model.of_booster(str(lgb.train(options, lgb.Dataset(features, label), TREES).model_to_string()))


def opened(world: World, *, threads: int = 1) -> LiveSignals:
    """Return signals whose first session is open; its kernels and the model are warm."""
    live, session = world.signals(threads=threads), world.feed.sessions[0]
    live.open(session, world.facts(session))
    for each in world.ticks(session, each=1).values():
        live.on_tick(each[0], each[0].at_ns)
    live.rescore()
    live.open(session, world.facts(session))
    return live


def seeded_ticks(world: World, count: int) -> list[Tick]:
    """Return so many snapshots, every symbol once in each round, in an order of its own."""
    session, rounds = world.feed.sessions[0], -(-count // len(world.feed.symbols))
    paths = world.ticks(session, each=rounds, seed=SEED)
    rng, names = np.random.default_rng(SEED), sorted(paths)
    return [paths[names[i]][k] for k in range(rounds) for i in rng.permutation(len(names))][:count]


class WallClock:
    """Seconds since the start as everybody counts them: whoever else works on the machine is in them."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    def now(self) -> float:
        """Return the seconds."""
        return time.perf_counter() - self._began

    def wait_until(self, due: float) -> None:
        """Sleep."""
        time.sleep(max(0.0, due - self.now()))


class OwnCore:
    """Seconds since the start on a core that nobody else works on: this process's own, and those that it waited."""

    def __init__(self) -> None:
        self._began = time.process_time()

    def now(self) -> float:
        """Return the seconds."""
        return time.process_time() - self._began

    def wait_until(self, due: float) -> None:
        """Let the time pass that nothing is done in."""
        self._began -= max(0.0, due - self.now())


def paced(
    world: World, per_s: int, seconds: int, *, at_once: int = 1, clocked: type[WallClock | OwnCore] = WallClock
) -> dict[str, Any]:
    """Return latencies where ``at_once`` ticks fall due together, ``per_s`` a second."""
    live, ticks = opened(world), seeded_ticks(world, per_s * seconds)
    before = live.counts
    due = np.arange(len(ticks)) // at_once * (at_once / per_s)
    unserved: dict[str, list[float]] = defaultdict(list)
    spent: list[float] = []
    clock, cpu, k = clocked(), time.process_time(), 0
    while k < len(ticks) or live.counts.waiting:
        now = clock.now()
        while k < len(ticks) and due[k] <= now:
            one = ticks[k]
            if live.on_tick(one, one.at_ns).verdict.moves_prices:
                unserved[one.symbol].append(due[k])
            k += 1
        told = live.step()
        done = clock.now()
        for signal in told:
            spent += [done - instant for instant in unserved.pop(signal.symbol)]
        if not told and k < len(ticks):
            clock.wait_until(due[k])
    wall, cpu = clock.now(), time.process_time() - cpu
    counts = live.counts
    latency_ms = np.array(spent) * 1e3
    p50, p99, p999, worst = np.quantile(latency_ms, [0.5, 0.99, 0.999, 1.0])
    inside, _ = np.histogram(latency_ms, [0.0, *EDGES_MS, np.inf])
    below = [f"<= {edge:g}" for edge in EDGES_MS] + [f"> {EDGES_MS[-1]:g}"]
    return {
        "p50_ms": round(p50, 3),
        "p99_ms": round(p99, 3),
        "p999_ms": round(p999, 3),
        "worst_ms": round(worst, 3),
        "core_frac": round(cpu / wall, 3),
        "ticks": len(spent),
        "conflated": counts.conflated - before.conflated,
        "histogram_ms": dict(zip(below, inside.tolist(), strict=True)),
    }


def stood_still(world: World) -> dict[str, Any]:
    """Return what a second's burst leaves that nobody reads meanwhile: the newest of each, the others counted."""
    live, ticks = opened(world), seeded_ticks(world, BURST_TICKS_PER_S)
    before = live.counts
    for one in ticks:
        live.on_tick(one, one.at_ns)
    conflated, newest = live.counts.conflated - before.conflated, {one.symbol: one.at_ns for one in ticks}
    deepest = live.counts.waiting
    began, told = time.perf_counter(), []
    while signals := live.step():
        told += signals
    scorable = {one.symbol for one in told}
    return {
        "still_ticks": len(ticks),
        "conflated": conflated,
        "still_deepest": deepest,
        "still_caught_up_ms": round(1e3 * (time.perf_counter() - began), 2),
        "still_nothing_lost": conflated + deepest == len(ticks)
        and all(newest[one.symbol] == one.at_ns for one in told)
        and len(newest) - len(scorable) <= 1,  # one name may not be scored
    }


def sustained(world: World, batches: int) -> int:
    """Return how many ticks a second of CPU become signals when there are always enough to fill a batch."""
    live, ticks = opened(world), seeded_ticks(world, batches * BATCH_SYMBOLS)
    before, cpu = live.counts.signals, time.process_time()
    for first in range(0, len(ticks), BATCH_SYMBOLS):
        for one in ticks[first : first + BATCH_SYMBOLS]:
            live.on_tick(one, one.at_ns)
        live.step()
    return round((live.counts.signals - before) / (time.process_time() - cpu))


def whole_market(world: World, repeats: int) -> dict[str, Any]:
    """Return seconds to score every symbol: a tick of each at one instant, on one thread and two; and scores alone."""
    found: dict[str, Any] = {"market_symbols": len(world.feed.symbols)}
    for threads in (1, 2):
        live, walls, cpus, scores = opened(world, threads=threads), [], [], []
        paths = world.ticks(world.feed.sessions[0], each=repeats, seed=SEED)
        for k in range(repeats):
            for each in paths.values():
                live.on_tick(each[k], each[k].at_ns)
            began, cpu = time.perf_counter(), time.process_time()
            live.rescore()
            walls.append(time.perf_counter() - began)
            cpus.append(time.process_time() - cpu)
            began = time.perf_counter()
            live.rescore()
            scores.append(time.perf_counter() - began)
        found[f"market_{threads}_threads_s"] = round(float(np.median(walls)), 4)
        found[f"market_{threads}_threads_cpu_s"] = round(float(np.median(cpus)), 4)
        found["market_scores_alone_s"] = round(float(np.median(scores)), 4)
    found["market_scored_s"] = min(found["market_1_threads_s"], found["market_2_threads_s"])
    return found


if __name__ == "__main__":
    print(json.dumps(run("--quick" in sys.argv), indent=2))
