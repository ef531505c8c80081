"""A mean over twenty sessions' bars that declares sixty sessions, since suspensions are no bars."""

import pandas as pd

WINDOW = 60


def factors_pandas(bars: pd.DataFrame) -> pd.DataFrame:
    """Return one column."""
    mean = bars.groupby("symbol")["close"].transform(lambda x: x.rolling(20, min_periods=20).mean())
    return pd.DataFrame({"to_mean": bars["close"] / mean})
