"""live_ticks: the runner's tick path before the model, on one core: decode, validate, conflate, build bars.

Seeded snapshots of 300 symbols every three seconds, among them one wild print in a thousand. The goal is of validation
and bars together; decoding frames and the queue are reported beside it. A burst puts ten seconds' ticks into the queue
before anybody reads.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import numpy as np

from ljwx_pipeline.config import load_settings
from ljwx_pipeline.live.ticks.bars import SessionBarsBuilder
from ljwx_pipeline.live.ticks.conflation import ConflatingQueue
from ljwx_pipeline.live.ticks.validation import SymbolFacts, TickValidator, Verdict
from ljwx_pipeline.market.hours import MarketPhase, session_hours
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.trading.exchange_wire import Frame, Tick, decode_frame, encode_frame
from ljwx_pipeline.units import NS_PER_S

SYMBOLS, ROUNDS, SEED = 300, 1_000, 7
SESSION = date(2025, 3, 3)
PRE_CLOSE_E4 = 100_000
HOURS = session_hours(SESSION, Board.MAIN, "SIM")
NAMES = [f"S{i + 1:05d}.SIM" for i in range(SYMBOLS)]
LEAST_PER_S = 20_000
BURST_TICKS_PER_S = 3_000


def run(quick: bool = False) -> dict[str, Any]:
    """Return the result entry; ``quick`` takes a tenth of the rounds."""
    ticks = seeded_ticks(ROUNDS // 10 if quick else ROUNDS)
    wall, cpu = time.perf_counter(), time.process_time()
    believed = measured_path(ticks)
    spent = {"wall_s": round(time.perf_counter() - wall, 3), "cpu_s": round(time.process_time() - cpu, 3)}
    burst = measured_burst(ticks)
    return {
        "id": "live_ticks",
        "what": f"{len(ticks):,} snapshots of {SYMBOLS} symbols validated and built into bars",
        "ours": {**spent, **believed, **measured_latency(ticks), **burst, "decoded_per_s": decoding_rate(ticks)},
        "peer": None,
        "ratio": None,
        "ratio_goal": False,
        "goal": f"at least {LEAST_PER_S:,} ticks a second of CPU, nothing lost in a burst, no honest tick refused",
        "holds": believed["ticks_per_cpu_s"] >= LEAST_PER_S and believed["as_meant"] and burst["nothing_lost"],
        "command": "make bench ONLY=live_ticks",
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def seeded_ticks(rounds: int) -> list[Tick]:
    """Return snapshots of a random walk within limits, three seconds a round; wild prints keep the honest book."""
    rng = np.random.default_rng(SEED)
    steps, sizes = rng.integers(-1, 2, (rounds, SYMBOLS)) * 100, rng.integers(1, 50, (rounds, SYMBOLS)) * 100
    wild = rng.random((rounds, SYMBOLS)) < 0.001
    wild[0] = False
    price = np.clip(PRE_CLOSE_E4 + np.cumsum(steps, axis=0), 95_000, 105_000)
    volume = np.cumsum(sizes, axis=0)
    amount = np.cumsum(sizes * price // 100, axis=0)
    high, low = np.maximum.accumulate(price), np.minimum.accumulate(price)
    begins = HOURS.starts_of(MarketPhase.CONTINUOUS)[0]
    made = []
    for k in range(rounds):
        at_ns = begins + 3 * k * NS_PER_S
        for i, name in enumerate(NAMES):
            last = int(price[k, i])
            one = Tick(
                name, at_ns, SESSION, last, int(volume[k, i]), int(amount[k, i]), last - 100, last + 100, 500, 500,
                int(price[0, i]), int(high[k, i]), int(low[k, i]), PRE_CLOSE_E4,
            )  # fmt: skip
            made.append(replace(one, last_e4=109_900, high_e4=109_900) if wild[k, i] else one)
    return made


def fresh() -> tuple[TickValidator, SessionBarsBuilder]:
    """Return a validator and a builder that have seen nothing."""
    facts = [SymbolFacts(name, PRE_CLOSE_E4, 110_000, 90_000, HOURS) for name in NAMES]
    validator = TickValidator(SESSION, facts, load_settings(profile="simulated", environ={}).breakers, raw_prices=True)
    return validator, SessionBarsBuilder(dict.fromkeys(NAMES, HOURS))


def measured_path(ticks: list[Tick]) -> dict[str, Any]:
    """Return the rate through validation and bars, what 1,000 ticks a second cost, and whether all was judged right."""
    validator, bars = fresh()
    minutes = 0
    cpu = time.process_time()
    for one in ticks:
        if validator.judge(one, one.at_ns).moves_prices and bars.add(one) is not None:
            minutes += 1
    cpu = time.process_time() - cpu
    wild = sum(one.last_e4 == 109_900 for one in ticks)
    return {
        "ticks_per_cpu_s": round(len(ticks) / cpu),
        "core_frac_at_1000_per_s": round(1_000 * cpu / len(ticks), 4),
        "minute_bars": minutes,
        "quarantined": validator.counts[Verdict.QUARANTINED],
        "as_meant": validator.counts == {Verdict.ACCEPTED: len(ticks) - wild, Verdict.QUARANTINED: wild},
    }


def measured_latency(ticks: list[Tick]) -> dict[str, float]:
    """Return percentiles of one tick's way through validation and bars, microseconds."""
    validator, bars = fresh()
    spent = np.empty(len(ticks))
    for k, one in enumerate(ticks):
        began = time.perf_counter_ns()
        if validator.judge(one, one.at_ns).moves_prices:
            bars.add(one)
        spent[k] = time.perf_counter_ns() - began
    p50, p99, worst = np.quantile(spent / 1e3, [0.5, 0.99, 1.0])
    return {"p50_us": round(p50, 2), "p99_us": round(p99, 2), "worst_us": round(worst, 1)}


def measured_burst(ticks: list[Tick]) -> dict[str, Any]:
    """Return what the queue keeps of ten seconds' burst, and its rate when nobody falls behind."""
    burst = ticks[: 10 * BURST_TICKS_PER_S]
    queue = ConflatingQueue(SYMBOLS)
    for one in burst:
        queue.put(one)
    kept = [queue.pop() for _ in range(len(queue))]
    newest = {one.symbol: one for one in burst}
    cpu = time.process_time()
    for one in ticks:
        queue.put(one)
        queue.pop()
    return {
        "burst_ticks": len(burst),
        "burst_deepest": queue.deepest,
        "burst_conflated": queue.conflated,
        "nothing_lost": {one.symbol: one for one in kept if one is not None} == newest
        and len(kept) + queue.conflated == len(burst),
        "queued_per_cpu_s": round(len(ticks) / (time.process_time() - cpu)),
    }


def decoding_rate(ticks: list[Tick]) -> int:
    """Return how many ticks of the exchange's frames are decoded in a second of CPU."""
    frames = [encode_frame(Frame(1, ticks=tuple(ticks[k : k + SYMBOLS]))) for k in range(0, 30_000, SYMBOLS)]
    cpu = time.process_time()
    decoded = sum(len(decode_frame(text).ticks) for text in frames)
    return round(decoded / (time.process_time() - cpu))


if __name__ == "__main__":
    print(json.dumps(run("--quick" in sys.argv), indent=2))
