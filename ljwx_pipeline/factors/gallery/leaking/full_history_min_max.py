"""A price's place between the symbol's lowest and highest, of the whole history."""

import pandas as pd


def factors_pandas(bars: pd.DataFrame) -> pd.DataFrame:
    """Return one column."""
    by_symbol = bars.groupby("symbol")["close"]
    low, high = by_symbol.transform("min"), by_symbol.transform("max")
    return pd.DataFrame({"place": (bars["close"] - low) / (high - low)})
