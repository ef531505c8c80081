"""Evidence for the gate, drawn with a seed: five test years of a candidate and the trials it was chosen from."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.promotion.evidence import Calibration, Drift, Evidence, Selection

SESSIONS = 1200
MONTHS = 60
TRIAL_SESSIONS = 480
VOLATILITY = 0.08 / math.sqrt(244)


def evidence(seed: int = 0, *, rank_ic: float, annual_excess: float, trials: int = 12) -> Evidence:
    """Overlapping rank ICs, and fat-tailed excess returns (8 % a year volatility) that go with them."""
    rng = np.random.default_rng(seed)
    steps = rng.standard_normal(SESSIONS + 4)
    moving = np.convolve(steps, np.ones(5), mode="valid") / math.sqrt(5)
    returns = 0.5 * steps[4:] + math.sqrt(0.75) * rng.standard_t(5, SESSIONS) / math.sqrt(5 / 3)
    excess = annual_excess / 244 + VOLATILITY * returns
    sharpes = tuple(rng.normal(annual_excess / 0.08, 0.5, trials) / math.sqrt(244))
    tried = configurations(rng, trials, annual_excess=annual_excess)
    return Evidence(
        rank_ic=rank_ic + 0.12 * moving,
        net_excess_returns=excess,
        monthly_net_excess_returns=np.prod(1 + excess.reshape(MONTHS, -1), axis=1) - 1,
        trade_returns=0.004 + 0.02 * rng.standard_normal(400),
        trial_sharpes=sharpes,
        trials=trials,
        trial_variance=0.5,
        trial_returns=tried,
        related=0,
        study=Selection("study one", tried),
        strategies=Selection("strategies", np.empty((TRIAL_SESSIONS, 0))),
        purge_sessions=6,
        lint_errors=(),
        leaks=(),
        strategy="topk_dropout",
        turnover=30.0,
        capacity_cny=50_000_000.0,
        capital_cny=10_000_000.0,
        drift=Drift(0.4),
        calibration=Calibration(0.9, 0.88, 0.92, rows=100_000, groups=8, nominal_frac=0.9),
        rival=None,
    )


def configurations(rng: np.random.Generator, trials: int, *, annual_excess: float) -> NDArray[np.float64]:
    """Return daily net excess returns of trials that share half of their variance and all of their mean."""
    shared = rng.standard_normal((TRIAL_SESSIONS, 1))
    own = rng.standard_normal((TRIAL_SESSIONS, trials))
    out: NDArray[np.float64] = annual_excess / 244 + VOLATILITY * math.sqrt(0.5) * (shared + own)
    return out
