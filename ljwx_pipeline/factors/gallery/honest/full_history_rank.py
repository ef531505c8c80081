"""A price's rank among all earlier prices of the symbol."""

import pandas as pd


def factors_pandas(bars: pd.DataFrame) -> pd.DataFrame:
    """Return one column."""
    rank = bars.groupby("symbol")["close"].transform(lambda x: x.expanding().rank(pct=True))
    return pd.DataFrame({"price_rank": rank})
