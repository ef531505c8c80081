"""A price's rank among all prices of the symbol, later ones too."""

import pandas as pd


def factors_pandas(bars: pd.DataFrame) -> pd.DataFrame:
    """Return one column."""
    rank = bars.groupby("symbol")["close"].rank(pct=True)
    return pd.DataFrame({"price_rank": rank})
