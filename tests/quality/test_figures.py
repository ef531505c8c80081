"""Figures of quality and of evaluation look alike, can stand on one page, and are the same bytes each time."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from ljwx_pipeline import plot_style
from ljwx_pipeline.evaluation import figures as evaluation
from ljwx_pipeline.quality import figures as quality

COUNTS = pd.DataFrame({"check": ["a", "b"], "severity": ["warn", "error"], "rows": [3, 4]})


def ids(svg: str) -> set[str]:
    return set(re.findall(r'id="([a-z0-9]{11,})"', svg))


def test_both_draw_on_the_one_canvas() -> None:
    assert quality.canvas is evaluation.canvas is plot_style.canvas
    assert quality.COLOURS["error"] == evaluation.LOSS


def test_figures_of_one_layout_share_no_id_between_the_two() -> None:
    drawn = []
    for salt in ("", quality.SALT):
        with plot_style.canvas(4, 2, salt=salt) as (axis, out):
            axis.plot([1, 2], [1, 2])
        drawn.append(ids(plot_style.inline(out)))
    assert drawn[0]
    assert not drawn[0] & drawn[1]


def test_a_figure_is_the_same_bytes_each_time_and_the_page_scales_it() -> None:
    for figure in (lambda: quality.breach_figure(COUNTS), lambda: evaluation.quantile_figure(np.arange(5.0))):
        svg = figure()
        assert svg == figure()
        assert svg.startswith("<svg ")
        assert " width=" not in svg.split(">", 1)[0]
