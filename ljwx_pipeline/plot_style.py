"""How every figure looks: the colours they share, and SVG text that can stand inside HTML, the same bytes each time.

No script, nothing to fetch. Not here: the figures (``quality/figures.py``, ``research/figures.py``,
``evaluation/figures.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

INK, MUTED, GRID = "#1f2933", "#66727f", "#e3e8ee"
BLUE, RED, ORANGE, GREY = "#1f5fa8", "#c2513f", "#c9772b", "#8b95a1"

#: matplotlib settings of every figure.
STYLE = {
    "font.family": "DejaVu Sans",  # ships with matplotlib
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": "#b8c2cc",
    "axes.labelcolor": MUTED,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
    "svg.fonttype": "path",
}


@contextmanager
def canvas(width: float, height: float, *, salt: str = "", **subplots: Any) -> Iterator[tuple[Any, StringIO]]:
    """Yield the axes of a figure of ``width`` by ``height`` inches, and what its SVG is written to afterwards.

    Parameters
    ----------
    salt
        Tells figures of one layout apart: no two figures of a page may share an id.
    subplots
        As ``matplotlib.figure.Figure.subplots`` takes them.
    """
    # matplotlib takes half a second to import, and only reports need it; no pyplot, so no global state or display
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    out = StringIO()
    # ids inside the SVG are hashed with the salt
    style: Any = {**STYLE, "svg.hashsalt": f"{salt}{width}x{height}{sorted(subplots)}"}
    with rc_context(style):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure.subplots(**subplots), out
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})


def inline(out: StringIO) -> str:
    """Return the ``<svg>`` element without the XML prologue, scaled by the page instead of by points."""
    text = out.getvalue()
    text = text[text.index("<svg") :]
    head, rest = text.split(">", 1)
    kept = [part for part in head.split() if not part.startswith(("width=", "height="))]
    return f"{' '.join(kept)}>{rest}"


def plain_dates(axis: Any, *, most: int = 7) -> None:
    """Label the dates below ``axis`` as short as they can be, at ``most`` places."""
    import matplotlib.dates

    dates: Any = matplotlib.dates  # its classes carry no types
    locator = dates.AutoDateLocator(minticks=3, maxticks=most)
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
