"""The analysis as one page that needs nothing else: style, tables and pictures in one HTML file.

Not here: the pictures (``figures.py``), the same on a terminal (``text.py``).
"""

from __future__ import annotations

from ljwx_pipeline.live.analysis.analysis import TradeAnalysis, cny
from ljwx_pipeline.live.analysis.figures import figures, parts
from ljwx_pipeline.live.analysis.svg import COLOURS
from ljwx_pipeline.page import page_environment

#: Rows of the table of differing orders that a page shows; the JSON holds all.
SHOWN_GAPS = 40


def analysis_page(found: TradeAnalysis, *, account: str) -> str:
    """Return the page; ``account`` says whose trades they are."""
    return str(
        page_environment("ljwx_pipeline.live.analysis")
        .get_template("analysis.html.j2")
        .render(
            found=found,
            account=account,
            figures=figures(found),
            colours=dict(zip(parts(found.shortfalls[0]), COLOURS, strict=False)),
            cost_colours=dict(zip(found.cost_splits[0].parts, COLOURS, strict=False)),
            line_colours={"live": COLOURS[0], "backtest": COLOURS[1]},
            cny=cny,
            shown_gaps=SHOWN_GAPS,
        )
    )
