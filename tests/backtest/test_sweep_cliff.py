"""The cliff looks at the nearest neighbour on each side of each parameter, and at nothing else."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from ljwx_pipeline.backtest.sweep_cliff import cliff
from ljwx_pipeline.errors import ConfigError


def frame() -> pd.DataFrame:
    table = {(10, 1): 1.0, (20, 1): 1.2, (50, 1): 0.2, (10, 3): 0.9, (20, 3): 2.0, (50, 3): 1.5, (90, 3): -3.0}
    return pd.DataFrame(
        {
            "name": [f"top_k={k} n_drop={n}" for k, n in table],
            "variant_hash": [f"h{k}-{n}" for k, n in table],
            "strategy.top_k": [k for k, _ in table],
            "strategy.n_drop": [n for _, n in table],
            "sharpe": list(table.values()),
        }
    )


def test_neighbours_differ_in_one_parameter_by_one_step() -> None:
    found = cliff(frame(), "top_k=20 n_drop=3")
    assert {(n.parameter, n.value): pytest.approx(n.fall) for n in found.neighbours} == {
        ("strategy.top_k", 10): 1.1,
        ("strategy.top_k", 50): 0.5,
        ("strategy.n_drop", 1): 0.8,
    }
    assert found.worst is not None
    assert found.worst.name == "top_k=10 n_drop=3"
    assert found.worst_fall_frac == pytest.approx(0.55)
    assert found.mean_fall_frac == pytest.approx(0.4)


def test_a_variant_is_chosen_by_name_hash_or_parameters() -> None:
    by_name = cliff(frame(), "top_k=20 n_drop=3")
    assert cliff(frame(), "h20-3") == by_name
    assert cliff(frame(), {"strategy.top_k": 20, "strategy.n_drop": 3}) == by_name
    with pytest.raises(ConfigError, match="0 variants"):
        cliff(frame(), "top_k=21 n_drop=3")
    with pytest.raises(ConfigError, match="2 variants"):
        cliff(frame(), {"strategy.top_k": 20})
    with pytest.raises(ConfigError, match=r"did not vary costs\.x"):
        cliff(frame(), {"costs.x": 1})


def test_a_negative_value_still_falls_by_a_positive_fraction() -> None:
    table = frame()
    table["sharpe"] -= 3.0
    found = cliff(table, "h20-3")
    assert found.worst_fall_frac == pytest.approx(1.1)


def test_a_neighbour_that_never_traded_has_fallen_to_zero() -> None:
    table = frame()
    table.loc[table["variant_hash"] == "h10-3", "sharpe"] = float("nan")
    assert cliff(table, "h20-3").worst_fall_frac == pytest.approx(1.0)
    with pytest.raises(ConfigError, match="does not exist"):
        cliff(table, "h10-3")


def test_words_and_switches_are_all_neighbours_of_one_another() -> None:
    table = pd.DataFrame(
        {
            "name": ["a", "b", "c"],
            "variant_hash": ["1", "2", "3"],
            "strategy.kind": ["topk", "weighted", "short"],
            "sharpe": [2.0, 1.0, 1.5],
        }
    )
    assert [n.value for n in cliff(table, "a").neighbours] == ["weighted", "short"]


def test_a_variant_without_neighbours_has_no_cliff() -> None:
    found = cliff(frame().iloc[:1], "h10-1")
    assert found.neighbours == ()
    assert found.worst is None
    assert math.isnan(found.worst_fall_frac)
    assert math.isnan(found.mean_fall_frac)
