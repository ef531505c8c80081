"""A smoothed price from a centred window: half of it lies ahead."""

import pandas as pd


def factors_pandas(bars: pd.DataFrame) -> pd.DataFrame:
    """Return one column."""
    smooth = bars.groupby("symbol")["close"].transform(lambda x: x.rolling(11, center=True, min_periods=1).mean())
    return pd.DataFrame({"smooth": bars["close"] / smooth})
