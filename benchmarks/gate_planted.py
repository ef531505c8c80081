"""gate_planted: in how many of 100 markets with a planted alpha the model that learns it passes the whole gate.

``python -m benchmarks.gate_planted [--models 20 --first 0] [--log FILE] [--workers 2]`` makes a slice of them. In each
market (``gate_models.py``) a score moves returns so much that an oracle that trades it under the shipped strategy and
costs clears the gate's KPI thresholds with room. The model is tuned, walked forward, backtested and judged as the line
does it with every shipped setting; the oracle stands on the same rows, sessions and costs, and is judged beside it.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.gate_log import Line, Run, lines_of_bench, made_with, main, totals
from benchmarks.gate_models import (
    Candidate,
    Search,
    SeededMarket,
    bench_settings,
    evidence_of,
    judged,
    oracle_candidate,
    seeded_market,
)
from benchmarks.gate_noise import decided, quantiles
from ljwx_pipeline.config import Settings

MODELS, FIRST_SEED = 100, 40_000
ORACLE_RANK_IC = 0.13
LEAST_PASSED_FRAC, MOST_SECONDS = 0.9, 30.0
SHOWN = ("rank_ic_mean", "net_excess_annual_return", "sharpe", "max_drawdown", "win_rate", "profit_factor")
GOAL = (
    f"at least {LEAST_PASSED_FRAC:.0%} of {MODELS} pass the whole gate with costs, KPI thresholds included; "
    f"at most {MOST_SECONDS:g} CPU s each"
)


def planted_settings(number: int = 0, **changes: Any) -> Settings:
    """Return the settings of a market: the shipped ones, on fewer stocks and with the alpha planted."""
    fixed = {
        "simulated__seed": FIRST_SEED + number,
        "simulated__symbols": 80,
        "simulated__oracle_rank_ic": ORACLE_RANK_IC,
    }
    return bench_settings(**(fixed | changes))


def one_model(number: int) -> Line:
    """Return what the gate says of the model of a number, and of the oracle."""
    settings = planted_settings(number)
    with tempfile.TemporaryDirectory(prefix="ljwx-gate-planted-") as home:
        return learned(seeded_market(settings), Path(home))


def learned(market: SeededMarket, home: Path) -> Line:
    """Return what the gate says of the model that the line would present, its trials counted below ``home``."""
    search, settings = Search(market, home), market.settings
    scored = search.walk("tuned", search.tune().best_params, settings.model)
    presented = Candidate(scored, settings.strategy)
    search.by_hand(presented)
    return {
        "seed": settings.simulated.seed,
        "gate": judged(market, evidence_of(search, presented)),
        "oracle": judged(market, evidence_of(search, oracle_candidate(market, scored))),
    }


def summary(lines: Sequence[Line]) -> dict[str, Any]:
    """Return what is counted: who passed, what held the others, and the figures of model and oracle."""
    passed = decided(lines, "gate", "promoted")
    held = Counter(name for line in lines for name, good in line["gate"]["checks"].items() if not good)
    return {
        "models": len(lines),
        "passed": passed,
        "passed_frac": round(passed / len(lines), 4),
        "awaiting_approval": decided(lines, "gate", "awaiting_approval"),
        "held_by_check": dict(held),
        "model": figures(lines, "gate"),
        "oracle_passed": decided(lines, "oracle", "promoted"),
        "oracle": figures(lines, "oracle"),
        **totals(lines),
    }


def figures(lines: Sequence[Line], whose: str) -> dict[str, dict[str, float]]:
    """Return how the figures of the models, or of their oracles, are distributed over the markets."""
    return {name: quantiles([line[whose]["measured"][name] for line in lines]) for name in SHOWN}


def _told(lines: Sequence[Line]) -> str:
    return f"{decided(lines, 'gate', 'promoted')} passed"


def _run() -> Run:
    return Run("gate_planted", one_model, made_with(planted_settings()), _told)


def run(quick: bool = False) -> dict[str, Any]:
    """Return the result entry, from the log of a whole run where there is one; ``quick`` makes two models."""
    found = summary(lines_of_bench(_run(), MODELS, quick=quick))
    holds = found["passed_frac"] >= LEAST_PASSED_FRAC and found["most_cpu_s_a_model"] <= MOST_SECONDS
    return {
        "id": "gate_planted",
        "what": f"{found['models']} models of a planted alpha of rank IC {ORACLE_RANK_IC:g}, at the gate",
        "ours": found,
        "peer": None,
        "ratio": None,
        "ratio_goal": False,
        "goal": GOAL,
        "holds": holds and found["models"] == MODELS,
        "command": "python -m benchmarks.gate_planted",
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


if __name__ == "__main__":
    sys.exit(main(_run(), MODELS, __doc__, summary))
