"""A grid becomes variants, each checked and named before anything runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ljwx_pipeline.backtest.sweep_variants import Grid, Variant, dotted_name, expand_grid
from ljwx_pipeline.config import Settings
from ljwx_pipeline.errors import ConfigError


def expand(settings: Settings, grid: Grid) -> tuple[Variant, ...]:
    return expand_grid(grid, strategy=settings.strategy, costs=settings.costs)


def test_every_combination_is_a_variant_and_the_last_axis_turns_fastest(settings: Settings) -> None:
    found = expand(settings, {"top_k": [10, 20], "strategy.n_drop": [1, 3], "costs.slippage_bps": [0.0]})
    assert [(v.strategy.top_k, v.strategy.n_drop) for v in found] == [(10, 1), (10, 3), (20, 1), (20, 3)]
    assert found[1].name == "top_k=10 n_drop=3 slippage_bps=0.0"
    assert found[1].parameters == (
        ("strategy.top_k", 10),
        ("strategy.n_drop", 3),
        ("costs.slippage_bps", 0.0),
    )
    assert {v.costs.commission_frac for v in found} == {settings.costs.commission_frac}
    assert len({v.hash for v in found}) == 4


def test_a_variant_is_its_settings_whatever_it_is_called(settings: Settings) -> None:
    one, other = expand(settings, {"top_k": [10, 20]})
    assert replace(one, name="mine", parameters=()).hash == one.hash != other.hash
    assert expand(settings, {"top_k": [20, 10]})[1].hash == one.hash
    assert expand(settings, {})[0].hash == expand(settings, {"top_k": [settings.strategy.top_k]})[0].hash


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ({"top_k": [10, 0]}, "variant top_k=0: top_k = 0 is refused"),
        ({"top_k": [10.5]}, "variant top_k=10.5: top_k = 10.5 is refused"),
        (
            {"top_k": [2, 5], "n_drop": [1, 3]},
            "variant top_k=2 n_drop=3: n_drop = 3 replaces more names than top_k = 2",
        ),
        ({"top_k": [10], "slippage_bps": [5.0, 900.0]}, "variant top_k=10 slippage_bps=900.0: slippage_bps = 900.0"),
        (
            {"min_hold_sessions": [5], "exits.max_hold_sessions": [3]},
            "variant min_hold_sessions=5 exits.max_hold_sessions=3: strategy.exits.max_hold_sessions = 3 is below",
        ),
        (
            {"kind": ["topk_dropout", "long_short"]},
            "variant kind=long_short: strategy.kind = long_short makes no orders",
        ),
        ({"topk": [10]}, "the grid names 'topk', which no setting has"),
        ({"gate.min_sharpe": [1.0]}, "the grid names 'gate.min_sharpe'"),
        ({"top_k": []}, "the grid's top_k has no value"),
        ({"top_k": [10, 20, 10]}, "the grid's top_k has 10 twice"),
        ({"top_k": [10], "strategy.top_k": [20]}, "the grid names strategy.top_k twice"),
        ({"top_k": range(1, 1001), "slippage_bps": [i / 10 for i in range(200)]}, "has 200,000 variants"),
    ],
)
def test_a_grid_that_cannot_be_run_is_refused_by_name(settings: Settings, grid: Grid, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        expand(settings, grid)
    assert words in str(refused.value)


def test_nested_settings_and_the_strategy_itself_may_be_varied(settings: Settings) -> None:
    found = expand(settings, {"kind": ["topk_dropout", "score_weighted"], "exits.stop_loss_frac": [0.0, 0.1]})
    assert [(v.strategy.kind, v.strategy.exits.stop_loss_frac) for v in found][1] == ("topk_dropout", 0.1)
    assert found[3].name == "kind=score_weighted exits.stop_loss_frac=0.1"
    assert settings.strategy.exits.stop_loss_frac == 0.0, "the settings varied are not the caller's own"
    weighted = settings.strategy.model_copy(update={"kind": "score_weighted"})
    few = {"top_k": [2], "n_drop": [3]}
    assert len(expand_grid(few, strategy=weighted, costs=settings.costs)) == 1, "it reads no n_drop"


def test_a_bare_name_is_found_where_it_is(settings: Settings) -> None:
    assert dotted_name("top_k") == "strategy.top_k"
    assert dotted_name("slippage_bps") == "costs.slippage_bps"
    with pytest.raises(ConfigError, match=r"choose among .*strategy\.top_k"):
        dotted_name("strategy")
