"""Nodes: window, horizon, inputs and hash are derived from the tree."""

from __future__ import annotations

import pytest

from ljwx_pipeline.errors import FactorError
from ljwx_pipeline.expressions.nodes import Const, Expr
from ljwx_pipeline.expressions.operators import corr, field, log, mean, quantile, ref, rolling_max

CLOSE, VOLUME = field("close"), field("volume")


@pytest.mark.parametrize(
    ("expression", "window", "horizon"),
    [
        (CLOSE, 1, 0),
        (Const(1.0), 1, 0),
        (ref(CLOSE, 5), 6, 0),
        (mean(CLOSE, 5), 5, 0),
        (mean(ref(CLOSE, 1), 5), 6, 0),
        (CLOSE / mean(CLOSE, 20) + ref(CLOSE, 30), 31, 0),
        (corr(CLOSE / ref(CLOSE, 1), log(VOLUME), 60), 61, 0),
        (ref(CLOSE, -6) / ref(CLOSE, -1), 1, 6),
        (ref(ref(CLOSE, -6), 6), 1, 0),
        (mean(ref(CLOSE, -2), 5), 3, 2),
        (ref(mean(CLOSE, 5), -5), 1, 5),
    ],
)
def test_window_and_horizon_are_the_sessions_read(expression: Expr, window: int, horizon: int) -> None:
    assert (expression.window, expression.horizon) == (window, horizon)


def test_inputs_are_the_fields_read() -> None:
    assert corr(CLOSE, log(VOLUME + 1), 5).inputs == {"close", "volume"}


def test_equal_trees_are_equal_have_one_hash_and_print_alike() -> None:
    one, two = mean(CLOSE, 5) / CLOSE, mean(field("close"), 5) / field("close")
    assert one == two
    assert hash(one) == hash(two)
    assert one.hash == two.hash
    assert str(one) == "(mean(close, 5) / close)"


def test_a_changed_window_level_order_or_constant_changes_the_hash() -> None:
    trees = [
        mean(CLOSE, 5),
        mean(CLOSE, 6),
        rolling_max(CLOSE, 5),
        quantile(CLOSE, 5, 0.2),
        quantile(CLOSE, 5, 0.8),
        CLOSE - VOLUME,
        VOLUME - CLOSE,
        CLOSE + 1,
        CLOSE + 2,
        CLOSE > VOLUME,
        CLOSE >= VOLUME,
    ]
    assert len({tree.hash for tree in trees}) == len(trees)


def test_numbers_may_stand_on_either_side() -> None:
    printed = [str(tree) for tree in (2 + CLOSE, 2 - CLOSE, 2 * CLOSE, 2 / CLOSE, CLOSE * 2)]
    assert printed == ["(2.0 + close)", "(2.0 - close)", "(2.0 * close)", "(2.0 / close)", "(close * 2.0)"]


def test_a_chained_comparison_is_refused_instead_of_dropping_its_first_half() -> None:
    with pytest.raises(FactorError, match="truth value"):
        bool(field("low") < CLOSE < field("high"))


@pytest.mark.parametrize("window", [0, -3])
def test_an_empty_window_is_refused(window: int) -> None:
    with pytest.raises(FactorError, match=f"{window} sessions"):
        mean(CLOSE, window)


def test_a_quantile_level_outside_its_range_is_refused() -> None:
    with pytest.raises(FactorError, match=r"1\.5"):
        quantile(CLOSE, 5, 1.5)


def test_a_constant_that_is_not_finite_is_refused() -> None:
    with pytest.raises(FactorError, match="nan"):
        CLOSE + float("nan")
