"""The dense panel is the long table, cell for cell, and NaN where there is no bar."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.market.panel import Panel, dense
from tests.fakes.bars import random_bars


@given(symbols=st.integers(1, 6), sessions=st.integers(1, 40), seed=st.integers(0, 99), gaps=st.floats(0.0, 0.9))
@settings(max_examples=25, deadline=None)
def test_every_row_is_found_again_and_nothing_else(symbols: int, sessions: int, seed: int, gaps: float) -> None:
    full = random_bars(symbols=symbols, sessions=sessions, seed=seed, suspended_frac=0.0)
    names = tuple(sorted(full["symbol"].unique()))
    days = pd.DatetimeIndex(sorted(full["session_date"].unique()))
    bars = full[np.random.default_rng(seed).uniform(size=len(full)) >= gaps]
    array = dense(bars.sample(frac=1, random_state=seed), "close_cny", names, days)
    assert array.shape == (symbols, sessions)
    assert array.flags["C_CONTIGUOUS"]
    assert np.isfinite(array).sum() == len(bars)
    back = bars.pivot_table(index="symbol", columns="session_date", values="close_cny")
    np.testing.assert_array_equal(array, back.reindex(index=list(names), columns=days).to_numpy())


@pytest.fixture
def bars() -> pd.DataFrame:
    return random_bars(symbols=3, sessions=10, suspended_frac=0.0)


def axes(bars: pd.DataFrame) -> tuple[tuple[str, ...], pd.DatetimeIndex]:
    return tuple(sorted(bars["symbol"].unique())), pd.DatetimeIndex(sorted(bars["session_date"].unique()))


def test_repeated_rows_and_rows_off_the_axes_are_refused(bars: pd.DataFrame) -> None:
    names, days = axes(bars)
    with pytest.raises(DataQualityError, match="two rows share"):
        dense(pd.concat([bars, bars.iloc[[0]]]), "close_cny", names, days)
    with pytest.raises(DataQualityError, match=f"{names[0]} {days[0]:%Y-%m-%d} is outside"):
        dense(bars, "close_cny", names[1:], days)
    with pytest.raises(DataQualityError, match=f"{names[0]} {days[0]:%Y-%m-%d} is outside"):
        dense(bars, "close_cny", names, days[1:])


def test_a_cut_of_sessions_is_contiguous_and_its_own(bars: pd.DataFrame) -> None:
    names, days = axes(bars)
    panel = Panel(names, days, {"close": dense(bars, "close_cny", names, days)})
    cut = panel.sessions_slice(2, 5)
    assert cut.sessions.equals(days[2:5])
    assert cut.fields["close"].flags["C_CONTIGUOUS"]
    np.testing.assert_array_equal(cut.fields["close"], panel.fields["close"][:, 2:5])
    cut.fields["close"][:] = 0.0
    assert (panel.fields["close"] > 0).all()


def test_a_field_of_another_shape_is_refused(bars: pd.DataFrame) -> None:
    names, days = axes(bars)
    with pytest.raises(DataQualityError, match=r"field open has shape \(10, 3\)"):
        Panel(names, days, {"close": np.ones((3, 10)), "open": np.zeros((10, 3))})
