"""The report's figures as SVG text that can stand inside HTML: no script, nothing to fetch, same bytes each run.

Their labels are numbers, codes and units: the page says in the reader's language what they show. Not here: that page
(``report.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.evaluation.metrics import drawdowns, returns_of
from ljwx_pipeline.market.calendar import SESSIONS_PER_YEAR
from ljwx_pipeline.plot_style import BLUE, GREY, INK, MUTED, ORANGE, RED, canvas, inline, plain_dates
from ljwx_pipeline.units import BPS

STRATEGY, GAIN, LOSS = BLUE, "#2f7fb8", RED
#: Of the exposure picture: share invested, largest weight.
EXPOSURE = (STRATEGY, ORANGE)
#: Of curves beside the strategy, by place.
CURVES = (ORANGE, "#4a9a7e", "#8a6fb0", GREY, "#c2659a", "#6b4a2b", "#2fa3a8")
GROWTH_TICKS = (0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 20, 50, 100)
FINE_TICKS = (0.8, 0.85, 0.9, 0.95, 1, 1.05, 1.1, 1.15, 1.2, 1.3)


def curve_colours(names: Iterable[str]) -> dict[str, str]:
    """Return a colour for each curve beside the strategy, by its place."""
    return dict(zip(names, cycle(CURVES), strict=False))


def equity_figure(equity: pd.Series, curves: Mapping[str, pd.Series]) -> str:
    """Return growth of 1 (log scale) of the account and of each curve beside it, and the account's drawdown below.

    No legend: the page names the colours of ``curve_colours`` in its own language.
    """
    with canvas(9.2, 4.9, nrows=2, sharex=True, height_ratios=[3, 1.15]) as (axes, out):
        from matplotlib.ticker import PercentFormatter

        growth, falls = axes
        for (name, curve), colour in zip(curves.items(), curve_colours(curves).values(), strict=True):
            growth.plot(curve.index, curve / curve.iloc[0], color=colour, linewidth=1.0, label=name)
        growth.plot(equity.index, equity / equity.iloc[0], color=STRATEGY, linewidth=1.9)
        _log_growth(growth)
        depth = -drawdowns(returns_of(equity))
        falls.fill_between(equity.index, depth, 0, color=LOSS, alpha=0.35, linewidth=0)
        falls.plot(equity.index, depth, color=LOSS, linewidth=0.8)
        falls.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        falls.margins(x=0.01)
    return inline(out)


def comparison_figure(curves: Mapping[str, pd.Series]) -> str:
    """Return growth of 1 (log scale) of several runs; colours as ``curve_colours`` gives them."""
    with canvas(9.2, 3.6, squeeze=True) as (axis, out):
        for (_, curve), colour in zip(curves.items(), curve_colours(curves).values(), strict=True):
            axis.plot(curve.index, curve / curve.iloc[0], color=colour, linewidth=1.6)
        _log_growth(axis)
        axis.margins(x=0.01)
    return inline(out)


def rolling_figure(equity: pd.Series, benchmark: pd.Series, *, sessions: int) -> str:
    """Return the rolling Sharpe ratio and, below, the rolling return minus the benchmark's.

    Parameters
    ----------
    equity, benchmark
        On the same sessions, more than ``sessions`` of them.
    sessions
        Length of the window.
    """
    returns = returns_of(equity)
    spread = returns.rolling(sessions).std()
    ratio = returns.rolling(sessions).mean() / spread.where(spread > 0) * np.sqrt(SESSIONS_PER_YEAR)
    excess = equity.pct_change(sessions) - benchmark.pct_change(sessions)
    with canvas(9.2, 3.8, nrows=2, sharex=True) as (axes, out):
        from matplotlib.ticker import PercentFormatter

        above, below = axes
        above.plot(ratio.index, ratio, color=STRATEGY, linewidth=1.3)
        below.fill_between(excess.index, excess.clip(lower=0), 0, color=GAIN, alpha=0.45, linewidth=0)
        below.fill_between(excess.index, excess.clip(upper=0), 0, color=LOSS, alpha=0.45, linewidth=0)
        below.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        for axis in axes:
            axis.axhline(0, color=MUTED, linewidth=0.8)
            axis.margins(x=0.01)
    return inline(out)


def distribution_figure(returns: pd.Series, *, value_at_risk: float, expected_shortfall: float) -> str:
    """Return a histogram of session returns in per cent, the two tail figures and the normal curve beside it."""
    values = returns.to_numpy(dtype=np.float64) * 100
    spread, mean = float(values.std()), float(values.mean())
    with canvas(9.2, 2.8, squeeze=True) as (axis, out):
        reach = max(float(np.abs(values).max()), 1e-6) * 1.02
        counts, edges, _ = axis.hist(values, bins=np.linspace(-reach, reach, 62), color=STRATEGY, alpha=0.75)
        if spread > 0:
            grid = np.linspace(-reach, reach, 241)
            density = np.exp(-((grid - mean) ** 2) / (2 * spread**2)) / (spread * np.sqrt(2 * np.pi))
            axis.plot(grid, density * counts.sum() * (edges[1] - edges[0]), color=GREY, linewidth=1.4)
        for value, style in ((value_at_risk, "--"), (expected_shortfall, ":")):
            if np.isfinite(value):
                axis.axvline(value * 100, color=LOSS, linewidth=1.5, linestyle=style)
        axis.axvline(0, color=MUTED, linewidth=0.8)
        axis.set_xlabel("%")
        axis.grid(visible=False, axis="x")
    return inline(out)


def exposure_figure(account: pd.DataFrame) -> str:
    """Return invested share and largest weight by session, and turnover by month below; no legend, as above.

    Parameters
    ----------
    account
        ``invested_frac``, ``largest_weight_frac`` and ``turnover_frac`` by session.
    """
    months = account["turnover_frac"].groupby(pd.DatetimeIndex(account.index).to_period("M")).sum()
    with canvas(9.2, 3.6, nrows=2, sharex=True, height_ratios=[1.3, 1]) as (axes, out):
        from matplotlib.ticker import PercentFormatter

        above, below = axes
        for name, colour in zip(("invested_frac", "largest_weight_frac"), EXPOSURE, strict=True):
            above.plot(account.index, account[name], color=colour, linewidth=1.1)
        above.set_ylim(0, max(1.05, float(account["invested_frac"].max()) * 1.05))
        above.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        below.bar(pd.PeriodIndex(months.index).to_timestamp() + pd.Timedelta(days=14), months, width=24, color=GREY)
        for axis in axes:
            axis.margins(x=0.01)
    return inline(out)


def _log_growth(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

    axis.set_yscale("log")
    low, high = axis.get_ylim()
    ticks = [t for t in GROWTH_TICKS if low <= t <= high]
    axis.set_yticks(ticks if len(ticks) > 1 else [t for t in FINE_TICKS if low <= t <= high])
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.axhline(1, color=MUTED, linewidth=0.7)


def monthly_figure(months: pd.Series, *, salt: str = "") -> str:
    """Return a heat map of monthly returns or excess returns, a row a year, with the year's compounded at the right.

    Parameters
    ----------
    months
        Returns by month as a fraction, ``PeriodIndex`` of months.
    salt
        Tells two heat maps of one page apart.
    """
    index = pd.PeriodIndex(months.index)
    years = list(range(int(index.year.min()), int(index.year.max()) + 1))
    cells = np.full((len(years), 12), np.nan)
    cells[index.year - years[0], index.month - 1] = months.to_numpy(dtype=np.float64)
    filled = np.where(np.isnan(cells), 0.0, cells)
    totals = np.prod(1 + filled, axis=1) - 1
    reach = max(float(np.nanmax(np.abs(cells))), 1e-4)
    with canvas(9.2, 0.75 + 0.34 * len(years), salt=salt) as (axis, out):
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
        axis.set_xlim(-0.5, 12.7)
        axis.set_xticks(range(12), [str(month) for month in range(1, 13)])
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
        running.plot(rank_ic["session_date"], rank_ic["rank_ic"].cumsum(), color=STRATEGY, linewidth=1.5)
        running.axhline(0, color=MUTED, linewidth=0.8)
        plain_dates(running)
    return inline(out)


def quantile_figure(quantiles: NDArray[np.float64]) -> str:
    """Return mean forward return over the session's mean by score quantile, lowest score first, in basis points."""
    with canvas(9.2, 2.5, squeeze=True) as (axis, out):
        names = [str(place + 1) for place in range(len(quantiles))]
        values = quantiles * BPS
        axis.bar(names, values, color=[GAIN if value >= 0 else LOSS for value in values], width=0.7)
        axis.axhline(0, color=MUTED, linewidth=0.8)
        axis.grid(visible=False, axis="x")
        axis.set_ylabel("bps")
    return inline(out)
