"""Seeded panels with suspensions, late listings and one-price days, for tests of factors, labels and datasets."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ljwx_pipeline.market.panel import Panel


def random_panel(symbols: int = 6, sessions: int = 150, *, seed: int = 5, suspended: float = 0.06) -> Panel:
    """Return a panel on the 0.01 tick: the last symbol lists late, the first pauses, some days have one price."""
    rng = np.random.default_rng(seed)
    shape = (symbols, sessions)
    close = np.round(10 * np.exp(np.cumsum(rng.normal(0, 0.02, shape), axis=1)), 2)
    open_ = np.round(close * np.exp(rng.normal(0, 0.008, shape)), 2)
    high = np.round(np.maximum(open_, close) * (1 + np.abs(rng.normal(0, 0.006, shape))), 2)
    low = np.round(np.minimum(open_, close) * (1 - np.abs(rng.normal(0, 0.006, shape))), 2)
    one_price = rng.random(shape) < 0.03
    for prices in (open_, high, low):
        prices[one_price] = close[one_price]
    volume = np.round(np.exp(rng.normal(13, 0.8, shape)), -2)
    fields = {
        "open": open_,
        "high": high,
        "low": low,
        "close": close,
        "vwap": (open_ + high + low + close) / 4,
        "volume": volume,
        "amount_cny": volume * close,
    }
    absent = rng.random(shape) < suspended
    absent[-1, : sessions // 3] = True
    absent[0, sessions // 2 : sessions // 2 + 12] = True
    for values in fields.values():
        values[absent] = np.nan
    names = tuple(f"{600000 + number}.SH" for number in range(symbols))
    return Panel(names, pd.bdate_range("2020-01-02", periods=sessions, name="session_date"), fields)
