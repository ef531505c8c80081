"""A price's place between the symbol's lowest and highest of sixty sessions."""

import pandas as pd


def factors_pandas(bars: pd.DataFrame) -> pd.DataFrame:
    """Return one column."""
    by_symbol = bars.groupby("symbol")["close"]
    low = by_symbol.transform(lambda x: x.rolling(60, min_periods=2).min())
    high = by_symbol.transform(lambda x: x.rolling(60, min_periods=2).max())
    return pd.DataFrame({"place": (bars["close"] - low) / (high - low)})
