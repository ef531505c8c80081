"""A shift within each symbol."""

import pandas as pd


def factors_pandas(bars: pd.DataFrame) -> pd.DataFrame:
    """Return one column."""
    previous = bars.groupby("symbol")["close"].shift(1)
    return pd.DataFrame({"return_1": bars["close"] / previous - 1})
