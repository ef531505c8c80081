"""A-share factors: every one beside plain pandas on a simulated market, and the limits on sessions made by hand."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.errors import FactorError
from ljwx_pipeline.expressions.evaluate import FactorValues, evaluate
from ljwx_pipeline.factors.ashare import ashare
from ljwx_pipeline.market.panel import Panel
from tests.factors.reference_ashare import ashare_reference
from tests.fakes.market_panels import market_tables, whole_panel
from tests.fakes.panels import random_panel


@pytest.fixture(scope="module")
def panel() -> Panel:
    return whole_panel(market_tables(40, date(2020, 1, 2), date(2021, 6, 30)))


@pytest.fixture(scope="module")
def ours(panel: Panel) -> FactorValues:
    return evaluate(ashare().expressions, panel)


@pytest.fixture(scope="module")
def reference(panel: Panel) -> dict[str, np.ndarray]:
    return ashare_reference(panel)


def test_the_oracle_tells_every_factor(reference: dict[str, np.ndarray]) -> None:
    assert tuple(reference) == ashare().names


@pytest.mark.parametrize("name", ashare().names)
def test_every_factor_equals_the_pandas_oracle_and_is_unknown_where_it_is(name: str, ours, reference) -> None:
    got, want = ours.of(name), reference[name]
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-7)
    assert np.isfinite(want).any()


def test_the_simulated_market_has_what_the_factors_are_about(ours: FactorValues) -> None:
    for name in ("UP_STREAK20", "ONE_PRICE_UP20", "OPENED_SHARE20", "SUSPENDED60", "ST", "NEW60", "SINCE_ST_CHANGE250"):
        assert np.nanmax(ours.of(name)) > 0, name


def test_a_board_that_opened_is_told_from_one_that_held_and_from_one_nobody_could_buy() -> None:
    sessions, flat = 25, np.full((1, 25), 10.0)
    prices = {name: flat.copy() for name in ("raw_open_cny", "raw_high_cny", "raw_low_cny", "raw_close_cny")}
    up = np.zeros((1, sessions))
    for session, (opened, high, low, close) in {
        21: (10.0, 11.0, 9.9, 10.5),  # touched, opened again
        22: (11.0, 11.0, 11.0, 11.0),  # one price
        23: (10.2, 11.0, 10.1, 11.0),  # reached in the session
        24: (10.2, 10.99, 10.1, 10.9),  # a tick below
    }.items():
        for name, price in zip(prices, (opened, high, low, close), strict=True):
            prices[name][0, session] = price
        up[0, session] = float(close == 11.0)
    fields = prices | {"limit_up": up, "limit_up_price_cny": flat * 1.1, "pre_close_cny": flat}
    made = Panel(("600000.SH",), pd.bdate_range("2020-01-02", periods=sessions), fields)
    names = ("UP_STREAK20", "UP_COUNT20", "ONE_PRICE_UP20", "OPENED_SHARE20", "UP_DISTANCE")
    values = evaluate({name: ashare().expressions[name] for name in names}, made)
    want = {
        "UP_STREAK20": [0, 1, 2, 0],
        "UP_COUNT20": [0, 1, 2, 2],
        "ONE_PRICE_UP20": [0, 1, 1, 1],
        "OPENED_SHARE20": [1, 1 / 2, 1 / 3, 1 / 3],
        "UP_DISTANCE": [11 / 10.5 - 1, 0, 0, 11 / 10.9 - 1],
    }
    for name, row in want.items():
        np.testing.assert_allclose(values.of(name)[0, 21:], row, rtol=1e-5, atol=1e-7, err_msg=name)
    assert np.isnan(values.of("OPENED_SHARE20")[0, 20])  # nothing touched yet: no share


def test_a_panel_without_the_tables_is_refused_by_name() -> None:
    with pytest.raises(FactorError, match="factor UP_STREAK20 reads unknown field 'limit_up'"):
        evaluate(ashare().expressions, random_panel(symbols=2, sessions=30))
