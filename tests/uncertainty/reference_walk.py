"""The walk written a second time, row by row from the formulas of ``docs/uncertainty.md``, over plain lists."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import numpy as np

from ljwx_pipeline.uncertainty.state import IntervalParams


def mean_ranks(values: list[float]) -> list[float]:
    """Ranks in [-0.5, 0.5], ties at their mean."""
    n = len(values)
    return [
        (sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2 - 0.5) / n - 0.5
        for value in values
    ]


def edges() -> list[float]:
    reach = math.asinh(100.0)
    return [math.sinh(-reach + 2 * reach * i / 400) / 2 for i in range(401)]


def reference_walk(
    params: IntervalParams, scores: Any, scales: Any, outcomes: Any, groups: dict[str, Any]
) -> tuple[Any, Any]:
    """Return lower and upper; all history is kept, and every sum is made anew at every session."""
    n, sessions = scores.shape
    marks = edges()
    lower, upper = np.full((n, sessions), np.nan), np.full((n, sessions), np.nan)
    matured: list[int] = []
    ranks: list[dict[int, float]] = []
    slopes: list[float] = []
    u = [0.0, 0.0]
    v: dict[tuple[str, int], list[float]] = defaultdict(lambda: [0.0, 0.0])
    seen: dict[tuple[str, int], int] = defaultdict(int)
    tail = (1 - params.coverage) / 2
    for now in range(sessions):
        past = now - params.reach_sessions
        if past >= 0:
            matured.append(past)
            teach(params, past, outcomes, groups, lower, upper, ranks[past], u, v, seen, tail)
        weight = {t: 0.5 ** ((len(matured) - 1 - at) / params.half_life_sessions) for at, t in enumerate(matured)}
        rank_outcome = rank_rank = 0.0
        counts = [0.0] * 400
        for t in matured:
            for i, x in ranks[t].items():
                if math.isnan(outcomes[i, t]):
                    continue
                rank_outcome += weight[t] * x * outcomes[i, t] / scales[i, t]
                rank_rank += weight[t] * x * x
                residual = outcomes[i, t] / scales[i, t] - slopes[t] * x
                place = max(at for at, mark in enumerate(marks) if mark <= residual)
                counts[place] += weight[t]
        slopes.append(rank_outcome / rank_rank if rank_rank > 0 else 0.0)
        known = [i for i in range(n) if not math.isnan(scores[i, now]) and scales[i, now] > 0]
        ranks.append(dict(zip(known, mean_ranks([scores[i, now] for i in known]), strict=True)))
        if sum(any(not math.isnan(outcomes[i, t]) for i in ranks[t]) for t in matured) < params.least_sessions:
            continue
        q = [quantile(counts, marks, tail), quantile(counts, marks, 1 - tail)]
        for i, x in ranks[now].items():
            mine = [(name, int(codes[i, now])) for name, codes in groups.items()]
            if any(code < 0 or seen[name, code] < params.least_sessions for name, code in mine):
                continue
            out = [u[end] + sum(v[key][end] for key in mine) for end in (0, 1)]
            lower[i, now] = scales[i, now] * (slopes[now] * x + min(q[0], -0.05) * math.exp(out[0]))
            upper[i, now] = scales[i, now] * (slopes[now] * x + max(q[1], 0.05) * math.exp(out[1]))
    return lower, upper


def teach(
    params: IntervalParams,
    past: int,
    outcomes: Any,
    groups: dict[str, Any],
    lower: Any,
    upper: Any,
    ranks: dict[int, float],
    u: list[float],
    v: dict[tuple[str, int], list[float]],
    seen: dict[tuple[str, int], int],
    tail: float,
) -> None:
    """Move the ends by what session ``past`` missed."""
    told = [i for i in ranks if not math.isnan(outcomes[i, past])]
    judged = [i for i in told if not math.isnan(lower[i, past])]
    missed = {i: [float(outcomes[i, past] < lower[i, past]), float(outcomes[i, past] > upper[i, past])] for i in judged}
    share = [sum(missed[i][end] for i in judged) / len(judged) if judged else 0.0 for end in (0, 1)]
    for name, codes in groups.items():
        for code in {int(codes[i, past]) for i in told if codes[i, past] >= 0}:
            seen[name, code] += 1
            rows = [i for i in judged if codes[i, past] == code]
            for end in (0, 1):
                if rows:
                    of_group = sum(missed[i][end] for i in rows) / len(rows)
                    pace = params.group_step * len(rows) / (len(rows) + params.group_prior_rows)
                    v[name, code][end] += pace * (of_group - share[end])
    if judged:
        for end in (0, 1):
            u[end] += params.step * (share[end] - tail)


def quantile(counts: list[float], marks: list[float], level: float) -> float:
    """Return the value below which ``level`` of the counts lie, linear within a bin."""
    wanted, total = level * sum(counts), 0.0
    for at, count in enumerate(counts):
        if count > 0 and total + count >= wanted:
            return marks[at] + (wanted - total) / count * (marks[at + 1] - marks[at])
        total += count
    raise AssertionError("no count")
