"""Operators: each beside numpy on one window, and the NaN policy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ljwx_pipeline.expressions import operators as op
from ljwx_pipeline.expressions.evaluate import evaluate
from ljwx_pipeline.expressions.nodes import Expr
from ljwx_pipeline.market.panel import Panel

X, Y = op.field("x"), op.field("y")
NAN = float("nan")


def values_of(expression: Expr, x: list[float], y: list[float] | None = None) -> np.ndarray:
    fields = {"x": np.array([x], dtype=float), "y": np.array([y or x], dtype=float)}
    panel = Panel(("600000.SH",), pd.bdate_range("2020-01-02", periods=len(x)), fields)
    return evaluate({"e": expression}, panel, dtype=np.float64).of("e")[0]


@pytest.mark.parametrize(
    ("expression", "want"),
    [
        (X + Y, [3, NAN, NAN]),
        (X - Y, [-1, NAN, NAN]),
        (X * Y, [2, NAN, NAN]),
        (X / Y, [0.5, NAN, NAN]),
        (X > Y, [0, NAN, NAN]),
        (X < Y, [1, NAN, NAN]),
        (X >= 1, [1, NAN, 1]),
        (X <= 1, [1, NAN, 0]),
        (op.greater(X, Y), [2, NAN, NAN]),
        (op.greater(Y, X), [2, NAN, NAN]),
        (op.less(X, Y), [1, NAN, NAN]),
        (op.less(Y, X), [1, NAN, NAN]),
        (op.absolute(X - 2), [1, NAN, 2]),
        (op.ref(X, 1), [NAN, 1, NAN]),
        (op.ref(X, -1), [NAN, 4, NAN]),
        (op.ref(X, 0), [1, NAN, 4]),
        (X / 0, [NAN, NAN, NAN]),
        (op.log(X - 1), [NAN, NAN, np.log(3)]),
    ],
)
def test_elementwise_operations_and_their_nan(expression: Expr, want: list[float]) -> None:
    np.testing.assert_allclose(values_of(expression, [1, NAN, 4], [2, 5, NAN]), want)


def test_an_infinite_input_counts_as_missing() -> None:
    np.testing.assert_allclose(values_of(op.rolling_sum(X, 2), [1, float("inf"), 3]), [1, 1, 3])


def test_a_window_of_one_session_is_the_value_itself() -> None:
    x = [1.0, NAN, 3.0]
    for expression in (op.rolling_sum(X, 1), op.mean(X, 1), op.rolling_max(X, 1), op.quantile(X, 1, 0.5)):
        np.testing.assert_allclose(values_of(expression, x), x)
    np.testing.assert_allclose(values_of(op.rank(X, 1), x), [1, NAN, 1])
    np.testing.assert_allclose(values_of(op.idx_min(X, 1), x), [1, NAN, 1])
    assert np.isnan(values_of(op.std(X, 1), x)).all()


def test_equal_extremes_give_the_earliest_position() -> None:
    assert values_of(op.idx_max(X, 4), [1, 7, 7, 2])[-1] == 2
    assert values_of(op.idx_min(X, 4), [1, 0, 3, 0])[-1] == 2


def test_a_flat_series_has_no_rsquare_and_no_correlation() -> None:
    flat, rising = [3.0] * 6, [1.0, 2, 4, 5, 7, 9]
    assert np.isnan(values_of(op.rsquare(X, 5), flat)).all()
    assert np.isnan(values_of(op.corr(X, Y, 5), flat, rising)).all()
    assert values_of(op.std(X, 5), flat)[-1] == 0.0
    assert values_of(op.slope(X, 5), flat)[-1] == 0.0


def test_correlation_uses_the_sessions_where_both_are_known() -> None:
    x, y = [1, 2, NAN, 4, 5.5], [2, NAN, 3, 1, 7.0]
    want = np.corrcoef([1, 4, 5.5], [2, 1, 7])[0, 1]
    assert values_of(op.corr(X, Y, 5), x, y)[-1] == pytest.approx(want)


WINDOWED = {
    "sum": (op.rolling_sum, lambda w, k: k.sum() if len(k) else NAN),
    "mean": (op.mean, lambda w, k: k.mean() if len(k) else NAN),
    "std": (op.std, lambda w, k: k.std(ddof=1) if len(k) > 1 else NAN),
    "max": (op.rolling_max, lambda w, k: k.max() if len(k) else NAN),
    "min": (op.rolling_min, lambda w, k: k.min() if len(k) else NAN),
    "idx_max": (op.idx_max, lambda w, k: np.nanargmax(w) + 1 if len(k) else NAN),
    "idx_min": (op.idx_min, lambda w, k: np.nanargmin(w) + 1 if len(k) else NAN),
    "median": (lambda x, n: op.quantile(x, n, 0.5), lambda w, k: np.median(k) if len(k) else NAN),
    "quantile": (lambda x, n: op.quantile(x, n, 0.37), lambda w, k: np.quantile(k, 0.37) if len(k) else NAN),
    "rank": (op.rank, lambda w, k: pd.Series(w).rank(pct=True).iloc[-1]),
    "slope": (op.slope, lambda w, k: np.polyfit(np.flatnonzero(~np.isnan(w)), k, 1)[0] if len(k) > 1 else NAN),
}


@pytest.mark.parametrize("name", WINDOWED)
@settings(max_examples=25, deadline=None)
@given(
    x=st.lists(st.one_of(st.just(NAN), st.integers(-9, 9).map(float)), min_size=1, max_size=40),
    window=st.integers(1, 33),
)
def test_every_window_length_equals_numpy_on_the_last_sessions(name: str, x: list[float], window: int) -> None:
    ours, numpys = WINDOWED[name]
    padded = np.array([NAN] * (window - 1) + x)
    want = [numpys(w, w[~np.isnan(w)]) for w in np.lib.stride_tricks.sliding_window_view(padded, window)]
    np.testing.assert_allclose(values_of(ours(X, window), x), want, rtol=1e-9, atol=1e-9)
