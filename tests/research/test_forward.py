"""Forward returns are entered after the value is known; close to close is the comparison it says it is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.errors import DatasetError
from ljwx_pipeline.market.panel import Panel
from ljwx_pipeline.research.forward import close_to_close_returns, entered_returns

CLOSE = np.array([[10.0, 11.0, 12.0, np.nan, 15.0, 16.0, 20.0]])
PANEL = Panel(("A",), pd.bdate_range("2024-01-02", periods=7, name="session_date"), {"close": CLOSE})


def test_a_return_is_entered_at_the_next_close_and_unknown_without_a_bar_there_or_at_the_exit() -> None:
    found = entered_returns(PANEL, (1, 2), entry_lag_sessions=1)
    assert found.of(1)[0] == pytest.approx(
        [12 / 11 - 1, np.nan, np.nan, 16 / 15 - 1, 20 / 16 - 1, np.nan, np.nan], nan_ok=True
    )
    assert found.of(2)[0, 0] != found.of(2)[0, 0]  # the exit has no bar
    assert found.of(2)[0, 3] == pytest.approx(20 / 15 - 1)


def test_the_close_the_value_has_seen_moves_no_entered_return() -> None:
    moved = CLOSE.copy()
    moved[0, 4] *= 2
    before, after = (
        entered_returns(PANEL.with_fields({"close": close}), (1,), entry_lag_sessions=1).of(1)
        for close in (CLOSE, moved)
    )
    assert before[0, 4] == after[0, 4]
    seen, seen_after = (close_to_close_returns(close, [1]).of(1)[0, 4] for close in (CLOSE, moved))
    assert seen != seen_after


def test_close_to_close_is_alphalens_convention_without_filling() -> None:
    found = close_to_close_returns(CLOSE, [1]).of(1)[0]
    assert found == pytest.approx([0.1, 1 / 11, np.nan, np.nan, 1 / 15, 0.25, np.nan], nan_ok=True)


def test_a_horizon_that_does_not_fit_is_refused() -> None:
    with pytest.raises(DatasetError, match="does not fit 7 sessions"):
        close_to_close_returns(CLOSE, [7])
    with pytest.raises(DatasetError, match="no label is known"):
        entered_returns(PANEL, (6,), entry_lag_sessions=1)
