"""Alpha158: every value beside an independent pandas oracle, and where ours differs from qlib on purpose."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.expressions.evaluate import evaluate
from ljwx_pipeline.factors.alpha158 import alpha158
from tests.factors.reference_alpha158 import alpha158_reference
from tests.fakes.panels import random_panel


@pytest.fixture(scope="module")
def panel():
    return random_panel(symbols=4, sessions=150)


@pytest.fixture(scope="module")
def ours(panel):
    return evaluate(alpha158().expressions, panel)


@pytest.fixture(scope="module")
def reference(panel):
    return [
        alpha158_reference(pd.DataFrame({name: values[row] for name, values in panel.fields.items()}))
        for row in range(len(panel.symbols))
    ]


def test_names_and_their_order_are_qlibs(reference) -> None:
    assert alpha158().names == tuple(reference[0].columns)
    assert len(alpha158().names) == 158


def test_the_window_is_sixty_sessions_and_the_one_before() -> None:
    assert alpha158().window == 61


@pytest.mark.parametrize("name", alpha158().names)
def test_every_factor_equals_the_pandas_oracle_on_every_bar(name: str, panel, ours, reference) -> None:
    for row in range(len(panel.symbols)):
        bars = ~np.isnan(panel.fields["close"][row])
        want = reference[row][name].to_numpy()[bars]
        got = ours.of(name)[row][bars]
        np.testing.assert_allclose(got, want, rtol=2e-6, atol=2e-7, err_msg=f"{name} of {panel.symbols[row]}")


def test_values_are_known_on_almost_all_bars_after_the_warm_up(panel, ours) -> None:
    bars = ~np.isnan(panel.fields["close"][1])
    bars[:61] = False
    # ROC looks at one session, which may be suspended; everything else has a whole window to draw on
    known = np.array([np.isfinite(ours.of(name)[1, bars]).mean() for name in ours.names])
    assert known.min() > 0.85
    assert (known == 1).sum() >= 150


def test_the_position_of_the_high_ignores_a_suspension_where_numpy_answers_the_gap() -> None:
    panel = random_panel(symbols=2, sessions=80, suspended=0.0)
    high = panel.fields["high"]
    high[0, 70:75] = [1, 2, np.nan, 9, 3]
    position = evaluate({"IMAX5": alpha158().expressions["IMAX5"]}, panel).of("IMAX5")[0, 74]
    assert position == np.float32(4 / 5)
    assert (np.argmax(high[0, 70:75]) + 1) / 5 == 3 / 5  # what qlib stores


def test_a_comparison_with_a_suspended_session_is_not_counted_as_a_fall_or_no_rise() -> None:
    panel = random_panel(symbols=2, sessions=80, suspended=0.0)
    panel.fields["close"][0, 69:75] = [10, 11, np.nan, 12, 13, 14]
    count = evaluate({"CNTP5": alpha158().expressions["CNTP5"]}, panel).of("CNTP5")[0, 74]
    assert count == 1.0  # three known comparisons, all rises; qlib divides by five and stores 0.6


def test_a_one_price_day_has_no_body_and_no_shadows() -> None:
    panel = random_panel(symbols=2, sessions=80)
    for name in ("open", "high", "low", "close"):
        panel.fields[name][0, 70] = 12.34
    values = evaluate(alpha158().expressions, panel)
    for name in ("KMID2", "KUP2", "KLOW2", "KSFT2"):
        assert values.of(name)[0, 70] == 0.0
