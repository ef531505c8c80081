"""Exits: each rule by hand, their order, and what they never do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ljwx_pipeline.config import Settings
from ljwx_pipeline.trading.exits import ExitParams, exits_kernel
from ljwx_pipeline.trading.order_reason import OrderReason

ENTRY = 100_000  # 10 CNY


def reasons(params: ExitParams, **column: list[int]) -> list[OrderReason]:
    n = len(column["price"])
    forced = np.full(n, 99, dtype=np.int64)
    found = exits_kernel(
        np.arange(n, dtype=np.int32),
        n,
        np.array(column.get("held", [0] * n), dtype=np.int64),
        np.array(column.get("entry", [ENTRY] * n), dtype=np.int64),
        np.array(column.get("peak", column["price"]), dtype=np.int64),
        np.array(column["price"], dtype=np.int64),
        params.as_array(),
        forced,
    )
    assert found == np.count_nonzero(forced)
    return [OrderReason(int(code)) for code in forced]


def test_every_rule_is_off_as_shipped(settings: Settings) -> None:
    shipped = ExitParams.of(settings.strategy.exits)
    assert not shipped.active
    assert reasons(shipped, price=[1, 100_000_000], held=[5_000, 0]) == [OrderReason.NONE, OrderReason.NONE]


def test_settings_become_basis_points(settings: Settings) -> None:
    chosen = settings.strategy.exits.model_copy(update={"stop_loss_frac": 0.08, "max_hold_sessions": 20})
    assert ExitParams.of(chosen) == ExitParams(800, 0, 0, 20)
    assert ExitParams.of(chosen).active


def test_a_stop_loss_holds_from_the_very_price_on() -> None:
    stop = ExitParams(800, 0, 0, 0)
    assert reasons(stop, price=[92_001, 92_000, 91_999]) == [
        OrderReason.NONE,
        OrderReason.STOP_LOSS,
        OrderReason.STOP_LOSS,
    ]


def test_a_profit_is_taken_from_the_very_price_on() -> None:
    assert reasons(ExitParams(0, 2_000, 0, 0), price=[119_999, 120_000]) == [OrderReason.NONE, OrderReason.TAKE_PROFIT]


def test_a_trailing_stop_looks_at_the_peak_and_not_at_the_entry() -> None:
    trailing = ExitParams(0, 0, 1_000, 0)
    assert reasons(trailing, price=[135_000, 135_001], peak=[150_000, 150_000]) == [
        OrderReason.TRAILING,
        OrderReason.NONE,
    ]


def test_a_time_stop_counts_the_session_that_passes_before_the_sale() -> None:
    three = ExitParams(0, 0, 0, 3)
    assert reasons(three, price=[ENTRY] * 3, held=[1, 2, 3]) == [OrderReason.NONE, OrderReason.TIME, OrderReason.TIME]


def test_the_first_rule_that_holds_is_the_reason() -> None:
    every = ExitParams(800, 500, 1_000, 1)
    assert reasons(every, price=[90_000, 105_000, 99_000, 99_000], peak=[100_000, 120_000, 110_000, 99_000]) == [
        OrderReason.STOP_LOSS,
        OrderReason.TAKE_PROFIT,
        OrderReason.TRAILING,
        OrderReason.TIME,
    ]


def test_nothing_is_judged_without_a_bar_or_without_the_price_a_rule_needs() -> None:
    assert reasons(ExitParams(800, 500, 1_000, 1), price=[0], held=[500], peak=[100_000]) == [OrderReason.NONE]
    assert reasons(ExitParams(800, 500, 1_000, 0), price=[1], entry=[0], peak=[0]) == [OrderReason.NONE]


@given(price=st.integers(1, 10**8), entry=st.integers(1, 10**8), bps=st.integers(1, 9_999))
def test_a_stop_loss_is_exact_to_the_price(price: int, entry: int, bps: int) -> None:
    (got,) = reasons(ExitParams(bps, 0, 0, 0), price=[price], entry=[entry])
    assert (got is OrderReason.STOP_LOSS) == (price * 10_000 <= entry * (10_000 - bps))


@pytest.mark.parametrize("name", [code.name for code in OrderReason])
def test_every_reason_has_its_own_number(name: str) -> None:
    assert [code.name for code in OrderReason if code == OrderReason[name]] == [name]
