"""Yesterday's return: a positive shift."""

import pandas as pd


def factors_pandas(bars: pd.DataFrame) -> pd.DataFrame:
    """Return one column."""
    yesterday = bars.groupby("symbol")["close"].shift(1)
    return pd.DataFrame({"reversal": bars["close"] / yesterday - 1})
