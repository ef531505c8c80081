"""A sweep as one self-contained HTML page: the best variants, how lucky the best may be, the surface and its cliffs.

Not here: the pictures (``sweep_figures.py``), what is said of luck (``promotion/sweep_verdict.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ljwx_pipeline.backtest.sweep_figures import CLIFF_FRAC
from ljwx_pipeline.page import page_environment


def render_sweep(document: Mapping[str, Any], figures: Mapping[str, str]) -> str:
    """Return the page of a sweep.

    Parameters
    ----------
    document
        What ``sweep.json`` holds.
    figures
        ``surface_figures``.
    """
    from markupsafe import Markup  # only a page needs it

    page: str = (
        page_environment("ljwx_pipeline.backtest")
        .get_template("sweep.html.j2")
        .render(
            **document,
            figures={name: Markup(svg) for name, svg in figures.items()},  # noqa: S704 - our own SVG
            cliff_frac=CLIFF_FRAC,
        )
    )
    return page
