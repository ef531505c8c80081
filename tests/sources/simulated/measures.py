"""What the tests of the simulated market measure on canonical tables: returns, rank IC, the world's range."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ljwx_pipeline.sources.simulated.source import WORLD_FIRST, WORLD_LAST

WHOLE = (WORLD_FIRST, WORLD_LAST)


def wide(frame: pd.DataFrame, column: str | pd.Series) -> pd.DataFrame:
    """Sessions x symbols of one column."""
    values = frame[column] if isinstance(column, str) else column
    rows, sessions = pd.factorize(frame["session_date"], sort=True)
    columns, symbols = pd.factorize(frame["symbol"], sort=True)
    out = np.full((len(sessions), len(symbols)), np.nan)
    out[rows, columns] = values
    return pd.DataFrame(out, index=pd.DatetimeIndex(sessions, name="session_date"), columns=symbols)


def five_session_return(bars: pd.DataFrame) -> pd.DataFrame:
    """Adjusted close[t+6] / close[t+1] - 1, sessions x symbols, NaN where either bar is absent."""
    close = wide(bars, bars["close_cny"] * bars["adj_factor"])
    return close.shift(-6) / close.shift(-1) - 1


def rank_ic(signal: pd.DataFrame, forward: pd.DataFrame) -> pd.Series:
    """Spearman correlation over stocks, session by session, on the cells both have."""
    signal, forward = signal.align(forward, join="inner")
    both = signal.notna() & forward.notna()
    a, b = signal.where(both).rank(axis=1), forward.where(both).rank(axis=1)
    a, b = a.sub(a.mean(axis=1), axis=0), b.sub(b.mean(axis=1), axis=0)
    correlation = (a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return correlation[both.sum(axis=1) > 10]
