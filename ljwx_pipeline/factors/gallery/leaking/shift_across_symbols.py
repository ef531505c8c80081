"""A shift that forgets the symbols: the first bar of one reads the last bar of the one before it."""

import pandas as pd


def factors_pandas(bars: pd.DataFrame) -> pd.DataFrame:
    """Return one column."""
    previous = bars["close"].shift(1)
    return pd.DataFrame({"return_1": bars["close"] / previous - 1})
