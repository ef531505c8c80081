"""Operators of values, logic and windows beside numpy and pandas on one window, and what they do with NaN."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ljwx_pipeline.errors import FactorError
from ljwx_pipeline.expressions import operators as op
from ljwx_pipeline.expressions.evaluate import evaluate
from ljwx_pipeline.expressions.nodes import Const, Expr
from ljwx_pipeline.expressions.operations import Kind
from ljwx_pipeline.market.panel import Panel
from tests.fakes.panels import random_panel

X, Y = op.field("x"), op.field("y")
F, G = op.field("f", Kind.FLAG), op.field("g", Kind.FLAG)
CLASS = op.field("industry")
NAN = float("nan")
THREE = [1.0, 0.0, NAN]


def values_of(expression: Expr, x: list[float], y: list[float] | None = None, **more: list[float]) -> np.ndarray:
    fields = {name: np.array([row], dtype=float) for name, row in {"x": x, "y": y or x, **more}.items()}
    panel = Panel(("600000.SH",), pd.bdate_range("2020-01-02", periods=len(x)), fields)
    return evaluate({"e": expression}, panel, dtype=np.float64).of("e")[0]


@pytest.mark.parametrize(
    ("expression", "want"),
    [
        (op.exp(X), [math.exp(-4), 1, math.exp(2), NAN]),
        (op.exp(X * 400), [0, 1, NAN, NAN]),
        (op.sqrt(X), [NAN, 0, math.sqrt(2), NAN]),
        (op.sign(X), [-1, 0, 1, NAN]),
        (op.power(X, 2), [16, 0, 4, NAN]),
        (op.power(X, 0), [1, 1, 1, NAN]),
        (op.power(X, 0.5), [NAN, 0, math.sqrt(2), NAN]),
        (op.power(X, -1), [-0.25, NAN, 0.5, NAN]),
        (op.power(1, X), [1, 1, 1, NAN]),
        (op.signed_power(X, 0.5), [-2, 0, math.sqrt(2), NAN]),
        (op.signed_power(X, -1), [-0.25, NAN, 0.5, NAN]),
        (op.clip(X, -1, 1), [-1, 0, 1, NAN]),
        (op.rounded(X / 8, 2), [-0.5, 0, 0.25, NAN]),
        (op.rounded(X / 8, 1), [-0.5, 0, 0.2, NAN]),
        (op.rounded(X * 2.0**60 / 3, 2), [-4 * 2.0**60 / 3, 0, 2 * 2.0**60 / 3, NAN]),
        (op.equal(X, 2), [0, 0, 1, NAN]),
        (op.delta(X, 1), [NAN, 4, 2, NAN]),
        (-X, [4, 0, -2, NAN]),
        (op.is_known(X), [1, 1, 1, 0]),
        (op.fill(X, 7), [-4, 0, 2, 7]),
        (op.where(X > 0, X, -1), [-1, -1, 2, NAN]),
        (op.where(X > 0, op.log(X), 0), [0, 0, math.log(2), NAN]),
        (op.mask(X, X < 1), [-4, 0, NAN, NAN]),
        (op.mask(X, op.not_(X < 1)), [NAN, NAN, 2, NAN]),
    ],
)
def test_values_of_one_session_and_their_nan(expression: Expr, want: list[float]) -> None:
    np.testing.assert_allclose(values_of(expression, [-4, 0, 2, NAN]), want)


def test_and_and_or_know_an_answer_where_one_side_settles_it() -> None:
    left, right = [a for a in THREE for _ in THREE], THREE * 3
    x = [0.0] * 9
    np.testing.assert_array_equal(values_of(F & G, x, f=left, g=right), [1, 0, NAN, 0, 0, 0, NAN, 0, NAN])
    np.testing.assert_array_equal(values_of(F | G, x, f=left, g=right), [1, 1, 1, 1, 0, NAN, 1, NAN, NAN])
    np.testing.assert_array_equal(values_of(~F, x[:3], f=THREE), [0, 1, NAN])
    assert (op.and_(F, G), op.or_(F, G), op.not_(F)) == (F & G, F | G, ~F)


def test_rounding_makes_equals_of_what_differs_by_rounding_noise() -> None:
    noisy = [0.1 + 0.2, 0.3, 1 / 3 + 1 / 3 + 1 / 3, 1.0]
    assert values_of(op.rank(X, 2), noisy)[1] == 0.5
    np.testing.assert_array_equal(values_of(op.rank(op.rounded(X, 12), 2), noisy)[[1, 3]], [0.75, 0.75])


def test_an_unknown_condition_chooses_nothing() -> None:
    np.testing.assert_array_equal(values_of(op.where(F, 1, 2), [0.0] * 3, f=THREE), [1, 2, NAN])


def test_categories_may_be_compared_shifted_and_chosen() -> None:
    moved = op.equal(CLASS, op.ref(CLASS, 1))
    np.testing.assert_array_equal(values_of(moved, [0.0] * 4, industry=[3, 3, NAN, 4]), [NAN, 1, NAN, NAN])
    for expression in (op.ref(CLASS, 1), op.last_known(CLASS, 5), op.where(F, CLASS, CLASS), op.mask(CLASS, F)):
        assert expression.kind is Kind.CATEGORY


def known(w: np.ndarray) -> np.ndarray:
    return w[~np.isnan(w)]


def at_least(count: int, statistic):
    return lambda w: statistic(pd.Series(known(w))) if len(known(w)) >= count else NAN


def spread(count: int, statistic):
    """Of windows whose known values are not all equal."""
    return lambda w: statistic(pd.Series(known(w))) if len(known(w)) >= count and np.ptp(known(w)) > 0 else NAN


def weighted(weights):
    def mean(w: np.ndarray) -> float:
        used = weights(len(w))[~np.isnan(w)]
        return float((used * known(w)).sum() / used.sum()) if len(used) else NAN

    return mean


def run_length(w: np.ndarray) -> float:
    if np.isnan(w[-1]):
        return NAN
    falses = np.flatnonzero(known(w) == 0)
    return float(len(known(w)) - (falses[-1] + 1 if len(falses) else 0))


def since(w: np.ndarray) -> float:
    trues = np.flatnonzero((w != 0) & ~np.isnan(w))
    return float(len(w) - 1 - trues[-1]) if len(trues) else NAN


def zscore(w: np.ndarray) -> float:
    return spread(2, lambda s: (w[-1] - s.mean()) / s.std())(w)


WINDOWED = {
    "product": (op.product, at_least(1, lambda s: s.prod())),
    "var": (op.var, at_least(2, lambda s: s.var())),
    "skew": (op.skew, spread(3, lambda s: s.skew())),
    "kurt": (op.kurt, spread(4, lambda s: s.kurt())),
    "mean_deviation": (op.mean_deviation, at_least(1, lambda s: (s - s.mean()).abs().mean())),
    "zscore": (op.zscore, zscore),
    "median": (op.median, at_least(1, lambda s: s.median())),
    "decay_linear": (op.decay_linear, weighted(lambda n: np.arange(1.0, n + 1))),
    "ema": (op.ema, weighted(lambda n: (1 - 2 / (n + 1)) ** np.arange(n - 1, -1, -1.0))),
    "ema of a given weight": (
        lambda x, n: op.ema(x, n, alpha=0.3),
        weighted(lambda n: 0.7 ** np.arange(n - 1.0, -1, -1)),
    ),
    "coverage": (op.coverage, lambda w: len(known(w)) / len(w)),
    "last_known": (op.last_known, lambda w: known(w)[-1] if len(known(w)) else NAN),
    "count": (lambda x, n: op.count(x > 0, n), at_least(1, lambda s: (s > 0).sum())),
    "sessions_since": (lambda x, n: op.sessions_since(x > 2, n), lambda w: since(np.where(np.isnan(w), NAN, w > 2))),
    "streak": (lambda x, n: op.streak(x > -3, n), lambda w: run_length(np.where(np.isnan(w), NAN, w > -3))),
}
ROWS = st.lists(st.one_of(st.just(NAN), st.integers(-9, 9).map(float)), min_size=1, max_size=40)


@pytest.mark.parametrize("name", WINDOWED)
@settings(max_examples=25, deadline=None)
@given(x=ROWS, window=st.integers(1, 33))
def test_every_window_length_equals_the_oracle_on_the_last_sessions(name: str, x: list[float], window: int) -> None:
    ours, oracle = WINDOWED[name]
    padded = np.array([NAN] * (window - 1) + x)
    want = [oracle(w) for w in np.lib.stride_tricks.sliding_window_view(padded, window)]
    np.testing.assert_allclose(values_of(ours(X, window), x), want, rtol=1e-8, atol=1e-9)


def slope_and_rest(left: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    deviation = right - right.mean()
    slope = (deviation * left).sum() / (deviation**2).sum()
    rest = left - left.mean() - slope * deviation
    return slope, math.sqrt((rest**2).sum() / (len(left) - 2)) if len(left) > 2 else NAN


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.tuples(*(st.one_of(st.just(NAN), st.integers(-9, 9).map(float)) for _ in "xy")), min_size=1),
    window=st.integers(1, 20),
)
def test_statistics_of_pairs_use_the_sessions_where_both_are_known(
    rows: list[tuple[float, float]], window: int
) -> None:
    x, y = (list(column) for column in zip(*rows, strict=True))
    got = {
        name: values_of(f(X, Y, window), x, y)
        for name, f in (("cov", op.cov), ("beta", op.beta), ("rest", op.resid_std))
    }
    for t in range(len(x)):
        low = max(0, t - window + 1)
        left, right = np.array(x[low : t + 1]), np.array(y[low : t + 1])
        both = ~np.isnan(left) & ~np.isnan(right)
        left, right = left[both], right[both]
        flat = len(left) < 2 or np.ptp(right) == 0
        want = (NAN, NAN) if flat else slope_and_rest(left, right)
        cov = np.cov(left, right)[0, 1] if len(left) > 1 else NAN
        np.testing.assert_allclose([got["cov"][t], got["beta"][t], got["rest"][t]], [cov, *want], rtol=1e-8, atol=1e-7)


@pytest.mark.parametrize("value", [0.1, 3.7e9, -1e-7])
def test_a_flat_window_has_no_shape_however_its_mean_is_rounded(value: float) -> None:
    for expression in (op.skew(X, 7), op.kurt(X, 7), op.zscore(X, 7), op.beta(Y, X, 7), op.resid_std(Y, X, 7)):
        assert np.isnan(values_of(expression, [value] * 9, [1.0, 2, 5, 3, 4, 9, 8, 1, 2])).all(), expression


def test_an_average_of_weight_one_is_the_value_itself() -> None:
    np.testing.assert_array_equal(values_of(op.ema(X, 5, alpha=1.0), [1, NAN, 3]), [1, NAN, 3])


REFUSED = [
    (lambda: op.and_(X > 0, X), "and wants a flag, and x is a number"),
    (lambda: op.not_(X + 1), r"not wants a flag, and \(x \+ 1.0\) is a number"),
    (lambda: op.where(X, 1, 2), "where wants a flag, and x is a number"),
    (lambda: op.streak(X, 5), "streak wants a flag, and x is a number"),
    (lambda: op.count(X - 1, 5), r"count wants a flag, and \(x - 1.0\) is a number"),
    (lambda: CLASS + 1, r"\+ wants numbers, and industry is a category"),
    (lambda: op.mean(CLASS, 5), "mean wants numbers, and industry is a category"),
    (lambda: op.corr(CLASS, X, 5), "corr wants numbers, and industry is a category"),
    (lambda: op.equal(CLASS, 3), "== wants numbers, and industry is a category"),
    (lambda: op.cs_rank(CLASS), "cs_rank wants numbers, and industry is a category"),
    (lambda: op.group_rank(X, F), "group_rank wants a category to group by, and f is a flag"),
    (lambda: op.neutralise(X, by=X), "neutralise wants a category to group by, and x is a number"),
    (lambda: op.neutralise(X), "names nothing to take out"),
    (lambda: op.neutralise(X, CLASS), "neutralise wants numbers, and industry is a category"),
    (lambda: op.fill(X, Y), "fill wants a constant, and y is none"),
    (lambda: op.fill(F, 2), "f is a flag and cannot be 2.0"),
    (lambda: op.fill(CLASS, 0), "fill wants numbers, and industry is a category"),
    (lambda: op.winsorise(X, 0.9, 0.1), "winsorise levels 0.9 and 0.1 are no range"),
    (lambda: op.winsorise_mad(X, 0), "winsorise_mad at 0 deviations"),
    (lambda: op.rounded(X, 2.5), r"x cannot be rounded to 2.5 decimals: use a whole number from 0 to 15"),
    (lambda: op.rounded(X, 16), "cannot be rounded to 16.0 decimals"),
    (lambda: op.rounded(X, Y), "cannot be rounded to y decimals"),
    (lambda: op.rounded(CLASS, 2), "round wants numbers, and industry is a category"),
    (lambda: op.ema(X, 5, alpha=1.5), "alpha 1.5 is outside"),
    (lambda: op.mean(X, 2.5), "window of 2.5 sessions is no whole number"),
    (lambda: op.ref(X, 0.5), "reference of 0.5 sessions is no whole number"),
    (lambda: X + "close", "'close' is neither an expression nor a number"),
]


@pytest.mark.parametrize(("define", "says"), REFUSED)
def test_a_wrong_kind_is_refused_where_it_is_written_naming_the_sub_expression(define, says: str) -> None:
    with pytest.raises(FactorError, match=says):
        define()


COMPANY = {
    **{name: ours(op.field("close"), n) for n, (name, (ours, _)) in enumerate(WINDOWED.items(), start=7)},
    "cov": op.cov(op.field("close"), op.field("volume"), 9),
    "beta": op.beta(op.delta(op.field("close"), 2), op.field("volume"), 21),
    "resid_std": op.resid_std(op.field("close"), op.field("volume"), 15),
    "filled": op.mean(op.fill(op.ref(op.field("close"), 3), 0), 5),
    "since high": op.sessions_since(op.field("high") >= op.rolling_max(op.field("high"), 10), 30),
    "chosen": op.ema(op.where(op.field("close") > op.field("open"), op.field("volume"), 0), 18),
    "masked": op.skew(op.mask(op.field("close"), op.field("volume") > op.mean(op.field("volume"), 4)), 16),
}


def bits(values: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(values), np.float32(np.nan), values).view(np.uint32)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), end=st.integers(45, 90), suspended=st.sampled_from([0.0, 0.05, 0.4]))
def test_the_last_window_alone_on_any_threads_has_the_bits_of_all_history_in_company(
    seed: int, end: int, suspended: float
) -> None:
    panel = random_panel(symbols=18, sessions=90, seed=seed, suspended=suspended)
    whole = evaluate(COMPANY, panel, threads=3)
    for name, expression in COMPANY.items():
        recent = evaluate({name: expression}, panel.sessions_slice(end - expression.window, end))
        np.testing.assert_array_equal(bits(recent.of(name)[:, -1]), bits(whole.of(name)[:, end - 1]), err_msg=name)


def test_a_constant_is_the_same_everywhere() -> None:
    np.testing.assert_array_equal(values_of(Const(2.0) * 3, [1, NAN]), [6, 6])
    np.testing.assert_array_equal(values_of(op.cs_rank(Const(2.0)), [1, NAN]), [1, 1])


def test_windows_may_come_from_numpy() -> None:
    assert str(op.mean(X, np.int64(5))) == "mean(x, 5)"


def test_flags_count_as_zero_and_one_in_arithmetic() -> None:
    np.testing.assert_array_equal(values_of((X > 0) + (X > 1), [0, 1, 2, NAN]), [0, 1, 2, NAN])
    assert ((X > 0) + 1).kind is Kind.NUMBER
    assert op.where(X > 0, X > 1, X > 2).kind is Kind.FLAG
    assert op.fill(X > 0, 0).kind is Kind.FLAG
