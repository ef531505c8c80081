"""Adjustment: what the factor panel holds for raw and for already adjusted bars."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.market.adjustment import FACTOR_FIELDS, columns_read, factor_panel

SESSIONS = pd.DatetimeIndex(["2024-01-02", "2024-01-03", "2024-01-04"], name="session_date")
SYMBOLS = ("600000.SH", "600001.SH")


def bars(**changes: object) -> pd.DataFrame:
    """Two bars of one symbol around a two-for-one split, and one bar of another."""
    frame = pd.DataFrame(
        {
            "symbol": ["600000.SH", "600000.SH", "600001.SH"],
            "session_date": SESSIONS[[0, 1, 2]],
            "open_cny": [10.0, 5.0, 8.0],
            "high_cny": [11.0, 5.5, 9.0],
            "low_cny": [9.0, 4.5, 7.0],
            "close_cny": [10.0, 5.0, 8.5],
            "pre_close_cny": [10.0, 5.0, 8.0],
            "volume_shares": [1000.0, 2000.0, 500.0],
            "amount_cny": [10_100.0, 10_100.0, 4_000.0],
            "adj_factor": [1.0, 2.0, 1.0],
        }
    )
    return frame.assign(**changes)


def panel_of(frame: pd.DataFrame, adjustment: str = "raw"):
    return factor_panel(frame, symbols=SYMBOLS, sessions=SESSIONS, adjustment=adjustment)


def test_a_split_leaves_no_trace_in_adjusted_prices_and_volume() -> None:
    fields = panel_of(bars()).fields
    for name in ("open", "high", "low", "close", "vwap", "volume"):
        assert fields[name][0, 0] == fields[name][0, 1]
    assert fields["vwap"][0, 0] == 10.1


def test_the_panel_holds_every_factor_field_and_nan_without_a_bar() -> None:
    panel = panel_of(bars())
    assert set(panel.fields) == set(FACTOR_FIELDS)
    for values in panel.fields.values():
        assert np.isnan(values[0, 2])
        assert np.isnan(values[1, :2]).all()
        assert np.isfinite(values[1, 2])


def test_under_a_declared_adjustment_vwap_is_the_mean_of_the_four_prices() -> None:
    fields = panel_of(bars(), "forward").fields
    assert fields["vwap"][0].tolist()[:2] == [10.0, 5.0]
    assert fields["volume"][0].tolist()[:2] == [1000.0, 2000.0]
    assert fields["close"][0].tolist()[:2] == [10.0, 5.0]


def test_a_bar_without_trades_has_its_close_for_a_vwap() -> None:
    fields = panel_of(bars(volume_shares=[1000.0, 0.0, 500.0], amount_cny=[10_100.0, 0.0, 4_000.0])).fields
    assert fields["vwap"][0, 1] == fields["close"][0, 1] == 10.0


def test_adding_a_later_bar_changes_no_earlier_value() -> None:
    first = panel_of(bars().iloc[:1]).fields["close"][0, 0]
    assert panel_of(bars()).fields["close"][0, 0] == first


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan")])
def test_a_factor_that_is_not_positive_is_refused_with_its_row(factor: float) -> None:
    with pytest.raises(DataQualityError, match=r"600000\.SH on 2024-01-03"):
        panel_of(bars(adj_factor=[1.0, factor, 1.0]))


def test_an_unknown_adjustment_is_refused() -> None:
    with pytest.raises(DataQualityError, match="qfq"):
        panel_of(bars(), "qfq")


@pytest.mark.parametrize("adjustment", ["raw", "forward", "backward"])
def test_a_field_changes_with_the_columns_it_is_said_to_read_and_with_no_other(adjustment: str) -> None:
    still = {"volume_shares": [1000.0, 0.0, 500.0], "amount_cny": [10_100.0, 0.0, 4_000.0]}  # the close is the vwap
    before = panel_of(bars(**still), adjustment).fields
    for column in bars().columns.difference(["symbol", "session_date"]):
        changed = bars(**still).assign(**{column: lambda frame, name=column: frame[name] * 1.25})
        after = panel_of(changed, adjustment).fields
        moved = {name for name in FACTOR_FIELDS if not np.array_equal(before[name], after[name], equal_nan=True)}
        assert moved == {name for name in FACTOR_FIELDS if column in columns_read([name], adjustment)}, column
