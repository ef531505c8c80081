"""How intervals fare once the outcomes are known: coverage and width by group, the interval score, a plain rival.

Not here: the intervals (``conformal.py``, ``walk.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.uncertainty.state import Float, IntervalParams
from ljwx_pipeline.uncertainty.walk import WalkedIntervals, walk

#: By how much the share covered may differ from what intervals were made for: in total, and in a group.
TOTAL_MARGIN, GROUP_MARGIN = 0.02, 0.05


@dataclass(frozen=True)
class CoverageBounds:
    """What coverage may be: least and most, in total and in every group large enough to judge; ends are within."""

    total: tuple[float, float]
    group: tuple[float, float]


def coverage_bounds(nominal: float) -> CoverageBounds:
    """Return what intervals made for a coverage of ``nominal`` may hold; the one place that says so.

    ``TOTAL_MARGIN`` and ``GROUP_MARGIN`` to either side, between 0 and 1: 0.88 to 0.92 and 0.85 to 0.95 for 0.9.
    """

    def around(margin: float) -> tuple[float, float]:
        return max(0.0, round(nominal - margin, 12)), min(1.0, round(nominal + margin, 12))

    return CoverageBounds(around(TOTAL_MARGIN), around(GROUP_MARGIN))


@dataclass(frozen=True)
class Coverage:
    """How the intervals of some rows fared.

    Parameters
    ----------
    grouping, group
        What the rows have in common: ``all`` and an empty name, or for instance ``year`` and ``2015``.
    rows
        Rows with an interval and a known outcome.
    covered_frac, below_frac, above_frac
        Share of outcomes within the ends (an end is within), below the lower, above the upper.
    mean_width
        In the outcome's unit.
    mean_score
        Mean interval score, in the outcome's unit; lower is better.
    """

    grouping: str
    group: str
    rows: int
    covered_frac: float
    below_frac: float
    above_frac: float
    mean_width: float
    mean_score: float


def interval_score(lower: Float, upper: Float, outcome: Float, *, coverage: float) -> Float:
    """Return the interval score: width, plus 2 / a times how far the outcome lies outside, with a = 1 - coverage.

    Gneiting and Raftery 2007, equation 43 (Winkler 1972). In the outcome's unit; it is least in expectation where the
    ends are the a / 2 and 1 - a / 2 quantiles. NaN where any of the three is.
    """
    penalty = 2.0 / (1.0 - coverage)
    score: Float = (
        (upper - lower) + penalty * np.maximum(lower - outcome, 0.0) + penalty * np.maximum(outcome - upper, 0.0)
    )
    return score


def coverage_table(
    lower: Float,
    upper: Float,
    outcome: Float,
    *,
    coverage: float,
    groups: Mapping[str, NDArray[np.integer]] | None = None,
    names: Mapping[str, Mapping[int, str]] | None = None,
) -> tuple[Coverage, ...]:
    """Return how the intervals fared in total, then by each group of each grouping, in order of code.

    Parameters
    ----------
    lower, upper, outcome
        Of one shape; rows where any is not finite are left out.
    coverage
        What the intervals were made for; the interval score asks it.
    groups
        Codes of that shape, by grouping; a negative code is a group of its own, named ``unknown``, as are all of them.
    names
        Name of a code, by grouping; where there is none, the code.

    Raises
    ------
    ModelError
        When no row has an interval and an outcome.
    """
    known = np.isfinite(lower) & np.isfinite(upper) & np.isfinite(outcome)
    if not known.any():
        raise ModelError("no interval has a known outcome", "wait until one matures, or ask for earlier sessions")
    low, high, real = lower[known], upper[known], outcome[known]
    within = (low <= real) & (real <= high)
    score = interval_score(low, high, real, coverage=coverage)
    measures = np.stack([within, real < low, real > high, high - low, score])
    table = [_row("all", "", measures)]
    for grouping, codes in (groups or {}).items():
        of_row = np.maximum(codes[known].astype(np.int64), -1)
        named = (names or {}).get(grouping, {})
        for code in np.unique(of_row).tolist():
            name = "unknown" if code < 0 else named.get(code, str(code))
            table.append(_row(grouping, name, measures[:, of_row == code]))
    return tuple(table)


def constant_width(params: IntervalParams, outcomes: Float, *, unit: float, adaptive: bool = False) -> WalkedIntervals:
    """Return the rival: at each session the same interval for all, the quantiles of the outcomes matured by then.

    It knows the same history, with the same weights, and neither scores, volatilities nor groups; ``adaptive`` lets it
    learn from its misses all the same.

    Parameters
    ----------
    outcomes
        Shape ``(n_symbols, n_sessions)``.
    unit
        Of the bins (``state.EDGES``), in the outcome's unit: about a common outcome's size, such as 0.02 of a return.
    """
    chosen = replace(params, group_step=0.0, step=params.step if adaptive else 0.0)
    return walk(chosen, np.zeros(outcomes.shape), np.full(outcomes.shape, unit), outcomes)


def _row(grouping: str, group: str, measures: Float) -> Coverage:
    means = measures.mean(axis=1)
    return Coverage(grouping, group, measures.shape[1], *(float(value) for value in means))
