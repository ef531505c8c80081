"""Rows sorted newest first before rolling: the trailing window runs into the future."""

import pandas as pd


def factors_pandas(bars: pd.DataFrame) -> pd.DataFrame:
    """Return one column."""
    newest_first = bars.sort_values("session_date", ascending=False)
    mean = newest_first.groupby("symbol")["close"].transform(lambda x: x.rolling(10, min_periods=1).mean())
    return pd.DataFrame({"to_mean": bars["close"] / mean})
