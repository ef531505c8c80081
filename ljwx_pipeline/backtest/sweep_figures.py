"""The surface of a sweep in pictures: a map for each pair of parameters, with the best variant and the cliffs marked.

Not here: the page (``sweep_page.py``), how figures look (``plot_style.py``).
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.plot_style import BLUE, GREY, INK, RED, canvas, inline

Float = NDArray[np.float64]

#: Between neighbours whose measures differ by this share of the whole sweep's range lies a cliff.
CLIFF_FRAC = 0.5
#: Cells up to which each is labelled with its value.
_LABELLED = 120
#: Values named along an axis at most.
_TICKS = 20


def surface_figures(frame: pd.DataFrame, measure: str) -> dict[str, str]:
    """Return SVG pictures of ``measure`` over the parameters of a sweep, by the parameters each is about.

    A map shows the median over the parameters that are not its axes; with one parameter it is a line, with none there
    is nothing to show. A star marks the best variant, a red edge a cliff (``CLIFF_FRAC``).

    Parameters
    ----------
    frame
        ``Sweep.frame``.
    measure
        A column of which more is better; the page says what it is.
    """
    varied = [name for name in frame.columns if "." in name and len(frame[name].unique()) > 1]
    known = frame[np.isfinite(frame[measure].to_numpy(dtype=np.float64))]
    if not varied or known.empty:
        return {}
    best = known.loc[known[measure].idxmax()]
    if len(varied) == 1:
        return {varied[0]: _line(known, varied[0], measure, best)}
    return {
        f"{one} against {other}": _map(known, one, other, measure, best)
        for one, other in itertools.combinations(varied, 2)
    }


def cliffs(cells: Float, span: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return where neighbours of a map lie on two sides of a cliff: between columns, and between rows.

    Shapes ``(rows, columns - 1)`` and ``(rows - 1, columns)``; a cell without a value has no cliff.
    """
    with np.errstate(invalid="ignore"):
        across, down = np.abs(np.diff(cells, axis=1)), np.abs(np.diff(cells, axis=0))
        return across >= CLIFF_FRAC * span, down >= CLIFF_FRAC * span


def _map(frame: pd.DataFrame, one: str, other: str, measure: str, best: pd.Series) -> str:
    table = frame.pivot_table(index=other, columns=one, values=measure, aggfunc="median", sort=True)
    cells = table.to_numpy(dtype=np.float64)
    rows, columns = cells.shape
    span = float(frame[measure].max() - frame[measure].min())
    width = min(11.0, max(8.0, 3.0 + 0.62 * columns))
    with canvas(width, 1.6 + 0.36 * rows, salt=f"sweep{one}{other}") as (axis, out):
        from matplotlib.colors import LinearSegmentedColormap

        colours = LinearSegmentedColormap.from_list("low_high", ["#f7fafc", "#cfe2f1", "#7fb0d8", BLUE])
        drawn = axis.pcolormesh(np.ma.masked_invalid(cells), cmap=colours.with_extremes(bad="#eceff2"))
        axis.grid(visible=False)
        axis.set_xticks(*_ticks(table.columns, 0.5))
        axis.set_yticks(*_ticks(table.index, 0.5))
        axis.tick_params(length=0)
        axis.set_xlabel(one)
        axis.set_ylabel(other)
        if cells.size <= _LABELLED:
            middle = np.nanmin(cells) + 0.6 * (np.nanmax(cells) - np.nanmin(cells))
            for row, column in zip(*np.nonzero(np.isfinite(cells)), strict=True):
                shade = "#ffffff" if cells[row, column] > middle else INK
                place = (column + 0.5, row + 0.3)
                axis.annotate(f"{cells[row, column]:.2f}", place, ha="center", va="center", fontsize=7, color=shade)
        across, down = cliffs(cells, span)
        for row, column in zip(*np.nonzero(across), strict=True):
            axis.plot([column + 1, column + 1], [row, row + 1], color=RED, linewidth=2.5)
        for row, column in zip(*np.nonzero(down), strict=True):
            axis.plot([column, column + 1], [row + 1, row + 1], color=RED, linewidth=2.5)
        at = (list(table.columns).index(best[one]) + 0.5, list(table.index).index(best[other]) + 0.72)
        axis.plot(*at, marker="*", markersize=9, color="#f2b134", markeredgecolor=INK, markeredgewidth=0.5)
        bar = axis.figure.colorbar(drawn, ax=axis, shrink=0.8, pad=0.02)
        bar.outline.set_visible(False)
    return inline(out)


def _line(frame: pd.DataFrame, parameter: str, measure: str, best: pd.Series) -> str:
    line = frame.groupby(parameter, sort=True)[measure].median()
    places, values = np.arange(len(line)), line.to_numpy(dtype=np.float64)
    span = float(values.max() - values.min())
    with canvas(8.0, 2.8, salt=f"sweep{parameter}") as (axis, out):
        axis.plot(places, values, color=GREY, linewidth=1, marker="o", markersize=4, markerfacecolor=BLUE)
        across, _ = cliffs(values[np.newaxis, :], span)
        for column in np.flatnonzero(across[0]) if len(values) > 2 else ():
            axis.plot(places[column : column + 2], values[column : column + 2], color=RED, linewidth=2.5)
        at = list(line.index).index(best[parameter])
        axis.plot(at, values[at], marker="*", markersize=12, color="#f2b134", markeredgecolor=INK, markeredgewidth=0.5)
        axis.set_xticks(*_ticks(line.index, 0.0))
        axis.set_xlabel(parameter)
    return inline(out)


def _ticks(values: pd.Index[Any], shift: float) -> tuple[list[float], list[str]]:
    """Return where values are named and how; every so many where there are too many to read."""
    places = range(0, len(values), -(-len(values) // _TICKS))
    return [place + shift for place in places], [_text(values[place]) for place in places]


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
