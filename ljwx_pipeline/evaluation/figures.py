"""The report's figures as SVG text that can stand inside HTML: no script, nothing to fetch, same bytes each run.

Not here: the page around them (``report.py``).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.evaluation.metrics import drawdowns, returns_of
from ljwx_pipeline.plot_style import BLUE, GREY, INK, MUTED, ORANGE, RED, canvas, inline, plain_dates

STRATEGY, GAIN, LOSS = BLUE, "#2f7fb8", RED
INDICES = (ORANGE, "#4a9a7e", "#8a6fb0", GREY)


def equity_figure(equity: pd.Series, index_closes: Mapping[str, pd.Series]) -> str:
    """Return growth of 1 (log scale) of the account and of each index, and the account's drawdown below."""
    with canvas(9.2, 4.9, nrows=2, sharex=True, height_ratios=[3, 1.15]) as (axes, out):
        from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator, PercentFormatter

        growth, falls = axes
        for (code, close), colour in zip(index_closes.items(), INDICES * 2, strict=False):
            growth.plot(close.index, close / close.iloc[0], color=colour, linewidth=1.1, label=code)
        growth.plot(
            equity.index, equity / equity.iloc[0], color=STRATEGY, linewidth=1.9, label="strategy, net of costs"
        )
        growth.set_yscale("log")
        low, high = growth.get_ylim()
        ticks = [t for t in (0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 20, 50, 100) if low <= t <= high]
        growth.set_yticks(ticks)
        growth.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        growth.yaxis.set_minor_locator(NullLocator())
        growth.yaxis.set_minor_formatter(NullFormatter())
        growth.axhline(1, color=MUTED, linewidth=0.7)
        growth.set_title("Growth of 1, after costs (log scale)")
        # beside the title: inside the axes it would lie on a line sooner or later
        growth.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, borderaxespad=0.2, columnspacing=1.2)
        depth = -drawdowns(returns_of(equity))
        falls.fill_between(equity.index, depth, 0, color=LOSS, alpha=0.35, linewidth=0)
        falls.plot(equity.index, depth, color=LOSS, linewidth=0.8)
        falls.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        falls.set_title("Drawdown of equity")
        falls.margins(x=0.01)
    return inline(out)


def monthly_figure(months: pd.Series) -> str:
    """Return a heat map of monthly excess returns, a row a year, with the year's compounded sum at the right.

    Parameters
    ----------
    months
        Returns by month as a fraction, ``PeriodIndex`` of months.
    """
    index = pd.PeriodIndex(months.index)
    years = list(range(int(index.year.min()), int(index.year.max()) + 1))
    cells = np.full((len(years), 12), np.nan)
    cells[index.year - years[0], index.month - 1] = months.to_numpy(dtype=np.float64)
    filled = np.where(np.isnan(cells), 0.0, cells)
    totals = np.prod(1 + filled, axis=1) - 1
    reach = max(float(np.nanmax(np.abs(cells))), 1e-4)
    with canvas(9.2, 0.75 + 0.34 * len(years)) as (axis, out):
        from matplotlib.colors import LinearSegmentedColormap

        diverging = LinearSegmentedColormap.from_list(
            "loss_gain", ["#c2513f", "#f4d9d2", "#ffffff", "#cfe2f1", "#2f7fb8"]
        ).with_extremes(bad="#f3f5f7")
        axis.imshow(np.ma.masked_invalid(cells), cmap=diverging, vmin=-reach, vmax=reach, aspect="auto")
        for row, column in np.argwhere(~np.isnan(cells)):
            value = cells[row, column]
            colour = "white" if abs(value) > 0.85 * reach else INK
            axis.text(column, row, f"{value * 100:+.1f}", ha="center", va="center", color=colour, fontsize=8)
        for row, total in enumerate(totals):
            tone = GAIN if total >= 0 else LOSS
            axis.text(
                12.15, row, f"{total * 100:+.1f}", ha="center", va="center", color=tone, fontsize=8.5, weight="bold"
            )
        axis.text(12.15, -0.62, "year", ha="center", va="bottom", color=MUTED, fontsize=8.5)
        axis.set_xlim(-0.5, 12.7)
        axis.set_xticks(range(12), ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"])
        axis.xaxis.tick_top()
        axis.set_yticks(range(len(years)), [str(year) for year in years])
        axis.tick_params(length=0)
        axis.grid(visible=False)
        for side in axis.spines.values():
            side.set_visible(False)
    return inline(out)


def rank_ic_figure(rank_ic: pd.DataFrame) -> str:
    """Return mean rank IC per test fold with its spread over months, and the running sum over sessions.

    Parameters
    ----------
    rank_ic
        Columns ``session_date``, ``rank_ic``, ``fold``, one row a test session.
    """
    by_fold = rank_ic.groupby("fold", sort=True)["rank_ic"]
    means, names = by_fold.mean(), [str(name) for name in by_fold.groups]
    with canvas(9.2, 2.9, ncols=2, width_ratios=[1, 1.25]) as (axes, out):
        bars, running = axes
        colours = [STRATEGY if value >= 0 else LOSS for value in means]
        bars.bar(names, means, color=colours, width=0.62)
        for place, value in enumerate(means):
            offset, anchor = (3, "bottom") if value >= 0 else (-3, "top")
            bars.annotate(
                f"{value:.3f}",
                (place, value),
                (0, offset),
                textcoords="offset points",
                ha="center",
                va=anchor,
                fontsize=8,
            )
        bars.axhline(0, color=MUTED, linewidth=0.8)
        bars.margins(y=0.15)
        bars.grid(visible=False, axis="x")
        bars.set_title("Mean rank IC by test fold")
        running.plot(rank_ic["session_date"], rank_ic["rank_ic"].cumsum(), color=STRATEGY, linewidth=1.5)
        running.axhline(0, color=MUTED, linewidth=0.8)
        running.set_title("Cumulative rank IC")
        plain_dates(running)
    return inline(out)


def quantile_figure(quantiles: NDArray[np.float64]) -> str:
    """Return mean forward return over the session's mean by score quantile, lowest score first, in basis points."""
    with canvas(9.2, 2.5, squeeze=True) as (axis, out):
        names = [str(place + 1) for place in range(len(quantiles))]
        values = quantiles * 10_000
        axis.bar(names, values, color=[GAIN if value >= 0 else LOSS for value in values], width=0.7)
        axis.axhline(0, color=MUTED, linewidth=0.8)
        axis.grid(visible=False, axis="x")
        axis.set_xlabel("score quantile (1 lowest)")
        axis.set_ylabel("bps")
        axis.set_title("Forward return over the session's mean, by score quantile")
    return inline(out)
