"""gate_noise: of 200 models from pure noise, each tuned and selected as a quant would, how many pass the gate.

``python -m benchmarks.gate_noise [--models 20 --first 0] [--log FILE] [--workers 2]`` makes a slice of them. Each model
has a market of its own on which nothing predicts anything (``gate_models.py``, ``oracle_rank_ic = 0``), with real price
factors. A study tunes on the inner folds; the tuned model, one of another seed, one of other labels and a linear one
are walked forward; each is traded in ten ways at zero cost; the one with the best Sharpe ratio out of sample is
presented. The gate is asked with its KPI thresholds off, once with every trial counted and once by somebody who
declares the winner alone.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import beta

from benchmarks.gate_log import Line, Run, lines_of_bench, made_with, main, totals
from benchmarks.gate_models import (
    Candidate,
    Search,
    SeededMarket,
    alone,
    bench_settings,
    evidence_of,
    judged,
    seeded_market,
)
from ljwx_pipeline.config import Settings
from ljwx_pipeline.market.calendar import SESSIONS_PER_YEAR

MODELS, FIRST_SEED = 200, 20_000
MOST_PASSED_FRAC, MOST_SECONDS = 0.05, 30.0
GRID = {"top_k": [10, 15, 20, 25, 30], "n_drop": [2, 5]}
_YEAR = SESSIONS_PER_YEAR**0.5
GOAL = (
    f"at most {MOST_PASSED_FRAC:.0%} of {MODELS} pass, at zero cost and without KPI thresholds; at most "
    f"{MOST_SECONDS:g} CPU s each"
)


def noise_settings(number: int = 0, **changes: Any) -> Settings:
    """Return the settings of a model: the shipped gate without KPI thresholds, no cost, a market without any alpha."""
    fixed = {
        "simulated__seed": FIRST_SEED + number,
        "simulated__symbols": 80,
        "simulated__oracle_rank_ic": 0.0,
        "tune__trials": 16,
        "tune__rounds": 25,
        "model__max_rounds": 40,
        "gate__kpi_enabled": False,
        "gate__left_out": ["leak_checks", "drift", "calibration", "champion"],  # none of them is about luck
        "costs__commission_frac": 0.0,
        "costs__commission_min_cny": 0.0,
        "costs__slippage_bps": 0.0,
        "costs__charge_statutory_fees": False,
    }
    return bench_settings(**(fixed | changes))


def one_model(number: int) -> Line:
    """Return what the gate says of the model of a number."""
    settings = noise_settings(number)
    with tempfile.TemporaryDirectory(prefix="ljwx-gate-noise-") as home:
        return searched(seeded_market(settings), Path(home))


def searched(market: SeededMarket, home: Path) -> Line:
    """Return what the gate says of the best that a search on ``market`` finds, its trials counted below ``home``."""
    search, model = Search(market, home), market.settings.model
    tuned = search.tune().best_params
    kinds = {
        "tuned": (tuned, model),
        "reseeded": (tuned, model.model_copy(update={"seed": model.seed + 1})),
        "zscore": (tuned, model.model_copy(update={"label_transform": "zscore"})),
        "linear": (tuned, model.model_copy(update={"kind": "linear"})),
    }
    tried: list[tuple[float, Candidate]] = []
    for name, (params, kind) in kinds.items():
        tried += search.sweep(search.walk(name, params, kind), GRID)
    sharpe, best = max(tried, key=lambda one: one[0])
    evidence = evidence_of(search, best)
    return {
        "seed": market.settings.simulated.seed,
        "presented": best.name,
        "session_sharpe": round(sharpe, 5),
        "session_sharpe_mean": round(float(np.mean([one for one, _ in tried])), 5),
        "gate": judged(market, evidence),
        "alone": judged(market, alone(evidence)),
    }


def summary(lines: Sequence[Line]) -> dict[str, Any]:
    """Return what is counted of the models: who passed, by which check the others were held, what it took."""
    models, passed = len(lines), decided(lines, "gate", "promoted")
    only = Counter(failed[0] for line in lines if len(failed := _failed(line)) == 1)
    return {
        "models": models,
        "passed": passed,
        "passed_frac": round(passed / models, 4),
        "passed_frac_below_95": round(upper_bound(passed, models), 4),
        "awaiting_approval": decided(lines, "gate", "awaiting_approval"),
        "passed_winner_declared_alone": decided(lines, "alone", "promoted"),
        "awaiting_winner_declared_alone": decided(lines, "alone", "awaiting_approval"),
        "passed_each_check": each_check(lines, "gate"),
        "passed_each_check_winner_declared_alone": each_check(lines, "alone"),
        "held_by_this_check_alone": dict(only),
        "presented_annual_sharpe": quantiles([line["session_sharpe"] * _YEAR for line in lines]),
        "mean_annual_sharpe_of_all_tried": round(
            float(np.mean([line["session_sharpe_mean"] for line in lines])) * _YEAR, 3
        ),
        **totals(lines),
    }


def decided(lines: Sequence[Line], whose: str, decision: str) -> int:
    """Return how many models the gate decided so on."""
    return sum(line[whose]["decision"] == decision for line in lines)


def each_check(lines: Sequence[Line], whose: str) -> dict[str, int]:
    """Return how many models passed each check by itself."""
    passed: dict[str, int] = {}
    for line in lines:
        for name, good in line[whose]["checks"].items():
            passed[name] = passed.get(name, 0) + bool(good)
    return passed


def upper_bound(passed: int, models: int, *, confidence: float = 0.95) -> float:
    """Return Clopper and Pearson's one-sided upper bound of the share that passes."""
    return 1.0 if passed == models else float(beta.ppf(confidence, passed + 1, models - passed))


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Return the least, the 5th and 95th percentile, the median and the most."""
    at = {"least": 0.0, "p5": 0.05, "median": 0.5, "p95": 0.95, "most": 1.0}
    return {name: round(float(np.quantile(values, frac)), 3) for name, frac in at.items()}


def _failed(line: Line) -> list[str]:
    return [name for name, good in line["gate"]["checks"].items() if not good]


def _told(lines: Sequence[Line]) -> str:
    return f"{decided(lines, 'gate', 'promoted')} passed"


def _run() -> Run:
    return Run("gate_noise", one_model, made_with(noise_settings()), _told)


def run(quick: bool = False) -> dict[str, Any]:
    """Return the result entry, from the log of a whole run where there is one; ``quick`` makes two models."""
    found = summary(lines_of_bench(_run(), MODELS, quick=quick))
    holds = found["passed_frac"] <= MOST_PASSED_FRAC and found["most_cpu_s_a_model"] <= MOST_SECONDS
    return {
        "id": "gate_noise",
        "what": f"{found['models']} models from noise, tuned and selected, at the gate",
        "ours": found,
        "peer": None,
        "ratio": None,
        "ratio_goal": False,
        "goal": GOAL,
        "holds": holds and found["models"] == MODELS,
        "command": "python -m benchmarks.gate_noise",
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


if __name__ == "__main__":
    sys.exit(main(_run(), MODELS, __doc__, summary))
