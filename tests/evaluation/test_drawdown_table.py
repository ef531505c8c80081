"""Drawdowns with their dates, by hand and against the curve."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.evaluation.drawdown_table import DRAWDOWN_COLUMNS, drawdown_table, longest_drawdown_sessions
from ljwx_pipeline.evaluation.metrics import max_drawdown, returns_of


def dated(*values: float) -> pd.Series:
    return pd.Series(values, index=pd.bdate_range("2020-01-01", periods=len(values)), dtype=float)


def test_a_fall_from_the_opening_capital_is_the_first_drawdown() -> None:
    equity = dated(100, 80, 90, 100, 110, 99, 104.5)
    table, days = drawdown_table(equity), equity.index
    assert list(table.columns) == list(DRAWDOWN_COLUMNS)
    assert table["depth_frac"].tolist() == pytest.approx([0.2, 0.1])
    first, second = table.to_dict(orient="records")
    assert (first["peak_date"], first["bottom_date"], first["recovery_date"]) == (days[0], days[1], days[3])
    assert (first["fall_sessions"], first["total_sessions"]) == (1, 3)
    assert (second["peak_date"], second["bottom_date"]) == (days[4], days[5])
    assert second["recovery_date"] is pd.NaT
    assert (second["fall_sessions"], second["total_sessions"]) == (1, 2)
    assert longest_drawdown_sessions(equity) == 3


def test_a_drawdown_begins_at_the_last_session_at_the_peak_and_its_bottom_is_the_first_lowest() -> None:
    equity = dated(100, 100, 90, 90, 95, 100)
    row = drawdown_table(equity).iloc[0]
    assert [row["peak_date"], row["bottom_date"], row["recovery_date"]] == list(equity.index[[1, 2, 5]])


def test_a_curve_that_never_falls_has_none() -> None:
    for equity in (dated(100, 100, 101), dated(100)):
        assert drawdown_table(equity).empty
        assert longest_drawdown_sessions(equity) == 0
        assert list(drawdown_table(equity).columns) == list(DRAWDOWN_COLUMNS)


def test_a_fall_on_the_last_session_counts() -> None:
    row = drawdown_table(dated(100, 120, 60)).iloc[0]
    assert row["depth_frac"] == pytest.approx(0.5)
    assert (row["fall_sessions"], row["total_sessions"]) == (1, 1)


@pytest.mark.parametrize("seed", range(10))
def test_the_table_covers_every_session_below_its_peak_and_the_deepest_is_the_maximum(seed: int) -> None:
    rng = np.random.default_rng(seed)
    equity = dated(*(1e6 * np.cumprod(np.r_[1.0, 1 + rng.normal(0.0005, 0.01, 700)])))
    every = drawdown_table(equity, worst=1000)
    assert every["depth_frac"].iloc[0] == pytest.approx(max_drawdown(returns_of(equity)), rel=1e-9)
    assert every["depth_frac"].is_monotonic_decreasing
    pd.testing.assert_frame_equal(drawdown_table(equity), every.head(5))
    below = equity < equity.cummax()
    inside = np.zeros(len(equity), dtype=int)
    for row in every.itertuples():
        end = equity.index[-1] + pd.Timedelta(days=1) if row.recovery_date is pd.NaT else row.recovery_date
        inside += ((equity.index > row.peak_date) & (equity.index < end)).astype(int)
        assert equity[row.bottom_date] == equity[(equity.index > row.peak_date) & (equity.index < end)].min()
    assert (inside == below.astype(int)).all()


def test_a_gap_is_refused() -> None:
    with pytest.raises(DataQualityError, match="no value on 2020-01-02"):
        drawdown_table(dated(100, np.nan, 90))
