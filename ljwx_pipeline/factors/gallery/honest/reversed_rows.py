"""Rows sorted oldest first before rolling."""

import pandas as pd


def factors_pandas(bars: pd.DataFrame) -> pd.DataFrame:
    """Return one column."""
    oldest_first = bars.sort_values("session_date")
    mean = oldest_first.groupby("symbol")["close"].transform(lambda x: x.rolling(10, min_periods=1).mean())
    return pd.DataFrame({"to_mean": bars["close"] / mean})
