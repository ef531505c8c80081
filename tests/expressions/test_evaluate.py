"""Evaluation: values depend on their window alone, bit for bit; frames; refusals."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ljwx_pipeline.errors import FactorError
from ljwx_pipeline.expressions.evaluate import evaluate, evaluate_last_of_each
from ljwx_pipeline.expressions.nodes import Expr, as_expr
from ljwx_pipeline.expressions.operators import (
    absolute,
    corr,
    cs_rank,
    field,
    greater,
    log,
    mean,
    ref,
    rolling_sum,
    std,
)
from ljwx_pipeline.factors.alpha158 import alpha158
from ljwx_pipeline.market.panel import Panel
from tests.fakes.panels import random_panel

CLOSE, VOLUME = field("close"), field("volume")


def computed(expressions: Mapping[str, Expr], panel: Panel, threads: int = 1) -> np.ndarray:
    values = evaluate(expressions, panel, threads)
    return values.values  # noqa: PD011 - not a pandas object


def bits(values: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(values), np.float32(np.nan), values).view(np.uint32)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), end=st.integers(62, 140), suspended=st.sampled_from([0.0, 0.05, 0.4]))
def test_the_last_window_of_sessions_gives_the_bits_of_the_full_history(seed: int, end: int, suspended: float) -> None:
    panel = random_panel(symbols=3, sessions=140, seed=seed, suspended=suspended)
    catalogue = alpha158()
    whole = computed(catalogue.expressions, panel)[:, :, end - 1]
    recent = computed(catalogue.expressions, panel.sessions_slice(end - catalogue.window, end))[:, :, -1]
    np.testing.assert_array_equal(bits(recent), bits(whole))


def test_one_session_less_than_the_window_is_not_enough() -> None:
    panel = random_panel(symbols=3, sessions=140, suspended=0.0)
    catalogue = alpha158()
    whole = evaluate(catalogue.expressions, panel).of("CORD60")[:, -1]
    short = evaluate(catalogue.expressions, panel.sessions_slice(140 - catalogue.window + 1, 140)).of("CORD60")[:, -1]
    assert not np.array_equal(bits(short), bits(whole))


def test_a_factor_has_the_same_bits_alone_as_in_the_catalogue_and_on_any_number_of_threads() -> None:
    panel = random_panel(symbols=40, sessions=100)
    catalogue = alpha158()
    together = evaluate(catalogue.expressions, panel)
    np.testing.assert_array_equal(bits(computed(catalogue.expressions, panel, threads=3)), bits(together.values))
    for name in ("MA60", "STD30", "BETA20", "CORR60", "QTLU10", "IMXD30"):
        alone = evaluate({name: catalogue.expressions[name]}, panel)
        np.testing.assert_array_equal(bits(alone.of(name)), bits(together.of(name)))


def test_a_symbol_has_the_same_bits_whoever_stands_beside_it() -> None:
    panel = random_panel(symbols=20, sessions=90)
    alone = Panel(panel.symbols[17:18], panel.sessions, {name: v[17:18] for name, v in panel.fields.items()})
    expressions = alpha158().expressions
    np.testing.assert_array_equal(bits(computed(expressions, alone)[:, 0]), bits(computed(expressions, panel)[:, 17]))


def test_values_far_from_zero_keep_their_spread() -> None:
    panel = random_panel(symbols=2, sessions=90, suspended=0.0)
    shifted = Panel(panel.symbols, panel.sessions, {**panel.fields, "close": panel.fields["close"] + 1e7})
    near = evaluate({"s": std(CLOSE, 60)}, panel, dtype=np.float64).of("s")[:, -1]
    far = evaluate({"s": std(CLOSE, 60)}, shifted, dtype=np.float64).of("s")[:, -1]
    np.testing.assert_allclose(far, near, rtol=1e-6)


def test_the_frame_holds_the_present_rows_in_session_then_symbol_order() -> None:
    panel = random_panel(symbols=5, sessions=30)
    present = ~np.isnan(panel.fields["close"])
    values = evaluate({"m": mean(CLOSE, 5), "c": corr(CLOSE, log(VOLUME), 5)}, panel)
    frame = values.frame(present)
    assert list(frame.columns) == ["symbol", "session_date", "m", "c"]
    assert len(frame) == present.sum()
    assert frame.equals(frame.sort_values(["session_date", "symbol"]))
    assert (frame[["m", "c"]].dtypes == np.float32).all()
    for row in (0, 17, len(frame) - 1):
        key = frame.iloc[row]
        at = panel.symbols.index(key["symbol"]), panel.sessions.get_loc(key["session_date"])
        assert key["m"] == values.of("m")[at]


def test_the_frame_keeps_its_values_in_one_block() -> None:
    panel = random_panel(symbols=4, sessions=70)
    frame = evaluate(alpha158().expressions, panel).frame(~np.isnan(panel.fields["close"]))
    first, second = (frame[name].to_numpy() for name in ("KMID", "KLEN"))
    assert second.__array_interface__["data"][0] - first.__array_interface__["data"][0] == first.nbytes


def test_a_label_looks_ahead_and_is_nan_where_the_future_is_unknown() -> None:
    x = np.arange(1.0, 7.0)[None, :]
    panel = Panel(("600000.SH",), pd.bdate_range("2020-01-02", periods=6), {"close": x})
    got = evaluate({"r": ref(CLOSE, -3) / ref(CLOSE, -1) - 1}, panel, dtype=np.float64).of("r")[0]
    np.testing.assert_allclose(got, [4 / 2 - 1, 5 / 3 - 1, 6 / 4 - 1, np.nan, np.nan, np.nan])


def test_an_unknown_field_is_refused_with_the_factor_and_the_known_fields() -> None:
    panel = random_panel(symbols=2, sessions=10)
    with pytest.raises(FactorError, match=r"factor PE reads unknown field 'earnings'.*amount_cny, close"):
        evaluate({"PE": CLOSE / field("earnings")}, panel)


def test_nothing_to_evaluate_is_refused() -> None:
    with pytest.raises(FactorError, match="no expression"):
        evaluate({}, random_panel(symbols=2, sessions=10))


def test_a_panel_shorter_than_every_window_evaluates_to_what_it_knows() -> None:
    panel = random_panel(symbols=2, sessions=3, suspended=0.0)
    values = evaluate(alpha158().expressions, panel)
    assert np.isfinite(values.of("MA60")[:, 0]).any()
    assert np.isnan(values.of("ROC60")).all()


@pytest.mark.parametrize("threads", [1, 2])
def test_the_last_of_each_length_has_the_bits_of_all(threads: int) -> None:
    panel = random_panel(symbols=19, sessions=47, suspended=0.2)
    expressions = {"quotient": mean(CLOSE, 5) / CLOSE, "sum": mean(CLOSE, 5) + 1}
    last = evaluate_last_of_each(expressions, panel, 10, threads)
    np.testing.assert_array_equal(last, computed(expressions, panel, threads)[:, :, [9, 19, 29, 39]])


def test_the_last_of_each_length_has_no_cross_section() -> None:
    with pytest.raises(FactorError, match="symbol by symbol"):
        evaluate_last_of_each({"rank": cs_rank(CLOSE)}, random_panel(symbols=3, sessions=9), 3)


def test_the_sum_of_a_constant_is_known_everywhere() -> None:
    panel = random_panel(symbols=2, sessions=5, suspended=0.5)
    sums = computed({"sum": rolling_sum(greater(as_expr(2.0), 1.0), 3)}, panel)
    np.testing.assert_array_equal(sums[0], [[2, 4, 6, 6, 6]] * 2)


def test_an_overflow_is_no_missing_value_to_the_sessions_after_it() -> None:
    huge = np.array([[1e308, -1e308, 1.0, 2.0, 3.0, 4.0]])
    panel = Panel(("600000.SH",), pd.bdate_range("2020-01-02", periods=6), {"close": huge})
    # the difference overflows in the second session: it is known there, and infinite
    means = computed({"m": mean(absolute(CLOSE - ref(CLOSE, 1)), 3)}, panel)[0, 0]
    np.testing.assert_array_equal(means[[0, 1, 5]], [np.nan, np.nan, 1.0])


def test_no_value_is_infinite_in_the_type_it_is_stored_as() -> None:
    largest = float(np.finfo(np.float32).max)
    x = np.array([[1.0, largest, largest * (1 + 2.0**-25), largest * (1 + 2.0**-24), 1e300, -1e300]])
    panel = Panel(("600000.SH",), pd.bdate_range("2020-01-02", periods=6), {"close": x})
    made = {"as_it_is": CLOSE * 1, "quotient": CLOSE / 1, "over": CLOSE / 1e-300}
    for dtype, finite in ((np.float32, [1, 1, 1, 0, 0, 0]), (np.float64, [1, 1, 1, 1, 1, 1])):
        got = evaluate(made, panel, dtype=dtype)
        for name in ("as_it_is", "quotient"):
            np.testing.assert_array_equal(np.isfinite(got.of(name)[0]), np.array(finite, dtype=bool))
        assert not np.isinf(got.of("over")).any()
