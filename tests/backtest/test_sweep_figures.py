"""The surface has a map a pair of parameters, its best starred and its cliffs marked where they are."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pandas as pd

from ljwx_pipeline.backtest.sweep_figures import cliffs, surface_figures
from ljwx_pipeline.plot_style import RED


def frame(values: dict[tuple[int, ...], float], names: list[str]) -> pd.DataFrame:
    table = pd.DataFrame(list(values), columns=names)
    return table.assign(
        name=[str(key) for key in values], variant_hash=table.index.astype(str), sharpe=list(values.values())
    )


def test_a_cliff_is_where_neighbours_are_half_the_range_apart() -> None:
    cells = np.array([[0.0, 0.1, 1.0], [0.0, np.nan, 0.4]])
    across, down = cliffs(cells, 1.0)
    assert across.tolist() == [[False, True], [False, False]]
    assert down.tolist() == [[False, False, True]]


def test_each_pair_of_parameters_has_a_map_and_one_alone_a_line() -> None:
    smooth = {key: float(sum(key)) for key in itertools.product((1, 2, 3, 4), (1, 2, 3, 4), (1, 2, 3, 4))}
    names = ["strategy.top_k", "strategy.n_drop", "costs.slippage_bps"]
    found = surface_figures(frame(smooth, names), "sharpe")
    assert list(found) == [f"{a} against {b}" for a, b in itertools.combinations(names, 2)]
    assert all(svg.startswith("<svg") and RED not in svg for svg in found.values())
    line = surface_figures(frame({(1,): 0.1, (2,): 0.2, (3,): 0.9}, ["strategy.top_k"]), "sharpe")
    assert list(line) == ["strategy.top_k"]
    assert RED in line["strategy.top_k"]


def test_a_peak_among_cliffs_is_edged_on_every_side() -> None:
    peak = dict.fromkeys(itertools.product((1, 2, 3), (1, 2, 3)), 0.0) | {(2, 2): 2.0}
    svg = surface_figures(frame(peak, ["strategy.top_k", "strategy.n_drop"]), "sharpe")
    assert len(re.findall(f"stroke: {RED}", svg["strategy.top_k against strategy.n_drop"])) == 4


def test_what_was_not_varied_or_never_traded_has_no_picture() -> None:
    assert surface_figures(frame({(1,): 0.5}, ["strategy.top_k"]), "sharpe") == {}
    nothing = frame({(1,): np.nan, (2,): np.nan}, ["strategy.top_k"])
    assert surface_figures(nothing, "sharpe") == {}
    holes = frame({(1, 1): 0.5, (2, 2): 0.7, (1, 2): np.nan}, ["strategy.top_k", "strategy.n_drop"])
    assert len(surface_figures(holes, "sharpe")) == 1


def test_the_same_sweep_gives_the_same_bytes() -> None:
    table = frame({(1, 1): 0.5, (2, 2): 0.7, (1, 2): 0.1, (2, 1): 0.2}, ["strategy.top_k", "strategy.n_drop"])
    assert surface_figures(table, "sharpe") == surface_figures(table, "sharpe")
