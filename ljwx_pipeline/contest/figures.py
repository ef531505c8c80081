"""The picture of a contest: a challenger's difference from the champion with its always-valid interval.

Not here: the page around it (``page.py``), what is judged (``standing.py``).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.contest.record import Challenger, Contest
from ljwx_pipeline.contest.standing import Standing, fallen_behind, interval_path
from ljwx_pipeline.plot_style import BLUE, GREY, INK, MUTED, RED, canvas, inline, plain_dates


def contest_figure(paired: pd.DataFrame, contest: Contest, challenger: Challenger, found: Standing) -> str:
    """Return an SVG: cumulative difference, its interval and how far the challenger is behind, by session.

    Parameters
    ----------
    paired
        As ``standing`` takes it.
    found
        What ``standing`` gave for it.
    """
    days = pd.DatetimeIndex(paired["session_date"])
    returns = paired[["champion", "challenger"]].to_numpy(dtype=np.float64)
    differences = returns[:, 1] - returns[:, 0]
    counted = np.arange(1, len(days) + 1)
    lower, upper = interval_path(differences, bound=challenger.bound_frac, alpha=contest.alpha_each)
    clipped = np.cumsum(np.clip(differences, -challenger.bound_frac, challenger.bound_frac))
    behind = fallen_behind(returns)
    with canvas(9.6, 4.4, salt=challenger.bundle_hash, nrows=2, sharex=True, height_ratios=[3, 1]) as (axes, out):
        top, bottom = axes
        top.fill_between(days, 100 * lower * counted, 100 * upper * counted, color=BLUE, alpha=0.13, linewidth=0)
        top.plot(days, 100 * clipped, color=BLUE, linewidth=1.5)
        top.axhline(0, color=INK, linewidth=0.8)
        top.set_ylim(*_span(100 * np.r_[clipped, (lower * counted)[-1:], (upper * counted)[-1:]]))
        top.set_ylabel("cumulative, %")
        bottom.fill_between(days, -100 * behind, 0, color=GREY, alpha=0.35, linewidth=0)
        bottom.axhline(-100 * contest.max_behind_frac, color=RED, linewidth=1, linestyle=(0, (4, 3)))
        bottom.set_ylabel("behind, %")
        bottom.set_ylim(-115 * max(float(behind.max()), contest.max_behind_frac), 0)
        for axis in axes:
            axis.margins(x=0.01)
            for day, colour in ((found.decided_on, BLUE), (found.breached_on, RED)):
                if day is not None:
                    axis.axvline(pd.Timestamp(day), color=colour, linewidth=1, linestyle=(0, (2, 2)))
            if len(days) < contest.min_sessions:
                axis.set_facecolor("#fbfcfd")
        top.tick_params(colors=MUTED)
        plain_dates(bottom)
    return inline(out)


def _span(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return limits around ``values`` and 0; the interval, as wide as the bound at first, may reach beyond them."""
    low, high = float(min(values.min(), 0.0)), float(max(values.max(), 0.0))
    spare = 0.08 * max(high - low, 1e-3)
    return low - spare, high + spare
