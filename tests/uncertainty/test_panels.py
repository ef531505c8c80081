"""The promise on whole panels: simulated ones of several seeds, and real A-shares where their files are present."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import coverage as bench
from ljwx_pipeline.uncertainty.coverage import constant_width, coverage_table


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_clusters_heavy_tails_a_crash_and_a_new_regime_are_covered_in_every_group(seed: int):
    panel = bench.simulated_panel(120, 1_300, seed=seed)
    found = bench.figures(panel, bench.walked_panel(panel))
    assert 0.88 <= found["total"]["covered_frac"] <= 0.92
    assert found["outside"] == []
    assert found["groups"]["industry"] >= 8
    assert found["total"]["rows"] > 0.85 * panel.scores.size
    assert found["total"]["mean_score"] < found["constant_width"]["mean_score"]
    assert found["holds"]


def test_without_feedback_the_same_panels_are_not_covered_in_every_year():
    """What the feedback is for: the widths of the constant rival miss whole years."""
    panel = bench.simulated_panel(120, 1_300, seed=11)
    still = constant_width(bench.PARAMS, panel.outcomes, unit=bench.UNIT)
    table = coverage_table(still.lower, still.upper, panel.outcomes, coverage=0.9, groups={"year": panel.years})
    assert not all(0.85 <= row.covered_frac <= 0.95 for row in table[1:])


def test_every_symbol_moved_to_another_place_keeps_its_interval():
    panel = bench.simulated_panel(40, 300)
    order = np.random.default_rng(1).permutation(40)
    moved = bench.MeasuredPanel(
        panel.scores[order],
        panel.scales[order],
        panel.outcomes[order],
        {name: codes[order] for name, codes in panel.groups.items()},
        panel.years[order],
        panel.names,
    )
    here, there = bench.walked_panel(panel), bench.walked_panel(moved)
    assert np.isfinite(here.lower).sum() > 5_000
    np.testing.assert_allclose(there.lower, here.lower[order], rtol=1e-9)
    np.testing.assert_allclose(there.upper, here.upper[order], rtol=1e-9)


def test_the_line_s_own_scores_out_of_sample_are_covered_and_the_row_tells_where_not():
    found = bench.walk_forward_figures(quick=True)
    assert found["rows"] > 40_000
    assert 0.88 <= found["coverage_frac"] <= 0.92
    assert set(found["covered_from_to"]) >= {"year", "volatility"}
    assert found["holds"], found["outside"]


@pytest.mark.parametrize(
    ("changes", "holds", "outside"),
    [
        ({}, True, []),
        ({"coverage_frac": 0.925}, False, []),
        ({"coverage_frac": 0.87}, False, []),
        ({"constant_interval_score": 0.19}, False, []),
        ({"groups_judged": 0, "groups": []}, False, []),
        ({"covered_frac": 0.96}, False, ["year 2024: 0.9600 of 5000"]),
    ],
)
def test_the_goal_of_the_row_can_fail(changes: dict[str, Any], holds: bool, outside: list[str]):
    group = {"grouping": "year", "name": "2024", "rows": 5_000, "judged": True, "covered_frac": 0.9}
    group |= {name: value for name, value in changes.items() if name in group}
    found = {
        "rows": 9_000, "coverage_frac": 0.9, "nominal_frac": 0.9, "below_frac": 0.05, "above_frac": 0.05,
        "mean_width": 0.2, "interval_score": 0.2, "constant_interval_score": 0.3, "groups_judged": 1,
        "groups": [group],
    } | changes  # fmt: skip
    judged = bench.walk_forward_judged(found)
    assert (judged["holds"], judged["outside"]) == (holds, outside)


@pytest.mark.real_data
def test_real_a_shares_are_covered_in_every_year_industry_and_volatility_group(real_data_dir: Path):
    panel = bench.real_panel(real_data_dir)
    if panel is None:
        pytest.skip("the real A-share panel or its table of industries is not among the real data")
    for judged in (panel, bench.excess(panel)):
        found = bench.figures(judged, bench.walked_panel(judged))
        assert found["total"]["rows"] > 700_000
        assert found["groups"] == {"year": 11, "industry": 63, "volatility": 3}
        assert 0.88 <= found["total"]["covered_frac"] <= 0.92
        assert found["outside"] == []
        for rival in ("constant_width", "constant_width_adaptive"):
            assert found["total"]["mean_score"] < found[rival]["mean_score"]
