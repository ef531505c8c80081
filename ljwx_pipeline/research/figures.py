"""The tear sheets' figures as SVG text that can stand inside HTML: no script, nothing to fetch, same bytes each run.

Not here: the page around them (``page.py``), the numbers (``tear_sheet.py``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.plot_style import BLUE, GREY, INK, MUTED, RED, canvas, inline, plain_dates
from ljwx_pipeline.research.tear_sheet import DELAYS, FactorSheet, SetSheet, Yardstick, monthly_means
from ljwx_pipeline.units import BPS

#: From the lowest quantile to the highest.
QUANTILE_COLOURS = ("#c2513f", "#dd9a8c", GREY, "#86aed6", BLUE)
SALT = "tear sheet "
#: Inches of a figure over the whole page, and of one of two side by side.
WIDE, HALF = 9.2, 4.5
#: Sessions a daily series is smoothed over for the eye.
SMOOTH_SESSIONS = 20
#: More factors than this make labels nobody can read.
LABELLED = 60
#: Ticks of growth on a log scale, where it stays near 1 and where it does not.
FINE_TICKS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 1.75, 2, 2.5)
COARSE_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)


def ic_figure(sheet: FactorSheet, stick: Yardstick) -> str:
    """Return the mean rank IC of each month as bars, and its running sum over sessions."""
    series = sheet.rank_ic[:, stick.headline]
    months = monthly_means(series, stick.sessions)
    with canvas(WIDE, 3.9, salt=f"{SALT}ic {sheet.factor.name}", nrows=2, sharex=True) as (axes, out):
        bars, running = axes
        at = pd.PeriodIndex(months.index).to_timestamp() + pd.Timedelta(days=14)
        bars.bar(at, months, width=24, color=[BLUE if value >= 0 else RED for value in months])
        bars.axhline(0, color=MUTED, linewidth=0.8)
        bars.set_title(f"Mean rank IC by month, return over {stick.label.horizon_sessions} sessions")
        running.plot(stick.sessions, np.nancumsum(series), color=BLUE, linewidth=1.4)
        running.axhline(0, color=MUTED, linewidth=0.8)
        running.set_title("Cumulative rank IC, summed over sessions")
        plain_dates(running, most=9)
        running.margins(x=0.01)
    return inline(out)


def decay_figure(sheet: FactorSheet, stick: Yardstick) -> str:
    """Return the mean rank IC by sessions held, with twice its error, and by sessions a trade comes late."""
    with canvas(HALF, 4.3, salt=f"{SALT}decay {sheet.factor.name}", nrows=2) as (axes, out):
        held, late = axes
        names = [str(horizon) for horizon in stick.horizons]
        means = [one.mean if one.mean is not None else np.nan for one in sheet.rank_ic_summary]
        errors = [
            2 * abs(one.mean / one.t) if one.mean is not None and one.t else np.nan for one in sheet.rank_ic_summary
        ]
        colours = [BLUE if value >= 0 else RED for value in means]
        held.bar(names, means, yerr=errors, color=colours, width=0.62, ecolor=MUTED, capsize=3)
        held.axhline(0, color=MUTED, linewidth=0.8)
        held.grid(visible=False, axis="x")
        held.set_title("Mean rank IC by sessions held (± 2 errors)")
        left = np.array([np.nan if value is None else value for value in sheet.delayed])
        late.plot(range(len(DELAYS)), left, color=BLUE, linewidth=1.4, marker="o", markersize=4)
        late.set_xticks(range(len(DELAYS)), [str(delay) for delay in DELAYS])
        late.axhline(0, color=MUTED, linewidth=0.8)
        late.set_title("Mean rank IC by sessions entered late")
    return inline(out)


def quantile_figure(sheet: FactorSheet, stick: Yardstick) -> str:
    """Return each quantile's mean return over the universe's, basis points a session, by sessions held."""
    quantiles = sheet.quantile_excess.shape[1]
    shown = [h for h in dict.fromkeys((1, stick.label.horizon_sessions, stick.horizons[-1])) if h in stick.horizons]
    with canvas(HALF, 4.3, salt=f"{SALT}quantiles {sheet.factor.name}", nrows=len(shown), sharex=True) as (axes, out):
        for axis, horizon in zip(np.atleast_1d(axes), shown, strict=True):
            values = sheet.quantile_excess[stick.horizons.index(horizon)] / horizon * BPS
            axis.bar([str(place + 1) for place in range(quantiles)], values, color=QUANTILE_COLOURS, width=0.7)
            axis.axhline(0, color=MUTED, linewidth=0.8)
            axis.grid(visible=False, axis="x")
            axis.set_title(f"Bps a session over the universe, held for {horizon}")
        np.atleast_1d(axes)[-1].set_xlabel("quantile (1: lowest values)")
    return inline(out)


def growth_figure(sheet: FactorSheet, stick: Yardstick) -> str:
    """Return growth of 1 of each quantile over the universe's return, before costs."""
    with canvas(WIDE, 2.9, salt=f"{SALT}growth {sheet.factor.name}") as (axis, out):
        from matplotlib.ticker import FuncFormatter, NullFormatter

        for place, colour in enumerate(QUANTILE_COLOURS):
            axis.plot(stick.sessions, sheet.growth[:, place], color=colour, linewidth=1.3, label=str(place + 1))
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.yaxis.set_minor_formatter(NullFormatter())
        low, high = axis.get_ylim()
        ticks = FINE_TICKS if high / low < 3 else COARSE_TICKS
        axis.set_yticks([tick for tick in ticks if low <= tick <= high])
        axis.axhline(1, color=MUTED, linewidth=0.7)
        axis.set_title("Growth of 1 over the universe, by quantile (log scale)")
        axis.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=5, borderaxespad=0.2, columnspacing=1.2)
        plain_dates(axis, most=9)
        axis.margins(x=0.01)
    return inline(out)


def upkeep_figure(sheet: FactorSheet, stick: Yardstick) -> str:
    """Return turnover of the outer quantiles, rank autocorrelation and coverage over time, smoothed for the eye."""
    with canvas(WIDE, 4.6, salt=f"{SALT}upkeep {sheet.factor.name}", nrows=3, sharex=True) as (axes, out):
        from matplotlib.ticker import PercentFormatter

        turnover, persistence, coverage = axes
        for side, (colour, label) in enumerate(((RED, "lowest quantile"), (BLUE, "highest quantile"))):
            turnover.plot(stick.sessions, _smooth(sheet.turnover[:, side]), color=colour, linewidth=1.2, label=label)
        turnover.set_title(f"New names a session (mean of {SMOOTH_SESSIONS})")
        turnover.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0.2, columnspacing=1.2)
        turnover.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        turnover.set_ylim(bottom=0)
        persistence.plot(stick.sessions, _smooth(sheet.autocorrelation), color=BLUE, linewidth=1.2)
        persistence.set_title(f"Rank autocorrelation, one session apart (mean of {SMOOTH_SESSIONS})")
        coverage.plot(stick.sessions, sheet.coverage, color=BLUE, linewidth=1.2)
        coverage.set_ylim(-0.03, 1.06)
        coverage.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        coverage.set_title("Coverage: share of the universe with a value")
        plain_dates(coverage, most=9)
        coverage.margins(x=0.01)
    return inline(out)


def correlation_figure(found: SetSheet) -> str:
    """Return the map of mean rank correlations, like factors beside each other."""
    order = np.array(found.clustered)
    cells = found.correlations[np.ix_(order, order)]
    names = [found.sheets[position].factor.name for position in order]
    labelled = len(names) <= LABELLED
    size = correlation_inches(found)
    with canvas(size, size * 0.86, salt=f"{SALT}map") as (axis, out):
        from matplotlib.colors import LinearSegmentedColormap

        diverging = LinearSegmentedColormap.from_list(
            "opposite_like", [RED, "#f4d9d2", "#ffffff", "#cfe2f1", BLUE]
        ).with_extremes(bad="#eceff2")
        image = axis.imshow(
            np.ma.masked_invalid(cells), cmap=diverging, vmin=-1, vmax=1, interpolation="nearest", rasterized=True
        )
        axis.grid(visible=False)
        step = 1 if labelled else -(-len(names) // LABELLED)
        places = range(0, len(names), step)
        font = 8 if len(names) <= 25 else 6 if labelled else 5.5
        axis.set_xticks(places, [names[place] for place in places], rotation=90, fontsize=font)
        axis.set_yticks(places, [names[place] for place in places], fontsize=font)
        axis.tick_params(length=0)
        if len(names) <= 12:
            _write_cells(axis, cells)
        bar = axis.figure.colorbar(image, ax=axis, shrink=0.6, pad=0.02)
        bar.outline.set_visible(False)
        title = "Mean rank correlation" + ("" if labelled else f" (every {_nth(step)} name shown)")
        axis.set_title(title)
    return inline(out)


def correlation_inches(found: SetSheet) -> float:
    """Return how wide the map is drawn, so that letters and cells keep their size on the page."""
    return min(WIDE, 3.6 + 0.25 * len(found.sheets))


def ranking_figure(found: SetSheet, shown: int = 30) -> str:
    """Return the mean rank IC of the factors with the largest |t|, with twice its error."""
    place = found.yardstick.headline
    measured = {one.factor.name: one.rank_ic_summary[place] for one in found.sheets}
    first = [(name, measured[name].mean or 0.0, measured[name].t or 0.0) for name in found.strongest(shown)]
    with canvas(WIDE, 0.9 + 0.17 * len(first), salt=f"{SALT}ranking") as (axis, out):
        names, means = [row[0] for row in first][::-1], [row[1] for row in first][::-1]
        errors = [2 * abs(mean / t) if t else 0.0 for _, mean, t in first][::-1]
        colours = [BLUE if mean >= 0 else RED for mean in means]
        axis.barh(names, means, xerr=errors, color=colours, height=0.68, ecolor=MUTED, capsize=2)
        axis.axvline(0, color=MUTED, linewidth=0.8)
        axis.grid(visible=False, axis="y")
        axis.tick_params(axis="y", length=0, labelsize=8)
        axis.margins(y=0.02)
        what = f"the {len(first)} largest |t|" if len(first) < len(measured) else "by |t|"
        axis.set_title(f"Mean rank IC ± 2 Newey-West errors, {what}")
    return inline(out)


def _write_cells(axis: Any, cells: NDArray[np.float64]) -> None:
    for row, column in np.argwhere(np.isfinite(cells)):
        value = cells[row, column]
        colour = "white" if abs(value) > 0.75 else INK
        axis.text(
            column, row, f"{value:.2f}".replace("-", "\u2212"), ha="center", va="center", color=colour, fontsize=8
        )


def _nth(step: int) -> str:
    return {2: "second", 3: "third"}.get(step, f"{step}th")


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    means = pd.Series(values).rolling(SMOOTH_SESSIONS, min_periods=SMOOTH_SESSIONS // 2).mean()
    smoothed: NDArray[np.float64] = means.to_numpy(dtype=np.float64)
    return smoothed
