"""coverage: 90 % prediction intervals of five-session returns, over walk-forward scores, a simulated and a real panel.

``python -m benchmarks.coverage [--tables | --steps | --walk-forward]`` prints the result entry, or the tables by year,
industry and volatility, or what other steps give, or the walk-forward row alone.
The walk-forward row is the line itself: the shipped simulated market, its model tuned and walked forward, and intervals
of the scores out of sample with outcomes that could be entered, as the shipped settings make and judge them
(``gate_models.py``). The other two walk plain scores through the same loop, over more years and regimes.
The simulated panel has volatility clusters, heavy tails, a common market, industries of many sizes, a calm, a crash and
a change of regime. The real one is 291 A-shares, 2010 to 2020, from a folder beside the checkout; where that is absent
it is left out and the goal does not hold. Their scores are five-session reversal and low volatility.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.clocked import clocked
from benchmarks.gate_models import Search, bench_settings, intervals_of, seeded_market
from ljwx_pipeline.label import forward_returns
from ljwx_pipeline.sources.simulated.source import WORLD_FIRST, WORLD_LAST, SimulatedMarket
from ljwx_pipeline.uncertainty.coverage import (
    Coverage,
    constant_width,
    coverage_bounds,
    coverage_table,
)
from ljwx_pipeline.uncertainty.scale import daily_returns, return_scale, terciles
from ljwx_pipeline.uncertainty.state import IntervalParams
from ljwx_pipeline.uncertainty.walk import WalkedIntervals, walk

Float = NDArray[np.float64]
Int = NDArray[np.int64]

ENTRY, HORIZON = 1, 5
PARAMS = IntervalParams(
    coverage=0.9,
    reach_sessions=ENTRY + HORIZON,
    half_life_sessions=250.0,
    least_sessions=60,
    step=0.1,
    group_step=0.1,
    group_prior_rows=5.0,
)
FLOOR, LEAST_RETURNS, UNIT = 0.005, 20, 0.02
BOUNDS = coverage_bounds(PARAMS.coverage)
GOAL = (
    "walk-forward scores and every panel, before any abstention: 88 to 92 % covered in total, 85 to 95 % in every "
    "year, industry and volatility third, interval score below both constant widths'"
)
REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@dataclass(frozen=True, eq=False)
class MeasuredPanel:
    """What is walked, all of shape ``(n_symbols, n_sessions)``, and the groups it is reported by."""

    scores: Float
    scales: Float
    outcomes: Float
    groups: dict[str, Int]
    years: Int
    names: dict[str, dict[int, str]]

    @property
    def reported(self) -> dict[str, Int]:
        """Groupings of the report: years beside those learned by."""
        return {"year": self.years, **self.groups}


def run(quick: bool = False) -> dict[str, Any]:
    """Return the result entry; ``quick`` walks 700 sessions of 60 simulated symbols, and 40 untuned forward."""
    simulated = simulated_panel(60, 700) if quick else simulated_panel(300, 2_500)
    cost, walked = clocked(lambda: walked_panel(simulated))
    judged = {"walk_forward": walk_forward_figures(quick), "simulated": figures(simulated, walked)}
    real = None if quick else real_panel(REAL_DATA)
    if real is not None:
        judged["real"] = figures(real, walked_panel(real))
        judged["real_excess"] = figures(excess(real), walked_panel(excess(real)))
    peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    return {
        "id": "coverage",
        "what": f"90 % intervals of {HORIZON}-session returns: walk-forward scores; plain ones of "
        f"{simulated.scores.shape[0]} symbols x {simulated.scores.shape[1]} sessions simulated"
        + ("" if real is None else ", and of a real panel"),
        "ours": {**{key: round(value, 3) for key, value in cost.items()}, "peak_mib": peak, **judged},
        "peer": None,
        "ratio": None,
        "ratio_goal": False,
        "goal": GOAL,
        "holds": real is not None and all(one["holds"] for one in judged.values()),
        "command": "python -m benchmarks.coverage" + (" --quick" if quick else ""),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def walk_forward_figures(quick: bool = False) -> dict[str, Any]:
    """Return what the intervals of the line's own model hold out of sample, on the shipped simulated market."""
    market = seeded_market(bench_settings(**({"simulated__symbols": 40} if quick else {})))
    with tempfile.TemporaryDirectory(prefix="ljwx-coverage-") as home:
        search = Search(market, Path(home))
        tuned = {} if quick else search.tune().best_params
        scored = search.walk("tuned", tuned, market.settings.model)
    industries = SimulatedMarket(market.settings.simulated).industries(WORLD_FIRST, WORLD_LAST)
    found = intervals_of(market, scored, industries)
    return walk_forward_judged(found)


def walk_forward_judged(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the entry keeps of ``assets.intervals.judged_intervals``, and whether the goal holds."""
    bounds, groups = coverage_bounds(found["nominal_frac"]), [one for one in found["groups"] if one["judged"]]
    least, most = bounds.group
    missed = [one for one in groups if not least <= one["covered_frac"] <= most]
    shares: dict[str, list[float]] = {}
    for one in groups:
        shares.setdefault(one["grouping"], []).append(one["covered_frac"])
    kept = ("coverage_frac", "below_frac", "above_frac", "mean_width", "interval_score", "constant_interval_score")
    return {
        "rows": found["rows"],
        **{name: round(found[name], 5) for name in kept},
        "covered_from_to": {name: [round(min(some), 4), round(max(some), 4)] for name, some in shares.items()},
        "groups_judged": found["groups_judged"],
        "outside": [f"{one['grouping']} {one['name']}: {one['covered_frac']:.4f} of {one['rows']}" for one in missed],
        "holds": bounds.total[0] <= found["coverage_frac"] <= bounds.total[1]
        and found["groups_judged"] > 0
        and not missed
        and found["interval_score"] < found["constant_interval_score"],
    }


def measured(close: Float, sessions: pd.DatetimeIndex, industries: Int, names: Mapping[int, str]) -> MeasuredPanel:
    """Return the panel of adjusted closes: scores of reversal and low volatility, scales, outcomes, groups."""
    before = pd.DataFrame(close).T.ffill().T.to_numpy()
    scales = return_scale(daily_returns(close), horizon=HORIZON, floor=FLOOR, least_returns=LEAST_RETURNS)
    reversal = np.full(close.shape, np.nan)
    reversal[:, 5:] = -(close[:, 5:] / before[:, :-5] - 1)
    scores = 0.5 * in_session_rank(reversal) - 0.5 * in_session_rank(scales)
    volatility = terciles(np.where(np.isfinite(close), scales, np.nan))
    codes = np.broadcast_to(industries[:, None], close.shape)
    return MeasuredPanel(
        scores=np.where(np.isfinite(close), scores, np.nan),
        scales=scales,
        outcomes=forward_returns(close, entry=ENTRY, horizon=HORIZON),
        groups={"industry": codes, "volatility": volatility},
        years=np.broadcast_to(sessions.year.to_numpy().astype(np.int64), close.shape),
        names={"industry": dict(names), "volatility": {0: "low", 1: "middle", 2: "high"}},
    )


def excess(panel: MeasuredPanel) -> MeasuredPanel:
    """Return the panel whose outcomes are those in excess of the session's mean over its scored symbols."""
    scored = np.where(np.isfinite(panel.scores), panel.outcomes, np.nan)
    counts = np.maximum(np.isfinite(scored).sum(axis=0), 1)
    return replace(panel, outcomes=panel.outcomes - np.nansum(scored, axis=0) / counts)


def in_session_rank(values: Float) -> Float:
    """Return ranks in [0, 1] by session, NaN where the value is."""
    ranks: Float = pd.DataFrame(values).rank(axis=0, pct=True).to_numpy()
    return ranks


def walked_panel(panel: MeasuredPanel, params: IntervalParams = PARAMS) -> WalkedIntervals:
    """Return the intervals of the panel, learned by industry and volatility."""
    return walk(params, panel.scores, panel.scales, panel.outcomes, panel.groups)


def table(panel: MeasuredPanel, walked: WalkedIntervals) -> tuple[Coverage, ...]:
    """Return the coverage in total, by year, industry and volatility."""
    return coverage_table(
        walked.lower,
        walked.upper,
        panel.outcomes,
        coverage=PARAMS.coverage,
        groups=panel.reported,
        names=panel.names,
    )


def figures(panel: MeasuredPanel, walked: WalkedIntervals) -> dict[str, Any]:
    """Return what the entry keeps of one panel."""
    rows = table(panel, walked)
    total, parts = rows[0], rows[1:]
    rivals: dict[str, tuple[Coverage, ...]] = {}
    for name, adaptive in (("constant_width", False), ("constant_width_adaptive", True)):
        rival = constant_width(PARAMS, panel.outcomes, unit=UNIT, adaptive=adaptive)
        # the same rows: where ours has an interval
        lower = np.where(np.isfinite(walked.lower), rival.lower, np.nan)
        rivals[name] = coverage_table(
            lower, rival.upper, panel.outcomes, coverage=PARAMS.coverage, groups=panel.reported
        )
    missed = [row for row in parts if not BOUNDS.group[0] <= row.covered_frac <= BOUNDS.group[1]]
    beats = all(total.mean_score < rival[0].mean_score for rival in rivals.values())
    return {
        "total": rounded(total),
        "covered_from_to": spans(parts),
        "groups": {grouping: sum(row.grouping == grouping for row in parts) for grouping in panel.reported},
        "sessions_covered_5_percentile": round(worst_sessions(panel, walked), 4),
        "outside": [f"{row.grouping} {row.group}: {row.covered_frac:.4f} of {row.rows}" for row in missed],
        **{name: rounded(rival[0]) | {"covered_from_to": spans(rival[1:])} for name, rival in rivals.items()},
        "holds": BOUNDS.total[0] <= total.covered_frac <= BOUNDS.total[1] and not missed and beats,
    }


def spans(rows: Sequence[Coverage]) -> dict[str, list[float]]:
    """Return the least and the most coverage among the groups of each grouping."""
    shares: dict[str, list[float]] = {}
    for row in rows:
        shares.setdefault(row.grouping, []).append(row.covered_frac)
    return {grouping: [round(min(found), 4), round(max(found), 4)] for grouping, found in shares.items()}


def worst_sessions(panel: MeasuredPanel, walked: WalkedIntervals) -> float:
    """Return the coverage that one session in twenty falls short of: names of one session move together."""
    known = np.isfinite(walked.lower) & np.isfinite(panel.outcomes)
    within = known & (walked.lower <= panel.outcomes) & (panel.outcomes <= walked.upper)
    rows = known.sum(axis=0)
    return float(np.quantile(within.sum(axis=0)[rows > 0] / rows[rows > 0], 0.05))


def rounded(row: Coverage) -> dict[str, Any]:
    """Return a row's figures to five places."""
    return {key: round(value, 5) for key, value in asdict(row).items() if not isinstance(value, str)}


def simulated_panel(symbols: int, sessions: int, *, seed: int = 7) -> MeasuredPanel:
    """Return a seeded panel: returns are a market, an industry and the stock's own part, each with clusters.

    Every part's variance follows GARCH(1, 1) with Student's t of 4 or 5 degrees of freedom. All returns are half as
    large in the third and fourth tenth of the sessions (calm), 2.2 times as large in the sixth, where the market falls
    (crash), and 1.4 times from seven tenths on. A weak reversal of five sessions is planted.
    """
    rng = np.random.default_rng(seed)
    tenth = 10 * np.arange(sessions) // sessions
    regime = np.select([(tenth == 2) | (tenth == 3), tenth == 5, tenth >= 7], [0.5, 2.2, 1.4], 1.0)
    market = np.where(tenth == 5, -0.003, 0.0003) + clustered(rng, 1, sessions, daily=0.011, degrees=5)[0]
    codes = np.sort((symbols ** rng.uniform(0.0, 1.0, symbols)).astype(np.int64) % max(symbols // 8, 2))
    industry = clustered(rng, int(codes.max()) + 1, sessions, daily=0.007, degrees=5)
    own = rng.uniform(0.6, 1.8, symbols)[:, None] * clustered(rng, symbols, sessions, daily=0.016, degrees=4)
    returns = regime * (rng.uniform(0.6, 1.4, symbols)[:, None] * market + industry[codes] + own)
    for session in range(6, sessions):
        returns[:, session] -= 0.02 * regime[session] * own[:, session - 6 : session - 1].sum(axis=1)
    close = 10 * np.cumprod(1 + np.clip(returns, -0.5, 0.5), axis=1)
    close[rng.uniform(size=close.shape) < 0.02] = np.nan
    dates = pd.bdate_range("2012-01-02", periods=sessions)
    return measured(close, dates, codes, {int(code): f"industry {code}" for code in np.unique(codes)})


def clustered(rng: np.random.Generator, n: int, sessions: int, *, daily: float, degrees: int) -> Float:
    """Return ``n`` GARCH(1, 1) series of Student's t, shape ``(n, n_sessions)``, of daily volatility ``daily``."""
    shocks = rng.standard_t(degrees, size=(n, sessions)) * np.sqrt((degrees - 2) / degrees)
    out, variance = np.empty((n, sessions)), np.full(n, daily**2)
    for session in range(sessions):
        out[:, session] = np.sqrt(variance) * shocks[:, session]
        variance = 0.02 * daily**2 + 0.08 * np.minimum(out[:, session] ** 2, 50 * daily**2) + 0.9 * variance
    return out


def real_panel(folder: Path) -> MeasuredPanel | None:
    """Return the real panel, None where its files are absent: 291 survivors, forward-adjusted, each of one industry."""
    bars_file = folder / "licensed" / "qbot" / "daily_qfq_2010_2020.parquet"
    blocks_file = folder / "licensed" / "hikyuu" / "hybk.ini"
    if not (bars_file.is_file() and blocks_file.is_file()):
        return None
    bars = pd.read_parquet(bars_file, columns=["ts_code", "trade_date", "close"])
    close = bars.pivot_table(index="ts_code", columns="trade_date", values="close").sort_index()
    industry_of: dict[str, str] = {}
    section = ""
    for line in filter(None, map(str.strip, blocks_file.read_text(encoding="utf-8").splitlines())):
        if line.startswith("["):
            section = line.strip("[]")
        else:
            market, _, code = line.partition(",")
            industry_of[f"{code}.{'SH' if market == '0' else 'SZ'}"] = section
    found = [industry_of.get(str(symbol), "no industry") for symbol in close.index]
    names = dict(enumerate(sorted(set(found))))
    code_of = {name: code for code, name in names.items()}
    industries = np.array([code_of[name] for name in found])
    return measured(close.to_numpy(dtype=np.float64), pd.DatetimeIndex(close.columns), industries, names)


def print_tables(name: str, panel: MeasuredPanel) -> None:
    """Print a panel's coverage, a line a group."""
    started = time.perf_counter()
    rows = table(panel, walked_panel(panel))
    print(
        f"{name}: {panel.scores.shape[0]} symbols x {panel.scores.shape[1]} sessions, "
        f"{time.perf_counter() - started:.1f} s"
    )
    print("grouping    group               rows  covered   below   above  width  score")
    for row in rows:
        print(
            f"{row.grouping:<11} {row.group:<14} {row.rows:>9}  {row.covered_frac:.4f}  {row.below_frac:.4f}  "
            f"{row.above_frac:.4f}  {row.mean_width:.4f}  {row.mean_score:.4f}"
        )


def print_steps(name: str, panel: MeasuredPanel) -> None:
    """Print what other steps give: years held closer, at the price of width and score."""
    print(f"{name}\n step  years covered    width   score")
    for step in (0.0, 0.02, 0.05, 0.1, 0.2, 0.4):
        rows = table(panel, walked_panel(panel, replace(PARAMS, step=step)))
        least, most = spans(rows)["year"]
        print(f" {step:<4}  {least:.4f} {most:.4f}  {rows[0].mean_width:.4f}  {rows[0].mean_score:.4f}")


if __name__ == "__main__":
    if "--walk-forward" in sys.argv:
        print(json.dumps(walk_forward_figures("--quick" in sys.argv), indent=2))
    elif "--steps" in sys.argv:
        print_steps("simulated", simulated_panel(300, 2_500))
        if (found_panel := real_panel(REAL_DATA)) is not None:
            print_steps("real", found_panel)
    elif "--tables" in sys.argv:
        print_tables("simulated", simulated_panel(300, 2_500))
        if (found_panel := real_panel(REAL_DATA)) is not None:
            print_tables("real", found_panel)
            print_tables("real, in excess of the session's mean", excess(found_panel))
    else:
        print(json.dumps(run("--quick" in sys.argv), indent=2, ensure_ascii=False))
