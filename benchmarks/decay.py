"""decay: false alarms a year of the monitoring, and how long a change stays unnoticed.

Models with a known truth: rank ICs of five-session labels (noise a moving sum of five shocks) with ICIR 1 by session,
not annualised. Each is calibrated on its own walk forward of 1,000 sessions and then watched on fresh series, so that
what is counted holds for a mean that was estimated. Drift is counted on 158 factors that wander independently; broken
input is 158 factors over 400 symbols, each factor spoiled in every way in turn. Delays count from the first matured
label (the first session for broken input), which is 1. Champion and challenger are compared under daily looks. What it
takes to profile 5,000 symbols is timed.

``python -m benchmarks.decay --inputs TABLES`` judges a market's own dataset instead: the inputs after its first four
years by those years.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.clocked import clocked, costs
from ljwx_pipeline.market.calendar import SESSIONS_PER_YEAR
from ljwx_pipeline.monitoring.cross_section import Profile, decile_edges, profile_of
from ljwx_pipeline.monitoring.cusum import CusumChart, CusumParams, Delay, calibrated_chart, delay_of, watch
from ljwx_pipeline.monitoring.drift import WINDOW_SESSIONS, drift_reference, judge_drift
from ljwx_pipeline.monitoring.reference import EDGE_ROWS
from ljwx_pipeline.monitoring.sequential import evidence

Float = NDArray[np.float64]

GOAL = (
    "at most one false alarm a year in all; at ICIR 1 a sign inversion within 10 sessions and loss of all skill within "
    "25 (medians), broken input within 2"
)
REACH, OVERLAP, FACTORS = 6, 5, 158
WALKED, WARM_UP, HORIZON = 1000, 120, 504
LOST = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
#: Years of training of a drift reference, and live years after it.
TRAINED_YEARS, LIVE_YEARS = 4, 1
#: Of the factors of Alpha158: sessions before it is full.
LONGEST_WINDOW = 60


def run(quick: bool = False) -> dict[str, Any]:
    """Return the result entry; ``quick`` takes a tenth of the models."""
    wall, cpu = time.perf_counter(), time.process_time()
    models = 3 if quick else 30
    skill = {icir: _skill(icir, models=models, streams=10 if quick else 40) for icir in (1.0, 0.5)}
    drifts = _drift_alarms(models=2 if quick else 24)
    slowest, missed = _broken_input(factors=20 if quick else FACTORS)
    profiled = _profiling()
    curve = {delay.lost_frac: delay for delay in skill[1.0]["delays"]}
    in_all = skill[1.0]["false_alarms_per_year"] + drifts
    holds = in_all <= 1 and curve[2.0].median <= 10 and curve[1.0].median <= 25 and slowest <= 2 and missed == 0
    return {
        "id": "decay",
        "what": f"{models} models watched: skill, drift of {FACTORS} factors, broken input",
        "ours": {
            "wall_s": round(time.perf_counter() - wall, 2),
            "cpu_s": round(time.process_time() - cpu, 2),
            "false_alarms_per_year": {
                "skill": round(skill[1.0]["false_alarms_per_year"], 3),
                "drift": round(drifts, 3),
                "all": round(in_all, 3),
            },
            "false_alarm_within_year": round(skill[1.0]["alarm_within_year"], 3),
            "delay_sessions": {f"icir_{icir}": [_told(one) for one in skill[icir]["delays"]] for icir in skill},
            "broken_input": {"slowest_sessions": slowest, "missed": missed},
            "profile_5000_by_158": profiled,
            "comparison": _comparison(paths=100 if quick else 1000),
        },
        "peer": None,
        "ratio": None,
        "ratio_goal": False,
        "goal": GOAL,
        "holds": holds,
        "command": "python -m benchmarks.decay" + (" --quick" if quick else ""),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def rank_ics(rng: np.random.Generator, sessions: int, icir: float, *, deviation: float = 0.1) -> Float:
    """Return rank ICs of overlapping labels: ``icir`` deviations above 0 in the mean."""
    shocks = rng.standard_normal(sessions + OVERLAP - 1)
    noise = np.convolve(shocks, np.ones(OVERLAP), mode="valid") / math.sqrt(OVERLAP)
    return np.clip(deviation * (icir + noise), -1, 1)


def _skill(icir: float, *, models: int, streams: int, live_years: int = 40) -> dict[str, Any]:
    rng, alarms, early = np.random.default_rng(0), 0, []
    delays: dict[float, list[float]] = {lost: [] for lost in LOST}
    for seed in range(models):
        chart = calibrated_chart(
            rank_ics(rng, WALKED, icir), reach_sessions=REACH, params=CusumParams(paths=400, seed=seed)
        )
        live = rank_ics(rng, live_years * SESSIONS_PER_YEAR, icir)
        alarms += len(watch(chart, live).alarms)
        early += [bool(watch(chart, year).alarms) for year in np.split(live, live_years)]
        for lost in LOST:
            delays[lost] += [_delay(chart, rng, icir, lost) for _ in range(streams)]
    return {
        "false_alarms_per_year": alarms / (models * live_years),
        "alarm_within_year": statistics.mean(early),
        "delays": [delay_of(np.array(delays[lost]), lost_frac=lost, horizon=HORIZON) for lost in LOST],
    }


def _delay(chart: CusumChart, rng: np.random.Generator, icir: float, lost: float) -> float:
    series = rank_ics(rng, WARM_UP + HORIZON, icir)
    # an inversion is one: the very series with its sign turned; otherwise the mean falls
    series[WARM_UP:] = -series[WARM_UP:] if lost == 2 else np.clip(series[WARM_UP:] - 0.1 * icir * lost, -1, 1)
    return next((at - WARM_UP + 1.0 for at in watch(chart, series).alarms if at >= WARM_UP), math.inf)


def _told(delay: Delay) -> dict[str, Any]:
    finite = {name: getattr(delay, name) for name in ("median", "p90")}
    return {
        "lost_frac": delay.lost_frac,
        "median": finite["median"] if math.isfinite(finite["median"]) else None,
        "mean": round(delay.mean, 1),
        "p90": finite["p90"] if math.isfinite(finite["p90"]) else None,
        "alarmed_frac": round(delay.alarmed_frac, 3),
    }


def _drift_alarms(*, models: int) -> float:
    """Return onsets of drift a year on factors that wander as they did in training."""
    names, edges = [str(at) for at in range(FACTORS)], np.tile(np.arange(1, 10) / 10, (FACTORS, 1))
    trained, live, onsets = TRAINED_YEARS * SESSIONS_PER_YEAR, LIVE_YEARS * SESSIONS_PER_YEAR, 0
    for seed in range(models):
        profiles = wandering(np.random.default_rng(seed), trained + live, FACTORS)
        reference = drift_reference(names, edges, profiles[:trained])
        judged = [
            judge_drift(reference, profiles[at + 1 - WINDOW_SESSIONS : at + 1]).drifted
            for at in range(trained + WINDOW_SESSIONS, trained + live)
        ]
        quiet = WINDOW_SESSIONS
        for drifted in judged:
            onsets += drifted and quiet >= WINDOW_SESSIONS
            quiet = 0 if drifted else quiet + 1
    return onsets / (models * LIVE_YEARS)


def wandering(rng: np.random.Generator, sessions: int, factors: int) -> list[Profile]:
    """Return profiles of 300 rows whose distribution over the deciles wanders (autocorrelation 0.8 by session)."""
    empty, edges, mood = np.full(factors, np.nan), np.arange(1, 10) / 10, np.zeros(factors)
    made = []
    for _ in range(sessions):
        mood = 0.8 * mood + 0.15 * rng.standard_normal(factors)
        below = np.clip(edges + mood[:, None] * edges * (1 - edges), 0, 1)
        rows = np.rint(300 * np.diff(below, axis=1, prepend=0.0, append=1.0))
        counts = np.concatenate([rows, np.zeros((factors, 1))], axis=1).astype(np.int64)
        made.append(Profile(300, counts, empty, np.zeros(factors, dtype=np.bool_), empty, 0.0))
    return made


def _broken_input(*, factors: int, symbols: int = 400) -> tuple[int, int]:
    """Return the slowest delay in sessions over every factor and way to spoil it, and how many were missed."""
    rng, mood = np.random.default_rng(0), np.zeros(factors)
    names = np.arange(symbols).astype(str).astype(object)
    spread = rng.lognormal(size=factors)
    rows = []
    for _ in range(3 * SESSIONS_PER_YEAR + 2):
        mood = 0.9 * mood + 0.2 * rng.standard_normal(factors)
        rows.append(((rng.standard_normal((symbols, factors)) + mood) * spread).astype(np.float32))
    edges = decile_edges(np.concatenate(rows[:50]))
    profiles = [profile_of(edges, names, now, (names, before)) for before, now in pairwise(rows[:-2])]
    profiles.insert(0, profile_of(edges, names, rows[0], None))
    reference = drift_reference([str(at) for at in range(factors)], edges, profiles)
    # every factor at once, each way; each finding is by factor, so one pass judges them all
    last, newest, next_one = rows[-3], rows[-2], rows[-1]
    ways = {
        "unknown": lambda now, _: np.full_like(now, np.nan),
        "constant": lambda now, _: np.tile(now[:1], (symbols, 1)),
        "scaled": lambda now, _: now * 100,
        "stale": lambda _, before: before,
    }
    slowest, missed = 0, 0
    for kind, spoil in ways.items():
        first = spoil(newest, last)
        second = spoil(next_one, newest)
        seen = [
            {one.factor for one in judge_drift(reference, [profile_of(edges, names, now, (names, before))]).findings
             if one.kind == kind}
            for now, before in ((first, last), (second, first))
        ]  # fmt: skip
        missed += factors - len(seen[0] | seen[1])
        slowest = max(slowest, 1 if len(seen[0]) == factors else 2)
    part = symbols * 9 // 10
    lost = judge_drift(reference, [profile_of(edges, names[:part], newest[:part], (names, last))])
    missed += not any(one.kind == "symbols_missing" for one in lost.findings)
    return slowest, int(missed)


def _comparison(*, paths: int, sessions: int = 1000, alpha: float = 0.05) -> list[dict[str, Any]]:
    """Return who is named within ``sessions`` of daily looks, by the annual Sharpe ratio of the paired difference."""
    rng, told = np.random.default_rng(0), []
    for sharpe in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0):
        drawn = rng.standard_normal((paths, sessions)) + sharpe / math.sqrt(SESSIONS_PER_YEAR)
        scaled = np.clip(drawn / 5, -1, 1)
        first = []
        for capital in (evidence(scaled), evidence(-scaled)):
            decided = capital >= 2 / alpha
            first.append(np.where(decided.any(axis=1), decided.argmax(axis=1) + 1.0, math.inf))
        median = float(np.quantile(np.minimum(*first), 0.5, method="inverted_cdf"))
        told.append(
            {
                "sharpe_of_difference": sharpe,
                "challenger_frac": float((first[0] < first[1]).mean()),
                "champion_frac": float((first[1] < first[0]).mean()),
                "median_sessions": median if math.isfinite(median) else None,
            }
        )
    return told


def _profiling(symbols: int = 5000) -> dict[str, float]:
    rng = np.random.default_rng(0)
    names = np.array([f"{at:06d}.SZ" for at in range(symbols)], dtype=object)
    now, before = (rng.standard_normal((symbols, FACTORS)).astype(np.float32) for _ in range(2))
    edges = decile_edges(now)
    return costs([clocked(lambda: profile_of(edges, names, now, (names, before)))[0] for _ in range(5)])


def false_inputs(tables: Path, *, trained_sessions: int = TRAINED_YEARS * SESSIONS_PER_YEAR) -> dict[str, Any]:
    """Return what a market's own training dataset would have alarmed after its first years: nothing in it is broken.

    Parameters
    ----------
    tables
        The folder ``tables`` of a market that was run, whose dataset begins with the factors' warm-up.
    """
    from assets.datasets import load_dataset

    dataset = load_dataset(tables)
    features, index, symbols = dataset.features, dataset.session_index, dataset.symbol_index
    starts = np.flatnonzero(np.diff(index, prepend=-1))
    rows = [slice(*ends) for ends in pairwise([*starts, len(index)])][LONGEST_WINDOW:]
    trained = features[rows[0].start : rows[trained_sessions].start]
    drawn = np.sort(np.random.default_rng(0).choice(len(trained), min(len(trained), EDGE_ROWS), replace=False))
    edges, cpu = decile_edges(trained[drawn]), time.process_time()
    profiles = [
        profile_of(edges, symbols[now], features[now], (symbols[before], features[before]))
        for before, now in pairwise(rows)
    ]
    cpu = time.process_time() - cpu
    reference = drift_reference(dataset.factor_names, edges, profiles[:trained_sessions])
    verdicts = [
        judge_drift(reference, profiles[at + 1 - WINDOW_SESSIONS : at + 1])
        for at in range(trained_sessions, len(profiles))
    ]
    drifted = [verdict.drifted for verdict in verdicts]
    return {
        "watched_sessions": len(verdicts),
        "sessions_called_broken": sum(verdict.broken for verdict in verdicts),
        "called": sorted(
            {f"{one.kind} {one.factor}" for verdict in verdicts for one in verdict.findings if one.broken}
        ),
        "onsets_of_drift": sum(now and not before for before, now in pairwise([False, *drifted])),
        "sessions_profiled": len(profiles),
        "profiling_cpu_s": round(cpu, 2),
    }


if __name__ == "__main__":
    if "--inputs" in sys.argv:
        print(json.dumps(false_inputs(Path(sys.argv[sys.argv.index("--inputs") + 1])), indent=2))
    else:
        print(json.dumps(run("--quick" in sys.argv), indent=2))
