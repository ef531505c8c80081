"""Amount / volume is a price of the session, or something is wrong."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ljwx_pipeline.market.traded_price import average_price_in_range


def judged(low: float, high: float, volume: float, amount: float) -> bool:
    return bool(
        average_price_in_range(
            low_cny=np.array([low]),
            high_cny=np.array([high]),
            volume_shares=np.array([volume]),
            amount_cny=np.array([amount]),
        )[0]
    )


@given(low=st.floats(0.1, 1000), spread=st.floats(0, 0.2), at=st.floats(0, 1), volume=st.integers(100, 10**9))
def test_an_average_inside_passes_and_mixed_units_fail(low: float, spread: float, at: float, volume: int) -> None:
    high = low * (1 + spread)
    average = low + at * (high - low)
    assert judged(low, high, volume, average * volume)
    assert not judged(low, high, volume / 100, average * volume)
    assert not judged(low, high, volume, average * volume / 1000)


def test_adjusted_prices_fail_nan_fails_and_no_trade_passes() -> None:
    assert not judged(0.8, 0.81, 1000, 1000.0)
    assert not judged(np.nan, 1.0, 1000, 1000.0)
    assert judged(1.0, 1.1, 0.0, 0.0)
    assert not judged(1.0, 1.1, 0.0, 5.0)
